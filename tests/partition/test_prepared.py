"""What a run gets of its partition, and what it leaves for its readers."""

import numpy as np
import pytest

from ecgexp.config.compose import load_experiment
from ecgexp.data.partition import check_deal
from ecgexp.experiment import artifacts
from ecgexp.seeding import Seeds
from ecgexp.tracking.memory import MemoryTracker

SMALL = ["dataset.num_patients=12", "dataset.minutes=0.8"]


@pytest.fixture(scope="module")
def prepared_by(tmp_path_factory):
    cache = f"data.cache_dir={tmp_path_factory.mktemp('cache')}"

    def prepared(*overrides, seed=0):
        experiment = load_experiment([*SMALL, cache, *overrides])
        return experiment.prepare(Seeds(seed), lambda *_: None)

    return prepared


def test_a_trainer_gets_the_training_deal(prepared_by):
    prepared = prepared_by("trainer=federated", "partition=dirichlet", "partition.num_clients=3")
    check_deal(prepared.deal, prepared.split)
    assert list(prepared.data.clients) == ["client00", "client01", "client02"]
    assert prepared.data.clients is prepared.deal.train
    assert np.array_equal(np.sort(np.concatenate(list(prepared.data.clients.values()))), prepared.data.train)


def test_the_seed_decides_the_deal(prepared_by):
    one, again, other = (
        prepared_by("trainer=federated", "partition=iid", "split=intra_patient", seed=seed) for seed in (0, 0, 1)
    )
    assert np.array_equal(one.deal.train["client03"], again.deal.train["client03"])
    assert not np.array_equal(one.deal.train["client03"], other.deal.train["client03"])


def test_who_holds_what_is_left_as_a_figure_a_table_and_a_number_of_clients(prepared_by):
    prepared, tracker = prepared_by("trainer=federated", "partition=by_patient"), MemoryTracker()
    artifacts.log_data(tracker, prepared)
    table = tracker.artifacts["tables/partition.csv"]
    assert list(table.columns) == ["client", "split", "class", "beats"]
    for split, classes in prepared.counts.items():
        assert table[table["split"] == split].groupby("class")["beats"].sum().to_dict() == classes
    patients = np.unique(prepared.beats.patient_ids[prepared.split.test])
    assert sorted(table[table["split"] == "test"]["client"].unique()) == sorted(patients)
    assert tracker.artifacts["figures/partition.png"].get_suptitle().startswith("Beats of each class by client")
    assert tracker.artifacts["data.json"]["clients"] == tracker.artifacts["data.json"]["patients"]
    assert tracker.artifacts["data.json"]["clients"]["test"] == len(patients)


def test_a_pooled_run_speaks_of_no_clients(prepared_by):
    prepared, tracker = prepared_by(), MemoryTracker()
    artifacts.log_data(tracker, prepared)
    assert set(tracker.artifacts) == {"data.json"}
    assert "clients" not in tracker.artifacts["data.json"]
    assert list(prepared.data.clients) == ["pooled"]
