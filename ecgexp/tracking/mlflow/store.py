"""Opening an MLflow store: made safely when it is new, found out quickly when it is not there."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.redaction import redact
from ecgexp.storage.atomic import is_disk_full, resolved
from ecgexp.tracking.credentials import with_credentials
from ecgexp.tracking.locations import artifact_location, check_location
from ecgexp.tracking.mlflow.store_tables import create_tables, lock, why_not
from ecgexp.tracking.reasons import reason

_SQLITE = "sqlite:///"
_PATIENCE_S = 5.0
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


@dataclass(frozen=True, kw_only=True)
class Store:
    """An MLflow store and the experiment in it.

    Attributes:
      client: speaks with the store.
      uri: its address, absolute, with the password if there is one: never print it.
      experiment_id: the experiment in which runs are made.
    """

    client: MlflowClient
    uri: str
    experiment_id: str

    def refusal(self, what: str, error: Exception) -> ConfigError:
        """Why the store does not do `what`, with the remedy."""
        if self.uri.startswith(_SQLITE) and is_disk_full(error):
            return why_not(Path(self.uri.removeprefix(_SQLITE)), error)
        return ConfigError(
            f"tracking.uri={redact(self.uri)} {what}: {reason(error)}; correct tracking.uri=, or use tracking=none"
        )


def open_store(
    uri: str, *, artifact_root: Path | str, experiment_name: str, base_dir: Path
) -> Store:
    """Opens the store at `uri` and its experiment; a SQLite store and an experiment are made when they are missing.

    Args:
      uri: `sqlite:///FILE`, another database, or the address of a server.
      artifact_root: where a SQLite store keeps the artifacts of a new experiment: a folder, or an address.
      experiment_name: the experiment.
      base_dir: what a relative SQLite file counts from.

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
    if urlsplit(uri).scheme in ("", "file"):
        raise ConfigError(
            f"tracking.uri={uri} is a folder, which MLflow no longer writes to: type tracking.uri=sqlite:///mlruns/mlflow.db"
        )
    reach(uri)
    return _open(uri, experiment_name, location=None)


def is_sqlite(uri: str) -> bool:
    """Whether `uri` is meant as the address of a SQLite store."""
    return urlsplit(uri).scheme.partition("+")[0] == "sqlite"


def check_sqlite_uri(uri: str) -> None:
    """Refuses the address of a SQLite store that names no file, or more than a file.

    Raises:
      ConfigError: names the form.
    """
    if not uri.startswith(_SQLITE) or uri.removeprefix(_SQLITE) in ("", ":memory:") or "?" in uri:
        raise ConfigError(
            f"tracking.uri={uri}: it does not name a file of SQLite alone; use sqlite:///FILE, e.g. "
            "tracking.uri=sqlite:///mlruns/mlflow.db"
        )


def sqlite_file(uri: str, base_dir: Path) -> Path:
    """The absolute path of the database file of `uri`, which begins with `sqlite:///`."""
    return resolved(base_dir / uri.removeprefix(_SQLITE))


def _open_sqlite(file: Path, location: Callable[[], str], experiment_name: str) -> Store:
    """Opens a SQLite store whose tables are whole; its experiment is made under a lock."""
    create_tables(file)
    try:
        with lock(file):
            return _open(f"{_SQLITE}{file}", experiment_name, location=location)
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
    except Exception as error:  # noqa: BLE001 - the store's driver (SQLAlchemy, requests) has its own kinds of error
        if uri.startswith(_SQLITE) and is_disk_full(error):
            raise why_not(Path(uri.removeprefix(_SQLITE)), error) from error
        raise _unusable(uri, error) from error


def _experiment(client: MlflowClient, name: str, location: Callable[[], str] | None) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        place = None if location is None else location()
        if place is not None:
            check_location(place, tracking_uri=client.tracking_uri)
        try:
            return client.create_experiment(name, artifact_location=place)
        except (
            MlflowException
        ):  # another process, on a server without our lock, may have been first
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        raise ConfigError(
            f"tracking.experiment_name={name} was deleted in MLflow: restore it with `mlflow experiments restore "
            f"--experiment-id {found.experiment_id}`, or type another tracking.experiment_name="
        )
    if location is not None:
        check_location(found.artifact_location, tracking_uri=client.tracking_uri)
    return found.experiment_id


def reach(uri: str) -> None:
    """Finds out within seconds whether anybody answers at `uri`; MLflow itself would try for minutes.

    Raises:
      ConfigError: nobody does.
    """
    parts = urlsplit(uri)
    try:
        if parts.scheme in ("http", "https"):
            import requests  # one of MLflow's own dependencies; unlike a bare socket it honours the proxies

            requests.get(uri.rstrip("/") + "/health", timeout=_PATIENCE_S)
        elif parts.hostname:
            port = parts.port or _PORTS.get(parts.scheme.partition("+")[0])
            if port:
                socket.create_connection((parts.hostname, port), timeout=_PATIENCE_S).close()
    except (OSError, ValueError) as error:  # requests' errors are OSErrors
        slow = isinstance(error, TimeoutError) or "timed out" in str(error)
        raise _unusable(
            uri, f"no answer within {_PATIENCE_S:.0f} s" if slow else _innermost(error)
        ) from error


def _innermost(error: BaseException) -> str:
    """The last words of the chain of errors, e.g. "Connection refused"; the outer ones only repeat the address."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return getattr(error, "strerror", None) or str(error)


def _unusable(uri: str, error: Any) -> ConfigError:
    return ConfigError(
        f"tracking.uri={redact(uri)} cannot be used: {reason(error)}. "
        "Start the server or correct tracking.uri=; to run without MLflow type tracking=none"
    )
