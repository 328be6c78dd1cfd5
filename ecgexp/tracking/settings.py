"""The choices of `tracking=`. Making one costs nothing; `start` imports what it needs."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from ecgexp.settings.declaration import ConfigError, settings
from ecgexp.settings.paths import Address, Place, check_inside
from ecgexp.settings.redaction import redact
from ecgexp.storage.atomic import resolved
from ecgexp.tracking.base import Tracker, TrackerUnavailable
from ecgexp.tracking.checks import check_name
from ecgexp.tracking.credentials import with_credentials
from ecgexp.tracking.local.run_json import NAME, RUN_DIR_TAG
from ecgexp.tracking.local.tracker import JsonlTracker
from ecgexp.tracking.mirrored import MirroredTracker
from ecgexp.tracking.null import NullTracker

if TYPE_CHECKING:
    from ecgexp.tracking.mlflow.store import Store
    from ecgexp.tracking.mlflow.tracker import MlflowTracker

_DEFAULT_STORE = "mlruns/mlflow.db"
_SQLITE = "sqlite:///"


def private_dir_beside(file: Path) -> Path:
    """The private folder of the SQLite store in `file`: `mlflow.db.private` beside `mlflow.db`."""
    return file.with_name(f"{file.name}.private")


def private_dir_without_store(base_dir: Path) -> Path:
    """The private folder for runs whose store has none on this machine: that of the default store, or `ECGEXP_PRIVATE`."""
    named = os.environ.get("ECGEXP_PRIVATE")
    return Path(named) if named else private_dir_beside(resolved(base_dir / _DEFAULT_STORE))


@settings
class NoTracking:
    """`tracking=none`: no MLflow; the run directory still tells the whole story."""

    def private_dir(self, base_dir: Path | None = None) -> Path:
        """See `MlflowTracking.private_dir`."""
        return private_dir_without_store(base_dir or Path.cwd())

    def start(
        self,
        *,
        run_name: str,
        run_dir: Path | None,
        resume_run_id: str | None = None,
        base_dir: Path | None = None,
    ) -> Tracker:
        """A tracker that writes to `run_dir`, or nowhere without one; takes the arguments of `MlflowTracking.start`."""
        if run_dir is None:
            return NullTracker()
        return JsonlTracker(run_dir)


@settings
class MlflowTracking:
    """`tracking=mlflow`: the run directory, mirrored into an MLflow store.

    Attributes:
      uri: `sqlite:///FILE`, or the address of an MLflow server; a relative file counts from where the command was
        typed.
      artifact_root: folder of the artifacts of a SQLite store, or the address of an object store, such as s3://BUCKET/PATH; a
        server has its own.
      experiment_name: the MLflow experiment, made when it is missing.
      tags: further tags for every run.
    """

    uri: Address = f"{_SQLITE}{_DEFAULT_STORE}"
    artifact_root: Place = "mlruns"
    experiment_name: str = Field(default="ecgexp", min_length=1, max_length=500)
    tags: dict[str, str] = Field(default_factory=dict)

    def __post_init__(self):
        check_inside("tracking.experiment_name", self.experiment_name)
        for name in self.tags:
            check_name(name, kind="tracking.tags")

    def private_dir(self, base_dir: Path | None = None) -> Path:
        """The folder on this machine for what belongs to the store and is never published: the key of its keyed digests.

        A SQLite store has it beside its file. A server would show it to all who may read there, so the runs of one user on a
        server have theirs where the default store would be, and so have the runs of `tracking=none`. Whoever hands a store on
        leaves this folder out.

        Args:
          base_dir: what relative paths count from; the current directory by default.
        """
        base_dir = base_dir or Path.cwd()
        if self.uri.startswith(_SQLITE):
            return private_dir_beside(resolved(base_dir / self.uri.removeprefix(_SQLITE)))
        return private_dir_without_store(base_dir)

    def start(
        self,
        *,
        run_name: str,
        run_dir: Path | None,
        resume_run_id: str | None = None,
        base_dir: Path | None = None,
    ) -> Tracker:
        """Opens the store and begins, or continues, a run in it; the system tags are set.

        Args:
          run_name: what the run is called in the UI.
          run_dir: where everything is written first; None, from a notebook, writes to MLflow alone.
          resume_run_id: the MLflow run to continue.
          base_dir: what relative paths count from; the current directory by default. Hydra may have changed that one.

        Raises:
          ConfigError: the store cannot be reached or used; says so within seconds, before anything was trained.
          DataError: the run in `run_dir` is to be continued, and what it kept there is damaged.
        """
        uri = with_credentials(self.uri)
        from ecgexp.tracking.mlflow.quiet import quieten

        quieten()  # before the first import of mlflow
        from ecgexp.tracking.mlflow.store import open_store
        from ecgexp.tracking.provenance import system_tags

        base_dir = base_dir or Path.cwd()
        store = open_store(
            uri,
            artifact_root=self.artifact_root,
            experiment_name=self.experiment_name,
            base_dir=base_dir,
        )
        if run_dir is None:
            tracker: Tracker = self._open(store, run_name, resume_run_id)
        else:
            tracker = self._open_both(store, run_name, run_dir, resume_run_id)
        tracker.set_tags({**system_tags(), **self.tags})
        return tracker

    def _open(
        self, store: "Store", run_name: str, resume_run_id: str | None, **tags: str
    ) -> "MlflowTracker":
        from ecgexp.tracking.mlflow.tracker import MlflowTracker
        from ecgexp.tracking.provenance import process_tags

        # Its process goes with it from the first moment, or ecgexp-doctor would take it for a run that died.
        tags = {**process_tags(), **tags}
        if resume_run_id:
            return MlflowTracker.resume(store, resume_run_id, tags=tags)
        return MlflowTracker.create(store, run_name, tags=tags)

    def _open_both(
        self, store: "Store", run_name: str, run_dir: Path, resume_run_id: str | None
    ) -> MirroredTracker:
        """The run in its folder and in the store.

        A new run is in its folder first: so whatever ends the process, the run in the store can be found again by its folder.
        """
        tags = {RUN_DIR_TAG: str(run_dir.absolute())}
        if not (run_dir / NAME).exists():
            local = JsonlTracker(run_dir, store_uri=store.uri)
            try:
                remote = self._open(store, run_name, resume_run_id, **tags)
            except BaseException:
                local.forget()
                raise
            local.known_as(remote.run_id)
            return MirroredTracker(local, [remote])
        remote = self._open(store, run_name, resume_run_id, **tags)
        remote = self._with_past(store, run_dir, remote)
        return MirroredTracker(
            JsonlTracker(run_dir, run_id=remote.run_id, store_uri=store.uri), [remote]
        )

    def _with_past(self, store: "Store", run_dir: Path, remote: "MlflowTracker") -> "MlflowTracker":
        """The run in the store with what the store has not heard of it; others that were begun from its folder are closed."""
        from ecgexp.tracking.mlflow.health import close_replaced
        from ecgexp.tracking.mlflow.replay import replay
        from ecgexp.tracking.mlflow.tracker import MlflowTracker
        from ecgexp.tracking.provenance import process_tags

        try:
            close_replaced(store.client, run_dir, by=remote.run_id)
            sent = replay(run_dir, store, remote.run_id, with_end=False)
        except TrackerUnavailable as error:
            why = f"does not take what {run_dir} holds: {error}"
            raise ConfigError(f"tracking.uri={redact(store.uri)} {why}") from error
        return MlflowTracker.resume(store, remote.run_id, tags=process_tags()) if sent else remote
