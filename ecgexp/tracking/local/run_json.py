"""`run.json`: status, parameters, tags and artifacts of a run.

It is replaced atomically, so it is never incomplete.

It also names the store of the run, and whether the store has all entries (`whole`). That is false
from the start, and becomes true when the final status has arrived, so that a crash at any time
leaves it false.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from ecgexp.settings.declaration import DataError
from ecgexp.storage.atomic import replacing
from ecgexp.storage.reading import MissingFileError, read_json, refusal
from ecgexp.tracking.checks import check_path
from ecgexp.tracking.local.checkpoint_folder import has_checkpoints
from ecgexp.tracking.provenance import is_running

NAME = "run.json"
RUN_DIR_TAG = "run.dir"
LEFT_OUT_TAG = "leave_one_out"  # of a run of `ecgexp-leave-one-out`: which patients it left out
PARENT_TAG = "mlflow.parentRunId"  # of a job of a sweep: the id of the sweep's parent run
_FIX = "restore the file from a copy, or leave the run out and start it again in another folder"

Seconds = Annotated[float, Field(ge=0, le=1e11)]
"""Since 1970."""


class DatasetValues(TypedDict):
    """See `tracking.base.DatasetInput`."""

    name: str
    digest: str
    source: str
    counts: dict[str, dict[str, int]]


class StoreValues(TypedDict):
    """The store of a run, and whether it has all entries of the run."""

    uri: str
    whole: bool


class RunValues(TypedDict):
    """`run.json`."""

    run_id: NotRequired[str | None]
    status: Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
    reason: NotRequired[str | None]
    started: NotRequired[Seconds]
    ended: NotRequired[Seconds | None]
    params: dict[str, str | int | float | bool | None]
    tags: dict[str, str]
    datasets: list[DatasetValues]
    artifacts: NotRequired[list[str]]
    store: NotRequired[StoreValues | None]


def read_run(folder: Path) -> dict[str, Any]:
    """Read `run.json`, as `RunValues`.

    Raises:
      DataError: `folder` is not the folder of a run, or its `run.json` is damaged.
    """
    path = folder / NAME
    try:
        values = read_json(path, RunValues, fix=_FIX)
    except MissingFileError as error:
        raise MissingFileError(
            f"{folder} is not the folder of a run: it has no {NAME}; use the folder of a run, "
            "such as those under outputs/"
        ) from error
    for artifact in values.get("artifacts", ()):
        try:
            check_path(artifact)
        except ValueError as error:
            raise refusal(path, f"is damaged: {error}", fix=_FIX) from error
    return dict(values)


def write_run(folder: Path, values: Mapping[str, Any]) -> None:
    """Replace `run.json` atomically."""
    with replacing(folder / NAME) as part:
        part.write_text(
            json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
            encoding="utf-8",
        )


def is_being_made(values: Mapping[str, Any]) -> bool:
    """Return whether a process of this machine is running the run."""
    return values["status"] == "RUNNING" and is_running(values["tags"])


def has_finished(folder: Path) -> bool:
    """Return whether the run in `folder` has all its results, so that no training is left."""
    try:
        return read_run(folder)["status"] == "FINISHED"
    except DataError:
        return False


def not_whole(outputs: Path) -> tuple[list[Path], list[DataError]]:
    """Find runs below `outputs` that have ended and whose end is incomplete.

    Their store lacks entries according to `run.json`, or they have finished and still have
    checkpoints.

    Returns:
      The folders, and an error for each damaged `run.json`.
    """
    found, damaged = [], []
    for path in sorted(outputs.glob(f"**/{NAME}")):
        try:
            values = read_run(path.parent)
        except DataError as error:
            damaged.append(error)
            continue
        delivered = not values.get("store") or values["store"]["whole"]
        tidy = values["status"] != "FINISHED" or not has_checkpoints(path.parent)
        if not (delivered and tidy) and not is_being_made(values):
            found.append(path.parent)
    return found, damaged
