"""Finished runs read back, from an MLflow store or from their own folders: what reports and comparisons are made of."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from ecgexp.settings.declaration import DataError
from ecgexp.settings.redaction import redact
from ecgexp.storage.reading import quoted, read_json, read_text
from ecgexp.tracking.checks import check_path
from ecgexp.tracking.kept_files import FolderFiles, KeptFiles, StoreFiles
from ecgexp.tracking.local.run_json import read_run
from ecgexp.tracking.local.tracker import read_metrics
from ecgexp.tracking.mlflow.existing_store import default_uri, open_existing

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

T = TypeVar("T")

PARENT_TAG = "mlflow.parentRunId"
_PAGE = 1000


class UnknownExperimentError(DataError):
    """The store is there, and has no experiment of that name."""


@dataclass(frozen=True, kw_only=True)
class StoredRun:
    """A run as it was kept.

    Attributes:
      run_id: its id in MLflow; of a folder that never was in MLflow, the folder's path.
      name: as the UI shows it.
      status: FINISHED, FAILED, KILLED or RUNNING.
      started: seconds since 1970; 0 where it is not known.
      params: dotted name -> value, as text.
      metrics: name -> last value.
      tags: name -> text.
      parent_id: of the run it belongs to; None for a run that stands alone.
      experiment: in MLflow; empty for a run that was found by its id or folder.
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

    def artifact(self, path: str) -> Path | None:
        """The file or folder that was kept under `path` (slash-separated), on this machine; None where the run has none.

        It may be the kept file itself: read it and leave it as it is.

        Raises:
          ValueError: `path` leaves the run.
        """
        return self._files.find(str(PurePosixPath(check_path(path))))

    def read_json(self, path: str, kind: type[T] = dict[str, Any]) -> T | None:
        """The nested values kept under `path`; None where the run has none.

        Args:
          path: slash-separated.
          kind: what they are, as for `ecgexp.storage.reading.read_json`.

        Raises:
          DataError: the file is damaged, or of another kind.
          ValueError: `path` leaves the run.
        """
        file = self.artifact(path)
        return None if file is None else read_json(file, kind, fix=self.fix)

    def text(self, path: str) -> str:
        """The text kept under `path`, without blanks around it; empty where the run has none.

        Raises:
          DataError: the file is damaged.
          ValueError: `path` leaves the run.
        """
        file = self.artifact(path)
        return "" if file is None else read_text(file, fix=self.fix).strip()

    @property
    def fix(self) -> str:
        """What can be done about a damaged file of the run."""
        return f"restore the file from a copy, or leave run {quoted(self.name)} out"


def find_run(name: str, *, uri: str | None = None) -> StoredRun:
    """The run of that MLflow id, or in that folder.

    Args:
      name: an id, or the path of a run's folder.
      uri: the store of ids; None: `default_uri()`.

    Raises:
      DataError: there is no such run.
    """
    if os.path.isdir(name):  # unlike Path.is_dir, says no to a name that no file can have
        return _in_folder(Path(name))
    if "/" in name:  # no id has one, and what is said of a missing store would lead astray
        raise DataError(
            f"there is no folder {name}; give the folder of a run under outputs/, or the id of a run in MLflow"
        )
    from mlflow.exceptions import MlflowException

    client = open_existing(uri or default_uri())
    try:
        return _in_store(client, client.get_run(name))
    except MlflowException as error:
        raise DataError(
            f"{name} is neither the folder of a run nor a run of {redact(uri or default_uri())}; look its id up with "
            "ecgexp-ui, or give the folder under outputs/"
        ) from error


def children_of(parent: StoredRun, *, uri: str | None = None) -> list[StoredRun]:
    """The runs that belong to a sweep's parent run in MLflow, oldest first.

    Raises:
      DataError: there is no such store.
    """
    if (
        "'" in parent.run_id
    ):  # the path of a folder: no id has one, and it would end the filter's string
        return []
    return search_runs(filter_string=f"tags.`{PARENT_TAG}` = '{parent.run_id}'", uri=uri)


def search_runs(
    *, experiment: str | None = None, filter_string: str = "", uri: str | None = None
) -> list[StoredRun]:
    """Runs of a store, oldest first.

    Args:
      experiment: the experiment's name; None: all.
      filter_string: in MLflow's search language, e.g. ``metrics.`test/macro_f1` > 0.5``.
      uri: the store; None: `default_uri()`.

    Raises:
      DataError: there is no such store or experiment, or MLflow does not understand the filter.
    """
    from mlflow.exceptions import MlflowException

    client = open_existing(uri or default_uri())
    found = _all_pages(lambda token: client.search_experiments(max_results=_PAGE, page_token=token))
    known = {one.name: one.experiment_id for one in found}
    if experiment is not None and experiment not in known:
        raise UnknownExperimentError(
            f"there is no experiment {experiment}; there are: {', '.join(sorted(known)) or 'none'}"
        )
    ids = [known[experiment]] if experiment is not None else list(known.values())
    try:
        names = {number: name for name, number in known.items()}
        runs = _runs(client, ids, filter_string)
        return [
            replace(_in_store(client, run), experiment=names[run.info.experiment_id])
            for run in runs
        ]
    except MlflowException as error:
        raise DataError(
            f"MLflow does not understand the filter {filter_string!r}: {error.message}"
        ) from error


def _runs(client: "MlflowClient", experiments: Sequence[str], filter_string: str) -> "list[Run]":
    if not experiments:  # MLflow would search all
        return []
    return _all_pages(
        lambda token: client.search_runs(
            list(experiments), filter_string, order_by=["attributes.start_time ASC"], max_results=_PAGE, page_token=token
        )
    )  # fmt: skip


def _all_pages(ask: Callable[[str | None], Any]) -> list[Any]:
    """Everything that `ask(token)` lists, page by page."""
    page = ask(None)
    found = list(page)
    while page.token:
        page = ask(page.token)
        found += page
    return found


def _in_store(client: "MlflowClient", run: "Run") -> StoredRun:
    return StoredRun(
        run_id=run.info.run_id, name=run.info.run_name, status=run.info.status, started=(run.info.start_time or 0) / 1000,
        params=run.data.params, metrics=run.data.metrics, tags=run.data.tags, parent_id=run.data.tags.get(PARENT_TAG),
        _files=StoreFiles(client, run.info.run_id, run.info.artifact_uri),
    )  # fmt: skip


def _in_folder(folder: Path) -> StoredRun:
    run, points = read_run(folder), read_metrics(folder / "metrics.jsonl")
    return StoredRun(
        run_id=run.get("run_id") or str(folder), name=run["tags"].get("mlflow.runName", folder.name), status=run["status"],
        started=0.0, params={name: str(value) for name, value in run["params"].items()},
        metrics={name: math.nan if value is None else value for _, values in points for name, value in values.items()},
        tags=run["tags"], parent_id=run["tags"].get(PARENT_TAG), _files=FolderFiles(folder),
    )  # fmt: skip
