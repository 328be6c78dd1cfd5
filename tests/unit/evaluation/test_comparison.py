import copy
import math

import numpy as np
import pytest

from ecgexp.evaluation.clients import score_clients
from ecgexp.evaluation.comparison import BaselineComparison, accuracy

NAMES = ("N", "V")
# Test beats: "a" has 4, of which the global model gets 2; "b" 2, both right; "new" 4, of which 1.
PART = {"a": np.arange(4), "b": np.arange(4, 6), "new": np.arange(6, 10)}
LABELS = np.array([0, 0, 0, 1, 0, 1, 1, 1, 1, 0])
GLOBAL = np.array([0, 0, 1, 0, 0, 1, 0, 0, 0, 0])


def comparison(train=("a", "b", "untested"), **known):
    scores = score_clients(PART, np.arange(10), LABELS, GLOBAL, NAMES, majority_class=0)
    return BaselineComparison(
        scores=scores,
        train_beats={client: 10 * len(client) for client in train},
        overall={"global": {"accuracy": 0.5}},
        **known,
    )


FULL = {
    "own": {
        "local_only": {"a": 1.0, "b": 0.5},
        "personalized": {"a": 0.75, "b": 1.0},
        "pooled": {"a": 0.5, "b": 1.0, "new": 0.75},
    },
    "everywhere": {"a": 0.4, "b": 0.2, "untested": 0.9},
}


def full():
    made = comparison(**copy.deepcopy(FULL))
    made.overall["pooled"] = {"accuracy": 0.7, "macro_f1": 0.6}
    return made


def test_models_are_compared_on_trained_and_tested_clients():
    assert full().metrics() == {
        "federated_baseline/clients": 2,
        "federated_baseline/global/own_accuracy_mean": 0.75,
        "federated_baseline/global/own_accuracy_worst_decile": 0.5,
        "federated_baseline/global/own_accuracy_best": 1.0,
        "federated_baseline/local_only/own_accuracy_mean": 0.75,
        "federated_baseline/local_only/own_accuracy_worst_decile": 0.5,
        "federated_baseline/local_only/own_accuracy_best": 1.0,
        "federated_baseline/local_only/test_accuracy_mean": 0.5,
        "federated_baseline/local_only/test_accuracy_worst_decile": 0.2,
        "federated_baseline/local_only/test_accuracy_best": 0.9,
        "federated_baseline/local_only/diverged": 0,
        "federated_baseline/pooled/accuracy": 0.7,
        "federated_baseline/pooled/macro_f1": 0.6,
        "federated_baseline/pooled/own_accuracy_mean": 0.75,
        "federated_baseline/pooled/own_accuracy_worst_decile": 0.5,
        "federated_baseline/pooled/own_accuracy_best": 1.0,
        "federated_baseline/personalized/accuracy_mean_before": 0.75,
        "federated_baseline/personalized/accuracy_worst_decile_before": 0.5,
        "federated_baseline/personalized/accuracy_best_before": 1.0,
        "federated_baseline/personalized/accuracy_mean_after": 0.875,
        "federated_baseline/personalized/accuracy_worst_decile_after": 0.75,
        "federated_baseline/personalized/accuracy_best_after": 1.0,
        "federated_baseline/personalized/clients": 2,
        "federated_baseline/personalized/skipped": 1,
        "federated_baseline/personalized/diverged": 0,
    }


def test_comparison_rows_have_all_clients_and_nan_if_unknown():
    rows = {row["client"]: row for row in full().rows()}
    assert list(rows) == ["a", "b", "new", "untested"]
    assert rows["a"] == {
        "client": "a",
        "in_training": True,
        "train_beats": 10,
        "test_beats": 4,
        "largest_class_share": 0.75,
        "global_accuracy": 0.5,
        "local_only_accuracy": 1.0,
        "personalized_accuracy": 0.75,
        "pooled_accuracy": 0.5,
        "local_only_test_accuracy": 0.4,
    }
    new, untested = rows["new"], rows["untested"]
    assert (
        new["in_training"],
        new["train_beats"],
        new["global_accuracy"],
        new["pooled_accuracy"],
    ) == (
        False,
        0,
        0.25,
        0.75,
    )
    assert math.isnan(new["local_only_accuracy"])
    assert (untested["test_beats"], untested["local_only_test_accuracy"]) == (0, 0.9)
    assert math.isnan(untested["global_accuracy"])


def test_baseline_that_was_not_requested_is_absent():
    one = comparison(own={"pooled": {"a": 1.0, "b": 1.0, "new": 1.0}})
    one.overall["pooled"] = {"accuracy": 1.0, "macro_f1": 1.0}
    assert not [name for name in one.metrics() if "local_only" in name or "personalized" in name]
    assert not [name for name in one.rows()[0] if "local_only" in name or "personalized" in name]
    assert not [line for line in one.lines() if "local only" in line or "personalized" in line]


def test_diverged_training_is_counted_named_and_left_out():
    made = full()
    made.own["local_only"]["a"] = made.everywhere["a"] = made.own["personalized"]["a"] = math.nan
    made.own["pooled"], made.overall["pooled"] = {}, {"accuracy": math.nan}
    metrics = made.metrics()
    assert metrics["federated_baseline/local_only/own_accuracy_mean"] == 0.5
    assert metrics["federated_baseline/local_only/test_accuracy_mean"] == pytest.approx(0.55)
    assert (
        metrics["federated_baseline/local_only/diverged"]
        == metrics["federated_baseline/personalized/diverged"]
        == 1
    )
    # Before and after are of the same clients, of which one is left.
    assert metrics["federated_baseline/personalized/accuracy_mean_before"] == 1.0
    assert metrics["federated_baseline/personalized/clients"] == 1
    assert not [name for name in metrics if name.startswith("federated_baseline/pooled")]
    assert "pooled diverged" in "\n".join(made.lines())
    said = "\n".join(made.notes())
    assert "pooled: the training diverged" in said
    assert "local only: the training of a diverged" in said
    assert "personalized: the training of a diverged" in said


def test_comparison_with_new_clients_only_is_noted():
    made = comparison(train=("x", "y"), own={"personalized": {}})
    assert made.both == []
    assert made.metrics()["federated_baseline/personalized/skipped"] == 2
    assert len(made.lines()) == 1
    assert "use split=intra_patient" in made.notes()[0]


def test_clients_trained_on_one_class_are_named():
    made = full()
    assert made.notes() == []
    made.one_class = ["b", "untested"]
    alone, personalized = made.notes()
    assert (
        alone
        == "local only: 2 of 3 clients (b, untested) were trained on beats of one class, so that "
        "their models cannot distinguish classes"
    )
    assert personalized.startswith("personalized: 1 of 2 clients (b)")


def test_comparison_lines_give_the_scores():
    overall, own = full().lines()
    assert (
        overall == "accuracy on all 10 test beats: global 0.500 · pooled 0.700 · local only "
        "0.500 on average"
    )
    assert own == (
        "accuracy on own test beats, mean and worst decile of 2 clients: global 0.750 and "
        "0.500 · local only 0.750 and 0.500 · "
        "personalized 0.875 and 0.750 · pooled 0.750 and 0.500"
    )


def test_accuracy_of_a_diverged_model_is_nan():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    assert accuracy(np.array([0, 0, 0]), probabilities) == 2 / 3
    assert math.isnan(accuracy(np.array([0, 0, 0]), np.full((3, 2), np.nan)))
