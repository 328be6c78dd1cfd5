"""The tables of a SQLite store of MLflow, created or upgraded on a hidden copy, never in place.

MLflow creates the tables of a new store, and upgrades those of an older one, in dozens of steps in
the file itself. A process that ends between two steps leaves a file that no version of MLflow can
open.
"""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ecgexp.console import NOTE
from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.paths import DEFAULT_STORE
from ecgexp.storage.atomic import check_ordinary, is_disk_full
from ecgexp.tracking.reasons import reason

_log = logging.getLogger(__name__)

_LOCK_S = 120.0
_BUSY_S = 20.0
_BESIDE = ("-journal", "-wal", "-shm")  # SQLite's own files beside a database
_OWN = {"alembic_version", "experiments", "runs"}


def create_tables(file: Path) -> None:
    """Create or upgrade the store `file`, unless it has the tables of the installed MLflow.

    **Guarantees**: whenever the process ends, `file` is missing, empty or as before, or a complete
    store (`tests/unit/tracking/test_store_tables.py`).

    Args:
      file: absolute path of the SQLite file; its folder is created.

    Raises:
      ConfigError: the file is not a store, is incomplete, or belongs to a newer MLflow; the disk is
        full, the file is in use, or the folder cannot be written.
    """
    try:
        check_ordinary(file)
        if _is_current(file):
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        with lock(file):
            if not _is_current(file):
                _make_or_upgrade(file)
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001 - SQLAlchemy, Alembic and MLflow have own types
        raise why_not(file, error) from error


@contextmanager
def lock(file: Path) -> Iterator[None]:
    """Let one process at a time create tables or experiments in the store `file`.

    Raises:
      ConfigError: another process has not released the lock in time.
    """
    held = FileLock(f"{file}.lock", timeout=_LOCK_S)
    try:
        held.acquire()
    except Timeout as error:
        raise ConfigError(
            f"tracking.uri=sqlite:///{file}: another process has held {file}.lock for "
            f"{_LOCK_S:.0f} s; end that process and "
            "use the same command again"
        ) from error
    try:
        yield
    finally:
        held.release()


def why_not(file: Path, error: BaseException) -> ConfigError:
    """Return the error for a store `file` that cannot be opened or written, with the remedy."""
    elsewhere = "or use tracking.uri=sqlite:////another/folder/mlflow.db or tracking=none"
    if is_disk_full(error):
        return ConfigError(
            f"tracking.uri=sqlite:///{file}: the disk of {file.parent} is full; free some space, "
            f"{elsewhere}"
        )
    if "locked" in str(error):
        return ConfigError(
            f"tracking.uri=sqlite:///{file}: another program has locked the store; end it and use "
            "the same command again, "
            f"{elsewhere}"
        )
    if isinstance(error, OSError) or "readonly" in str(error) or "unable to open" in str(error):
        why = getattr(error, "strerror", None) or str(error)
        return ConfigError(
            f"tracking.uri=sqlite:///{file}: cannot write to {file.parent} ({why}); make it "
            f"writable, {elsewhere}"
        )
    return ConfigError(
        f"tracking.uri=sqlite:///{file}: the file cannot be used ({reason(error)}); restore it "
        "from a backup, or "
        f"move it away with `mv {file} {file}.damaged` and use the same command again, {elsewhere}"
    )


def _is_current(file: Path) -> bool:
    """Return whether the tables are those of the installed MLflow; writes nothing."""
    from mlflow.store.db.base_sql_model import Base

    if not file.is_file() or not file.stat().st_size:
        return False
    tables, revision = _tables_and_revision(file)
    return revision == _revisions()[0] and set(Base.metadata.tables) <= tables


