"""The rows of a store, read by SQL as MLflow's client reads them."""

import math
import sqlite3

import pytest

from ecgexp.settings.declaration import DataError
from ecgexp.tracking.mlflow import rows
from ecgexp.tracking.mlflow.rows import read_rows
from ecgexp.tracking.mlflow.tracker import MlflowTracker

ASKED = {
    "params": ("seed", "model._target_"),
    "metrics": ("test/macro_f1", "test/jk_index"),
    "tags": ("run.dir", "sweep"),
}


@pytest.fixture(scope="module")
def made(mlflow_store):
    """A finished run, one that has nothing yet, and one that was deleted."""
    full, empty, gone = (MlflowTracker.create(mlflow_store, name) for name in ("f", "e", "g"))
    full.log_params({"seed": 2, "model.filters": "[4]"})
    full.log_metrics({"test/macro_f1": 0.25}, step=1)
    full.log_metrics({"test/macro_f1": 0.5, "test/jk_index": math.nan}, step=2)
    full.set_tags({"run.dir": "/r", "notes": "n"})
    full.finish("FINISHED")
    mlflow_store.client.delete_run(gone.run_id)
    return full.run_id, empty.run_id, gone.run_id


def test_rows_are_those_of_the_client(mlflow_store, made):
    by_sql = {row.run_id: row for row in read_rows(mlflow_store.uri, **ASKED)}
    by_client = {row.run_id: row for row in rows._by_client(mlflow_store.uri, **ASKED)}
    assert by_sql == by_client
    full, empty, gone = made
    assert gone not in by_sql
    assert by_sql[full].params == {"seed": "2"}
    assert by_sql[full].metrics == {"test/macro_f1": 0.5}
    assert by_sql[full].tags == {"run.dir": "/r"}
    assert (by_sql[full].status, by_sql[empty].status) == ("FINISHED", "RUNNING")
    assert by_sql[full].seconds is not None
    assert by_sql[empty].seconds is None


def test_reading_rows_writes_nothing_and_needs_no_upgrade(tmp_path):
    file = tmp_path / "old.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE runs (run_uuid)")
        connection.execute("CREATE TABLE experiments (experiment_id)")
    connection.close()
    before = file.read_bytes()
    with pytest.raises(DataError, match="cannot be read.*ecgexp-doctor"):
        read_rows(f"sqlite:///{file}", **ASKED)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["old.db"]
