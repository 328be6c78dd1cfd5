"""Windows, relocation and RR intervals compared with loops; baseline removal with scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import medfilt

from ecgexp.data.beats import RR_FEATURES
from ecgexp.data.preprocessing.baseline import (
    bandpass,
    odd_samples,
    remove_median_baseline,
    resample,
)
from ecgexp.data.preprocessing.windows import cut_windows, relocate, rr_features, template

SIGNAL = np.random.default_rng(0).normal(size=(400, 2))


@pytest.mark.parametrize(
    ("fs_hz", "short", "long"),
    [(360, 71, 215), (128, 25, 75), (257, 51, 153), (1000, 199, 599), (250, 49, 149)],
)
def test_odd_samples_is_the_largest_odd_number_in_the_duration(fs_hz, short, long):
    assert (odd_samples(200, fs_hz), odd_samples(600, fs_hz)) == (short, long)


def test_median_baseline_is_bit_equal_to_medfilt_71_then_215():
    lead = np.random.default_rng(1).normal(size=3000).cumsum() / 50
    np.testing.assert_array_equal(
        remove_median_baseline(lead, 360.0), lead - medfilt(medfilt(lead, 71), 215)
    )


def test_bandpass_removes_wander_and_does_not_shift_beats():
    time = np.arange(7200) / 360
    beats = np.exp(-(((time % 0.8) - 0.4) ** 2) / (2 * 0.02**2))
    cleaned = bandpass(beats + 2 * np.sin(2 * np.pi * 0.1 * time), 360.0, (0.5, 40.0))[720:-720]
    expected = bandpass(beats, 360.0, (0.5, 40.0))[720:-720]
    assert np.abs(cleaned - expected).max() < 0.05
    peaks = (
        np.flatnonzero(
            (cleaned[1:-1] > cleaned[:-2]) & (cleaned[1:-1] > cleaned[2:]) & (cleaned[1:-1] > 0.5)
        )
        + 1
    )
    assert np.all(np.abs(beats[720:-720][peaks] - 1) < 0.01)


@pytest.mark.parametrize(("from_hz", "to_hz"), [(128, 360), (257, 360), (360, 128), (360.0, 360.0)])
def test_resampling_keeps_a_slow_sine_and_its_phase(from_hz, to_hz):
    lead = np.sin(2 * np.pi * 3 * np.arange(int(10 * from_hz)) / from_hz)
    there = resample(lead, from_hz, to_hz)
    assert len(there) == pytest.approx(10 * to_hz, abs=1)
    expected = np.sin(2 * np.pi * 3 * np.arange(len(there)) / to_hz)
    assert np.abs(there - expected)[int(to_hz) : -int(to_hz)].max() < 0.01


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 399), min_size=1, max_size=20, unique=True),
    st.integers(0, 60),
    st.integers(1, 60),
)
def test_windows_equal_the_loop(r_samples, before, after):
    r_samples = np.sort(r_samples)
    windows, inside = cut_windows(SIGNAL, r_samples, before, after)
    kept = [r for r in r_samples if r - before >= 0 and r + after <= 400]
    assert r_samples[inside].tolist() == kept
    assert windows.shape == (len(kept), before + after, 2)
    for window, r in zip(windows, kept, strict=True):
        np.testing.assert_array_equal(window, SIGNAL[r - before : r + after].astype(np.float32))


@settings(max_examples=60)
@given(st.lists(st.integers(0, 399), min_size=1, max_size=20), st.integers(0, 30))
def test_relocation_equals_the_loop(r_samples, reach):
    moved = relocate(SIGNAL[:, 0], np.asarray(r_samples), reach)
    for r, place in zip(r_samples, moved, strict=True):
        low = max(0, r - reach)
        assert place == (r if reach == 0 else low + SIGNAL[low : r + reach + 1, 0].argmax())


@settings(max_examples=60)
@given(st.lists(st.integers(1, 2000), min_size=1, max_size=260))
def test_rr_features_equal_the_loop(gaps):
    r_samples = np.concatenate([[7], 7 + np.cumsum(gaps)])
    intervals = np.asarray(gaps) / 360

    def interval(place):  # beyond the ends, the first or last one again
        return intervals[min(max(place, 0), len(intervals) - 1)]

    for i, row in enumerate(rr_features(r_samples, 360.0)):
        previous, following = interval(i - 1), interval(i)
        local = intervals[max(0, i - 10) : i].mean() if i else intervals[0]
        around = [interval(place) for place in range(i - 5, i + 5)]
        half_minute = sorted(interval(place) for place in range(i - 20, i + 20))
        quantiles = [
            np.interp(share * 39, range(40), half_minute) for share in (0.1, 0.25, 0.5, 0.75, 0.9)
        ]
        first = max(0, min(i - 120, len(intervals) - 240))
        wide = intervals[first : first + 240]
        changes = [
            [abs(wide[place + lag] - wide[place]) for place in range(len(wide) - lag)]
            for lag in (1, 2, 3)
            if lag < len(wide)
        ]
        rr_irregularity = min(
            (np.quantile(change, 0.25) for change in changes), default=0.0
        ) / np.median(wide)
        expected = [
            previous,
            following,
            local,
            previous / intervals.mean(),
            *around,
            *quantiles,
            rr_irregularity,
        ]
        assert len(expected) == len(RR_FEATURES)
        np.testing.assert_allclose(row, expected, rtol=1e-5)


def rr_irregularity(intervals_s):
    return rr_features(np.cumsum(np.r_[1, np.round(1000 * intervals_s)]), 1000.0)[
        len(intervals_s) // 2, -1
    ]


def _premature(intervals_s, places):
    intervals_s = intervals_s.copy()
    intervals_s[places] *= 0.6
    intervals_s[places + 1] *= 1.4
    return intervals_s


@pytest.mark.parametrize(
    "which", ["few", "one in three", "bigeminy", "trigeminy", "in runs, with pauses"]
)
def testrr_irregularity_tells_atrial_fibrillation_from_ectopy(which):
    rng = np.random.default_rng(0)
    steady = 0.8 + 0.02 * rng.standard_normal(300)
    if which == "in runs, with pauses":  # four beats in five are premature
        ectopic = 0.6 * steady
        ectopic[np.cumsum(rng.integers(3, 8, 55))] *= 2.5
    else:
        at_random = np.flatnonzero(rng.random(149) < 2 / 3) * 2  # of 300 beats a third
        places = {
            "few": np.arange(10, 290, 20),
            "bigeminy": np.arange(0, 298, 2),
            "trigeminy": np.arange(0, 298, 3),
        }
        ectopic = _premature(steady, places.get(which, at_random))
    fibrillation = rr_irregularity(rng.uniform(0.4, 1.2, 300))
    assert rr_irregularity(ectopic) < 2 * rr_irregularity(steady)
    assert fibrillation > 4 * rr_irregularity(ectopic)


def test_template_is_the_median_of_all_beats():
    most, other = np.full((5, 4, 2), 1.0), np.full((4, 4, 2), -9.0)
    np.testing.assert_array_equal(template(np.concatenate([other, most])), np.full((4, 2), 1.0))
    np.testing.assert_array_equal(template(other), np.full((4, 2), -9.0))
    assert template(np.zeros((0, 4, 2))).tolist() == np.zeros((4, 2)).tolist()
