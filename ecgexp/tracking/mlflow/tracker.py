"""The tracker of a run in MLflow.

It uses the client, never MLflow's global current run, so that runs do not mix.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TypeVar

from mlflow.entities import Dataset, InputTag, Metric, Param, Run, RunTag
from mlflow.entities import DatasetInput as MlflowDatasetInput
from mlflow.exceptions import MlflowException

from ecgexp.settings.installation import to_type
from ecgexp.settings.redaction import redact
from ecgexp.tracking.base import (
    DatasetInput,
    LoginRefused,
    Scalar,
    Status,
    TrackerUnavailable,
)
from ecgexp.tracking.checks import Points, check_params, check_path
from ecgexp.tracking.local.artifact_files import FileArtifacts
from ecgexp.tracking.mlflow.headline import headline
from ecgexp.tracking.mlflow.runs_view import runs_link
from ecgexp.tracking.mlflow.store import Store
from ecgexp.tracking.params import loggable, shorten, taggable
from ecgexp.tracking.reasons import is_login, reason

T = TypeVar("T")

_BATCH = 100  # MLflow's limit on parameters and on tags in one request; it allows more metrics
_MAX_PARAM = 6000
_MAX_TAG = 8000
_DIGEST = 16  # characters of ours; MLflow takes 36 in all
REASON_TAG = "status.reason"


class MlflowTracker(FileArtifacts):
    """One run of an MLflow store.

    Args:
      store: where the run is.
      run_id: its id.
      params: parameters that the run already has.
      points: (metric, step) that the run already has.
      has_folder: whether a run folder has all metrics, so that only those of `headline` are sent.
    """

    def __init__(
        self,
        store: Store,
        run_id: str,
        *,
        params: Mapping[str, str],
        points: Iterable[tuple[str, int | None]],
        has_folder: bool = False,
    ):
        self._store = store
        self._has_folder = has_folder
        self._run_id = run_id
        self._params = dict(params)
        self._points = Points(points)
        self._ended = False

    @classmethod
    def create(
        cls,
        store: Store,
        run_name: str,
        *,
        tags: Mapping[str, str] | None = None,
        has_folder: bool = False,
    ) -> "MlflowTracker":
        """Create a run. Its status in MLflow is RUNNING until `finish`.

        Args:
          store: the store.
          run_name: name of the run in the UI.
          tags: tags that the run has from the start.
          has_folder: see the class.

        Returns:
          The tracker of the new run.

        Raises:
          ConfigError: the store refuses a new run.
        """
        try:
            run = store.client.create_run(
                store.experiment_id, run_name=run_name, tags=dict(tags or {})
            )
        except MlflowException as error:
            raise store.refusal("the store refuses a new run", error) from error
        return cls(store, run.info.run_id, params={}, points=(), has_folder=has_folder)

    @classmethod
    def resume(
        cls,
        store: Store,
        run_id: str,
        *,
        tags: Mapping[str, str] | None = None,
        has_folder: bool = False,
    ) -> "MlflowTracker":
        """Resume a run; the reason of its earlier end is removed.

        Args:
          store: the store of the run.
          run_id: its id.
          tags: tags to set before its status becomes RUNNING.
          has_folder: see the class.

        Returns:
          The tracker of the run.

        Raises:
          ConfigError: the store has no such run.
        """
        try:
            run = store.client.get_run(run_id)
            points = points_of(store, run)
            if tags:
                store.client.log_batch(
                    run_id, tags=[RunTag(name, value) for name, value in tags.items()]
                )
            if REASON_TAG in run.data.tags:
                store.client.delete_tag(run_id, REASON_TAG)
            store.client.update_run(run_id, status="RUNNING")
        except MlflowException as error:
            raise store.refusal(f"the store cannot resume run {run_id}", error) from error
        return cls(store, run_id, params=run.data.params, points=points, has_folder=has_folder)

    @property
    def run_id(self) -> str:
        """The run's id in MLflow."""
        return self._run_id

    @property
    def url_hint(self) -> str:
        """The table of runs on a server; for a SQLite store the command that starts the UI."""
        if self._store.uri.startswith("http"):
            return runs_link(
                self._store.uri, self._store.experiment_id, has_view=self._store.has_view
            )
        if self._store.uri == f"sqlite:///{Path.cwd()}/mlruns/mlflow.db":  # default of ecgexp-ui
            return to_type("ecgexp-ui")
        if self._store.uri.startswith("sqlite"):
            return to_type(["ecgexp-ui", "--store", self._store.uri])
        return to_type(["mlflow", "ui", "--backend-store-uri", redact(self._store.uri)])

    def log_params(self, params: Mapping[str, Scalar]) -> None:
        """See `Tracker.log_params`; a long value is truncated and marked."""
        values = {
            name: shorten(str(value), limit=_MAX_PARAM) for name, value in loggable(params).items()
        }
        check_params(values, self._params)
        for batch in _batches(
            Param(name, value) for name, value in values.items() if name not in self._params
        ):
            with reaching():
                self._store.client.log_batch(self._run_id, params=batch)
            self._params.update({param.key: param.value for param in batch})

    def log_metrics(
        self, metrics: Mapping[str, float], *, step: int | None = None, at: float | None = None
    ) -> None:
        """See `Tracker.log_metrics`; MLflow stores values without a step at step 0.

        MLflow does not store a point with the same value and time twice.
        """
        fresh = self._points.check(metrics, step)
        if self._has_folder:
            fresh = headline(fresh)
        milliseconds = round((time.time() if at is None else at) * 1000)
        for batch in _batches(
            Metric(name, value, milliseconds, step or 0)
            for name, value in fresh.items()
            if value is not None
        ):
            with reaching():
                self._store.client.log_batch(self._run_id, metrics=batch)
        self._points.keep(metrics, step)

    def points(self) -> set[tuple[str, int | None]]:
        """See `ReadableTracker.points`."""
        with reaching():
            found = points_of(self._store, self._store.client.get_run(self._run_id))
        return {(name, step) for name, step in found if step != 0}  # it stands for None

    def discard_points(self, *, after: int) -> None:
        """See `ReadableTracker.discard_points`; MLflow cannot delete points."""
        self._points.discard(after=after)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """See `Tracker.set_tags`; a long value is truncated and marked."""
        fresh = {name: stored_tag(text) for name, text in taggable(tags).items()}
        for batch in _batches(RunTag(name, value) for name, value in fresh.items()):
            with reaching():
                self._store.client.log_batch(self._run_id, tags=batch)

    def log_file(self, path: Path, folder: str = "") -> None:
        """See `Tracker.log_file`."""
        check_path(f"{folder}/{path.name}" if folder else path.name)
        with reaching():
            self._store.client.log_artifact(self._run_id, str(path), folder or None)

    def log_dataset(self, dataset: DatasetInput) -> None:
        """See `Tracker.log_dataset`.

        One MLflow input per split, with its class counts as the profile.
        """
        inputs = as_inputs(dataset)
        with reaching():
            self._store.client.log_inputs(self._run_id, datasets=inputs)

    def log_model(self, folder: Path) -> None:
        """See `Tracker.log_model`.

        `mlflow.pyfunc.load_model` loads it where its requirements are installed.
        """
        from ecgexp.tracking.mlflow.model import log_pyfunc

        with reaching():
            log_pyfunc(self._store, self._run_id, folder)

    def finish(self, status: Status, reason: str | None = None, *, at: float | None = None) -> None:
        """See `Tracker.finish`; the reason becomes the tag `status.reason`."""
        if self._ended:
            return
        if reason is not None:
            self.set_tags({REASON_TAG: reason})
        end_time = round((time.time() if at is None else at) * 1000)
        with reaching():
            self._store.client.set_terminated(self._run_id, status=status, end_time=end_time)
        self._ended = True


