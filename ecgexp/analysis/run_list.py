"""All runs of a store and of a folder of runs, with the few values that a list shows.

A run that is in both is one entry. Neither TensorFlow nor, for a SQLite store, MLflow is imported.
"""

import math
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ecgexp.settings.declaration import DataError
from ecgexp.settings.option_names import option_name
from ecgexp.settings.paths import DEFAULT_RUNS_DIR, SQLITE
from ecgexp.storage.reading import MissingFileError, read_json
from ecgexp.tracking.debug_mark import DEBUG
from ecgexp.tracking.local.result import ResultValues
from ecgexp.tracking.local.run_json import LEFT_OUT_TAG, NAME, PARENT_TAG, RUN_DIR_TAG, read_run
from ecgexp.tracking.mlflow.existing_store import default_uri
from ecgexp.tracking.mlflow.rows import StoreRow, read_rows
from ecgexp.tracking.provenance import is_running

SPLITS = ("test", "validation")
HEADLINES = ("accuracy", "macro_f1", "jk_index")
_SCORES = tuple(f"{split}/{name}" for split in SPLITS for name in HEADLINES)
_SIMULATED = "privacy/epsilon_if_noise_were_secret"
_METRICS = (*_SCORES, "privacy/epsilon", "privacy/delta", _SIMULATED)
_PARTS = ("dataset", "dataset.train", "dataset.test")
_DATABASES = tuple(f"{part}.{key}" for part in _PARTS for key in ("database", "_target_"))
_PARAMS = (
    "seed",
    "privacy.unit",
    *_DATABASES,
    *(f"{part}._target_" for part in ("trainer", "model")),
)
_PROCESS = ("process.host", "process.pid", "process.started")
_SWEEP = ("sweep", "sweep.role")
_TAGS = (
    PARENT_TAG,
    RUN_DIR_TAG,
    LEFT_OUT_TAG,
    *_SWEEP,
    "command",
    "model",
    "status.reason",
    DEBUG,
    *_PROCESS,
)
_FIX = "restore the file from a copy, or start the run again"

Guarantee = Literal["none", "simulation", "private"]


@dataclass(frozen=True, kw_only=True)
class ListedRun:
    """A run, as a list shows it.

    Attributes:
      run_id: its id in MLflow; None for a run that never was in MLflow.
      folder: its folder; None where the store does not name it.
      in_store: whether the store has it.
      name: as the UI shows it.
      status: FINISHED, FAILED, KILLED or RUNNING. A run of this machine whose process has ended
        without a status is KILLED.
      host: machine of its process; empty if unknown.
      started: seconds since 1970; 0 if unknown.
      seconds: from start to end; None if it has not ended, or unknown.
      experiment: name of its MLflow experiment; empty if the store does not have the run.
      reason: why it did not finish; empty if it did, or unknown.
      command: the command that started it; empty if unknown.
      sweep: digest of the sweep that it is a job of; empty for a single run.
      parent_id: MLflow id of the sweep's parent run; None without one.
      debug: preset of a debug run, whose scores mean nothing; empty for any other run.
      option: of `model=`; empty if unknown.
      is_parent: whether it is the parent run of a sweep, which trains nothing itself.
      is_left_out: whether it is of `ecgexp-leave-one-out`, and has no model and no test scores.
      params: dotted name -> value, as text: `seed`, the unit, and what parts the run is made of.
      scores: split -> headline -> final score; undefined scores are missing.
      privacy: `epsilon` and `delta` of the run's statement, or for a simulation
        `epsilon_if_noise_were_secret`.
    """

    run_id: str | None
    folder: Path | None
    in_store: bool
    name: str
    status: str
    host: str = ""
    started: float = 0.0
    seconds: float | None = None
    experiment: str = ""
    reason: str = ""
    command: str = ""
    sweep: str = ""
    parent_id: str | None = None
    debug: str = ""
    option: str = ""
    is_parent: bool = False
    is_left_out: bool = False
    params: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    privacy: Mapping[str, float] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What identifies the run: its id in MLflow, or its folder."""
        return self.run_id or str(self.folder)

    @property
    def trainer(self) -> str:
        """The option of `trainer=`, e.g. `dp`; empty if unknown."""
        return option_name(self.params.get("trainer._target_", ""))

    @property
    def model(self) -> str:
        """The option of `model=`, e.g. `cnn1d_small`, else the architecture; empty if unknown."""
        architecture = option_name(self.params.get("model._target_", ""))
        return self.option or architecture

    @property
    def dataset(self) -> str:
        """The database, e.g. `mitdb`, `folder` or `mitdb_to_svdb`; empty if unknown."""
        whole, *parts = (
            self.params.get(f"{part}.database")
            or re.sub("_(dataset|part)$", "", option_name(self.params.get(f"{part}._target_", "")))
            for part in _PARTS
        )
        return "_to_".join(filter(None, parts)) or whole

    @property
    def unit(self) -> str:
        """Unit of privacy, e.g. `patient`; empty if the run is not private."""
        return self.params.get("privacy.unit", "")

    @property
    def guarantee(self) -> Guarantee:
        """What the run's statement gives: `private`, `simulation`, or `none` (also before it)."""
        if "epsilon" in self.privacy:
            return "private"
        return "simulation" if "epsilon_if_noise_were_secret" in self.privacy else "none"

    @property
    def epsilon(self) -> float | None:
        """ε of the statement; of a simulation, as if its noise were secret; None without one."""
        return self.privacy.get("epsilon", self.privacy.get("epsilon_if_noise_were_secret"))


