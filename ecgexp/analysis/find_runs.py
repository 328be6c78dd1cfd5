"""Finished runs, read from an MLflow store or from their own folders."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from ecgexp.analysis.run_metrics import RunMetrics
from ecgexp.analysis.run_names import LATEST, Latest, run_named
from ecgexp.settings.declaration import DataError
from ecgexp.settings.redaction import redact
from ecgexp.settings.registry import is_former_name
from ecgexp.storage.json_text import quoted
from ecgexp.storage.reading import read_json, read_text
from ecgexp.tracking.checks import check_path
from ecgexp.tracking.kept_files import FolderFiles, KeptFiles, StoreFiles
from ecgexp.tracking.local.result import ResultValues
from ecgexp.tracking.local.run_json import PARENT_TAG, read_run
from ecgexp.tracking.local.tracker import read_metrics
from ecgexp.tracking.mlflow.existing_store import default_uri, open_existing
from ecgexp.tracking.mlflow.rows import StoreRow, Which, experiment_names, read_rows

T = TypeVar("T")


class UnknownExperimentError(DataError):
    """The store has no experiment of that name."""


@dataclass(frozen=True, kw_only=True)
class StoredRun:
    """A stored run.

    Attributes:
      run_id: its id in MLflow; for a run that never was in MLflow, the path of its folder.
      name: as the UI shows it.
      status: FINISHED, FAILED, KILLED or RUNNING.
      started: seconds since 1970; 0 if unknown.
      params: dotted name -> value, as text.
      metrics: name -> last value.
      tags: name -> text.
      parent_id: id of its parent run; None for a single run.
      experiment: in MLflow; empty for a run of a folder.
    """

    run_id: str
    name: str
    status: str
    started: float
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    parent_id: str | None = None
    experiment: str = ""
    _files: KeptFiles = field(repr=False, compare=False)

    @property
    def has_old_names(self) -> bool:
        """Whether an earlier version made the run, which named settings otherwise."""
        return any(
            name.endswith("_target_") and is_former_name(value)
            for name, value in self.params.items()
        )

    def artifact(self, path: str) -> Path | None:
        """Return the local file or folder of the artifact `path`; None where the run has none.

        It may be the stored file itself, so do not change it.

        Args:
          path: slash-separated, inside the run.

        Raises:
          ValueError: `path` leaves the run.
        """
        return self._files.find(str(PurePosixPath(check_path(path))))

    def read_json(self, path: str, kind: type[T] = dict[str, Any]) -> T | None:
        """Return the nested values stored at `path`; None where the run has none.

        Args:
          path: slash-separated.
          kind: their type, as for `ecgexp.storage.reading.read_json`.

        Raises:
          DataError: the file is damaged, or of another type.
          ValueError: `path` leaves the run.
        """
        file = self.artifact(path)
        return None if file is None else read_json(file, kind, fix=self.fix)

    def text(self, path: str) -> str:
        """Return the stripped text stored at `path`; empty where the run has none.

        Raises:
          DataError: the file is damaged.
          ValueError: `path` leaves the run.
        """
        file = self.artifact(path)
        return "" if file is None else read_text(file, fix=self.fix).strip()

    @cached_property
    def result(self) -> ResultValues | dict[str, Any]:
        """The content of `result.json`; empty where the run has none.

        Raises:
          DataError: the file is damaged.
        """
        return self.read_json("result.json", ResultValues) or {}

    @property
    def fix(self) -> str:
        """The remedy for a damaged file of the run, for messages."""
        return _fix(self.name)


def _fix(name: str) -> str:
    return f"restore the file from a copy, or leave run {quoted(name)} out"


def find_run(name: str, *, uri: str | None = None, latest: Latest = "finished") -> StoredRun:
    """Return the run that a name stands for.

    Args:
      name: the path of a run's folder; an id in MLflow, or the beginning of one that no other run
        has; or `latest`.
      uri: the store of ids; None: `default_uri()`.
      latest: which run `latest` is, see `run_named`.

    Raises:
      DataError: there is no such run, or there are several.

    Example:
      >>> run = find_run("outputs/first")
      >>> run.status, run.metrics["test/accuracy"]
      ('FINISHED', 0.5)
    """
    if is_folder(name):
        return _in_folder(Path(name))
    found = run_named(name, uri=uri, latest=latest)
    if not found.in_store and found.folder is not None:
        return _in_folder(found.folder)
    place = uri or default_uri()
    stored = _in_store(place, read_rows(place, which=Which(run_id=found.key)))
    if not stored:
        raise DataError(f"{name} was deleted from {redact(place)}; name another run")
    return stored[0]


def is_folder(name: str) -> bool:
    """Return whether a name of a run is that of a folder, not an id in MLflow or `latest`.

    Raises:
      DataError: it can only be that of a folder, and there is none.
    """
    if name != LATEST and os.path.isdir(name):  # unlike Path.is_dir, False for an invalid name
        return True
    if "/" in name:  # not an id, so a message about the store would mislead
        raise DataError(
            f"there is no folder {name}; use the folder of a run under outputs/, the id of a run "
            "in MLflow, or latest"
        )
    return False


def children_of(parent: StoredRun, *, uri: str | None = None) -> list[StoredRun]:
    """Return the runs of a sweep's parent run in MLflow, oldest first.

    Raises:
      DataError: there is no such store.
    """
    # An id has no quote; that of a run without MLflow is a path, and a quote would end the string.
    if "'" in parent.run_id:
        return []
    place = uri or default_uri()
    return _in_store(place, read_rows(place, which=Which(tag=(PARENT_TAG, parent.run_id))))


def search_runs(
    *, experiment: str | None = None, filter_string: str = "", uri: str | None = None
) -> list[StoredRun]:
    """Return runs of a store, oldest first.

    Args:
      experiment: the experiment's name; None: all.
      filter_string: in MLflow's search language, e.g. ``metrics.`test/macro_f1` > 0.5``.
      uri: the store; None: `default_uri()`.

    Raises:
      DataError: there is no such store or experiment, or the filter is invalid.
    """
    place = uri or default_uri()
    rows = read_rows(place, which=Which(experiment=experiment, filter_string=filter_string))
    if not rows and experiment is not None:
        known = experiment_names(place)
        if experiment not in known:
            raise UnknownExperimentError(
                f"there is no experiment {experiment}; use one of: {', '.join(known) or 'none'}"
            )
    return _in_store(place, rows)


def _in_store(uri: str, rows: Sequence[StoreRow]) -> list[StoredRun]:
    client = cache(lambda: open_existing(uri))  # only files on other machines need it
    return [_of_row(row, StoreFiles(client, row.run_id, row.artifacts)) for row in rows]


def _of_row(row: StoreRow, files: KeptFiles) -> StoredRun:
    run = StoredRun(
        run_id=row.run_id,
        name=row.name,
        status=row.status,
        started=row.started,
        params=row.params,
        metrics=RunMetrics(row.metrics, lambda: run.result),
        tags=row.tags,
        parent_id=row.tags.get(PARENT_TAG),
        experiment=row.experiment,
        _files=files,
    )
    return run


def _in_folder(folder: Path) -> StoredRun:
    run, points = read_run(folder), read_metrics(folder / "metrics.jsonl")
    return StoredRun(
        run_id=run.get("run_id") or str(folder),
        name=run["tags"].get("mlflow.runName", folder.name),
        status=run["status"],
        started=run.get("started", 0.0),
        params={name: str(value) for name, value in run["params"].items()},
        metrics={
            name: math.nan if value is None else value
            for _, values in points
            for name, value in values.items()
        },
        tags=run["tags"],
        parent_id=run["tags"].get(PARENT_TAG),
        _files=FolderFiles(folder),
    )
