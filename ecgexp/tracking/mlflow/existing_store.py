"""An MLflow store that is there already, for reading: nothing is made, and what is no store is refused in one line."""

import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.settings.redaction import redact
from ecgexp.tracking.reasons import reason

if TYPE_CHECKING:
    from mlflow import MlflowClient

DEFAULT_URI = "sqlite:///mlruns/mlflow.db"


def default_uri() -> str:
    """Where runs are looked for if nothing is said: `MLFLOW_TRACKING_URI`, else the store of this folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def open_existing(uri: str) -> "MlflowClient":
    """Speaks with a store that is there; none is made.

    Raises:
      DataError: it is not there, or no store.
    """
    from ecgexp.tracking.mlflow.quiet import quieten

    quieten()
    from mlflow import MlflowClient

    from ecgexp.tracking.mlflow.store import check_sqlite_uri, is_sqlite, reach, sqlite_file
    from ecgexp.tracking.mlflow.store_tables import create_tables

    if is_sqlite(uri):
        try:
            check_sqlite_uri(uri)
            file = sqlite_file(uri, Path.cwd())
            _check_sqlite(file)
            create_tables(file)  # MLflow would upgrade an older store in place
        except ConfigError as error:
            raise DataError(_as_option(error)) from error
        uri = f"sqlite:///{file}"
    elif urlsplit(uri).scheme in ("", "file"):
        raise DataError(
            f"--store {uri} is a folder, which MLflow no longer reads; type --store sqlite:///FOLDER/mlflow.db"
        )
    try:
        reach(uri)
        return MlflowClient(tracking_uri=uri)
    except ConfigError as error:
        raise DataError(_as_option(error)) from error
    except Exception as error:  # noqa: BLE001 - the store's driver (SQLAlchemy, requests) has its own kinds of error
        raise DataError(f"--store {redact(uri)} cannot be used: {reason(error)}") from error


def _as_option(error: ConfigError) -> str:
    """What a run is told of `tracking.uri=`, for a command that has `--store` instead."""
    why = str(error).replace("tracking.uri=", "--store ").partition("; to run without")[0]
    return why.replace(" or tracking=none", "").strip()


def _check_sqlite(file: Path) -> None:
    """Refuses a file that holds no runs, in which MLflow would make its tables."""
    if not file.is_file():
        raise DataError(
            f"there are no runs: {file} does not exist. Make one with `ecgexp`, or say where they are with --store "
            "sqlite:///FOLDER/mlflow.db"
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
        raise DataError(
            f"{file} is not a store of MLflow: say where the runs are with --store sqlite:///FOLDER/mlflow.db"
        )
