import numpy as np
import pytest

from ecgexp.evaluation.calibration import reliability


def binary(confidence):
    return np.column_stack([confidence, 1 - confidence])


def test_error_of_calibrated_predictions_is_sampling_error():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 200_000)
    labels = (rng.random(200_000) > confidence).astype(int)
    bins = reliability(labels, binary(confidence))
    # Eight bins of about 25 000 beats: |gap| has mean near 0.8·sqrt(.19/25000) = 0.002; five of
    # them is < 1 in 10^6.
    assert bins.expected_calibration_error < 0.006


def test_error_of_overconfident_predictions_is_the_excess():
    rng = np.random.default_rng(0)
    confidence = np.full(100_000, 0.95)
    labels = (rng.random(100_000) > 0.75).astype(int)
    # standard error .0014; five of them: flake rate < 1 in 10^6
    assert reliability(labels, binary(confidence)).expected_calibration_error == pytest.approx(
        0.2, abs=0.007
    )


def test_error_of_two_bins_computed_by_hand():
    labels = np.array([0, 0, 1, 0])
    bins = reliability(labels, binary(np.array([0.9, 0.9, 0.9, 0.6])))
    # .9: three beats, 2/3 right, gap .2333; .6: one beat, right, gap .4
    assert bins.expected_calibration_error == pytest.approx(0.75 * (0.9 - 2 / 3) + 0.25 * 0.4)


def test_every_beat_is_in_one_bin_and_1_is_in_the_last():
    bins = reliability(np.array([0, 0, 1]), binary(np.array([1.0, 0.5, 0.51])), num_bins=10)
    assert bins.counts.sum() == 3
    assert bins.counts[-1] == 1
    assert bins.counts[4] == 1  # 0.5 is the upper edge of (0.4, 0.5]
    assert np.isnan(bins.accuracy[0])
