"""The partition in the run data, and the artifacts that describe it."""

import numpy as np
import pytest

from ecgexp.config.compose import load_experiment
from ecgexp.data.partition.base import check_partition
from ecgexp.experiment import artifacts
from ecgexp.seeding import Seeds
from ecgexp.tracking import MemoryTracker

SMALL = ["dataset.num_patients=12", "dataset.minutes=0.8"]


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    cache = f"data.cache_dir={tmp_path_factory.mktemp('cache')}"

    def run_data(*overrides, seed=0):
        experiment = load_experiment([*SMALL, cache, *overrides])
        return experiment.load_run_data(Seeds(seed), lambda *_: None)

    return run_data


def test_trainer_gets_the_training_clients(load):
    run_data = load("trainer=federated", "partition=dirichlet", "partition.num_clients=3")
    check_partition(run_data.partition, run_data.split)
    assert list(run_data.data.clients) == ["client00", "client01", "client02"]
    assert run_data.data.clients is run_data.partition.train
    assert np.array_equal(
        np.sort(np.concatenate(list(run_data.data.clients.values()))), run_data.data.train
    )


def test_partition_depends_on_the_seed(load):
    one, again, other = (
        load("trainer=federated", "partition=iid", "split=intra_patient", seed=seed)
        for seed in (0, 0, 1)
    )
    assert np.array_equal(one.partition.train["client03"], again.partition.train["client03"])
    assert not np.array_equal(one.partition.train["client03"], other.partition.train["client03"])


def test_partition_is_logged_as_figure_table_and_counts(load):
    run_data, tracker = load("trainer=federated", "partition=by_patient"), MemoryTracker()
    artifacts.log_data(tracker, run_data)
    table = tracker.artifacts["tables/partition.csv"]
    assert list(table.columns) == ["client", "split", "class", "beats"]
    for split, classes in run_data.counts.items():
        assert table[table["split"] == split].groupby("class")["beats"].sum().to_dict() == classes
    patients = np.unique(run_data.beats.patient_ids[run_data.split.test])
    assert sorted(table[table["split"] == "test"]["client"].unique()) == sorted(patients)
    assert (
        tracker.artifacts["figures/partition.png"]
        .get_suptitle()
        .startswith("Beats of each class by client")
    )
    assert tracker.artifacts["data.json"]["clients"] == tracker.artifacts["data.json"]["patients"]
    assert tracker.artifacts["data.json"]["clients"]["test"] == len(patients)


def test_pooled_run_logs_no_clients(load):
    run_data, tracker = load(), MemoryTracker()
    artifacts.log_data(tracker, run_data)
    assert set(tracker.artifacts) == {"data.json"}
    assert "clients" not in tracker.artifacts["data.json"]
    assert list(run_data.data.clients) == ["pooled"]
