"""Gaps of a lead: intervals, bridging, and the beats that are left out because of them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgexp.data.formats.gaps import bridge, find_gaps, is_in, touching, union_of
from ecgexp.data.formats.record import Record
from ecgexp.data.preprocessing.baseline import bandpass, bandpass_reach
from ecgexp.data.preprocessing.one_record import IN_GAP, preprocess_record
from ecgexp.data.preprocessing.settings import Preprocessing

FS_HZ, SECONDS = 250.0, 60
BEATS = np.arange(1, SECONDS - 1) * int(FS_HZ)
GAP = (7000, 7600)


def make_record(gaps=(GAP,), **changes):
    """60 s of noise with a beat every second; lead MLII has the gaps, V1 has none."""
    signals_mv = np.random.default_rng(0).normal(size=(int(FS_HZ) * SECONDS, 2))
    gaps = np.asarray(gaps, np.int64).reshape(-1, 2)
    signals_mv[:, 0] = bridge(signals_mv[:, 0], gaps)
    record = Record(
        record_id="a",
        patient_id="a",
        signals_mv=signals_mv,
        lead_names=("MLII", "V1"),
        fs_hz=FS_HZ,
        samples=BEATS,
        symbols=np.full(len(BEATS), "N"),
        gaps={"MLII": gaps},
    )
    return replace(record, **changes)


@given(st.lists(st.booleans(), max_size=30), st.integers(0, 30), st.integers(1, 10))
def test_intervals_of_gaps_agree_with_the_mask(missing, begin, length):
    missing = np.asarray(missing, bool)
    gaps = find_gaps(missing)
    np.testing.assert_array_equal(is_in(gaps, len(missing)), missing)
    found = touching(gaps, np.array([begin]), np.array([begin + length]))
    assert found.tolist() == [missing[begin : begin + length].any()]
    np.testing.assert_array_equal(union_of([gaps, gaps], len(missing)), gaps)


def test_bridge_is_a_line_and_constant_at_an_end():
    lead = np.array([np.nan, 1.0, np.nan, 3.0, np.nan])
    gaps = find_gaps(np.isnan(lead))
    assert bridge(lead, gaps).tolist() == [1, 1, 2, 3, 3]
    with pytest.raises(ValueError, match="no value"):
        bridge(lead[:1], gaps[:1])


@pytest.mark.parametrize("fs_hz", [250.0, 360.0, 100.0])
@pytest.mark.parametrize("baseline", ["none", "median", "bandpass"])
@pytest.mark.parametrize("relocate_ms", [0, 100])
def test_no_value_of_a_gap_affects_a_window(fs_hz, baseline, relocate_ms):
    """The content of a gap is changed by 10 mV, and no window changes."""
    settings = Preprocessing(fs_hz=fs_hz, baseline=baseline, relocate_ms=relocate_ms)
    record = make_record()
    changed = record.signals_mv.copy()
    changed[GAP[0] : GAP[1], 0] += 10
    part, reasons, _ = preprocess_record(record, [0], settings)
    other, *_ = preprocess_record(replace(record, signals_mv=changed), [0], settings)
    # The band-pass filter's response is infinitely long; the limit is a thousandth of the change.
    limit = 0.01 if baseline == "bandpass" else 0
    np.testing.assert_allclose(part["signals_mv"], other["signals_mv"], rtol=0, atol=limit)
    dropped = BEATS[reasons == IN_GAP]
    assert {7000, 7250, 7500} <= set(dropped.tolist())
    assert len(part["r_samples"]) + len(dropped) == len(BEATS)
    assert len(dropped) <= (3 if baseline == "none" else 5 if baseline == "median" else 12)


@pytest.mark.parametrize(("columns", "dropped"), [([1], 0), ([1, 0], 4), ([0], 4)])
def test_gap_of_an_unused_lead_drops_no_beat(columns, dropped):
    leads = tuple(("MLII", "V1")[column] for column in columns)
    settings = Preprocessing(fs_hz=FS_HZ, leads=leads)
    _, reasons, _ = preprocess_record(make_record(), columns, settings)
    assert np.sum(reasons == IN_GAP) == dropped


def test_gaps_count_rows_of_signals_with_several_per_frame():
    """With two rows in a frame, sample 3500 is row 7000."""
    half = BEATS // 2
    record = make_record(samples_per_frame=2, fs_hz=FS_HZ / 2, samples=half)
    _, reasons, _ = preprocess_record(record, [0], Preprocessing(fs_hz=FS_HZ, baseline="none"))
    assert half[reasons == IN_GAP].tolist() == [3500, 3625, 3750]


def test_response_of_the_bandpass_is_negligible_beyond_its_reach():
    pulse = np.zeros(20_000)
    pulse[10_000] = 1
    for edges_hz in ((0.5, 40.0), (1.0, 100.0)):
        response = np.abs(bandpass(pulse, 360.0, edges_hz))
        reach = bandpass_reach(360.0, edges_hz)
        assert response[: 10_000 - reach].max() < 1e-3 * response.max()
        assert response[10_001 + reach :].max() < 1e-3 * response.max()
