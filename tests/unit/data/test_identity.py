"""Records, signals and beats that occur twice are refused, and both places are named."""

import numpy as np
import pytest
import wfdb
from tiny_records import make_beats, tiny_source, write_record

from ecgexp.data.datasets.recorded import RecordedDataset
from ecgexp.data.identity import (
    check_beats_once,
    check_no_copies,
    check_stems_once,
    copies,
    window_hashes,
)
from ecgexp.data.preprocessing.pipeline import preprocess_records
from ecgexp.data.preprocessing.settings import Preprocessing
from ecgexp.settings.declaration import ConfigError, DataError, build

TWICE = "101 is listed twice, at positions 1 and 3; list it once"


def load(folder, records):
    return preprocess_records(Preprocessing(window_ms=(100, 100)), tiny_source(folder, records))


@pytest.mark.parametrize("records", [["101", "106", "101"], [101, 106, 101], [101, 106, "101"]])
def test_record_named_twice_is_refused(records):
    with pytest.raises(ConfigError, match=rf"dataset\.records=.*{TWICE}"):
        build(RecordedDataset, {"records": records}, path="dataset")


def test_record_named_twice_in_a_part_is_refused():
    with pytest.raises(ConfigError, match=r"dataset\.train\.records=.*is listed twice"):
        build(RecordedDataset, {"records": [101, 101]}, path="dataset.train")


def test_record_read_twice_is_refused(tiny):
    with pytest.raises(
        DataError, match=r"dataset\.records=\[a,a\]: a is listed twice, at positions 1 and 2"
    ):
        load(tiny, ("a", "a"))


def test_record_copied_under_another_name_is_refused(tiny):
    (tiny / "b.dat").write_bytes((tiny / "a.dat").read_bytes())
    (tiny / "b.hea").write_text(
        (tiny / "a.hea").read_text().replace("a ", "b ", 1).replace("a.dat", "b.dat")
    )
    wfdb.wrann("b", "atr", np.asarray([300]), ["N"], write_dir=str(tiny))
    with pytest.raises(
        DataError,
        match="records a and b hold the same signal: a.dat and b.dat are equal byte for byte",
    ):
        load(tiny, ("a", "b"))


@pytest.mark.parametrize("link", [True, False])
def test_record_with_the_signal_of_another_is_refused(tiny, link):
    if link:
        (tiny / "b.dat").symlink_to(tiny / "a.dat")
    text = (tiny / "a.hea").read_text().replace("a ", "b ", 1)
    (tiny / "b.hea").write_text(text.replace("a.dat", "b.dat") if link else text)
    (tiny / "b.atr").write_bytes((tiny / "a.atr").read_bytes())
    with pytest.raises(DataError, match="records a and b hold the same signal"):
        load(tiny, ("a", "b"))


def test_record_copied_in_another_format_is_refused(tmp_path):
    digital = write_record(tmp_path)
    wfdb.wrsamp(
        "b",
        fs=360,
        units=["mV"],
        sig_name=["MLII"],
        d_signal=digital[:, :1],
        fmt=["16"],
        adc_gain=[200.0],
        baseline=[1024],
        write_dir=str(tmp_path),
    )
    (tmp_path / "b.atr").write_bytes((tmp_path / "a.atr").read_bytes())
    with pytest.raises(
        DataError, match="records a and b hold the same heartbeats: 3 windows are equal bit for bit"
    ):
        load(tmp_path, ("a", "b"))


def test_flat_windows_are_not_copies():
    windows = np.zeros((4, 5, 1), np.float32)
    check_no_copies(np.asarray(["a", "a", "b", "b"]), windows)
    windows[:, 0] = np.arange(4)[:, None]
    check_no_copies(np.asarray(["a", "a", "b", "b"]), windows)
    windows[2:] = windows[:2]
    windows[0] = 0
    check_no_copies(np.asarray(["a", "a", "b", "b"]), windows)  # one of two: by chance


def test_beat_with_two_rows_is_refused():
    check_beats_once(make_beats(["a", "a", "b"], r_samples=[1, 2, 1]))
    with pytest.raises(
        DataError, match="1 beats have several rows: record a sample 7 is in rows 0 and 2"
    ):
        check_beats_once(make_beats(["a", "b", "a"], r_samples=[7, 7, 7]))


@pytest.mark.parametrize("link", [True, False])
def test_records_with_the_same_signal_are_refused(tmp_path, link):
    stems = [tmp_path / "one" / "a", tmp_path / "two" / "b"]
    for stem in stems:
        stem.parent.mkdir()
    stems[0].with_suffix(".dat").write_bytes(b"signal")
    if link:
        stems[1].with_suffix(".dat").symlink_to(stems[0].with_suffix(".dat"))
    else:
        stems[1].with_suffix(".dat").write_bytes(b"signal")
    with pytest.raises(
        DataError,
        match=rf"records {stems[0]} and {stems[1]} hold the same signal.*name only one of them",
    ):
        check_stems_once(
            stems, lambda folder, record: [folder / f"{record}.dat", folder / "missing.dat"]
        )


def test_records_with_different_signals_are_accepted(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.dat").write_text(name)
    check_stems_once(
        [tmp_path / "a", tmp_path / "b"], lambda folder, record: [folder / f"{record}.dat"] * 2
    )


def test_copies_are_found_in_any_order():
    windows = np.random.default_rng(0).normal(size=(9, 5, 1)).astype(np.float32)
    hashes = window_hashes(windows)
    assert copies({"a": hashes[:4], "b": hashes[4:]}) is None
    assert copies({"a": hashes, "b": hashes[3:5]}) == ("a", "b", 2)
    assert copies({"a": hashes[3:5], "b": [*hashes[4:], *hashes[3:4]]}) == ("a", "b", 2)
    flat = window_hashes(np.ones((3, 5, 1), np.float32))
    assert copies({"a": flat, "b": flat}) is None