def _tables_and_revision(file: Path) -> tuple[set[str], str | None]:
    """Return the names of the tables, and their MLflow revision; None where the file has none."""
    with closing(sqlite3.connect(file, timeout=_BUSY_S)) as connection:
        tables = {
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        found = (
            connection.execute("SELECT version_num FROM alembic_version").fetchone()
            if tables >= _OWN
            else None
        )
    return tables, found and found[0]


@cache
def _revisions() -> tuple[str, frozenset[str]]:
    """Return the newest and all revisions of the tables that the installed MLflow supports."""
    import mlflow.store.db.utils as utils
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(utils._get_alembic_config(""))
    return utils._get_latest_schema_revision(), frozenset(
        one.revision for one in script.walk_revisions()
    )


def _make_or_upgrade(file: Path) -> None:
    part = file.with_name(f".{file.name}.part")
    _remove(part)
    try:
        # Opening the file also makes SQLite roll back an interrupted transaction.
        if not file.exists() or not _tables_and_revision(file)[0]:
            _bring_up_to_date(part)
            _remove(file)  # SQLite would apply a leftover journal to the new database
            os.replace(part, file)
        else:
            _upgrade(file, part)
    finally:
        _remove(part)


def _upgrade(file: Path, part: Path) -> None:
    tables, revision = _tables_and_revision(file)
    _check_is_ours(file, tables, revision)
    with closing(sqlite3.connect(file, timeout=_BUSY_S, isolation_level=None)) as original:
        original.execute("PRAGMA locking_mode = EXCLUSIVE")  # from the next write until close
        original.execute("BEGIN EXCLUSIVE")
        original.execute("COMMIT")
        _copy(original, part)
        try:
            _bring_up_to_date(part)
        except Exception as error:
            if is_disk_full(error):
                raise
            raise _unfinished(file, tables, original) from error
        kept = file.with_name(f"{file.name}.{revision or 'before'}.bak")
        with closing(sqlite3.connect(part)) as upgraded:
            hidden = kept.with_name(f".{kept.name}.part")
            _remove(hidden)
            _copy(original, hidden)
            os.replace(hidden, kept)
            upgraded.backup(original)  # one transaction: the old tables or the new ones
    _log.log(
        NOTE,
        "%s was upgraded to the tables of the installed MLflow; the previous file is %s",
        file,
        kept,
    )


def _check_is_ours(file: Path, tables: set[str], revision: str | None) -> None:
    if revision is not None and revision not in _revisions()[1]:
        raise ConfigError(
            f"tracking.uri=sqlite:///{file}: the store was made by a newer MLflow; install that "
            "version, or use "
            "tracking.uri=sqlite:////another/folder/mlflow.db"
        )
    if not tables & _OWN:
        raise ConfigError(
            f"tracking.uri=sqlite:///{file}: the file is a database of another program; use "
            "another file, e.g. "
            f"tracking.uri={DEFAULT_STORE}"
        )


def _unfinished(file: Path, tables: set[str], connection: sqlite3.Connection) -> ConfigError:
    runs = connection.execute("SELECT count(*) FROM runs").fetchone()[0] if "runs" in tables else 0
    holds = (
        f"it holds {runs} runs: restore it from a backup if there is one, or"
        if runs
        else "it holds no runs:"
    )
    return ConfigError(
        f"tracking.uri=sqlite:///{file}: the store is incomplete, because a process ended while "
        f"MLflow created its tables; {holds} "
        f"move it away with `mv {file} {file}.unfinished` and use the same command again"
    )


def _copy(source: sqlite3.Connection, target: Path) -> None:
    with closing(sqlite3.connect(target)) as copy:
        source.backup(copy)


def _bring_up_to_date(part: Path) -> None:
    from mlflow.store.db.utils import _initialize_tables
    from sqlalchemy import URL, create_engine, event
    from sqlalchemy.pool import NullPool

    engine = create_engine(URL.create("sqlite", database=str(part)), poolclass=NullPool)
    event.listen(engine, "connect", _without_syncs)
    try:
        _initialize_tables(engine)
    finally:
        engine.dispose()
    with part.open("rb+") as file:
        os.fsync(file.fileno())


def _without_syncs(connection: Any, _: Any) -> None:
    """Disable syncs: the file is hidden until it is complete, and is then synced once."""
    connection.execute("PRAGMA synchronous = OFF")


def _remove(file: Path) -> None:
    """Remove the database and SQLite's files beside it."""
    for path in (file, *(file.with_name(f"{file.name}{suffix}") for suffix in _BESIDE)):
        path.unlink(missing_ok=True)
