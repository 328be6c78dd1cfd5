"""The options of `tracking=`. Only `start` imports what a tracker needs."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from pydantic import Field

from ecgexp.settings.declaration import ConfigError, settings
from ecgexp.settings.paths import (
    DEFAULT_STORE,
    DEFAULT_STORE_FILE,
    SQLITE,
    Address,
    Place,
    check_inside,
)
from ecgexp.settings.redaction import redact
from ecgexp.storage.atomic import resolved
from ecgexp.tracking.base import ReadableTracker, TrackerUnavailable
from ecgexp.tracking.checks import check_name
from ecgexp.tracking.credentials import with_credentials
from ecgexp.tracking.local.run_json import NAME, RUN_DIR_TAG
from ecgexp.tracking.local.tracker import JsonlTracker
from ecgexp.tracking.mirrored import MirroredTracker
from ecgexp.tracking.without_store import NullTracker

if TYPE_CHECKING:
    from ecgexp.tracking.mlflow.store import Store
    from ecgexp.tracking.mlflow.tracker import MlflowTracker


def private_dir_beside(file: Path) -> Path:
    """Return the private folder of the SQLite store `file`.

    `mlflow.db.private` beside `mlflow.db`.
    """
    return file.with_name(f"{file.name}.private")


def private_dir_without_store(base_dir: Path) -> Path:
    """Return the private folder of runs without a local store.

    `ECGEXP_PRIVATE`, or that of the default store.
    """
    named = os.environ.get("ECGEXP_PRIVATE")
    return Path(named) if named else private_dir_beside(resolved(base_dir / DEFAULT_STORE_FILE))


class Tracking(Protocol):
    """The settings of `tracking=`: where a run is stored."""

    @property
    def shown_in(self) -> str:
        """Name of the program that shows the run; empty without one."""
        ...

    @property
    def is_readable(self) -> bool:
        """Whether a run can be resumed there; see `ReadableTracker`."""
        ...

    def private_dir(self, base_dir: Path | None = None) -> Path:
        """Return the local folder of data that is never published; see `MlflowTracking`."""
        ...

    def check(self) -> None:
        """Check what a run needs there, before anything expensive; see `MlflowTracking`."""
        ...

    def start(
        self,
        *,
        run_name: str,
        run_dir: Path | None,
        resume_run_id: str | None = None,
        base_dir: Path | None = None,
        hides_times: bool = False,
    ) -> ReadableTracker:
        """Create or resume the run, and return its tracker; see `MlflowTracking`."""
        ...


class WithoutStore:
    """What settings of trackers without a store of their own have in common."""

    def private_dir(self, base_dir: Path | None = None) -> Path:
        """See `MlflowTracking.private_dir`."""
        return private_dir_without_store(base_dir or Path.cwd())

    def check(self) -> None:
        """Do nothing: there is no store."""


@settings
class NoTracking(WithoutStore):
    """`tracking=none`: no MLflow; the run folder still has everything.

    Example:
      >>> tracker = NoTracking().start(run_name="notebook", run_dir=None)
      >>> tracker.run_id is None
      True
    """

    shown_in: ClassVar[str] = ""
    is_readable: ClassVar[bool] = True

    def start(
        self,
        *,
        run_name: str,
        run_dir: Path | None,
        resume_run_id: str | None = None,
        base_dir: Path | None = None,
        hides_times: bool = False,
    ) -> ReadableTracker:
        """Return a tracker that writes to `run_dir`, or nowhere if that is None.

        See `MlflowTracking.start`.
        """
        if run_dir is None:
            return NullTracker()
        return JsonlTracker(run_dir)


@settings
class MlflowTracking:
    """`tracking=mlflow`: the run folder, and the same entries in an MLflow store.

    Attributes:
      uri: `sqlite:///FILE`, or the address of an MLflow server; a relative file is resolved
        against the folder in which the command was started.
      artifact_root: folder of the artifacts of a SQLite store, or the address of an object store,
        such as s3://BUCKET/PATH; a server has its own.
      experiment_name: the MLflow experiment, created if it is missing.
      tags: further tags for every run.

    Example:
      >>> MlflowTracking().uri
      'sqlite:///mlruns/mlflow.db'
    """

    shown_in: ClassVar[str] = "MLflow"
    is_readable: ClassVar[bool] = True

    uri: Address = DEFAULT_STORE
    artifact_root: Place = "mlruns"
    experiment_name: str = Field(default="ecgexp", min_length=1, max_length=500)
    tags: dict[str, str] = Field(default_factory=dict)

    def __post_init__(self):
        check_inside("tracking.experiment_name", self.experiment_name)
        for name in self.tags:
            check_name(name, kind="tracking.tags")

    def private_dir(self, base_dir: Path | None = None) -> Path:
        """Return the local folder of data that belongs to the store and is never published.

        It holds the key of the keyed digests and the record of privacy losses. A SQLite store has
        it beside its file. A server would show it to every reader, so runs on a server, like those
        of `tracking=none`, use the private folder of the default store. Do not publish this folder
        with a store.

        Args:
          base_dir: folder that relative paths are resolved against; the current one by default.
        """
        base_dir = base_dir or Path.cwd()
        if self.uri.startswith(SQLITE):
            return private_dir_beside(resolved(base_dir / self.uri.removeprefix(SQLITE)))
        return private_dir_without_store(base_dir)

    def check(self) -> None:
        """Check that the server answers, or that the file is a database, without MLflow.

        Raises:
          ConfigError: it does not, or is none.
        """
        from ecgexp.tracking.mlflow.address import check_store

        check_store(with_credentials(self.uri), base_dir=Path.cwd())

    def start(
        self,
        *,
        run_name: str,
        run_dir: Path | None,
        resume_run_id: str | None = None,
        base_dir: Path | None = None,
        hides_times: bool = False,
    ) -> ReadableTracker:
        """Open the store, create or resume a run in it, and set the system tags.

        Args:
          run_name: name of the run in the UI.
          run_dir: folder that everything is written to first; None, from a notebook, writes to
            MLflow alone.
          resume_run_id: the MLflow run to resume.
          base_dir: folder that relative paths are resolved against; the current one, which Hydra
            may have changed, by default.
          hides_times: whether the times of metrics may not be published. Trackers write the time
            that `log_metrics` is given; one that measures its own writes them at the end.

        Returns:
          The tracker of the run.

        Raises:
          ConfigError: the store cannot be reached or used; raised within seconds, before training.
          DataError: the run in `run_dir` is to be resumed, and its files are damaged.
        """
        uri = with_credentials(self.uri)
        from ecgexp.tracking.mlflow.quiet import quieten

        quieten()  # before the first import of mlflow
        from ecgexp.tracking.mlflow.runs_view import with_view
        from ecgexp.tracking.mlflow.store import open_store
        from ecgexp.tracking.provenance import system_tags

        base_dir = base_dir or Path.cwd()
        store = with_view(
            open_store(
                uri,
                artifact_root=self.artifact_root,
                experiment_name=self.experiment_name,
                base_dir=base_dir,
            )
        )
        if run_dir is None:
            tracker: ReadableTracker = self._open(store, run_name, resume_run_id, has_folder=False)
        else:
            tracker = self._open_both(store, run_name, run_dir, resume_run_id)
        tracker.set_tags({**system_tags(), **self.tags})
        return tracker

    def _open(
        self,
        store: "Store",
        run_name: str,
        resume_run_id: str | None,
        *,
        has_folder: bool,
        **tags: str,
    ) -> "MlflowTracker":
        from ecgexp.tracking.mlflow.tracker import MlflowTracker
        from ecgexp.tracking.provenance import process_tags

        # The run has the tags of its process from the start, or ecgexp-doctor would close it as a
        # run that died.
        tags = {**process_tags(), **tags}
        if resume_run_id:
            return MlflowTracker.resume(store, resume_run_id, tags=tags, has_folder=has_folder)
        return MlflowTracker.create(store, run_name, tags=tags, has_folder=has_folder)

    def _open_both(
        self, store: "Store", run_name: str, run_dir: Path, resume_run_id: str | None
    ) -> MirroredTracker:
        """Open the run in its folder and in the store.

        A new run is written to its folder first, so that its run in the store can be found by that
        folder whenever the process ends.
        """
        tags = {RUN_DIR_TAG: str(run_dir.absolute())}
        if not (run_dir / NAME).exists():
            local = JsonlTracker(run_dir, store_uri=store.uri)
            try:
                remote = self._open(store, run_name, resume_run_id, has_folder=True, **tags)
            except BaseException:
                local.forget()
                raise
            local.known_as(remote.run_id)
            return MirroredTracker(local, [remote])
        remote = self._open(store, run_name, resume_run_id, has_folder=True, **tags)
        remote = self._with_past(store, run_dir, remote)
        return MirroredTracker(
            JsonlTracker(run_dir, run_id=remote.run_id, store_uri=store.uri), [remote]
        )

    def _with_past(self, store: "Store", run_dir: Path, remote: "MlflowTracker") -> "MlflowTracker":
        """Send missing entries to the store, and close other runs started from the folder."""
        from ecgexp.tracking.mlflow.health import close_replaced
        from ecgexp.tracking.mlflow.replay import replay
        from ecgexp.tracking.mlflow.tracker import MlflowTracker
        from ecgexp.tracking.provenance import process_tags

        try:
            close_replaced(store.client, run_dir, by=remote.run_id)
            sent = replay(run_dir, store, remote.run_id, with_end=False)
        except TrackerUnavailable as error:
            raise ConfigError(
                f"tracking.uri={redact(store.uri)}: the store does not accept the entries of "
                f"{run_dir}: {error}; use "
                "another tracking.uri=, or tracking=none"
            ) from error
        if not sent:
            return remote
        return MlflowTracker.resume(store, remote.run_id, tags=process_tags(), has_folder=True)
