import numpy as np
import pytest

from ecgexp.evaluation import bootstrap
from ecgexp.evaluation.bootstrap import cluster_bootstrap, paired_difference
from ecgexp.evaluation.confusion import confusion_scores, count_confusion


def intervals_of(case, **changes):
    arguments = {
        "labels": case.labels,
        "predictions": case.predicted,
        "class_names": case.class_names,
        "clusters": case.patient_ids,
        "rng": np.random.default_rng(0),
    }
    return cluster_bootstrap(**arguments | changes)


def simulated_accuracy_intervals(rng, *, patients, beats, simulations, clusters):
    """Patients whose accuracy is drawn from Beta(9, 1), so that the population's is 0.9."""
    labels = np.tile(np.arange(beats) % 2, patients)
    for _ in range(simulations):
        right = rng.random((patients, beats)) < rng.beta(9, 1, size=(patients, 1))
        yield cluster_bootstrap(
            labels=labels,
            predictions=np.where(right.ravel(), labels, 1 - labels),
            class_names=("N", "V"),
            clusters=clusters,
            rng=rng,
            num_resamples=200,
        ).intervals["accuracy"]


def test_intervals_by_patient_have_nearly_nominal_coverage():
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(40), 50)
    intervals = simulated_accuracy_intervals(
        rng, patients=40, beats=50, simulations=300, clusters=clusters
    )
    covered = np.mean([interval.low <= 0.9 <= interval.high for interval in intervals])
    # Nominal .95, truly about .93 with 40 patients: standard error .015, so a new seed fails less
    # than 1 time in 1000.
    assert 0.88 <= covered <= 0.98


def test_intervals_by_beat_would_have_too_low_coverage():
    rng = np.random.default_rng(0)
    intervals = simulated_accuracy_intervals(
        rng, patients=40, beats=50, simulations=100, clusters=np.arange(2000)
    )
    covered = np.mean([interval.low <= 0.9 <= interval.high for interval in intervals])
    assert (
        covered < 0.85
    )  # about .6; standard error .05, so a new seed fails less than 1 time in 10 000


def test_resample_scores_equal_those_of_copied_beats(predictions):
    names, groups = np.unique(predictions.patient_ids, return_inverse=True)
    weights = np.random.default_rng(5).multinomial(
        len(names), np.full(len(names), 1 / len(names)), size=200
    )
    copies = [np.repeat(np.arange(len(groups)), w[groups]) for w in weights]
    matrices = [
        count_confusion(predictions.labels[c], predictions.predicted[c], num_classes=5)[0]
        for c in copies
    ]
    accuracy = confusion_scores(np.array(matrices), predictions.class_names)["accuracy"]
    bootstrap = intervals_of(predictions, rng=np.random.default_rng(5), num_resamples=200)
    interval = bootstrap.intervals["accuracy"]
    assert [interval.low, interval.high] == pytest.approx(
        np.percentile(accuracy, [2.5, 97.5]), rel=1e-12
    )


def test_intervals_contain_the_score_and_depend_on_the_level(predictions):
    wide, narrow = intervals_of(predictions), intervals_of(predictions, confidence_level=0.5)
    matrix = count_confusion(predictions.labels, predictions.predicted, num_classes=5)[0]
    for key, value in confusion_scores(matrix, predictions.class_names).items():
        assert wide.intervals[key].low <= value <= wide.intervals[key].high, key
        assert (
            wide.intervals[key].low
            < narrow.intervals[key].low
            < narrow.intervals[key].high
            < wide.intervals[key].high
        )
    assert wide.note == "95 % by bootstrap over 22 patients, 1000 resamples"


def test_intervals_are_independent_of_the_order_of_beats(predictions):
    order = np.random.default_rng(1).permutation(len(predictions.labels))
    shuffled = intervals_of(
        predictions,
        labels=predictions.labels[order],
        predictions=predictions.predicted[order],
        clusters=predictions.patient_ids[order],
    )
    assert shuffled == intervals_of(predictions)
    assert shuffled != intervals_of(predictions, rng=np.random.default_rng(1))


def test_fewer_than_five_patients_have_no_intervals(predictions):
    four = intervals_of(predictions, clusters=np.arange(len(predictions.labels)) % 4)
    assert four.intervals == {}
    assert four.note == "no intervals: 4 patients, and at least 5 are needed"
    assert intervals_of(predictions, clusters=np.arange(len(predictions.labels)) % 5).intervals


def test_class_of_one_patient_has_no_interval():
    labels = np.zeros(1000, int)
    labels[:50] = 1  # all V beats are patient 0's
    bootstrap = cluster_bootstrap(
        labels=labels,
        predictions=labels,
        class_names=("N", "V"),
        clusters=np.repeat(np.arange(10), 100),
        rng=np.random.default_rng(0),
    )
    assert "sensitivity/V" not in bootstrap.intervals
    assert "it depends on too few patients" in bootstrap.missing["sensitivity/V"]
    assert "sensitivity/N" in bootstrap.intervals


def test_intervals_of_averages_are_of_the_same_classes():
    labels = np.zeros(1000, int)
    labels[:50] = 1  # all V beats are patient 0's: two resamples in five have none
    arguments = {
        "class_names": ("N", "V"),
        "clusters": np.repeat(np.arange(10), 100),
        "rng": np.random.default_rng(0),
    }
    bootstrap = cluster_bootstrap(labels=labels, predictions=labels, **arguments)
    paired = paired_difference(
        labels=labels, predictions=labels, other_predictions=1 - labels, **arguments
    )
    for found in (bootstrap, paired):
        for key in ("macro_f1", "balanced_accuracy", "f1/V"):
            assert "it depends on too few patients" in found.missing[key]
        assert "accuracy" in found.intervals


def test_paired_intervals_find_what_separate_ones_miss(predictions):
    rng = np.random.default_rng(0)
    spoiled = predictions.predicted.copy()
    spoiled[rng.choice(len(spoiled), 60, replace=False)] = (
        4  # one beat in a hundred, in every patient alike
    )
    shared = {
        "labels": predictions.labels,
        "class_names": predictions.class_names,
        "clusters": predictions.patient_ids,
    }
    difference = paired_difference(
        predictions=predictions.predicted,
        other_predictions=spoiled,
        rng=np.random.default_rng(1),
        **shared,
    )
    better, worse = (
        intervals_of(predictions).intervals,
        intervals_of(predictions, predictions=spoiled).intervals,
    )
    assert better["accuracy"].low < worse["accuracy"].high
    assert 0 < difference.intervals["accuracy"].low < difference.intervals["accuracy"].high < 0.015


def test_paired_difference_of_a_model_with_itself_is_zero(predictions):
    same = paired_difference(
        labels=predictions.labels,
        predictions=predictions.predicted,
        other_predictions=predictions.predicted,
        class_names=predictions.class_names,
        clusters=predictions.patient_ids,
        rng=np.random.default_rng(0),
    )
    assert all((interval.low, interval.high) == (0, 0) for interval in same.intervals.values())


def test_thousand_resamples_count_and_score_once(monkeypatch):
    calls = []
    for step in (count_confusion, confusion_scores):
        monkeypatch.setattr(
            bootstrap,
            step.__name__,
            lambda *arrays, step=step, **named: (
                calls.append(step.__name__) or step(*arrays, **named)
            ),
        )
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 5, (2, 50_000))
    clusters = rng.integers(0, 22, 50_000)
    cluster_bootstrap(
        labels=labels,
        predictions=predicted,
        class_names=("N", "S", "V", "F", "Q"),
        clusters=clusters,
        rng=rng,
    )
    assert calls == ["count_confusion", "confusion_scores"]
