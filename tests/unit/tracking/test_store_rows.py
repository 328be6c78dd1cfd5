"""The rows of a store, read by SQL as MLflow's client reads them."""

import math
import sqlite3

import pytest

from ecgexp.analysis.find_runs import children_of, find_run
from ecgexp.settings.declaration import DataError
from ecgexp.tracking.mlflow import rows
from ecgexp.tracking.mlflow.rows import Which, experiment_names, read_rows
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
    by_client = {row.run_id: row for row in rows._by_client(mlflow_store.uri, Which(), **ASKED)}
    assert by_sql == by_client
    full, empty, gone = made
    assert gone not in by_sql
    assert by_sql[full].params == {"seed": "2"}
    assert by_sql[full].metrics == {"test/macro_f1": 0.5}
    assert by_sql[full].tags == {"run.dir": "/r"}
    assert (by_sql[full].status, by_sql[empty].status) == ("FINISHED", "RUNNING")
    assert by_sql[full].seconds is not None
    assert by_sql[empty].seconds is None


def test_a_selection_of_rows_is_that_of_the_client(mlflow_store, made):
    full, empty, gone = made
    experiment = mlflow_store.client.get_experiment(mlflow_store.experiment_id).name
    everything = {"params": None, "metrics": None, "tags": None}
    for which, expected in (
        (Which(run_id=full), {full}),
        (Which(run_id=gone), set()),
        (Which(tag=("run.dir", "/r")), {full}),
        (Which(tag=("run.dir", "/other")), set()),
        (Which(experiment=experiment, tag=("notes", "n")), {full}),
        (Which(experiment="none", run_id=full), set()),
    ):
        by_sql = read_rows(mlflow_store.uri, which=which)
        assert by_sql == rows._by_client(mlflow_store.uri, which, **everything)
        assert {row.run_id for row in by_sql} == expected
    by_filter = read_rows(mlflow_store.uri, which=Which(filter_string="tags.notes = 'n'"))
    assert [row.run_id for row in by_filter] == [full]
    assert by_filter == read_rows(mlflow_store.uri, which=Which(run_id=full))
    assert empty in {row.run_id for row in read_rows(mlflow_store.uri)}


def test_all_pages_of_runs_and_experiments_are_read(mlflow_store, made, monkeypatch):
    for number in range(3):
        mlflow_store.client.create_experiment(f"page {number}")
    everything = read_rows(mlflow_store.uri)
    names = experiment_names(mlflow_store.uri)
    monkeypatch.setattr(rows, "_PAGE", 2)
    assert rows._by_client(mlflow_store.uri, Which(), None, None, None) == everything
    assert sorted(rows._experiments(mlflow_store.client).values()) == names


def test_a_store_of_sqlite_is_read_without_mlflow(mlflow_store, made, monkeypatch):
    def refuse(uri):
        raise AssertionError(uri)

    monkeypatch.setattr(rows, "open_existing", refuse)
    monkeypatch.setattr("ecgexp.analysis.find_runs.open_existing", refuse)
    run = find_run(made[0], uri=mlflow_store.uri)
    assert run.params["model.filters"] == "[4]"
    assert run.artifact("result.json") is None
    assert children_of(run, uri=mlflow_store.uri) == []


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
