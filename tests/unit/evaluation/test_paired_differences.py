import math
from dataclasses import replace

import numpy as np
import pytest

from ecgexp.evaluation.metrics import score
from ecgexp.evaluation.paired_differences import paired_differences
from ecgexp.evaluation.pairs import Pairs
from ecgexp.formatting import difference_text

AAMI = ("N", "S", "V", "F", "Q")


def pairs_of(predictions, other, **changes):
    values = {
        "labels": predictions.labels,
        "predicted_a": predictions.predicted,
        "predicted_b": other,
        "patients": predictions.patient_ids,
        "class_names": AAMI,
    }
    return Pairs(**values | changes)


def contrasted(pairs, **changes):
    return paired_differences(
        pairs, **{"rng": np.random.default_rng(0), "num_resamples": 500} | changes
    )


def by_key(found):
    return {row.key: row for row in found.differences}


@pytest.fixture(scope="module")
def corrected(predictions):
    """Predictions that are correct for an additional tenth of the beats of every patient."""
    lucky = np.random.default_rng(5).random(len(predictions.labels)) < 0.1
    return np.where(lucky, predictions.labels, predictions.predicted)


def test_paired_scores_equal_those_of_the_evaluator(predictions, corrected):
    found = by_key(contrasted(pairs_of(predictions, corrected)))
    theirs = [
        score(predictions.labels, np.eye(5)[said], AAMI).values
        for said in (predictions.predicted, corrected)
    ]
    assert list(found) == [
        "accuracy",
        "balanced_accuracy",
        "macro_f1",
        "jk_index",
        *(
            f"{name}/{label}"
            for name in ("f1", "sensitivity", "positive_predictivity")
            for label in AAMI
        ),
    ]
    for key, row in found.items():
        assert (row.a, row.b) == (pytest.approx(theirs[0][key]), pytest.approx(theirs[1][key]))
        assert row.difference == row.b - row.a
    assert found["f1/V"].name == "F1 of V"


def test_model_better_for_every_patient_is_found_better(predictions, corrected):
    found = contrasted(pairs_of(predictions, corrected))
    macro_f1 = by_key(found)["macro_f1"]
    assert macro_f1.interval.low > 0
    assert macro_f1.leaves_zero_out
    assert found.verdict() == (
        f"B is better in macro F1 by {macro_f1.difference:.3f} "
        f"({macro_f1.interval.low:.3f} to {macro_f1.interval.high:.3f}, 22 patients)."
    )


def test_verdict_is_antisymmetric(predictions, corrected):
    found = contrasted(pairs_of(predictions, predictions.predicted, predicted_a=corrected))
    macro_f1 = by_key(found)["macro_f1"]
    assert macro_f1.interval.high < 0
    assert found.verdict() == (
        f"A is better in macro F1 by {-macro_f1.difference:.3f} "
        f"({-macro_f1.interval.high:.3f} to {-macro_f1.interval.low:.3f}, 22 patients)."
    )


def test_intervals_of_identical_models_are_exactly_0(predictions):
    found = contrasted(pairs_of(predictions, predictions.predicted))
    assert all(
        (row.interval.low, row.interval.high, row.difference) == (0, 0, 0)
        for row in found.differences
    )
    assert not any(row.leaves_zero_out for row in found.differences)
    assert found.verdict() == "A and B predict the same class for every beat: neither is better."


def test_difference_within_noise_is_not_found():
    # 22 patients; B gains two beats in each of eleven and loses two in each other one, but one in
    # the last.
    labels = np.tile(np.arange(100) % 2, 22)
    patients, place = np.repeat(np.arange(22), 100), np.tile(np.arange(100), 22)
    gain = np.where(patients < 11, 2, -2) + (patients == 21)
    right_a, right_b = place < 80, place < 80 + gain
    made = Pairs(
        labels=labels,
        predicted_a=np.where(right_a, labels, 1 - labels),
        predicted_b=np.where(right_b, labels, 1 - labels),
        patients=patients.astype(str),
        class_names=("N", "V"),
    )
    found = contrasted(made, metric="accuracy")
    accuracy = by_key(found)["accuracy"]
    assert accuracy.difference == pytest.approx(1 / 2200)
    assert accuracy.interval.low < 0 < accuracy.interval.high
    assert accuracy.leaves_zero_out is False
    low = f"{-accuracy.interval.low:.3f}"
    assert found.verdict() == (
        f"The difference of 0.0005 in accuracy may be chance (−{low} to "
        f"{accuracy.interval.high:.3f}, 22 patients)."
    )


