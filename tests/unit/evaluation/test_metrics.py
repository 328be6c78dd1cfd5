import math
import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from ecgexp.evaluation.metrics import causes, majority_scores, quick_scores, score
from ecgexp.settings.declaration import DataError

NSV = ("N", "S", "V")


def one_hot(predicted, classes=3):
    return np.eye(classes)[predicted]


def test_scores_agree_with_scikit_learn(predictions):
    values = score(predictions.labels, predictions.probabilities, predictions.class_names).values
    labels, predicted = predictions.labels, predictions.predicted
    report = sk.classification_report(
        labels, predicted, target_names=predictions.class_names, output_dict=True
    )
    assert values["accuracy"] == pytest.approx(report["accuracy"])
    assert values["macro_f1"] == pytest.approx(report["macro avg"]["f1-score"])
    assert values["balanced_accuracy"] == pytest.approx(
        sk.balanced_accuracy_score(labels, predicted)
    )
    assert values["kappa"] == pytest.approx(sk.cohen_kappa_score(labels, predicted))
    normalized = predictions.probabilities.astype(float)
    normalized /= normalized.sum(axis=1, keepdims=True)
    assert values["loss"] == pytest.approx(sk.log_loss(labels, normalized))
    assert values["auroc_macro"] == pytest.approx(
        sk.roc_auc_score(labels, normalized, multi_class="ovr"), abs=1e-6
    )
    for i, name in enumerate(predictions.class_names):
        assert values[f"sensitivity/{name}"] == pytest.approx(report[name]["recall"])
        assert values[f"positive_predictivity/{name}"] == pytest.approx(report[name]["precision"])
        assert values[f"f1/{name}"] == pytest.approx(report[name]["f1-score"])
        assert values[f"support/{name}"] == report[name]["support"]
        rest, predicted_rest = labels != i, predicted != i
        assert values[f"specificity/{name}"] == pytest.approx(sk.recall_score(rest, predicted_rest))
        average = sk.average_precision_score(labels == i, predictions.probabilities[:, i])
        assert values[f"auprc/{name}"] == pytest.approx(average)


def test_scores_of_a_case_computed_by_hand():
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    predicted = np.array([0, 0, 0, 1, 1, 0, 2, 2])
    values = score(labels, one_hot(predicted), NSV).values
    assert values["accuracy"] == 6 / 8
    assert values["balanced_accuracy"] == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    assert values["macro_f1"] == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    assert values["specificity/N"] == 3 / 4
    kappa = (6 / 8 - 24 / 64) / (1 - 24 / 64)
    assert values["kappa"] == pytest.approx(kappa)
    assert values["jk_index"] == pytest.approx(kappa / 2 + (1 / 2 + 1 + 1 / 2 + 1) / 8)


def test_scores_are_independent_of_the_order_of_beats(predictions):
    order = np.random.default_rng(0).permutation(len(predictions.labels))
    straight = score(predictions.labels, predictions.probabilities, predictions.class_names).values
    shuffled = score(
        predictions.labels[order], predictions.probabilities[order], predictions.class_names
    ).values
    assert shuffled == pytest.approx(straight, rel=1e-12)


def test_overall_scores_are_independent_of_the_order_of_classes(predictions):
    order = np.array([3, 0, 4, 2, 1])  # new column j shows old class order[j]
    names = [predictions.class_names[i] for i in order]
    straight = score(predictions.labels, predictions.probabilities, predictions.class_names).values
    turned = score(
        np.argsort(order)[predictions.labels], predictions.probabilities[:, order], names
    ).values
    assert turned == pytest.approx(straight, rel=1e-9)


def test_class_never_predicted_has_f1_zero():
    scores = score(np.array([0, 0, 1, 2]), one_hot([0, 0, 0, 2]), NSV)
    assert math.isnan(scores.values["positive_predictivity/S"])
    assert scores.undefined["positive_predictivity/S"] == "no beat was predicted S"
    assert scores.values["f1/S"] == 0
    assert scores.values["macro_f1"] == pytest.approx((0.8 + 0 + 1) / 3)
    assert (
        "positive_predictivity/S is undefined (no beat was predicted S)"
        in scores.undefined["jk_index"]
    )


def test_cause_of_several_undefined_scores_is_said_once():
    assert causes(score(np.array([0, 0, 2]), one_hot([0, 2, 2]), NSV).undefined) == {
        "no beat is of class S": ["jk_index", "sensitivity/S", "f1/S", "auroc/S", "auprc/S"],
        "no beat was predicted S": ["jk_index", "positive_predictivity/S"],
    }


