"""Open an MLflow store: create a new one safely, and report an unreachable one within seconds."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.paths import DEFAULT_STORE, SQLITE
from ecgexp.settings.redaction import redact
from ecgexp.storage.atomic import is_disk_full, resolved
from ecgexp.tracking.credentials import with_credentials
from ecgexp.tracking.locations import artifact_location, check_location
from ecgexp.tracking.mlflow.store_tables import create_tables, lock, why_not
from ecgexp.tracking.reasons import reason

_PATIENCE_S = 5.0
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


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
    if urlsplit(uri).scheme in ("", "file"):
        raise ConfigError(
            f"tracking.uri={uri}: it is a folder, which MLflow no longer writes to; use "
            f"tracking.uri={DEFAULT_STORE}"
        )
    reach(uri)
    return _open(uri, experiment_name, location=None)


def is_sqlite(uri: str) -> bool:
    """Return whether `uri` is the address of a SQLite store."""
    return urlsplit(uri).scheme.partition("+")[0] == "sqlite"


def check_sqlite_uri(uri: str) -> None:
    """Check that the address of a SQLite store names a file and nothing else.

    Raises:
      ConfigError: it does not; the message names the form.
    """
    if not uri.startswith(SQLITE) or uri.removeprefix(SQLITE) in ("", ":memory:") or "?" in uri:
        raise ConfigError(
            f"tracking.uri={uri}: it does not name a single SQLite file; use sqlite:///FILE, e.g. "
            f"tracking.uri={DEFAULT_STORE}"
        )


def sqlite_file(uri: str, base_dir: Path) -> Path:
    """Return the absolute path of the database file of `uri`, which begins with `sqlite:///`."""
    return resolved(base_dir / uri.removeprefix(SQLITE))


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
        raise _unusable(uri, error) from error


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


def reach(uri: str) -> None:
    """Check within seconds that `uri` answers; MLflow itself would try for minutes.

    Raises:
      ConfigError: it does not answer.
    """
    parts = urlsplit(uri)
    try:
        if parts.scheme in ("http", "https"):
            import requests  # a dependency of MLflow; unlike a bare socket it uses proxies

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
    """Return the message of the first error in the chain, e.g. "Connection refused".

    Outer ones repeat the address.
    """
    while inner := error.__cause__ or error.__context__:
        error = inner
    return getattr(error, "strerror", None) or str(error)


def _unusable(uri: str, error: Any) -> ConfigError:
    return ConfigError(
        f"tracking.uri={redact(uri)}: the store cannot be used: {reason(error)}; start the server, "
        "or use "
        "another tracking.uri=, or tracking=none"
    )
