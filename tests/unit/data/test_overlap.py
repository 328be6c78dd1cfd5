"""The number of rows that contain the same heartbeat, compared with a loop over all pairs."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_records import make_beats, tiny_source, write_record

from ecgexp.data import Split
from ecgexp.data.overlap import overlap_of, rows_sharing_samples
from ecgexp.data.preprocessing.pipeline import preprocess_records
from ecgexp.data.preprocessing.settings import Preprocessing
from ecgexp.experiment.class_coverage import overlap_notes
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.settings import PrivacySpec
from ecgexp.privacy.statement import state


def beats_at(peaks, *, rows=None, window=20, record="a"):
    """One record with annotated beats at `peaks`, of which `rows` have a row."""
    kept = np.asarray(peaks)[range(len(peaks)) if rows is None else rows]
    made = make_beats([record] * len(kept), r_samples=kept)
    return replace(
        made,
        signals_mv=np.zeros((len(kept), window, 1), np.float32),
        annotated={record: np.stack([peaks, peaks])},
    )


def by_hand(peaks, rows, before, window):
    after = window - before
    inside = [
        [peaks[i] - before < p < peaks[i] + after or p == peaks[i] for i in rows] for p in peaks
    ]
    shares = [[abs(peaks[i] - p) < window for i in rows] for p in peaks]
    return {
        "rows_per_peak": max(sum(of_peak) for of_peak in inside),
        "rows_per_beat": max(sum(of_beat) for of_beat in shares),
        "rows_with_other_peak": sum(
            sum(inside[j][n] for j in range(len(peaks))) > 1 for n in range(len(rows))
        ),
        "rows_sharing": sum(sum(shares[i][n] for i in rows) > 1 for n in range(len(rows))),
    }


@pytest.mark.parametrize("seed", range(20))
def test_overlap_of_random_records_equals_the_loop(seed):
    rng = np.random.default_rng(seed)
    peaks = np.unique(rng.integers(0, 400, rng.integers(2, 40)))
    rows = np.sort(rng.choice(len(peaks), rng.integers(1, len(peaks) + 1), replace=False))
    before = int(rng.integers(1, 19))
    found = overlap_of(beats_at(peaks, rows=rows), np.arange(len(rows)), before)
    assert {name: getattr(found, name) for name in by_hand(peaks, rows, before, 20)} == by_hand(
        peaks, rows, before, 20
    )
    assert found.rows == len(rows)


def test_overlap_counts_a_beat_that_has_no_row():
    found = overlap_of(beats_at(np.array([100, 105]), rows=[1]), np.array([0]), 10)
    assert (found.rows_with_other_peak, found.rows_per_peak, found.nearest_ms) == (
        1,
        1,
        5 / 360 * 1000,
    )
    assert found.where == "record a sample 105"


def test_overlap_of_peak_on_first_sample_counts_as_shared():
    found = overlap_of(beats_at(np.array([100, 110])), np.arange(2), 10)
    assert (found.rows_with_other_peak, found.rows_sharing) == (0, 2)
    assert overlap_of(beats_at(np.array([100, 109])), np.arange(2), 10).rows_with_other_peak == 2


def test_overlap_of_peak_on_first_sample_is_stated_with_row():
    found = overlap_of(beats_at(np.array([100, 110])), np.arange(2), 10)
    made = PrivacySpec(noise_multiplier=1.0).plan(
        num_units=2, expected_batch_size=1, iterations=1, overlap=found
    )
    ledger = Ledger(made)
    ledger.record(made.step_event)
    stated = state(ledger)
    assert stated.epsilon_overlap > stated.epsilon
    assert "ε of 2 rows that share samples: " in stated.line()
    assert "For all of them together ε is " in stated.text()


def test_overlap_of_different_records_is_none():
    beats = replace(
        make_beats(["a", "b"], r_samples=[100, 100]), signals_mv=np.zeros((2, 20, 1), np.float32)
    )
    found = overlap_of(beats, np.arange(2), 10)
    assert (found.rows_per_beat, found.rows_sharing, found.where) == (1, 0, "")


def test_overlap_includes_beats_without_window(tmp_path):
    write_record(tmp_path, "a", samples=(60, 160, 500), symbols="NVN")
    settings = Preprocessing(window_ms=(300, 300))
    beats = preprocess_records(settings, tiny_source(tmp_path, verify="header"))
    assert beats.r_samples.tolist() == [160, 500]
    assert beats.annotated["a"].tolist() == [[60, 160, 500], [60, 160, 500]]
    found = overlap_of(beats, np.arange(2), settings.window_samples[0])
    assert (found.rows_with_other_peak, found.rows_per_peak) == (1, 1)


def test_overlap_is_measured_at_the_frequency_of_windows(tmp_path):
    write_record(tmp_path, "a", samples=(200, 300, 600), symbols="NVN")
    settings = Preprocessing(window_ms=(100, 100), fs_hz=180.0)
    beats = preprocess_records(settings, tiny_source(tmp_path, verify="header"))
    assert beats.annotated["a"].tolist() == [[200, 300, 600], [100, 150, 300]]
    assert overlap_of(beats, np.arange(3), 18).nearest_ms == pytest.approx(100 / 360 * 1000)


def test_split_that_shares_samples_has_a_note():
    beats = beats_at(np.array([100, 115, 130, 300]))
    split = Split(
        train=np.array([0]), validation=np.array([3]), test=np.array([1, 2]), disjoint="beat"
    )
    assert rows_sharing_samples(beats, split.train, split.test) == 1
    (note,) = overlap_notes(beats, split)
    assert "1 of 2 test beats share samples" in note
    assert "dataset.window_ms" in note
    assert not overlap_notes(beats, replace(split, test=np.array([2])))