def test_class_without_beats_has_undefined_scores_with_reasons():
    scores = score(np.array([0, 0, 2]), one_hot([0, 2, 2]), NSV)
    reasons = {key: reason for key, reason in scores.undefined.items() if key.endswith("/S")}
    assert reasons == {
        "sensitivity/S": "no beat is of class S",
        "positive_predictivity/S": "no beat was predicted S",
        "f1/S": "no beat is of class S",
        "auroc/S": "no beat is of class S",
        "auprc/S": "no beat is of class S",
    }
    assert scores.values["balanced_accuracy"] == pytest.approx(
        (0.5 + 1) / 2
    )  # over N and V, the classes present


def test_beats_of_one_class_have_undefined_averages_and_kappa():
    scores = score(np.zeros(4, int), one_hot([0, 0, 0, 0]), NSV)
    vacuous = {"macro_f1", "balanced_accuracy", "auroc_macro", "auprc_macro", "auroc/N", "auprc/N"}
    assert vacuous | {"kappa", "specificity/N", "jk_index"} <= set(scores.undefined)
    assert "every beat is of class N" in scores.undefined["macro_f1"]
    assert scores.values["accuracy"] == 1


def test_false_positives_of_an_absent_class_give_no_f1():
    scores = score(np.array([0, 0, 2]), one_hot([0, 1, 2]), NSV)
    assert scores.values["positive_predictivity/S"] == 0
    assert scores.undefined["f1/S"] == "no beat is of class S"
    assert scores.values["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)


def test_undefined_score_is_nan_with_a_reason_and_no_metric():
    scores = score(np.array([0, 0, 1]), one_hot([0, 0, 0]), NSV)
    assert set(scores.undefined) == {
        key for key, value in scores.values.items() if math.isnan(value)
    }
    assert all(scores.undefined.values())
    flat = scores.metrics("test")
    assert set(flat) == {f"test/{key}" for key in scores.values if key not in scores.undefined}


def test_scores_raise_no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score(np.array([0, 0, 1]), one_hot([0, 0, 0]).astype(np.float32), NSV)
        score(np.zeros(2, int), one_hot([2, 2]), NSV)


def test_metric_keys_of_paced_beats_have_one_slash():
    keys = score(np.array([0, 1]), np.eye(2), ("N", "/")).values
    assert "f1/paced" in keys
    assert all(key.count("/") <= 1 for key in keys)


def test_quick_scores_are_a_subset_of_the_full_ones(predictions):
    quick = quick_scores(
        predictions.labels, predictions.probabilities, predictions.class_names
    ).values
    full = score(predictions.labels, predictions.probabilities, predictions.class_names).values
    assert quick == {key: full[key] for key in quick}
    assert set(full) - set(quick) == {
        "expected_calibration_error",
        "auroc_macro",
        "auprc_macro",
    } | {f"{area}/{name}" for area in ("auroc", "auprc") for name in predictions.class_names}


def test_majority_baseline_of_ds2_is_its_share_of_normal_beats():
    labels = np.repeat(np.arange(5), [44259, 1837, 3221, 388, 7])
    majority = majority_scores(labels, 0, ("N", "S", "V", "F", "Q"))
    assert majority.values["accuracy"] == pytest.approx(0.890, abs=5e-4)
    assert majority.values["balanced_accuracy"] == pytest.approx(1 / 5)
    assert majority.values["kappa"] == 0
    assert "jk_index" in majority.undefined


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_probabilities_not_finite_are_refused_with_their_number(bad):
    probabilities = one_hot([0, 1, 2])
    probabilities[1, 0] = bad
    with pytest.raises(
        DataError, match=r"not finite for 1 of 3 beats \(first: beat 1\).*trainer\.learning_rate"
    ):
        score(np.array([0, 1, 2]), probabilities, NSV)


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([0, 3], one_hot([0, 1]), r"0 to 3\) must be integers from 0 to 2"),
        ([0, -1], one_hot([0, 1]), r"-1 to 0\) must be integers"),
        ([0.0, 1.0], one_hot([0, 1]), r"float64.*must be integers"),
        ([0, 1, 2], one_hot([0, 1]), r"must be \(3, 3\)"),
        ([0, 1], np.array([[3.0, 1, 0], [0, 1, 0]]), r"sum to 1"),
        ([0, 1], np.array([[1.5, -0.5, 0], [0, 1, 0]]), r"non-negative"),
        ([], np.zeros((0, 3)), r"0 beats of 3 classes cannot be scored"),
    ],
)
def test_inconsistent_inputs_are_refused(labels, probabilities, message):
    with pytest.raises(ValueError, match=message):
        score(np.array(labels), probabilities, NSV)


def test_quick_scores_do_not_rank_the_beats(predictions, monkeypatch):
    for ranking in ("roc_auc_score", "average_precision_score"):
        monkeypatch.delattr(sk, ranking)
    assert quick_scores(predictions.labels, predictions.probabilities, predictions.class_names)
