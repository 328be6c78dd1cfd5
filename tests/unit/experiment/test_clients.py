"""What a run with clients tells before it trains and at its end, from predictions made by hand."""

import io

import numpy as np
import pytest
from rich.console import Console

from ecgexp.config.compose import load_experiment
from ecgexp.evaluation.comparison import BaselineComparison
from ecgexp.experiment import clients
from ecgexp.seeding import Seeds
from ecgexp.tracking import MemoryTracker

SMALL = ["dataset.num_patients=12", "dataset.minutes=0.8", "trainer=federated"]


@pytest.fixture(scope="module")
def loaded_by(tmp_path_factory):
    cache = f"data.cache_dir={tmp_path_factory.mktemp('cache')}"

    def run_data(*overrides):
        experiment = load_experiment([*SMALL, cache, *overrides])
        return experiment.load_run_data(Seeds(0), lambda *_: None)

    return run_data


def predictions(run_data, split, wrong_patients=()):
    """(num_beats, classes).

    Sure of the right class, but for these patients of the class after it.
    """
    rows, num_classes = run_data.indices[split], len(run_data.data.class_names)
    wrong = np.isin(run_data.beats.patient_ids[rows], wrong_patients)
    return np.eye(num_classes)[(run_data.data.labels[rows] + wrong) % num_classes]


def test_each_client_of_a_split_is_in_table_figure_and_metrics(loaded_by):
    run_data, tracker = loaded_by("split=intra_patient"), MemoryTracker()
    patients = sorted(run_data.partition.test)
    probabilities = predictions(run_data, "test", patients[3:4])
    clients.log_clients(tracker, run_data, "test", probabilities)
    assert clients.client_metrics(run_data, "test", probabilities) == {
        "test/clients/accuracy_mean": pytest.approx(1 - 1 / len(patients)),
        "test/clients/accuracy_worst_decile": 0,
        "test/clients/accuracy_best": 1,
    }
    table = tracker.artifacts["tables/test_per_client.csv"]
    assert list(table.columns) == [
        "client",
        "beats",
        "classes",
        "in_training",
        "accuracy",
        "macro_f1",
        "majority_accuracy",
        "largest_class_share",
    ]
    assert table["client"][0] == patients[3]
    assert table["accuracy"].tolist() == [0] + [1] * (len(patients) - 1)
    assert table["in_training"].all()
    assert table["beats"].sum() == len(run_data.split.test)
    normal = run_data.data.class_names.index("N")
    for client, share in zip(table["client"], table["majority_accuracy"], strict=True):
        assert share == pytest.approx(
            (run_data.data.labels[run_data.partition.test[client]] == normal).mean()
        )
    assert (
        tracker.artifacts["figures/test_per_client.png"]
        .get_suptitle()
        .startswith("Accuracy by client")
    )


def test_patients_of_another_split_are_new_clients(loaded_by):
    run_data, tracker = loaded_by("split=inter_patient"), MemoryTracker()
    clients.log_clients(tracker, run_data, "test", predictions(run_data, "test"))
    assert not tracker.artifacts["tables/test_per_client.csv"]["in_training"].any()


def test_pooled_run_reports_no_clients(loaded_by):
    run_data, tracker = loaded_by("trainer=centralized"), MemoryTracker()
    clients.log_clients(tracker, run_data, "test", predictions(run_data, "test"))
    assert clients.client_metrics(run_data, "test", predictions(run_data, "test")) == {}
    assert not tracker.artifacts


def test_a_comparison_is_left_as_a_table_and_a_figure(loaded_by):
    run_data, tracker = loaded_by("split=intra_patient"), MemoryTracker()
    scores = clients.client_scores(run_data, "test", predictions(run_data, "test"))
    train = {client: len(rows) for client, rows in run_data.partition.train.items()}
    own = {"local_only": dict.fromkeys(train, 0.5)}
    comparison = BaselineComparison(
        scores=scores, train_beats=train, own=own, everywhere=dict.fromkeys(train, 0.25)
    )
    clients.log_federated_baselines(tracker, run_data, comparison)
    table = tracker.artifacts["tables/comparison_per_client.csv"]
    assert set(table["local_only_accuracy"]) == {0.5}
    assert table["client"].tolist() == sorted(train)
    assert tracker.artifacts["figures/comparison_per_client.png"].axes


def feasibility_tables(*overrides):
    experiment = load_experiment(
        ["trainer=federated", "privacy=patient", "trainer.clients_per_round=5", *overrides]
    )
    plan = experiment.privacy.plan(
        num_units=22, expected_batch_size=5, iterations=experiment.trainer.num_rounds
    )
    console = Console(width=80, file=io.StringIO())
    console.print(clients.feasibility_tables(plan, 1000, lambda *_: None))
    return console.file.getvalue()


def test_feasibility_is_reported_before_private_training():
    printed = feasibility_tables(
        "trainer.sampling=poisson",
        "privacy.noise_multiplier=1.0",
        "privacy.hypothetical_population=5000",
    )
    assert "ε at this noise: noise multiplier 1, 20 rounds" in printed
    assert "Noise needed: 5 of 22 patients" in printed
    assert "not a guarantee" in printed
    assert "5\N{NO-BREAK SPACE}000" in printed
    assert "10\N{NO-BREAK SPACE}000" not in printed


def test_cohorts_of_constant_size_get_their_epsilon_only():
    fixed = ["trainer.sampling=fixed", "privacy.sampling=fixed", "privacy.accountant=rdp"]
    printed = " ".join(feasibility_tables(*fixed, "privacy.noise_multiplier=6.0").split())
    assert "20 rounds at noise multiplier 6 have a privacy loss of ε = " in printed
    assert " for each patient of 22 (δ 0.0001, RDP)" in printed
    assert "ecgexp-plan" in printed
