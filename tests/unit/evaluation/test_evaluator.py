import dataclasses
import math
import subprocess
import sys

import numpy as np
import pytest

from ecgexp.evaluation.evaluator import evaluate


def evaluation_of(predictions, **changes):
    arguments = {
        "labels": predictions.labels,
        "probabilities": predictions.probabilities,
        "class_names": predictions.class_names,
        "record_ids": predictions.record_ids,
        "patient_ids": predictions.patient_ids,
        "majority_class": 0,
        "rng": np.random.default_rng(0),
        "num_resamples": 200,
    }
    return evaluate(**arguments | changes)


def test_confusion_matrix_counts_every_beat_once(predictions):
    evaluation = evaluation_of(predictions)
    assert evaluation.confusion.sum() == evaluation.num_beats == len(predictions.labels)
    assert np.trace(evaluation.confusion) / evaluation.num_beats == pytest.approx(
        evaluation.scores.values["accuracy"]
    )


def test_records_add_up_to_all_beats(predictions):
    evaluation = evaluation_of(predictions)
    beats = np.array([row["beats"] for row in evaluation.per_record])
    right = sum(row["beats"] * row["accuracy"] for row in evaluation.per_record)
    assert beats.sum() == evaluation.num_beats
    assert right / beats.sum() == pytest.approx(evaluation.scores.values["accuracy"])
    for name in predictions.class_names:
        support = sum(row[f"support/{name}"] for row in evaluation.per_record)
        assert support == evaluation.scores.values[f"support/{name}"]


def test_two_records_of_one_patient_are_two_rows(predictions):
    rows = {row["record"]: row for row in evaluation_of(predictions).per_record}
    assert len(rows) == 23
    assert rows["99"]["patient"] == rows["100"]["patient"] == "p0"
    assert "22 patients" in evaluation_of(predictions).intervals_note


def test_record_without_a_class_has_no_sensitivity_for_it():
    evaluation = evaluate(
        labels=np.array([0, 0, 1]),
        probabilities=np.eye(2)[[0, 1, 1]],
        class_names=("N", "/"),
        record_ids=np.array(["100", "100", "104"]),
        patient_ids=np.array(["100", "100", "104"]),
        majority_class=0,
        rng=np.random.default_rng(0),
    )
    first, second = evaluation.per_record
    assert (first["support/paced"], second["support/paced"]) == (0, 1)
    assert math.isnan(first["sensitivity/paced"])
    assert second["sensitivity/paced"] == 1
    assert evaluation.intervals_note == "no intervals: 2 patients, and at least 5 are needed"


def test_metrics_are_flat_finite_numbers_under_stable_keys(predictions):
    metrics = evaluation_of(predictions).metrics("test")
    assert {
        "test/accuracy",
        "test/accuracy_ci_low",
        "test/accuracy_ci_high",
        "test/jk_index",
        "test/f1/V",
        "test/f1_ci_low/V",
        "test/sensitivity/S",
        "test/auroc_macro",
        "test/expected_calibration_error",
        "test/majority/accuracy",
        "test/majority/macro_f1",
    } <= set(metrics)
    assert all(type(value) is float and math.isfinite(value) for value in metrics.values())
    assert not any(key.startswith("test/majority/") and key.count("/") > 2 for key in metrics)


def test_undefined_scores_are_listed_and_not_metrics(predictions):
    never_q = predictions.probabilities.copy()
    never_q[:, 0] += never_q[:, 4]
    never_q[:, 4] = 0
    evaluation = evaluation_of(predictions, probabilities=never_q)
    assert evaluation.undefined["positive_predictivity/Q"] == "no beat was predicted Q"
    assert not any("positive_predictivity/Q" in key for key in evaluation.metrics("test"))
    assert "positive_predictivity/Q" not in evaluation.intervals_missing


def test_baseline_predicts_the_majority_class_of_training(predictions):
    baseline = evaluation_of(predictions, majority_class=2)
    assert baseline.majority_class == "V"
    assert baseline.majority.values["accuracy"] == pytest.approx(np.mean(predictions.labels == 2))


def test_assumed_patients_are_records_in_the_note(predictions):
    evaluation = evaluation_of(predictions, patient_word="record")
    assert evaluation.intervals_note == "95 % by bootstrap over 22 records, 200 resamples"


def test_unknown_patients_have_no_intervals(predictions):
    evaluation = evaluation_of(predictions, patient_ids=None)
    assert evaluation.intervals == {}
    assert "patients unknown" in evaluation.intervals_note
    assert evaluation.per_record[0]["patient"] == ""


def test_intervals_are_absent_without_resamples(predictions):
    evaluation = evaluation_of(predictions, num_resamples=0)
    assert evaluation.intervals == {}
    assert evaluation.intervals_note == "no intervals: num_resamples=0"


def test_evaluation_is_frozen(predictions):
    with pytest.raises(dataclasses.FrozenInstanceError):
        evaluation_of(predictions).num_beats = 1


def test_evaluator_imports_no_heavy_library():
    code = (
        "import sys, ecgexp.evaluation.evaluator, ecgexp.evaluation.tables;"
        "print([m for m in ('sklearn', 'matplotlib', 'scipy', 'pandas', 'tensorflow', "
        "'rich') if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
