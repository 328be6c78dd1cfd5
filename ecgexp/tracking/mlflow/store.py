"""Open an MLflow store: create a new one safely, and report an unreachable one within seconds."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.paths import SQLITE
from ecgexp.settings.redaction import redact
from ecgexp.storage.atomic import is_disk_full
from ecgexp.tracking.credentials import with_credentials
from ecgexp.tracking.locations import artifact_location, check_location
from ecgexp.tracking.mlflow.address import (
    check_no_folder,
    check_sqlite_uri,
    is_sqlite,
    reach,
    sqlite_file,
    unusable,
)
from ecgexp.tracking.mlflow.store_tables import create_tables, lock, why_not
from ecgexp.tracking.reasons import reason


@dataclass(frozen=True, kw_only=True)
class Store:
    """An MLflow store and the experiment in it.

    Attributes:
      client: the client of the store.
      uri: its address, absolute, with the password if there is one: never print it.
      experiment_id: the experiment in which runs are made.
      has_view: whether the experiment has the view that links to its runs name (`runs_view`).
    """

    client: MlflowClient
    uri: str
    experiment_id: str
    has_view: bool = False

    def refusal(self, what: str, error: Exception) -> ConfigError:
        """Return the error for a refused request, with the remedy.

        Args:
          what: what the store refuses, as a clause.
          error: the error of the store.
        """
        if self.uri.startswith(SQLITE) and is_disk_full(error):
            return why_not(Path(self.uri.removeprefix(SQLITE)), error)
        return ConfigError(
            f"tracking.uri={redact(self.uri)}: {what}: {reason(error)}; use another tracking.uri=, "
            "or tracking=none"
        )


def open_store(
    uri: str, *, artifact_root: Path | str, experiment_name: str, base_dir: Path
) -> Store:
    """Open the store at `uri` and its experiment; a missing SQLite store or experiment is created.

    Args:
      uri: `sqlite:///FILE`, another database, or the address of a server.
      artifact_root: folder or address of the artifacts of a new experiment in a SQLite store.
      experiment_name: name of the experiment.
      base_dir: folder that a relative SQLite file is resolved against.

    Returns:
      The store.

    Raises:
      ConfigError: the store cannot be reached or used.
    """
    if is_sqlite(uri):
        check_sqlite_uri(uri)
        return _open_sqlite(
            sqlite_file(uri, base_dir),
            lambda: artifact_location(
                with_credentials(str(artifact_root)), experiment_name, base_dir
            ),
            experiment_name,
        )
    check_no_folder(uri)
    reach(uri)
    return _open(uri, experiment_name, location=None)


def _open_sqlite(file: Path, location: Callable[[], str], experiment_name: str) -> Store:
    """Open a SQLite store after its tables are complete; its experiment is created under a lock."""
    create_tables(file)
    try:
        with lock(file):
            return _open(f"{SQLITE}{file}", experiment_name, location=location)
    except OSError as error:
        raise why_not(file, error) from error


def _open(uri: str, experiment_name: str, *, location: Callable[[], str] | None) -> Store:
    try:
        client = MlflowClient(tracking_uri=uri)
        return Store(
            client=client, uri=uri, experiment_id=_experiment(client, experiment_name, location)
        )
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001 - SQLAlchemy and requests raise their own types
        if uri.startswith(SQLITE) and is_disk_full(error):
            raise why_not(Path(uri.removeprefix(SQLITE)), error) from error
        raise unusable(uri, error) from error


def _experiment(client: MlflowClient, name: str, location: Callable[[], str] | None) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        place = None if location is None else location()
        if place is not None:
            check_location(place, tracking_uri=client.tracking_uri)
        try:
            return client.create_experiment(name, artifact_location=place)
        except MlflowException:  # a server has no such lock, so another process may have been first
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        raise ConfigError(
            f"tracking.experiment_name={name}: the experiment was deleted in MLflow; use `mlflow "
            "experiments restore "
            f"--experiment-id {found.experiment_id}`, or another tracking.experiment_name="
        )
    if location is not None:
        check_location(found.artifact_location, tracking_uri=client.tracking_uri)
    return found.experiment_id
