"""A SQLite store is whole or as it was, whatever ends the process that makes or upgrades its
tables.
"""

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ecgexp.settings.declaration import ConfigError
from ecgexp.tracking.mlflow.quiet import quieten

quieten()

import mlflow.store.db.utils as utils  # noqa: E402
import sqlalchemy  # noqa: E402
from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase  # noqa: E402

from ecgexp.tracking.mlflow import store_tables  # noqa: E402
from ecgexp.tracking.mlflow.store_tables import create_tables  # noqa: E402

OLDER = 3  # versions of the tables before the newest


def older_revision(config):
    from alembic.script import ScriptDirectory

    newest_first = ScriptDirectory.from_config(config).walk_revisions()
    return [one.revision for one in newest_first][OLDER]


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    """A store as an older MLflow left it, with one run."""
    from alembic import command

    file = tmp_path_factory.mktemp("older") / "m.db"
    engine = sqlalchemy.create_engine(f"sqlite:///{file}")
    sqlalchemy.event.listen(engine, "connect", store_tables._without_syncs)
    InitialBase.metadata.create_all(engine)
    config = utils._get_alembic_config("")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, older_revision(config))
    with engine.begin() as connection:
        connection.execute(
            sqlalchemy.text("INSERT INTO runs (run_uuid, name) VALUES ('abc', 'kept')")
        )
    engine.dispose()
    return file.read_bytes()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "m.db"


def names_of_runs(file):
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [name for (name,) in connection.execute("SELECT name FROM runs")]


def listing(file):
    return sorted(path.name for path in file.parent.iterdir() if not path.name.endswith(".lock"))


def end_at_statement(monkeypatch, number, end):
    """`end()` is called before that statement on the hidden copy."""
    done = 0

    def count(*_):
        nonlocal done
        done += 1
        if done == number:
            end()

    without_syncs = store_tables._without_syncs

    def listen(connection, record):
        without_syncs(connection, record)
        connection.set_trace_callback(count)

    monkeypatch.setattr(store_tables, "_without_syncs", listen)


def test_store_when_missing_is_made_without_litter(file):
    create_tables(file)
    assert listing(file) == ["m.db"]
    assert store_tables._is_current(file)
    before = file.read_bytes()
    create_tables(file)
    assert file.read_bytes() == before


@pytest.mark.parametrize("statement", [1, 60, 400])
def test_store_killed_while_made_is_made_again(file, monkeypatch, statement, killed_while):
    with monkeypatch.context() as patched:
        end_at_statement(patched, statement, lambda: os.kill(os.getpid(), signal.SIGKILL))
        killed_while(lambda: create_tables(file))
    assert not file.exists()
    create_tables(file)
    assert listing(file) == ["m.db"]
    assert store_tables._is_current(file)


