"""Segments that show no ECG are marked, and those of recordings are not."""

import numpy as np
import pytest
import quality_signals as signals

from ecgexp.data.quality.marks import AMPLITUDE, FLAT, LEAD_OFF, MARKS, NOISE, RAILS, RATE
from ecgexp.data.quality.segments import beat_codes, mark_segments, segment_marks

HZ = signals.HZ
noise_of = signals.noise_mv


@pytest.fixture(scope="module")
def ecg_mv():
    """60 s with a QRS complex of 1 mV and a T wave each 0.8 s, and little noise."""
    return signals.ecg_mv(60)


def drift_of(lead):
    """What a loose electrode shows: slow drift, and noise of the amplifier."""
    rng = np.random.default_rng(2)
    drift = np.cumsum(rng.normal(size=len(lead)))
    return drift / np.ptp(drift) + 0.003 * rng.normal(size=len(lead))


def falls_off(lead):
    """Nothing in 6 of 10 s."""
    return np.where(np.arange(len(lead)) / HZ % 10 < 6, 0.0, lead)


def stops(lead):
    """No QRS complex for 5 of 10 s, but noise as large as it may be."""
    rng = np.random.default_rng(3)
    quiet = 0.02 * rng.normal(size=len(lead))
    return np.where(np.arange(len(lead)) / HZ % 10 < 5, quiet, lead)


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
        (lambda lead: lead + noise_of(lead, 6), NOISE),
        (drift_of, LEAD_OFF),
        (falls_off, LEAD_OFF),
        (stops, RATE),
    ],
)
def test_lead_is_marked_where_it_shows_no_ecg(ecg_mv, change, mark):
    marks, length = segment_marks(change(ecg_mv), HZ)
    assert (len(marks), length) == (6, 3600)
    assert set(marks.tolist()) == {mark}


@pytest.mark.parametrize("rr_s", [0.3, 0.4, 0.6, 1.0, 1.5, 2.5])
def test_possible_rates_are_not_marked(rr_s):
    assert set(segment_marks(signals.ecg_mv(30, rr_s=rr_s), HZ)[0].tolist()) == {""}


def test_too_few_beats_are_marked():
    assert segment_marks(signals.ecg_mv(30, rr_s=5.0), HZ)[0].tolist() == [RATE] * 3


def test_premature_beats_of_three_times_the_height_are_not_marked():
    times = np.arange(round(30 * HZ)) / HZ
    premature = sum(3 * np.exp(-(((times - at) / 0.02) ** 2)) for at in np.arange(1.5, 30, 4.0))
    assert set(segment_marks(signals.ecg_mv(30) + premature, HZ)[0].tolist()) == {""}


def test_baseline_wander_alone_is_not_marked(ecg_mv):
    wander = np.sin(2 * np.pi * 0.3 * np.arange(len(ecg_mv)) / HZ)
    assert set(segment_marks(ecg_mv + wander, HZ)[0].tolist()) == {""}


def test_only_beats_of_the_segment_are_marked(ecg_mv):
    lead = ecg_mv.copy()
    lead[7200:10800] = 0.2
    samples = np.array([100, 7100, 7300, 10700, 10900, len(lead) - 1])
    codes, leads = beat_codes([lead], HZ, samples)
    assert [MARKS[code] for code in codes] == ["", "", FLAT, FLAT, "", ""]
    assert not leads.any()
    assert beat_codes([lead[:1000]], HZ, np.array([10]))[0].tolist() == [0]
    assert beat_codes([lead[:0]], HZ, np.zeros(0, int))[0].tolist() == []


def test_beat_has_the_mark_of_its_first_marked_lead(ecg_mv):
    codes, leads = beat_codes([ecg_mv, 0 * ecg_mv, 50 * ecg_mv], HZ, np.array([100, 5000]))
    assert [MARKS[code] for code in codes] == [FLAT, FLAT]
    assert leads.tolist() == [1, 1]


def test_mark_depends_on_its_own_segment_alone(ecg_mv):
    other = ecg_mv.copy()
    other[:3600] = noise_of(ecg_mv, 0)[:3600]
    assert segment_marks(other, HZ)[0].tolist() == [NOISE] + [""] * 5
    clipped = ecg_mv.copy()
    clipped[3600:7200] = np.clip(20 * ecg_mv[3600:7200], -1, 1.2)
    assert segment_marks(clipped, HZ)[0].tolist() == ["", RAILS, "", "", "", ""]


def test_segments_are_marked_one_by_one_as_together(ecg_mv):
    lead = np.concatenate([ecg_mv, 0 * ecg_mv[:3600], ecg_mv[:3600] + noise_of(ecg_mv, 0)[:3600]])
    one_by_one = [mark_segments(row[None], HZ)[0] for row in lead.reshape(-1, 3600)]
    assert segment_marks(lead, HZ)[0].tolist() == one_by_one


def test_last_segment_has_what_is_left(ecg_mv):
    marks, length = segment_marks(np.append(ecg_mv, np.full(3000, 0.1)), HZ)
    assert (len(marks), length) == (6, 3600)
    assert segment_marks(np.zeros(1000), HZ)[0].tolist() == [FLAT]
