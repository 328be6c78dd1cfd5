"""What is installed, and the commands that install what is missing, for messages.

A checkout is managed by uv; an installed wheel by pip, or by uv with the same arguments.
"""

import importlib.util
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

FEDERATED_REQUIREMENTS = Path(__file__).parents[1] / "training/federated/requirements.txt"
"""Exact versions of what federated training needs beyond the package's own dependencies.

They are installed with `pip install --no-deps`, because the published pins of TensorFlow Federated
and of TensorFlow Privacy cannot be met. `scripts/locks.py` writes the file.
"""

_CHECKOUT = Path(__file__).parents[2]
_FEDERATED = ("tensorflow_federated", "tensorflow_privacy")


def is_checkout() -> bool:
    """Return whether the package is imported from a checkout, and not from an installed wheel."""
    return (_CHECKOUT / "pyproject.toml").is_file()


def federated_is_installed() -> bool:
    """Return whether what federated training imports is installed; nothing is imported."""
    return all(importlib.util.find_spec(name) is not None for name in _FEDERATED)


def to_type(words: Sequence[str]) -> str:
    """Return a command to copy into a shell, by uv if this process was started by it.

    Example:
      >>> to_type(["ecgexp-report", "a b"]).endswith("ecgexp-report 'a b'")
      True
    """
    prefix = ["uv", "run"] if "UV_RUN_RECURSION_DEPTH" in os.environ else []
    return shlex.join([*prefix, *words])


def install_federated() -> str:
    """Return what to do, as a part of a message, where federated training cannot be imported."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "it has no wheel for this platform: use Linux x86-64"
    if is_checkout():
        return "use `uv sync`"
    return 'use `pip install --no-deps -r "$(ecgexp-doctor --federated-requirements)"`'


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
