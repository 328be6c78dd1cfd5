"""Notes on scores, model selection and models without sufficient data."""

import math

import numpy as np
import pytest

from ecgexp.evaluation.clients import score_clients
from ecgexp.evaluation.evaluator import evaluate
from ecgexp.evaluation.missing import (
    averaged_classes,
    client_notes,
    clients_of_one_class,
    evaluation_notes,
    metric_lacks,
    over,
    participation_notes,
    selection_notes,
    training_notes,
)

NSV = ("N", "S", "V")
ALL, NO_V, ONLY_N = {"N": 80, "S": 9, "V": 11}, {"N": 80, "S": 9, "V": 0}, {"N": 80, "S": 0, "V": 0}


def evaluation(labels, predicted, **changes):
    owners = np.arange(len(labels)).astype(str)
    arguments = {
        "labels": np.array(labels),
        "probabilities": np.eye(3)[predicted],
        "class_names": NSV,
        "record_ids": owners,
        "patient_ids": owners,
        "majority_class": 0,
        "rng": np.random.default_rng(0),
        "num_resamples": 0,
    }
    return evaluate(**arguments | changes)


def choice(scores, counts=ALL, kept=1, keeps="best", metric="macro_f1"):
    return selection_notes(metric, scores, kept, counts, keeps=keeps, step_name="epoch")


def test_evaluation_with_every_class_has_no_notes():
    assert evaluation_notes(evaluation([0, 0, 1, 2], [0, 0, 1, 2])) == []


def test_evaluation_without_a_class_names_it_and_the_averages():
    (note,) = evaluation_notes(evaluation([0, 0, 1], [0, 0, 1]))
    assert "no beat is of class V" in note
    assert "averages are over N, S" in note


def test_evaluation_of_one_class_has_no_average():
    notes = evaluation_notes(evaluation([0, 0, 0], [0, 0, 0]))
    assert "no beat is of class S, V" in notes[0]
    assert "averages over classes are undefined" in notes[0]
    assert notes[1:] == ["the model predicts N for each of 3 beats"]


def test_model_with_a_constant_prediction_is_noted():
    constant, accuracy = evaluation_notes(evaluation([0, 0, 0, 1, 2], [0, 0, 0, 0, 0]))
    assert constant == "the model predicts N for each of 5 beats"
    assert "accuracy 0.600 is not above the 0.600 of always predicting N" in accuracy


def test_accuracy_below_the_majority_class_is_noted():
    (note,) = evaluation_notes(evaluation([0, 0, 0, 1, 2], [0, 1, 1, 1, 2]))
    assert "accuracy 0.600 is not above the 0.600" in note


def test_evaluation_names_intervals_that_are_missing():
    labels = [0] * 59 + [1]
    owners = np.repeat(np.arange(6), 10).astype(str)
    made = evaluation(labels, labels, record_ids=owners, patient_ids=owners, num_resamples=100)
    assert any("no interval of macro f1: defined in" in note for note in evaluation_notes(made))


def test_evaluation_metrics_count_the_classes_in_the_average():
    made = evaluation([0, 0, 1], [0, 0, 1])
    assert made.classes_in_average == ("N", "S")
    assert made.metrics("test")["test/classes_in_average"] == 2


def test_average_over_every_class_has_no_label():
    assert over(NSV, NSV) == ""
    assert over(("N", "V"), NSV) == "over N, V"


def test_averaged_classes_are_read_from_the_support():
    metrics = {"test/support/N": 5.0, "test/support/S": 0.0, "test/support/paced": 2.0}
    assert averaged_classes(metrics, "test", ("N", "S", "/")) == ("N", "/")
    assert averaged_classes({}, "test", NSV) is None
    assert averaged_classes({"test/support/N": 5.0}, "test", NSV) is None


@pytest.mark.parametrize(
    "metric",
    ["f1/V", "sensitivity/V", "positive_predictivity/V", "jk_index", "support/N", "support/V"],
)
def test_metric_undefined_in_every_epoch_cannot_select(metric):
    assert metric_lacks(metric, NO_V)
    assert bool(metric_lacks(metric, ALL)) == metric.startswith("support")


