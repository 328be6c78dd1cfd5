import json
from dataclasses import replace

import edfio
import numpy as np
import pandas as pd
import pytest

from ecgexp.inference import output_files
from ecgexp.inference.record import Annotated
from ecgexp.inference.summary import runs_of, summarize
from ecgexp.inference.summary_text import summary_lines
from ecgexp.inference.unfinished import folder_of, unfinished
from ecgexp.inference.window_store import WindowStore
from ecgexp.settings.declaration import ConfigError, DataError

SECONDS = np.array([1.0, 2.0, 2.5, 3.0, 3.5, 6.0, 7.0, 8.0])
CLASSES = [0, 1, 1, 1, 0, 0, 2, 2]


@pytest.fixture
def annotated():
    """A run of three V at 120 per minute, a pause of 2.5 s, a couplet of S."""
    return Annotated(
        record_id="a",
        fs_hz=100.0,
        source="detector",
        class_names=("N", "V", "S"),
        samples=(100 * SECONDS).astype(np.int64),
        probabilities=np.eye(3)[CLASSES],
        references=np.full(8, ""),
        reasons=np.full(8, "", object),
        quality=np.full(8, "", object),
        num_samples=1000,
        segments=np.array([0], np.int8),
    )


def test_summary_has_runs_couplets_and_pauses(annotated):
    found = summarize(annotated)
    assert [(run.num_beats, run.seconds, run.per_minute) for run in found.runs["V"]] == [
        (3, 2.0, 120.0)
    ]
    assert (found.runs["S"], found.num_couplets) == ((), {"V": 0, "S": 1})
    assert found.pauses.tolist() == [[3.5, 2.5]]
    assert found.counts == {"N": 3, "V": 3, "S": 2}
    assert found.usable_by_hour.tolist() == [1.0]
    assert found.rates[0, 1] == pytest.approx(60 * 7 / 7)


def test_marked_beat_ends_a_run_and_no_pause_is_beside_it(annotated):
    quality = annotated.quality.copy()
    quality[[2, 5]] = "MLII noise"
    found = summarize(replace(annotated, quality=quality))
    assert (found.runs["V"], found.num_couplets["V"], len(found.pauses)) == ((), 0, 0)
    assert found.num_unclassified == 2


def test_runs_at_both_ends_are_found():
    found = runs_of(np.array([True, True, False, True, True]), np.arange(5.0))
    assert [(run.first, run.num_beats) for run in found] == [(0, 2), (3, 2)]


def test_every_format_has_all_beats(annotated, tmp_path, monkeypatch):
    monkeypatch.setattr(output_files, "_ROWS", 3)
    text = "\n".join(summary_lines(summarize(annotated), "m"))
    output_files.write(
        annotated, tmp_path, "ex", formats=("wfdb", "csv", "json", "edf"), summary=text
    )
    assert "runs of V     1 of 3 beats or more" in (tmp_path / "a.summary.txt").read_text()
    table = pd.read_csv(tmp_path / "a.csv", keep_default_na=False)
    assert table["symbol"].tolist() == list("NVVVNNSS")
    columns = json.loads((tmp_path / "a.json").read_text())
    assert columns["symbol"] == table["symbol"].tolist()
    assert columns["sample"] == annotated.samples.tolist()
    assert columns["probability/V"] == annotated.probabilities[:, 1].tolist()
    found = edfio.read_edf(tmp_path / "a.edf").annotations
    assert [(one.onset, one.text) for one in found] == list(
        zip(SECONDS.tolist(), "NVVVNNSS", strict=True)
    )


def begin(folder, made_from, error=None):
    with unfinished(folder, "a", made_from, overwrite=False) as begun:
        (begun / "part").touch()
        if error is not None:
            raise error


def test_unfinished_folder_is_kept_by_an_interruption_alone(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        begin(tmp_path, {"x": 1}, KeyboardInterrupt())
    with pytest.raises(ConfigError, match="another model, setting or signal; use --overwrite"):
        begin(tmp_path, {"x": 2})
    with unfinished(tmp_path, "a", {"x": 1}, overwrite=False) as folder:
        assert (folder / "part").exists()
        with pytest.raises(DataError, match="another process annotates this record; wait"):
            begin(tmp_path, {"x": 1})
    assert not folder_of(tmp_path, "a").exists()
    with pytest.raises(DataError, match="damaged"):
        begin(tmp_path, {}, DataError("damaged"))
    assert not folder_of(tmp_path, "a").exists()


def test_template_of_stored_windows_is_their_median(tmp_path, monkeypatch):
    windows = np.random.default_rng(0).normal(size=(50, 6, 2)).astype(np.float32)
    monkeypatch.setattr("ecgexp.inference.window_store._COLUMN_BYTES", 1000)
    store = WindowStore(tmp_path / "w", (6, 2))
    for begin in range(0, 50, 7):
        store.append(windows[begin : begin + 7])
    np.testing.assert_array_equal(store.template(), np.median(windows, axis=0))
    np.testing.assert_array_equal(store.read(40, 60), windows[40:])