@dataclass(frozen=True, kw_only=True)
class RunList:
    """Runs, and what could not be read.

    Attributes:
      runs: newest first, without the parent runs of sweeps.
      parents: parent runs of sweeps, newest first.
      problems: one line for each damaged file, and for a store that cannot be read.
    """

    runs: Sequence[ListedRun]
    parents: Sequence[ListedRun]
    problems: Sequence[str]


def list_runs(*, runs_dir: Path | None = None, uri: str | None = None) -> RunList:
    """List the runs of a store and those below a folder.

    Args:
      runs_dir: folder that is searched for runs; None: `outputs/`, or none if a store is named.
      uri: the store; None: `default_uri()`, which need not exist.

    Returns:
      The runs. What cannot be read is a problem of the list, not an error.
    """
    if runs_dir is None and uri is None:
        runs_dir = Path(DEFAULT_RUNS_DIR)
    if uri is None:
        uri = default_uri()
        file = Path(uri.removeprefix(SQLITE))
        uri = None if uri.startswith(SQLITE) and not file.exists() else uri
    problems: list[str] = []
    found: dict[str, ListedRun] = {}
    for folder in () if runs_dir is None else folders_of_runs(runs_dir):
        try:
            run = _in_folder(folder, problems)
            found[run.key] = run
        except DataError as error:
            problems.append(str(error))
    try:
        rows = [] if uri is None else read_rows(uri, params=_PARAMS, metrics=_METRICS, tags=_TAGS)
    except DataError as error:
        rows = []
        problems.append(str(error))
    for row in rows:
        known = found.get(row.run_id)
        found[row.run_id] = _in_store(row) if known is None else _in_both(known, row)
    runs = sorted(found.values(), key=lambda run: run.started, reverse=True)
    return RunList(
        runs=[run for run in runs if not run.is_parent],
        parents=[run for run in runs if run.is_parent],
        problems=problems,
    )


def folders_of_runs(runs_dir: Path) -> Iterator[Path]:
    """Yield the folders below `runs_dir` that have a `run.json`; a run has no runs inside."""
    for folder, inner, files in os.walk(runs_dir):
        if NAME in files:
            inner.clear()
            yield Path(folder)
        else:
            inner[:] = sorted(name for name in inner if not name.startswith("."))


def _in_folder(folder: Path, problems: list[str]) -> ListedRun:
    values = read_run(folder)
    tags: dict[str, str] = values["tags"]
    result = _result(folder, problems) if values["status"] != "RUNNING" else {}
    started = values.get("started") or _seconds(tags.get("process.started"))
    return ListedRun(
        run_id=values.get("run_id"),
        folder=folder,
        in_store=False,
        name=tags.get("mlflow.runName", folder.name),
        started=started,
        seconds=result.get("seconds"),
        params={name: str(values["params"][name]) for name in _PARAMS if name in values["params"]},
        **_of_status(values["status"], tags, reason=values.get("reason")),
        **_of_tags(tags),
        **_of_metrics(result.get("metrics") or {}),
    )


def _result(folder: Path, problems: list[str]) -> Mapping[str, Any]:
    """Return the content of `result.json`; empty where the run has none, or it is damaged."""
    try:
        return read_json(folder / "result.json", ResultValues, fix=_FIX)
    except MissingFileError:
        return {}
    except DataError as error:
        problems.append(str(error))
        return {}


def _in_store(row: StoreRow) -> ListedRun:
    folder = row.tags.get(RUN_DIR_TAG)
    return ListedRun(
        run_id=row.run_id,
        folder=Path(folder) if folder else None,
        in_store=True,
        name=row.name,
        started=row.started,
        seconds=row.seconds,
        experiment=row.experiment,
        params=row.params,
        **_of_status(row.status, row.tags, reason=row.tags.get("status.reason")),
        **_of_tags(row.tags),
        **_of_metrics(row.metrics),
    )


def _in_both(local: ListedRun, row: StoreRow) -> ListedRun:
    """Return the run of a folder, which is written first, with what only the store knows."""
    return replace(local, in_store=True, name=row.name, experiment=row.experiment)


def _of_status(status: str, tags: Mapping[str, str], *, reason: str | None) -> dict[str, Any]:
    host = tags.get("process.host", "")
    if status == "RUNNING" and host == platform.node() and not is_running(tags):
        status, reason = "KILLED", "the process ended without reporting a status"
    return {"status": status, "host": host, "reason": reason or ""}


def _of_tags(tags: Mapping[str, str]) -> dict[str, Any]:
    return {
        "command": tags.get("command", ""),
        "sweep": tags.get("sweep", ""),
        "parent_id": tags.get(PARENT_TAG),
        "debug": tags.get(DEBUG, ""),
        "option": tags.get("model", ""),
        "is_parent": tags.get("sweep.role") == "parent",
        "is_left_out": LEFT_OUT_TAG in tags,
    }


def _of_metrics(metrics: Mapping[str, float | None]) -> dict[str, Any]:
    known = {
        name: value
        for name, value in metrics.items()
        if value is not None and not math.isnan(value)
    }
    return {
        "scores": {
            split: scores
            for split in SPLITS
            if (
                scores := {
                    name: known[f"{split}/{name}"]
                    for name in HEADLINES
                    if f"{split}/{name}" in known
                }
            )
        },
        "privacy": {
            name.removeprefix("privacy/"): known[name]
            for name in ("privacy/epsilon", "privacy/delta", _SIMULATED)
            if name in known
        },
    }


def _seconds(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
