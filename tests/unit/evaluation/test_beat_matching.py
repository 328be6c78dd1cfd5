import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgexp.evaluation.beat_matching import match_beats


def matched(reference, detected, fs_hz=1000.0):
    return match_beats(np.asarray(reference, np.int64), np.asarray(detected, np.int64), fs_hz)


def test_missed_and_false_beats_are_counted():
    found = matched([1000, 2000, 3000, 4000], [1010, 2500, 2990, 4149])
    assert found.partners.tolist() == [0, -1, 2, 3]
    assert (found.num_matched, found.num_detected) == (3, 4)
    assert (found.sensitivity, found.positive_predictivity) == (0.75, 0.75)


@pytest.mark.parametrize(("fs_hz", "reach"), [(1000.0, 150), (360.0, 54), (250.0, 37), (128.0, 19)])
def test_tolerance_includes_150_ms_and_not_a_sample_more(fs_hz, reach):
    assert matched([5000], [5000 + reach], fs_hz).num_matched == 1
    assert matched([5000], [5000 - reach], fs_hz).num_matched == 1
    assert matched([5000], [5001 + reach], fs_hz).num_matched == 0
    assert matched([5000], [4999 - reach], fs_hz).num_matched == 0


def test_closer_of_two_detections_is_matched():
    assert matched([1000], [900, 1020]).partners.tolist() == [1]
    assert matched([1000, 1100], [1090]).partners.tolist() == [-1, 0]
    assert matched([1000, 1100], [1040, 1090]).partners.tolist() == [0, 1]


def test_matching_without_beats_is_nan():
    nothing, one = [], [7]
    assert (matched(one, nothing).sensitivity, matched(nothing, one).positive_predictivity) == (
        0.0,
        0.0,
    )
    assert math.isnan(matched(nothing, one).sensitivity)
    assert math.isnan(matched(one, nothing).positive_predictivity)


@settings(max_examples=200)
@given(st.lists(st.integers(151, 2000), min_size=1, max_size=30), st.data())
def test_shifted_beats_match_their_own_reference(intervals, data):
    reference = np.cumsum(np.asarray(intervals) + 150)
    kept = np.asarray(
        data.draw(st.lists(st.booleans(), min_size=len(reference), max_size=len(reference)))
    )
    moves = data.draw(
        st.lists(st.integers(-75, 75), min_size=len(reference), max_size=len(reference))
    )
    found = matched(reference, (reference + moves)[kept])
    expected = np.where(kept, np.cumsum(kept) - 1, -1)
    assert found.partners.tolist() == expected.tolist()


@settings(max_examples=200)
@given(st.sets(st.integers(0, 30_000), min_size=2), st.sets(st.integers(0, 30_000), min_size=2))
def test_every_beat_is_in_one_pair_within_the_tolerance(reference, detected):
    reference, detected = np.sort(list(reference)), np.sort(list(detected))
    found = matched(reference, detected)
    paired = found.partners[found.partners >= 0]
    assert len(set(paired.tolist())) == len(paired) == found.num_matched
    assert (np.abs(reference[found.partners >= 0] - detected[paired]) <= 150).all()
    alone = np.setdiff1d(np.arange(len(detected)), paired)
    gaps = np.abs(reference[found.partners < 0][:, None] - detected[alone])
    assert not (gaps <= 150).any()  # two unmatched beats would have been matched


def test_wfdb_counts_the_same_at_physiological_intervals():
    from wfdb.processing import compare_annotations

    rng = np.random.default_rng(0)
    reference = np.cumsum(rng.integers(120, 500, 2000))
    detected = np.unique(
        (reference + rng.normal(0, 30, 2000).round().astype(int))[rng.random(2000) > 0.1]
    )
    extra = rng.integers(0, reference[-1], 100)
    detected = np.unique(np.concatenate([detected, extra]))
    theirs = compare_annotations(
        reference, detected, 55
    )  # below 55 samples is up to 54, 150 ms at 360 Hz
    ours = matched(reference, detected, 360.0)
    assert ours.num_matched == pytest.approx(
        theirs.tp, abs=3
    )  # wfdb matches from left to right, we match the closest first
    assert ours.sensitivity == pytest.approx(theirs.sensitivity, abs=0.002)