def stored_tag(text: str) -> str:
    """Return a tag as MLflow stores it: redacted, and truncated if it is long."""
    return shorten(redact(text), limit=_MAX_TAG)


def as_inputs(dataset: DatasetInput) -> list[MlflowDatasetInput]:
    """Return a dataset as MLflow stores it: one input per split."""
    return [_as_input(dataset, split, counts) for split, counts in dataset.counts.items()]


def _as_input(dataset: DatasetInput, split: str, counts: Mapping[str, int]) -> MlflowDatasetInput:
    # MLflow stores one dataset per name and digest, with the profile of the first run: so the
    # digest must also depend on the split and its counts.
    part = hashlib.sha256(json.dumps([split, dict(counts)]).encode()).hexdigest()[:8]
    profile = {
        "num_beats": sum(counts.values()),
        **{f"num_beats_{name}": count for name, count in counts.items()},
    }
    entity = Dataset(
        name=dataset.name,
        digest=f"{dataset.digest[:_DIGEST]}-{part}",
        source_type="ecgexp",
        source=json.dumps({"source": redact(dataset.source)}),
        profile=json.dumps(profile),
    )
    return MlflowDatasetInput(entity, tags=[InputTag("mlflow.data.context", split)])


def points_of(store: Store, run: Run) -> set[tuple[str, int | None]]:
    """Return the (metric, step) that the run already has."""
    ask = store.client.get_metric_history
    steps: set[tuple[str, int | None]] = {
        (name, point.step) for name in run.data.metrics for point in ask(run.info.run_id, name)
    }
    # Steps count from 1: MLflow's step 0 stands for None.
    return steps | {(name, None) for name, step in steps if step == 0}


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, _BATCH)):
        yield batch


@contextmanager
def reaching() -> Iterator[None]:
    """Raise every error of an unreachable store as `TrackerUnavailable`.

    A refused value raises `ValueError`.
    """
    import requests
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except MlflowException as error:
        if error.error_code == "INVALID_PARAMETER_VALUE":
            raise ValueError(reason(error)) from error
        raise _unavailable(error) from error
    except (requests.RequestException, SQLAlchemyError, OSError) as error:
        raise _unavailable(error) from error


def _unavailable(error: Exception) -> TrackerUnavailable:
    return (LoginRefused if is_login(error) else TrackerUnavailable)(reason(error))
