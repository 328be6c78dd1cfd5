"""`run.json`, a run's own account of itself: read, and replaced as a whole, so that it is never half written.

It also says in which store the run is, and whether all of it is there. It counts as not whole from the first moment on, and
becomes whole when the end of the run has arrived, so that a crash at any time leaves the mark.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecgexp._files import replacing
from ecgexp._validate import DataError
from ecgexp.run_folder import has_checkpoints
from ecgexp.tracking.provenance import is_running

NAME = "run.json"
RUN_DIR_TAG = "run.dir"
EXAMPLE = "input_example.safetensors"
_KINDS = {"status": str, "params": dict, "tags": dict, "datasets": list}


def read_run(folder: Path) -> dict[str, Any]:
    """What the run in `folder` says of itself.

    Raises:
      DataError: it is no folder of a run.
    """
    try:
        values = json.loads((folder / NAME).read_text(encoding="utf-8"))
        fits = all(isinstance(values[key], kind) for key, kind in _KINDS.items())
    except OSError as error:
        raise DataError(f"{folder} is not the folder of a run: {NAME} cannot be read ({error.strerror})") from error
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(f"{folder} is not the folder of a run: its {NAME} is of something else") from error
    if not fits:
        raise DataError(f"{folder} is not the folder of a run: its {NAME} is of something else")
    return values


def write_run(folder: Path, values: Mapping[str, Any]) -> None:
    """Replaces `run.json`."""
    with replacing(folder / NAME) as part:
        part.write_text(json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def is_being_made(values: Mapping[str, Any]) -> bool:
    """Whether a process of this machine is at the run."""
    return values["status"] == "RUNNING" and is_running(values["tags"])


def has_finished(folder: Path) -> bool:
    """Whether the run in `folder` has all its results, so that there is nothing to train any more."""
    try:
        return read_run(folder)["status"] == "FINISHED"
    except DataError:
        return False


def not_whole(outputs: Path) -> list[Path]:
    """Folders below `outputs` of runs that have ended and lack a part of their end.

    By their own account they are not all in their store, or they have finished and still keep states of their training.
    """
    found = []
    for path in sorted(outputs.glob(f"**/{NAME}")):
        try:
            values = read_run(path.parent)
        except DataError:
            continue
        delivered = not values.get("store") or values["store"]["whole"]
        tidy = values["status"] != "FINISHED" or not has_checkpoints(path.parent)
        if not (delivered and tidy) and not is_being_made(values):
            found.append(path.parent)
    return found