@pytest.mark.parametrize(
    "metric", ["macro_f1", "accuracy", "loss", "f1/S", "specificity/V", "clients/accuracy_mean"]
)
def test_metric_of_classes_with_beats_can_select(metric):
    assert metric_lacks(metric, NO_V) == ""


@pytest.mark.parametrize(
    "metric", ["macro_f1", "accuracy", "loss", "f1/N", "balanced_accuracy", "kappa"]
)
def test_metric_with_beats_of_one_class_cannot_select(metric):
    assert "always predicts N" in metric_lacks(metric, ONLY_N)


def test_metric_of_a_renamed_class_is_recognized():
    assert metric_lacks("f1/paced", {"N": 3, "/": 0, "V": 2})


def test_selection_with_distinct_scores_has_no_notes():
    assert choice([0.1, 0.5, 0.4], kept=2) == []
    assert choice([0.1]) == []


def test_selection_names_classes_without_validation_beats():
    (note,) = choice([0.1, 0.5], NO_V, kept=2)
    assert "no validation beat is of class V: epoch 2 was selected by macro_f1 of N, S only" in note


def test_selection_by_equal_scores_is_noted():
    (note,) = choice([0.297, 0.297, 0.297])
    assert "0.297 in each of 3 epochs" in note
    assert "the first one, epoch" in note


def test_selection_by_undefined_scores_is_noted():
    (note,) = choice([math.nan, math.nan], kept=2)
    assert "undefined in each of 2 epochs" in note
    (note,) = choice([math.nan, 0.2, 0.1], kept=2)
    assert "undefined in 1 of 3 epochs" in note


def test_training_with_every_class_has_no_notes():
    assert training_notes(ALL, {"test": ALL}) == []


def test_training_without_classes_names_evaluated_beats():
    notes = training_notes(ONLY_N, {"validation": ONLY_N, "test": ALL})
    assert notes[0] == "no training beat is of class S, V: the model cannot have learned them"
    assert notes[1:] == [
        "test beats of classes without training beats: 9 of class S, 11 of class V"
    ]


def participation(history, kept=3):
    return participation_notes(history, kept, step_name="round", untrained="the initial ones")


def test_rounds_without_participants_are_counted():
    assert participation({"train/clients/used": [3.0, 2.0, 3.0]}) == []
    (note,) = participation({"train/clients/used": [0.0, 2.0, 0.0]})
    assert note.startswith("2 of 3 rounds had no usable client update")


@pytest.mark.parametrize("name", ["train/clients/used", "train/batch_size"])
def test_weights_without_participants_are_the_initial_ones(name):
    (note,) = participation({name: [0.0, 0.0, 0.0]})
    assert note.endswith("they are the initial ones")
    assert participation({name: [0.0, 0.0, 4.0]}, kept=2)[0].endswith("they are the initial ones")


def test_updates_that_were_not_finite_are_counted():
    (note,) = participation(
        {"train/clients/used": [1.0, 2.0], "train/clients/non_finite": [2.0, 0.0]}
    )
    assert note == "2 client updates were not finite and were left out, in 1 of 2 rounds"


def test_clients_of_one_class_are_counted():
    part = {"a": np.arange(12), "b": np.arange(12, 30)}
    labels = np.array([0] * 12 + [0, 1] * 9)
    scores = score_clients(part, np.arange(30), labels, labels, NSV, majority_class=0)
    (note,) = client_notes(scores)
    assert note.startswith("1 of 2 clients have beats of one class only")
    assert clients_of_one_class(labels, part) == ["a"]


def test_clients_of_few_beats_are_counted():
    part = {"a": np.arange(3), "b": np.arange(3, 30)}
    labels = np.arange(30) % 2
    scores = score_clients(part, np.arange(30), labels, labels, NSV, majority_class=0)
    assert client_notes(scores) == ["1 of 2 clients have fewer than 10 beats"]
