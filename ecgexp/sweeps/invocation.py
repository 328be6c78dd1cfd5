"""The files of one invocation of a sweep, which its jobs read and write in their processes.

`outputs/NAME/TIME_sweep/`, created by Hydra, holds:
    sweep.json          which sweep it belongs to
    search.json         which study of Optuna it is, if a search chooses the jobs
    jobs/NUMBER.json    outcome of each job
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from ecgexp.settings.declaration import DataError
from ecgexp.storage.atomic import replacing
from ecgexp.storage.reading import read_json

POINTER, _STUDY = "sweep.json", "search.json"
_NUMBER = re.compile(r"[0-9]{1,9}")

Outcome = Literal["ran", "kept", "refused"]


class Pointer(TypedDict):
    """`sweep.json` of an invocation; see `ecgexp.sweeps.sweep.Sweep`."""

    home: str
    typed: list[str]
    planned: list[str] | None
    parent_id: str | None
    settings: dict[str, Any]
    private_dir: str | None


class OutcomeValues(TypedDict):
    """`jobs/NUMBER.json`: the outcome of a job.

    `earlier_start` identifies the last attempt at a job that runs, before its own attempt began;
    `begins` says how a job that was tried before begins.
    """

    name: str
    digest: str
    outcome: Outcome
    reason: str | None
    earlier_start: NotRequired[str | None]
    begins: NotRequired[str | None]


class StudyValues(TypedDict):
    """`search.json`: the study of an invocation."""

    study: str
    num_trials: int


def read_pointer(invocation: Path) -> Pointer:
    """Read which sweep an invocation belongs to.

    Args:
      invocation: folder of the invocation.

    Returns:
      Content of its `sweep.json`.

    Raises:
      MissingFileError: the folder is not that of an invocation.
      DataError: the file is damaged.
    """
    return read_json(
        invocation / POINTER,
        Pointer,
        fix="restore the file from a copy, or use another hydra.sweep.dir=",
    )


def write_pointer(invocation: Path, pointer: Pointer) -> None:
    """Write which sweep an invocation belongs to.

    Args:
      invocation: folder of the invocation, created if it is missing.
      pointer: content of `sweep.json`.
    """
    invocation.mkdir(parents=True, exist_ok=True)
    _write(invocation / POINTER, pointer)


def read_study(invocation: Path) -> str:
    """Read the name of the study that chooses the jobs of an invocation.

    Args:
      invocation: folder of the invocation.

    Raises:
      DataError: the file is missing or damaged.
    """
    return _study(invocation)["study"]


def read_num_trials(invocation: Path) -> int | None:
    """Read how many trials the search of an invocation has; None if no search has begun."""
    try:
        return _study(invocation)["num_trials"]
    except DataError:
        return None


def write_study(invocation: Path, name: str, num_trials: int) -> None:
    """Write which study chooses the jobs of an invocation.

    Args:
      invocation: folder of the invocation.
      name: name of the study.
      num_trials: trials of this invocation.
    """
    _write(invocation / _STUDY, {"study": name, "num_trials": num_trials})


def read_outcomes(invocation: Path, planned: Sequence[str]) -> dict[int, OutcomeValues]:
    """Read the outcomes of the jobs that an invocation has reached.

    Args:
      invocation: folder of the invocation.
      planned: names of the jobs, as far as they are known.

    Returns:
      Job number -> name, digest and outcome. A job whose file is damaged has an empty digest, and
      the reason names the file.
    """
    found = {}
    for path in sorted((invocation / "jobs").glob("*.json")):
        if not _NUMBER.fullmatch(path.stem):
            continue
        number = int(path.stem)
        try:
            found[number] = read_json(path, OutcomeValues, fix="use the same command again")
        except DataError as error:
            name = planned[number] if number < len(planned) else path.stem
            found[number] = OutcomeValues(name=name, digest="", outcome="ran", reason=str(error))
    return found


def write_outcome(invocation: Path, number: int, values: OutcomeValues) -> None:
    """Write the outcome of a job.

    Args:
      invocation: folder of the invocation.
      number: number of the job.
      values: its outcome.
    """
    folder = invocation / "jobs"
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / f"{number}.json", values)


def _study(invocation: Path) -> StudyValues:
    return read_json(invocation / _STUDY, StudyValues, fix="use the same command again")


def _write(path: Path, values: Mapping[str, Any]) -> None:
    with replacing(path) as part:
        part.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
