"""What is installed, and the commands that install what is missing, for messages.

A checkout is managed by uv; an installed wheel by pip, or by uv with the same arguments.
"""

import importlib.util
import os
import platform
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

FEDERATED_REQUIREMENTS = Path(__file__).parents[1] / "training/federated/requirements.txt"
"""Exact versions of what federated training needs beyond the package's own dependencies.

They are installed with `pip install --no-deps`, because the published pins of TensorFlow Federated
and of TensorFlow Privacy cannot be met. `scripts/locks.py` writes the file.
"""

_PROJECT = "pyproject.toml"
_CHECKOUT = Path(__file__).parents[2]
_FEDERATED = ("tensorflow_federated", "tensorflow_privacy")


def _working_folder() -> Path | None:
    """Return the folder of the shell; None if it has been removed."""
    try:
        return Path.cwd()
    except OSError:
        return None


_STARTED_IN = _working_folder()  # a resumed run changes to another one


def is_checkout() -> bool:
    """Return whether the package is imported from a checkout, and not from an installed wheel."""
    return (_CHECKOUT / "pyproject.toml").is_file()


def federated_is_installed() -> bool:
    """Return whether what federated training imports is installed; nothing is imported."""
    return all(importlib.util.find_spec(name) is not None for name in _FEDERATED)


def to_type(command: str | Sequence[str]) -> str:
    """Return a command as it can be typed in the shell from which this process was started.

    All commands in messages come from here (`tests/unit/settings/test_typed_commands.py`). By `uv
    run`, if this process was started by it; else by the name of the program if the shell finds it,
    or by its path in the environment of this process.

    Args:
      command: a program of this environment with its arguments: words, or a text that is quoted
        already and may hold placeholders.

    Example:
      >>> to_type(["ecgexp-report", "a b"]).endswith("ecgexp-report 'a b'")
      True
    """
    text = command if isinstance(command, str) else shlex.join(command)
    program, space, arguments = text.partition(" ")
    return f"{shlex.join(_how_to_start(program))}{space}{arguments}"


def _how_to_start(program: str) -> list[str]:
    """Return the words that start a program of this environment."""
    if "UV_RUN_RECURSION_DEPTH" in os.environ:  # set by `uv run`
        project = Path(sys.prefix).parent
        is_found = not (project / _PROJECT).is_file() or _project_here() == project
        return ["uv", "run", *([] if is_found else ["--project", str(project)]), program]
    script = Path(sysconfig.get_path("scripts")) / program
    found = shutil.which(program)
    if not script.is_file() or (found is not None and Path(found).resolve() == script.resolve()):
        return [program]
    if _STARTED_IN is not None and script.is_relative_to(_STARTED_IN):
        script = script.relative_to(_STARTED_IN)
    return [str(script)]


def _project_here() -> Path | None:
    """Return the project that uv finds from the folder in which this process was started."""
    folders = [] if _STARTED_IN is None else [_STARTED_IN, *_STARTED_IN.parents]
    return next((folder for folder in folders if (folder / _PROJECT).is_file()), None)


def install_federated() -> str:
    """Return what to do, as a part of a message, where federated training cannot be imported."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "it has no wheel for this platform: use Linux x86-64"
    if is_checkout():
        return "use `uv sync`"
    requirements = to_type("ecgexp-doctor --federated-requirements")
    return f'use `pip install --no-deps -r "$({requirements})"`'


def install_extra(name: str) -> str:
    """Return what to do, as a part of a message, to install the extra `name`."""
    return (
        f"use `uv sync --extra {name}`" if is_checkout() else f"use `pip install 'ecgexp[{name}]'`"
    )


def reinstall(package: str) -> str:
    """Return what to do, as a part of a message, where a dependency is missing or damaged."""
    if is_checkout():
        return f"use `uv sync --reinstall-package {package}`"
    return f"use `pip install --force-reinstall ecgexp {package}`"
