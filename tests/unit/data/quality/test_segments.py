"""Segments that show no ECG are marked, and those of recordings are not."""

import numpy as np
import pytest

from ecgexp.data.quality.segments import AMPLITUDE, FLAT, NOISE, RAILS, beat_marks, segment_marks

HZ = 360.0


@pytest.fixture(scope="module")
def ecg_mv():
    """60 s with a QRS complex of 1 mV and a T wave each 0.8 s, and little noise."""
    seconds = np.arange(round(60 * HZ)) / HZ
    phase = seconds % 0.8
    waves = np.exp(-(((phase - 0.3) / 0.012) ** 2)) + 0.25 * np.exp(-(((phase - 0.55) / 0.05) ** 2))
    return waves + 0.01 * np.random.default_rng(0).normal(size=len(seconds))


def noise_of(ecg_mv, decibels):
    """White noise whose power is that of the signal, or so many decibels less."""
    noise = np.random.default_rng(1).normal(size=len(ecg_mv))
    return noise * ecg_mv.std() / 10 ** (decibels / 20)


@pytest.mark.parametrize(
    ("change", "mark"),
    [
        (lambda lead: lead, ""),
        (lambda lead: -2 * lead, ""),
        (lambda lead: lead + noise_of(lead, 20), ""),
        (lambda lead: 0 * lead, FLAT),
        (lambda lead: 0 * lead + 1.3, FLAT),
        (lambda lead: np.full_like(lead, -5.12), FLAT),
        (lambda lead: np.clip(20 * lead, -1, 1.2), RAILS),
        (lambda lead: 50 * lead, AMPLITUDE),
        (lambda lead: noise_of(lead, 0), NOISE),
        (lambda lead: lead + noise_of(lead, 0), NOISE),
    ],
)
def test_lead_is_marked_where_it_shows_no_ecg(ecg_mv, change, mark):
    marks, length = segment_marks(change(ecg_mv), HZ)
    assert (len(marks), length) == (6, 3600)
    assert set(marks.tolist()) == {mark}


def test_only_beats_of_the_segment_are_marked(ecg_mv):
    lead = ecg_mv.copy()
    lead[7200:10800] = 0.2
    samples = np.array([100, 7100, 7300, 10700, 10900, len(lead) - 1])
    assert beat_marks(lead, HZ, samples).tolist() == ["", "", FLAT, FLAT, "", ""]
    assert beat_marks(lead[:1000], HZ, np.array([10])).tolist() == [""]


def test_mark_depends_on_its_own_segment_alone(ecg_mv):
    other = ecg_mv.copy()
    other[:3600] = noise_of(ecg_mv, 0)[:3600]
    assert segment_marks(other, HZ)[0].tolist() == [NOISE] + [""] * 5