def test_store_interrupted_while_made_leaves_nothing(file, monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", lambda *_: interrupt())
    with pytest.raises(KeyboardInterrupt):
        create_tables(file)
    assert listing(file) == []


def test_store_on_full_disk_is_said_and_made_later(file, monkeypatch):
    without_syncs = store_tables._without_syncs

    def small(connection, record):
        without_syncs(connection, record)
        connection.execute(
            "PRAGMA max_page_count = 40"
        )  # SQLite then says what it says of a full disk

    with monkeypatch.context() as patched:
        patched.setattr(store_tables, "_without_syncs", small)
        with pytest.raises(
            ConfigError, match=r"tracking\.uri=sqlite:.*disk of .* is full; free some space"
        ):
            create_tables(file)
    assert listing(file) == []
    create_tables(file)


def test_store_of_older_mlflow_is_upgraded_and_kept(file, older):
    file.write_bytes(older)
    create_tables(file)
    assert store_tables._is_current(file)
    assert names_of_runs(file) == ["kept"]
    (backup,) = file.parent.glob("*.bak")
    assert names_of_runs(backup) == ["kept"]
    assert not store_tables._is_current(backup)
    assert listing(file) == ["m.db", backup.name]


@pytest.mark.parametrize("statement", [2, 12])
def test_store_killed_while_upgraded_is_as_before(
    file, older, monkeypatch, statement, killed_while
):
    file.write_bytes(older)
    with monkeypatch.context() as patched:
        end_at_statement(patched, statement, lambda: os.kill(os.getpid(), signal.SIGKILL))
        killed_while(lambda: create_tables(file))
    assert file.read_bytes() == older
    create_tables(file)
    assert names_of_runs(file) == ["kept"]


def test_store_upgraded_on_full_disk_is_as_before(file, older, monkeypatch):
    file.write_bytes(older)
    monkeypatch.setattr(
        store_tables,
        "_bring_up_to_date",
        lambda part: (_ for _ in ()).throw(OSError(28, "No space left on device")),
    )
    with pytest.raises(ConfigError, match=r"is full; free some space"):
        create_tables(file)
    assert file.read_bytes() == older


def test_store_left_unfinished_is_named_with_remedy(file, older):
    """As MLflow leaves it that is killed while it makes the tables in the file itself."""
    file.write_bytes(older)
    latest, known = store_tables._revisions()
    with closing(sqlite3.connect(file)) as connection:
        for table in sorted(utils.Base.metadata.tables):
            connection.execute(f"CREATE TABLE IF NOT EXISTS {table} (x)")
        for table in ("runs", "experiments", "trace_info", "metrics"):
            connection.execute(f"CREATE TABLE _alembic_tmp_{table} (x)")
        connection.execute(
            "UPDATE alembic_version SET version_num = '451aebb31d03'"
        )  # MLflow's first
        connection.commit()
    before = file.read_bytes()
    assert "451aebb31d03" in known
    with pytest.raises(
        ConfigError, match=rf"tracking\.uri=.*unfinished.*1 runs.*backup.*mv {file} "
    ):
        create_tables(file)
    assert file.read_bytes() == before
    assert listing(file) == ["m.db"]


def test_store_of_newer_mlflow_is_refused(file, older):
    file.write_bytes(older)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffff'")
        connection.commit()
    with pytest.raises(ConfigError, match=r"tracking\.uri=.*newer MLflow.*another"):
        create_tables(file)


def test_store_path_of_other_database_is_refused(file):
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE addresses (x)")
    before = file.read_bytes()
    with pytest.raises(ConfigError, match=r"tracking\.uri=.*another program.*tracking\.uri="):
        create_tables(file)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"no database at all" * 100, b"SQLite format 3\0" + bytes(4000)]
)
def test_store_path_of_damaged_file_is_refused(file, content):
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"tracking\.uri=.*cannot be used.*mv "):
        create_tables(file)
    assert file.read_bytes() == content


def test_store_path_of_folder_is_refused(file):
    file.mkdir()
    with pytest.raises(ConfigError, match=r"tracking\.uri="):
        create_tables(file)


def test_journal_without_its_store_does_not_enter_new_one(file, older, killed_while):
    """The store was deleted, and what a killed process left beside it was not."""
    file.write_bytes(older)

    def die_in_transaction():
        connection = sqlite3.connect(file, isolation_level=None)
        connection.execute("PRAGMA cache_spill = 1")
        connection.execute("PRAGMA cache_size = 2")
        connection.execute("BEGIN")
        connection.execute("UPDATE runs SET name = 'x'")
        connection.execute("CREATE TABLE y AS SELECT * FROM sqlite_master a, sqlite_master b")
        os.kill(os.getpid(), signal.SIGKILL)

    killed_while(die_in_transaction)
    assert Path(f"{file}-journal").stat().st_size
    file.unlink()
    create_tables(file)
    assert names_of_runs(file) == []
    assert store_tables._is_current(file)


def test_empty_file_becomes_store(file):
    file.touch()
    create_tables(file)
    assert store_tables._is_current(file)


@pytest.mark.parametrize(
    "uri", ["sqlite://", "sqlite:///:memory:", "sqlite+pysqlite:///m.db", "sqlite:///m.db?mode=ro"]
)
def test_sqlite_address_that_is_no_file_is_refused(tmp_path, monkeypatch, uri):
    from ecgexp.tracking.mlflow.store import open_store

    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"tracking\.uri=.*use sqlite:///FILE"):
        open_store(uri, artifact_root=tmp_path, experiment_name="x", base_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []
