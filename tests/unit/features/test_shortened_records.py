"""Records shortened to their early beats: which beats are kept, and what they are then."""

import numpy as np

from ecgexp.data.beats import RR_FEATURES
from ecgexp.features.rhythm_morphology import RHYTHM_MORPHOLOGY, RhythmMorphologyFeatures
from ecgexp.features.shortened_records import LEAST_BEATS, shortened
from tests.support.two_lead_record import FS_HZ, WINDOW_MS, record_beats, signal_and_beats

SHAPES = [RHYTHM_MORPHOLOGY.index(n) for n in ("qrs", "size", "qrs_width", "qrs_distance_smallest")]


def beats_and_values():
    beats = record_beats(*signal_and_beats(num_beats=400))
    values = RhythmMorphologyFeatures(fs_hz=FS_HZ, window_ms=WINDOW_MS).of_record(beats)
    return beats.rr[:, RR_FEATURES.index("rr_previous_s")], values


def column(values, name):
    return values[:, RHYTHM_MORPHOLOGY.index(name)]


def test_early_beats_and_their_neighbors_are_kept():
    previous, values = beats_and_values()
    kept, found = shortened(values, previous, 1)
    early = np.flatnonzero(previous < 0.71)  # 0.56 s, or 0.7 s after another early beat
    assert LEAST_BEATS <= len(kept) < len(values)
    near = np.abs(kept[:, None] - early).min(axis=1)
    assert set(near) == {0, 1}
    assert set(early) <= set(kept)
    np.testing.assert_array_equal(found[:, SHAPES], values[kept][:, SHAPES])
    assert len(shortened(values, previous, 3)[0]) > len(kept)


def test_early_beats_become_the_rule_and_only_high_quantiles_show_it():
    previous, values = beats_and_values()
    kept, found = shortened(values, previous, 1)
    early = previous[kept] < 0.65
    share = early.mean()
    assert share > 2 * (previous < 0.65).mean()
    assert np.median(column(found, "log_previous_to_q90_33")[early]) < np.log(0.75)
    whole = column(values[kept], "previous_to_median33")[early]
    assert np.median(column(found, "previous_to_median33")[early]) > np.median(whole)


def test_record_with_few_early_beats_is_not_shortened():
    previous, values = beats_and_values()
    for rows in (slice(0, 40), slice(0, 0)):
        kept, found = shortened(values[rows], previous[rows], 1)
        assert len(kept) == len(found) == 0
        assert found.shape[1] == values.shape[1]
