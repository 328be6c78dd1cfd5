"""Indices of signal quality equal those of NeuroKit2, and what signals of known power give."""

import json
from pathlib import Path

import numpy as np
import pytest
from quality_signals import HZ, ecg_mv, segments

from ecgexp.data.quality.indices import indices_of, kurtosis_of

GOLDENS = json.loads(
    (Path(__file__).parents[3] / "support/quality_goldens.json").read_text(encoding="utf-8")
)["segments"]
SEGMENTS = segments()


def of(lead_mv, hz=HZ):
    return indices_of(lead_mv[None], hz)


def test_kurtosis_is_that_of_neurokit2():
    found = kurtosis_of(np.stack(list(SEGMENTS.values())))
    np.testing.assert_allclose(found, [GOLDENS[name]["kurtosis"] for name in SEGMENTS], rtol=1e-9)


@pytest.mark.parametrize("name", ["clean", "slow", "fast", "wander", "noise at 6 dB"])
def test_number_of_peaks_is_that_of_neurokit2(name):
    # Within 10 s; NeuroKit2 leaves out peaks near an end, and the artifacts of its filter.
    peaks = of(SEGMENTS[name]).peaks_per_min[0] / 6
    assert abs(peaks - GOLDENS[name]["peaks"]) <= (2 if name == "slow" else 1)


def test_baseline_orders_segments_as_neurokit2():
    for name in ("clean", "slow", "fast", "noise at 6 dB", "noise at 0 dB", "only noise"):
        assert of(SEGMENTS[name]).baseline[0] == pytest.approx(GOLDENS[name]["baseline"], abs=0.04)
    order = ["wander", "slight wander", "slow", "clean"]
    for values in (
        [GOLDENS[name]["baseline"] for name in order],
        [of(SEGMENTS[name]).baseline[0] for name in order],
    ):
        assert values == sorted(values)


def test_baseline_is_the_share_of_the_power():
    clean, wander = SEGMENTS["clean"], SEGMENTS["wander"] - SEGMENTS["clean"]
    share = clean.var() / (clean.var() + wander.var())
    assert of(SEGMENTS["wander"]).baseline[0] == pytest.approx(share, rel=0.1)


def test_slow_power_is_the_share_of_the_power():
    fast = np.sin(2 * np.pi * 60 * np.arange(3600) / HZ)
    slow = np.sin(2 * np.pi * 8 * np.arange(3600) / HZ)
    for size, share in ((1.0, 0.5), (2.0, 0.2), (0.5, 0.8)):
        assert of(slow + size * fast).slow_power[0] == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("rr_s", [0.3, 0.5, 0.8, 1.2, 2.0])
def test_rate_and_gap_are_those_of_the_beats(rr_s):
    found = of(ecg_mv(rr_s=rr_s))
    assert abs(found.peaks_per_min[0] / 6 - 10 / rr_s) <= 1
    assert found.longest_gap_s[0] == pytest.approx(rr_s, abs=0.03)


@pytest.mark.parametrize("hz", [100.0, 128.0, 250.0, 257.5, 500.0, 1000.0])
def test_indices_hardly_depend_on_the_frequency(hz):
    times = np.arange(round(10 * hz)) / hz
    lead = np.interp(times, np.arange(3600) / HZ, SEGMENTS["slight wander"])
    found, at_360 = of(lead, hz), of(SEGMENTS["slight wander"])
    for name in ("baseline", "peaks_per_min", "longest_gap_s", "range_mv"):
        assert getattr(found, name)[0] == pytest.approx(getattr(at_360, name)[0], rel=0.15), name
    assert 0.5 < found.contrast[0] / at_360.contrast[0] < 2  # interpolation changes the noise
    assert found.slow_power[0] > 0.95


def test_rows_do_not_depend_on_each_other():
    # To the last digits only, since a sum may be computed in another order.
    rows = np.stack(list(SEGMENTS.values()))
    together = indices_of(rows, HZ)
    for number, row in enumerate(rows):
        alone = of(row)
        for name, value in vars(alone).items():
            assert getattr(together, name)[number] == pytest.approx(value[0], rel=1e-4), name


def test_constant_segments_have_finite_shares():
    found = of(np.full(3600, 1.3))
    assert found.flat[0] == found.at_rails[0] == 1
    assert found.range_mv[0] == 0
    assert found.slow_power[0] == found.baseline[0] == 1
