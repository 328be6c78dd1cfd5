"""An environment with the requirements of a logged model, and nothing else of this one.

Nothing is installed: the wheel of the model is unpacked, and every distribution that its
`requirements.txt` names is linked from this environment. What the list lacks cannot be imported.
"""

import os
import sys
import zipfile
from collections import defaultdict
from importlib import metadata
from pathlib import Path


def make_environment(model: Path, folder: Path) -> Path:
    """Makes `folder`, to be used with `python_in`."""
    wheel, *pins = (model / "requirements.txt").read_text().splitlines()
    with zipfile.ZipFile(model / wheel) as archive:
        archive.extractall(folder)
    files: dict[Path, list[Path]] = {}
    for pin in pins:
        name, version = pin.split("==")
        found = metadata.distribution(name)
        assert found.version == version, pin
        for file in found.files or ():
            if file.parts[0] not in ("..", "__pycache__"):
                files[Path(*file.parts)] = [Path(str(file.locate())), Path(name)]
    _link(folder, files, depth=1)
    return folder


def _link(folder: Path, files: dict[Path, list[Path]], depth: int) -> None:
    """Links a folder that one distribution owns as a whole, and parts of one that several share."""
    groups = defaultdict(dict)
    for file, found in files.items():
        groups[Path(*file.parts[:depth])][file] = found
    for place, inside in groups.items():
        if len({owner for _, owner in inside.values()}) > 1:
            (folder / place).mkdir(exist_ok=True)
            _link(folder, inside, depth + 1)
            continue
        file, (target, _) = next(iter(inside.items()))
        for _ in range(len(file.parts) - depth):
            target = target.parent
        (folder / place).symlink_to(target)


def python_in(folder: Path, **variables: str) -> tuple[list[str], dict[str, str]]:
    """The command of Python in the environment, and its variables.

    Started with -S, Python reads no `site-packages` and no .pth file, so that the checkout of an
    editable installation is not imported.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ECGEXP_", "MLFLOW_", "PYTHON"))
    }
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}
    return [sys.executable, "-S"], kept | quiet | {"PYTHONPATH": str(folder)} | variables