def test_verdict_uses_the_requested_score_or_macro_f1(predictions, corrected):
    pairs = pairs_of(predictions, corrected)
    assert contrasted(pairs, metric="f1/V").decisive.key == "f1/V"
    assert contrasted(pairs, metric="f1/V").stands_in == ""
    substitute = contrasted(pairs, metric="loss")
    assert substitute.decisive.key == "macro_f1"
    assert (
        substitute.stands_in
        == "macro F1 is used instead of loss, which is not computed from predicted classes"
    )


def test_undefined_score_does_not_decide(predictions):
    quiet = np.where(
        predictions.predicted == 1, 0, predictions.predicted
    )  # never S, so no jk index
    found = contrasted(pairs_of(predictions, quiet), metric="jk_index")
    assert found.decisive.key == "macro_f1"
    row = by_key(found)["jk_index"]
    assert math.isnan(row.b)
    assert not math.isnan(row.a)
    assert row.interval is None
    assert row.leaves_zero_out is None
    assert row.missing == "undefined for B"
    assert found.stands_in == "macro F1 is used instead of jk_index, which is undefined for B"


def test_averages_name_their_classes_if_one_is_absent(predictions, corrected):
    pairs = pairs_of(predictions, corrected)
    assert by_key(contrasted(pairs))["macro_f1"].name == "macro F1"
    kept = pairs.labels != 4
    fewer = replace(
        pairs,
        labels=pairs.labels[kept],
        predicted_a=pairs.predicted_a[kept],
        predicted_b=pairs.predicted_b[kept],
        patients=pairs.patients[kept],
    )
    found = contrasted(fewer)
    assert by_key(found)["macro_f1"].name == "macro F1 over N, S, V, F"
    assert found.averaged == ("N", "S", "V", "F")
    assert "in macro F1 over N, S, V, F" in found.verdict()


def test_fewer_than_five_patients_have_no_interval(predictions, corrected):
    four = np.array([f"p{i % 4}" for i in range(len(corrected))])
    found = contrasted(pairs_of(predictions, corrected, patients=four))
    assert all(row.interval is None for row in found.differences)
    assert found.verdict().endswith(
        "in macro F1 may be chance; no intervals: 4 patients, and at least 5 are needed."
    )


def test_no_resamples_give_no_interval(predictions, corrected):
    found = contrasted(pairs_of(predictions, corrected), num_resamples=0)
    assert found.note == "no intervals: num_resamples=0"
    assert found.decisive.interval is None


def test_class_names_with_special_characters_are_compared(predictions, corrected):
    names = ("N", "S", "V", "F", "/")
    found = by_key(contrasted(pairs_of(predictions, corrected, class_names=names)))
    assert found["f1/paced"].name == "F1 of /"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0312, "0.031"),
        (-0.0031, "−0.003"),
        (0.0, "0.000"),
        (-0.00004, "−0.00004"),
        (math.nan, "–"),
    ],
)
def test_numbers_are_formatted_for_display(value, text):
    assert difference_text(value) == text


def test_intervals_from_few_patients_cover_as_documented():
    """With 10 patients, intervals contain 0 in about 91 % of the cases.

    Seeded; ± 0.05 is three standard errors of 300 cases.
    """
    rng, patients, beats, held = np.random.default_rng(1), 10, 50, 0
    labels = np.tile(np.arange(beats) % 2, patients)
    for _ in range(300):
        base, leaning = 0.9 * rng.beta(9, 1, (patients, 1)), rng.normal(0, 0.05, (patients, 1))
        right_a = (rng.random((patients, beats)) < base).ravel()
        right_b = (rng.random((patients, beats)) < base + leaning).ravel()
        said = [np.where(right, labels, 1 - labels) for right in (right_a, right_b)]
        made = Pairs(
            labels=labels,
            predicted_a=said[0],
            predicted_b=said[1],
            patients=np.repeat(np.arange(patients), beats),
            class_names=("N", "V"),
        )
        held += not by_key(contrasted(made, rng=rng, num_resamples=300))["accuracy"].leaves_zero_out
    assert held / 300 == pytest.approx(0.91, abs=0.05)
