"""The link to MLflow's table of runs, and the view of the experiment that it names."""

import json
from dataclasses import replace

import mlflow
import pytest

from ecgexp.tracking.mlflow import runs_view
from ecgexp.tracking.mlflow.headline import HEADLINE


@pytest.fixture
def store(mlflow_store):
    client = mlflow_store.client
    name = "view"
    found = client.get_experiment_by_name(name)
    made = found.experiment_id if found else client.create_experiment(name)
    yield replace(mlflow_store, experiment_id=made)
    client.set_experiment_tag(made, runs_view.TAG, "")


def tags(store):
    return store.client.get_experiment(store.experiment_id).tags


def test_view_of_the_tested_version_is_written_and_linked(store):
    assert runs_view.is_tested(mlflow.__version__), "look at the pages, then set runs_view.TESTED"
    seen = runs_view.with_view(store)
    assert seen.has_view
    assert json.loads(tags(store)[runs_view.TAG]) == runs_view.state()
    link = runs_view.runs_link("http://here:5000/", "7", has_view=True)
    assert link.startswith("http://here:5000/#/experiments/7/runs?")
    assert link.endswith("viewStateShareKey=ecgexp")


def test_view_of_another_version_is_the_plain_table(store, monkeypatch):
    monkeypatch.setattr(mlflow, "__version__", "3.99.0")
    assert not runs_view.with_view(store).has_view
    assert not tags(store).get(runs_view.TAG)
    assert "viewStateShareKey" not in runs_view.runs_link("http://here:5000", "7", has_view=False)


def test_view_that_the_store_refuses_does_not_stop_a_run(store):
    assert not runs_view.with_view(replace(store, experiment_id="999999")).has_view


def test_view_shows_metrics_that_every_store_has():
    shown = [name.split("`")[1] for name in runs_view.COLUMNS if name.startswith("metrics.")]
    assert set(shown) <= set(HEADLINE)


def test_link_hides_the_password_of_a_server():
    assert "hunter2" not in runs_view.runs_link("http://me:hunter2@here", "7", has_view=True)


def test_newest_experiment_is_that_of_the_newest_run(store):
    run = store.client.create_run(store.experiment_id)
    assert runs_view.newest_experiment(store.client) == store.experiment_id
    store.client.delete_run(run.info.run_id)
