"""The numbers against stored ones of another program, their rules, and where they apply."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecgexp.config.compose import load_experiment
from ecgexp.features.record_beats import transform_rows
from ecgexp.features.rhythm import RHYTHM_CONTEXT, rhythm_context
from ecgexp.features.rhythm_morphology import RHYTHM_MORPHOLOGY, RhythmMorphologyFeatures
from ecgexp.settings.declaration import ConfigError
from tests.support.two_lead_record import (
    FS_HZ,
    WINDOW_MS,
    record_beats,
    signal_and_beats,
)

FEATURES = RhythmMorphologyFeatures(fs_hz=FS_HZ, window_ms=WINDOW_MS)
# Computed by the program with which the numbers were chosen, which had no part of this package.
# There, neighbors beyond the ends were those of the other end.
STORED = np.load(Path(__file__).parents[2] / "support" / "rhythm_morphology.npz")
LATER = {
    "previous_to_q90_33",
    "next_to_q90_33",
    "previous_to_q90_201",
    "previous_to_longest9",
    "q90_to_q10_33",
    "shorter_share33",
    "shorter_share201",
    "log_previous_to_q75_33",
    "log_previous_to_q90_33",
}
BESIDE_ENDS = slice(3, -3)


def column(values, name):
    return values[:, RHYTHM_MORPHOLOGY.index(name)]


@pytest.mark.parametrize(("name", "leads"), [("two_leads", 2), ("one_lead", 1)])
def test_numbers_equal_the_stored_ones(name, leads):
    signal, samples = signal_and_beats()
    found = FEATURES.of_record(record_beats(signal[:, :leads], samples))
    assert found.shape == (len(samples), 39)
    assert found.dtype == np.float32
    first = [RHYTHM_MORPHOLOGY.index(name) for name in RHYTHM_MORPHOLOGY if name not in LATER]
    np.testing.assert_allclose(found[BESIDE_ENDS][:, first], STORED[name][BESIDE_ENDS], atol=1e-4)


def test_where_early_beats_are_the_rule_high_quantiles_are_sinus_intervals():
    intervals = np.tile([0.5, 0.5, 0.5, 0.5, 1.0], 60)
    values = rhythm_context(np.append(0, np.cumsum(intervals)), np.full(301, 0.5))
    named = dict(zip(RHYTHM_CONTEXT, values[1:].T, strict=True))
    early = intervals == 0.5
    inside = slice(120, 180)
    for name in ("previous_to_median33", "previous_to_sinus"):
        assert named[name][inside][early[inside]] == pytest.approx(0)
    for name in ("previous_to_q90_33", "previous_to_q90_201", "previous_to_longest9"):
        assert named[name][inside][early[inside]] == pytest.approx(np.log(0.5) / 0.5)
        assert named[name][inside][~early[inside]] == pytest.approx(0)
    assert named["log_previous_to_q90_33"][inside][early[inside]] == pytest.approx(np.log(0.5))
    assert named["q90_to_q10_33"][inside] == pytest.approx(np.log(2) / 0.5)
    assert named["shorter_share201"][inside][early[inside]] == pytest.approx(0)
    assert named["shorter_share33"][inside][~early[inside]] == pytest.approx(0.8, abs=0.02)


def test_neighbors_beyond_the_ends_are_on_time():
    signal, samples = signal_and_beats()
    found = FEATURES.of_record(record_beats(signal, samples))
    assert column(found, "prematurity_-2")[:2].tolist() == [0, 0]
    assert column(found, "prematurity_+3")[-3:].tolist() == [0, 0, 0]


def test_one_lead_has_one_distance():
    signal, samples = signal_and_beats()
    found = FEATURES.of_record(record_beats(signal[:, :1], samples))
    largest, smallest = (
        column(found, f"qrs_distance_{which}") for which in ("largest", "smallest")
    )
    np.testing.assert_array_equal(largest, smallest)


def test_flat_lead_changes_nothing():
    signal, samples = signal_and_beats()
    one = FEATURES.of_record(record_beats(signal[:, :1], samples))
    flat = np.stack([signal[:, 0], np.full(len(signal), 1e-4)], axis=1)
    np.testing.assert_array_equal(FEATURES.of_record(record_beats(flat, samples)), one)


@pytest.mark.parametrize("num_beats", [2, 3, 5, 12])
def test_few_beats_have_finite_numbers(num_beats):
    signal, samples = signal_and_beats()
    found = FEATURES.of_record(record_beats(signal, samples[:num_beats]))
    assert found.shape == (num_beats, 39)
    assert np.isfinite(found).all()


def test_flat_record_and_gap_have_finite_numbers():
    signal, samples = signal_and_beats()
    assert np.isfinite(FEATURES.of_record(record_beats(0 * signal, samples))).all()
    late = np.where(np.arange(len(samples)) > 80, samples + 40_000, samples)
    signal = np.pad(signal, ((0, 40_000), (0, 0)))
    assert np.isfinite(FEATURES.of_record(record_beats(signal, late))).all()


def test_beats_without_a_window_count_in_the_rhythm():
    signal, samples = signal_and_beats()
    beats = record_beats(signal, samples)
    kept = np.flatnonzero(np.arange(len(samples)) % 10 != 5)
    some = replace(
        beats, rows=beats.rows[kept], signals_mv=beats.signals_mv[kept], rr=beats.rr[kept]
    )
    found, every = FEATURES.of_record(some), FEATURES.of_record(beats)
    rhythm = slice(0, 3 + len(RHYTHM_CONTEXT))
    np.testing.assert_array_equal(found[:, rhythm], every[kept, rhythm])


def test_early_beat_is_premature_and_its_neighbors_know_it():
    intervals = np.full(60, 0.8)
    intervals[[30, 31]] = 0.5, 1.1
    values = rhythm_context(np.append(0, np.cumsum(intervals)), np.full(61, 0.05))
    named = dict(zip(RHYTHM_CONTEXT, values.T, strict=True))
    assert named["previous_to_sinus"][31] == pytest.approx(-8)  # limited
    assert named["prematurity_-2"][33] == named["prematurity_+2"][29] == pytest.approx(-8)
    assert named["premature_beats_before"][32] == named["premature_beats_after"][30] == 1
    assert named["previous_to_sinus"][10] == pytest.approx(0)


def test_short_window_and_low_frequency_are_refused():
    with pytest.raises(ValueError, match=r"dataset\.window_ms=\[250.*use.*\[360,560\]"):
        RhythmMorphologyFeatures(fs_hz=180, window_ms=(250, 250))
    with pytest.raises(ConfigError, match=r"features\.fs_hz"):
        load_experiment(["model=extra_trees", "dataset.window_ms=[360,560]", "dataset.fs_hz=50"])


def test_windows_of_another_length_are_refused():
    signal, samples = signal_and_beats()
    beats = record_beats(signal, samples)
    with pytest.raises(ValueError, match="follow the dataset"):
        FEATURES.of_record(replace(beats, signals_mv=beats.signals_mv[:, 1:]))


def test_values_must_be_passed():
    with pytest.raises(ValueError, match=r"ecgexp-predict.*record_values=\(num_beats, 39\)"):
        transform_rows(FEATURES, np.zeros((2, 166, 1), np.float32), None, None, None)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer=dp", "privacy=eps3", "privacy.unit=beat"], r"privacy\.unit=beat .*rhythm_morph"),
        (["dataset=arrays", "dataset.path=x.npz"], r"window_ms.* use another option of features"),
    ],
)
def test_configurations_that_cannot_have_them_are_refused(overrides, message, monkeypatch):
    monkeypatch.setattr("ecgexp.models.mlp.Mlp.required_features", frozenset({"rhythm_morphology"}))
    own = ["features=rhythm_morphology", "model=mlp"]
    window = [] if "dataset=arrays" in overrides else ["dataset.window_ms=[360,560]"]
    with pytest.raises(ConfigError, match=message):
        load_experiment([*own, *window, *overrides])
