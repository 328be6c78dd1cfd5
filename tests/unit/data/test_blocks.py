"""Windows that are cut block by block equal those of the whole record."""

import numpy as np
import pytest

from ecgexp.data.formats.record import Record
from ecgexp.data.formats.stored_signals import StreamedRecord
from ecgexp.data.preprocessing import qrs_detection
from ecgexp.data.preprocessing.blocks import WindowCutter
from ecgexp.data.preprocessing.one_record import choose_leads, preprocess_record
from ecgexp.data.preprocessing.settings import Preprocessing

SETTINGS = {
    "median": Preprocessing(leads=("MLII", "V1")),
    "resampled": Preprocessing(leads=("V1",), fs_hz=250, window_ms=(200, 300), relocate_ms=20),
    "bandpass": Preprocessing(
        leads=("V1", "MLII"), fs_hz=500.0, baseline="bandpass", bandpass_hz=(1, 30)
    ),
}


@pytest.fixture(scope="module")
def record():
    rng = np.random.default_rng(0)
    signals_mv = rng.normal(size=(9001, 2)).cumsum(axis=0) * 0.05
    beats = np.unique(np.append(rng.integers(0, 9001, 40), [0, 1, 8999]))
    return Record(
        record_id="a",
        patient_id="a",
        signals_mv=signals_mv,
        lead_names=("MLII", "V1"),
        fs_hz=360.0,
        samples=beats,
        symbols=np.full(len(beats), "N"),
    )


@pytest.mark.parametrize("block", [97, 1000, 1 << 20])
@pytest.mark.parametrize("name", SETTINGS)
def test_windows_do_not_depend_on_the_block(name, block, record, tmp_path):
    settings = SETTINGS[name]
    columns, _ = choose_leads(record, settings)
    part, _, annotated = preprocess_record(record, columns, settings)
    cutter = WindowCutter(StreamedRecord.in_memory(record), columns, settings, tmp_path)
    places = np.rint(record.beat_samples * (settings.fs_hz / 360)).astype(np.int64)
    for first in (0, 17):  # 17: resumed
        found = list(cutter.blocks(places, first=first, block=block))
        windows = np.concatenate([each.windows_mv for each in found])
        moved = np.concatenate([each.places for each in found])
        np.testing.assert_array_equal(moved, annotated[1, first:])
        np.testing.assert_array_equal(windows, part["signals_mv"][-len(windows) :])
        assert len(moved) == len(places) - first


def test_beats_at_the_border_of_blocks_are_detected_once(monkeypatch):
    lead_mv = np.zeros(36_000)
    lead_mv[180::360] = 1.0
    lead_mv = np.convolve(lead_mv, np.hanning(25), mode="same")
    whole = qrs_detection.detect_beats(lead_mv, 360.0)
    monkeypatch.setattr(qrs_detection, "BLOCK_S", 4.5)  # ends at a beat
    assert qrs_detection.detect_beats(lead_mv, 360.0).tolist() == whole.tolist()
    np.testing.assert_allclose(whole, np.arange(180, 36_000, 360), atol=1)
