"""Open an existing MLflow store for reading.

None is created, and other files are refused in one line.
"""

import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.settings.installation import to_type
from ecgexp.settings.paths import DEFAULT_STORE
from ecgexp.settings.redaction import redact
from ecgexp.tracking.reasons import reason

if TYPE_CHECKING:
    from mlflow import MlflowClient


def default_uri() -> str:
    """Return the store of commands without `--store`.

    `MLFLOW_TRACKING_URI`, else the store of this folder.
    """
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE


def open_existing(uri: str) -> "MlflowClient":
    """Open an existing store; none is created.

    Args:
      uri: `sqlite:///FILE`, or the address of a server or database.

    Returns:
      A client of the store.

    Raises:
      DataError: there is no store at `uri`, or it cannot be used.
    """
    from ecgexp.tracking.mlflow.quiet import quieten

    quieten()
    from mlflow import MlflowClient

    from ecgexp.tracking.mlflow.address import check_sqlite_uri, is_sqlite, reach, sqlite_file
    from ecgexp.tracking.mlflow.store_tables import create_tables

    if is_sqlite(uri):
        try:
            check_sqlite_uri(uri)
            file = sqlite_file(uri, Path.cwd())
            check_sqlite_file(file)
            create_tables(file)  # MLflow would upgrade an older store in place
        except ConfigError as error:
            raise DataError(_as_option(error)) from error
        uri = f"sqlite:///{file}"
    elif urlsplit(uri).scheme in ("", "file"):
        raise DataError(
            f"--store {uri}: it is a folder, which MLflow no longer reads; use --store "
            "sqlite:///FOLDER/mlflow.db"
        )
    try:
        reach(uri)
        return MlflowClient(tracking_uri=uri)
    except ConfigError as error:
        raise DataError(_as_option(error)) from error
    except Exception as error:  # noqa: BLE001 - SQLAlchemy and requests raise their own types
        raise DataError(
            f"--store {redact(uri)}: the store cannot be used: {reason(error)}; use another --store"
        ) from error


def _as_option(error: ConfigError) -> str:
    """Rewrite a message about `tracking.uri=` for a command that has `--store` instead."""
    text = str(error).replace(", or tracking=none", "").replace(" or tracking=none", "")
    return text.replace("another tracking.uri=", "another --store").replace(
        "tracking.uri=", "--store "
    )


def check_sqlite_file(file: Path) -> None:
    """Refuse a file without runs, in which MLflow would create its tables."""
    if not file.is_file():
        raise DataError(
            f"there are no runs: {file} does not exist; use `{to_type('ecgexp')}` to "
            "start a run, or name their store with --store sqlite:///FOLDER/mlflow.db"
        )
    try:
        connection = sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)
        try:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise DataError(f"{file} cannot be read: {error}") from error
    if not {"runs", "experiments"} <= tables:
        raise DataError(f"{file} is not a store of MLflow; use --store sqlite:///FOLDER/mlflow.db")
