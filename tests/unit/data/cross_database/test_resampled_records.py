"""Records at 128 Hz have the same windows as at 360 Hz, up to the resolution of 128 Hz."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from two_folders import MITDB_NAMES, SVDB_NAMES

from ecgexp.data.datasets.recorded import RecordedDataset
from ecgexp.data.formats.record import Record
from ecgexp.data.preprocessing.one_record import preprocess_record
from ecgexp.data.preprocessing.settings import Preprocessing

RATIO = 360 / 128
REACH = 1 + RATIO / 2  # samples at 360 Hz: one, and half a sample at 128 Hz
UNTOUCHED = Preprocessing(leads=("ECG1",), baseline="none")


def make_record(signal_mv, samples, fs_hz=128.0):
    return Record(
        record_id="800",
        patient_id="800",
        signals_mv=np.asarray(signal_mv)[:, None],
        lead_names=("ECG1",),
        fs_hz=fs_hz,
        samples=np.asarray(samples, np.int64),
        symbols=np.full(len(samples), "N"),
    )


def windows_of(record, preprocessing=UNTOUCHED):
    part, *_ = preprocess_record(record, [0], preprocessing)
    return part["signals_mv"][:, :, 0], part


@settings(max_examples=40)
@given(st.lists(st.floats(0.6, 1.4), min_size=3, max_size=12), st.floats(0.008, 0.04))
def test_resampled_peak_is_at_its_annotation(intervals_s, width_s):
    """Peaks are also between samples; a width of 8 ms is that of a narrow R wave."""
    r_s = 0.5 + np.cumsum(intervals_s)
    time_s = np.arange(round(128 * (r_s[-1] + 1))) / 128
    signal_mv = np.exp(-0.5 * ((time_s[:, None] - r_s) / width_s) ** 2).sum(axis=1)
    windows, _ = windows_of(make_record(signal_mv, np.round(r_s * 128)))
    assert len(windows) == len(r_s)
    peaks = windows.argmax(axis=1)
    assert np.abs(peaks - 90).max() <= REACH
    places = np.rint(np.round(r_s * 128) * RATIO)
    true = 90 + r_s * 360 - places  # position of the peak in the window
    assert np.abs(peaks - true).max() <= 0.6


def test_resampling_does_not_drift_in_half_an_hour():
    """230 400 samples, as a record of svdb; a ratio of 2.8 instead of 2.8125 would be 8 s off."""
    r_s = np.arange(1, 1799, 1.0)
    time_s = np.arange(128 * 1800) / 128
    signal_mv = np.exp(-0.5 * (((time_s + 0.5) % 1.0 - 0.5) / 0.012) ** 2)
    windows, part = windows_of(make_record(signal_mv, np.round(r_s * 128)))
    assert len(windows) == len(r_s)
    assert set(windows.argmax(axis=1)) == {90}
    np.testing.assert_allclose(part["rr"][:, :3], 1.0, atol=1e-6)


@settings(max_examples=40)
@given(st.floats(1.0, 54.0), st.floats(0.0, 6.28))
def test_resampling_adds_no_frequency_above_64_hz(hz, phase):
    """The filter attenuates frequencies above 54 Hz only in part: the alias of 60 Hz, at 68 Hz, is
    14 dB below it.
    """
    time_s = np.arange(128 * 12) / 128
    record = make_record(np.sin(2 * np.pi * hz * time_s + phase), [4 * 128, 8 * 128])
    windows, _ = windows_of(
        record, Preprocessing(leads=("ECG1",), baseline="none", window_ms=(2000, 2000))
    )
    power = np.abs(np.fft.rfft(windows * np.hanning(windows.shape[1]))) ** 2
    frequencies = np.fft.rfftfreq(windows.shape[1], 1 / 360)
    assert power[:, frequencies > 64].sum() < 1e-4 * power.sum()
    assert np.abs(frequencies[power.argmax(axis=1)] - hz).max() <= 0.25


@pytest.mark.parametrize("rest_db", [-14.3])
def test_attenuation_of_60_hz_is_as_documented(rest_db):
    time_s = np.arange(128 * 12) / 128
    record = make_record(np.sin(2 * np.pi * 60 * time_s), [4 * 128, 8 * 128])
    windows, _ = windows_of(
        record, Preprocessing(leads=("ECG1",), baseline="none", window_ms=(2000, 2000))
    )
    taper = np.hanning(windows.shape[1])
    power = np.abs(np.fft.rfft(windows * taper)) ** 2
    whole = (
        np.abs(np.fft.rfft(np.sin(2 * np.pi * 60 * np.arange(windows.shape[1]) / 360) * taper)) ** 2
    )
    above = np.fft.rfftfreq(windows.shape[1], 1 / 360) > 64
    assert 10 * np.log10(power[0, above].sum() / whole.sum()) == pytest.approx(rest_db, abs=0.2)


@pytest.fixture(scope="module", params=["median", "none"])
def both(request, data_root):
    """The beats of six patients, recorded at 360 Hz and at 128 Hz."""
    fast = RecordedDataset(
        root=data_root, records=MITDB_NAMES, verify="header", baseline=request.param
    ).load()
    slow = RecordedDataset(
        root=data_root, database="svdb", records=SVDB_NAMES, leads=["ECG1"], baseline=request.param
    ).load()
    assert len(fast) == len(slow) > 200
    assert fast.symbols.tolist() == slow.symbols.tolist()
    return fast, slow


def test_windows_of_a_beat_at_both_frequencies_agree(both):
    """Differences of up to two samples between annotations, a resolution of 128 Hz, are removed.

    Fused paced beats are left out, because 128 Hz cannot represent their spike of 2 ms.
    """
    fast, slow = both
    shifts = np.rint(slow.r_samples * RATIO).astype(int) - fast.r_samples
    assert np.abs(shifts).max() <= REACH
    assert {-1, 0, 1} <= set(shifts.tolist())
    for i in np.flatnonzero(~np.isin(fast.symbols, ["f", "/"])):
        shift = shifts[i]
        one = fast.signals_mv[i, max(0, shift) : 180 + min(0, shift), 0]
        other = slow.signals_mv[i, max(0, -shift) : 180 - max(0, shift), 0]
        assert np.corrcoef(one, other)[0, 1] > 0.99
        assert np.ptp(other) == pytest.approx(np.ptp(one), rel=0.04)


def test_resampled_windows_have_no_power_above_64_hz(both):
    _, slow = both
    power = np.abs(np.fft.rfft(slow.signals_mv[:, :, 0] * np.hanning(180), axis=1)) ** 2
    above = np.fft.rfftfreq(180, 1 / 360) > 64
    assert (power[:, above].sum(axis=1) / power.sum(axis=1)).max() < 1e-4


def test_rr_features_at_both_frequencies_agree_to_one_sample(both):
    fast, slow = both
    step_s = 1 / 128 + 1 / 360  # an interval differs by at most one sample
    previous, following, local, ratio, *rhythm, rr_irregularity = np.abs(fast.rr - slow.rr).T
    assert max(previous.max(), following.max()) <= step_s
    # Intervals and quantiles, which differ by no more than intervals.
    assert np.max(rhythm) <= step_s + 1e-6
    # A mean of ten intervals is a difference of two places divided by ten.
    number = np.concatenate(
        [np.arange(len(part)) for part in np.split(fast.rr, _starts(fast.record_ids))]
    )
    assert local[number >= 10].max() <= step_s / 10 + 1e-6
    assert ratio.max() <= step_s / 0.6 + 1e-3
    assert rr_irregularity.max() <= 2 * step_s / 0.6 + 1e-3  # a difference of two intervals


def _starts(record_ids):
    return np.flatnonzero(record_ids[1:] != record_ids[:-1]) + 1


def test_gain_0_is_200_units_per_millivolt(both):
    """Every other record states gain 0; its amplitude is that of the same patient in mitdb."""
    fast, slow = both
    for record, other in zip(MITDB_NAMES, SVDB_NAMES, strict=True):
        high, low = (
            np.ptp(b.signals_mv[b.record_ids == r]) for b, r in ((fast, record), (slow, other))
        )
        assert low == pytest.approx(high, rel=0.04)
