"""The address of an MLflow store, and whether a store answers there; without importing MLflow."""

import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.paths import DEFAULT_STORE, SQLITE
from ecgexp.settings.redaction import redact
from ecgexp.storage.atomic import resolved
from ecgexp.tracking.mlflow.store_tables import why_not
from ecgexp.tracking.reasons import reason

_PATIENCE_S = 5.0
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


def check_store(uri: str, *, base_dir: Path) -> None:
    """Check what is known of a store before MLflow is imported; nothing is written.

    A file that does not exist is no error: the first run creates it.

    Args:
      uri: `sqlite:///FILE`, another database, or the address of a server.
      base_dir: folder that a relative SQLite file is resolved against.

    Raises:
      ConfigError: the server does not answer, or the file is not a database.
    """
    if not is_sqlite(uri):
        check_no_folder(uri)
        reach(uri)
        return
    check_sqlite_uri(uri)
    file = sqlite_file(uri, base_dir)
    if not file.is_file():
        return
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.Error as error:
        if "locked" not in str(error):  # MLflow waits
            raise why_not(file, error) from error


def check_no_folder(uri: str) -> None:
    """Check that an address is not that of a folder.

    Raises:
      ConfigError: it is.
    """
    if urlsplit(uri).scheme in ("", "file"):
        raise ConfigError(
            f"tracking.uri={uri}: it is a folder, which MLflow no longer writes to; use "
            f"tracking.uri={DEFAULT_STORE}"
        )


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
        raise unusable(
            uri, f"no answer within {_PATIENCE_S:.0f} s" if slow else _innermost(error)
        ) from error


def _innermost(error: BaseException) -> str:
    """Return the message of the first error in the chain, e.g. "Connection refused".

    Outer ones repeat the address.
    """
    while inner := error.__cause__ or error.__context__:
        error = inner
    return getattr(error, "strerror", None) or str(error)


def unusable(uri: str, error: Any) -> ConfigError:
    """Return the error for a store that does not answer, or refuses, with the remedy."""
    return ConfigError(
        f"tracking.uri={redact(uri)}: the store cannot be used: {reason(error)}; start the server, "
        "or use "
        "another tracking.uri=, or tracking=none"
    )
