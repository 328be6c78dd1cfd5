"""Damage that wfdb accepts is refused, by a message with the file and the remedy."""

from collections import Counter

import numpy as np
import pytest
import wfdb
from hypothesis import given
from hypothesis import strategies as st
from tiny_records import TINY, tiny_source, write_record

from ecgexp.data.formats.annotation_order import (
    OTHER_BEAT,
    SAME_BEAT_TWICE,
    UNSORTED,
    in_time_order,
)
from ecgexp.data.formats.wfdb_reader import read_record
from ecgexp.data.formats.wfdb_signals import NO_GAIN
from ecgexp.data.preprocessing.pipeline import preprocess_records
from ecgexp.data.preprocessing.settings import Preprocessing
from ecgexp.settings.declaration import DataError


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_valid_record_is_read_in_millivolts(tiny):
    digital = write_record(tiny, "b")
    record = read_record(tiny, "b", TINY)
    np.testing.assert_allclose(record.signals_mv, (digital - 1024) / 200)
    assert record.lead_names == ("MLII", "V1")
    assert record.beat_samples.tolist() == [200, 500, 800]


def test_header_with_crlf_is_read(tiny):
    expected = read_record(tiny, "a", TINY).signals_mv
    path = tiny / "a.hea"
    path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    np.testing.assert_array_equal(read_record(tiny, "a", TINY).signals_mv, expected)


def test_flipped_byte_is_refused_by_the_checksum(tiny):
    content = bytearray((tiny / "a.dat").read_bytes())
    content[1500] ^= 1
    (tiny / "a.dat").write_bytes(content)
    assert wfdb.rdrecord(str(tiny / "a")).sig_len == 1080  # wfdb accepts it
    with pytest.raises(
        DataError, match=r"a\.dat does not have its header's checksum in lead .*write it again"
    ):
        read_record(tiny, "a", TINY)


def test_flipped_first_sample_is_refused(tiny):
    content = bytearray((tiny / "a.dat").read_bytes())
    content[0] ^= 1
    (tiny / "a.dat").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.dat begins lead MLII with"):
        read_record(tiny, "a", TINY)


def test_header_with_fewer_samples_than_the_signal(tiny):
    edit(tiny / "a.hea", " 1080", " 900")
    assert wfdb.rdrecord(str(tiny / "a")).sig_len == 900
    with pytest.raises(DataError, match=r"a\.dat has 3240 bytes, but its header states 2700"):
        read_record(tiny, "a", TINY)


def test_truncated_signal_file_is_refused(tiny):
    (tiny / "a.dat").write_bytes((tiny / "a.dat").read_bytes()[:-300])
    with pytest.raises(DataError, match=r"a\.dat has 2940 bytes, but its header states 3240"):
        read_record(tiny, "a", TINY)


@pytest.mark.parametrize("cut", [1, 2, 4])
def test_truncated_annotation_file_is_refused(tiny, cut):
    (tiny / "a.atr").write_bytes((tiny / "a.atr").read_bytes()[:-cut])
    with pytest.raises(DataError, match=r"a\.atr is truncated"):
        read_record(tiny, "a", TINY)


def test_annotation_outside_the_record_is_counted(tmp_path):
    write_record(tmp_path, samples=(200, 500, 5000))
    record = read_record(tmp_path, "a", TINY)
    assert (record.beat_samples.tolist(), record.num_beats_outside) == ([200, 500], 1)


def test_beats_at_one_sample_are_used_once_and_counted(tmp_path):
    write_record(tmp_path, samples=(200, 500, 500, 500, 800), symbols="NVVNN")
    record = read_record(tmp_path, "a", TINY)
    assert record.beat_samples.tolist() == [200, 500, 800]
    assert record.beat_symbols.tolist() == ["N", "V", "N"]
    assert record.notes == {SAME_BEAT_TWICE: 1, OTHER_BEAT: 1}


def test_unsorted_annotations_are_sorted_and_counted(tiny):
    # N at 200, SKIP of -100, V at +0: the format allows steps back, and wfdb follows them.
    (tiny / "a.atr").write_bytes(
        np.asarray([1 << 10 | 200, 59 << 10, 0xFFFF, 0xFF9C, 5 << 10, 0], "<u2").tobytes()
    )
    record = read_record(tiny, "a", TINY)
    assert (record.samples.tolist(), record.symbols.tolist()) == ([100, 200], ["V", "N"])
    assert record.notes == {UNSORTED: 1}


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from("NV+~")), max_size=12))
def test_annotations_are_brought_into_time_order(drawn):
    samples = np.asarray([at for at, _ in drawn], np.int64)
    symbols = np.asarray([symbol for _, symbol in drawn], np.str_)
    notes = Counter()
    at, found, kept = in_time_order(samples, symbols, notes)
    expected, seen = [], set()
    for number, (sample, symbol) in sorted(enumerate(drawn), key=lambda each: each[1][0]):
        if symbol in "NV":
            if sample in seen:
                continue
            seen.add(sample)
        expected.append((sample, symbol, number))
    assert list(zip(at.tolist(), found.tolist(), kept.tolist(), strict=True)) == expected
    assert notes[SAME_BEAT_TWICE] + notes[OTHER_BEAT] == len(drawn) - len(expected)
    assert (notes[UNSORTED] == 0) == (sorted(samples.tolist()) == samples.tolist())


def test_gain_zero_uses_the_catalog_or_the_default(tiny):
    from dataclasses import replace

    digital = write_record(tiny)
    edit(tiny / "a.hea", "200.0(1024)/mV", "0(1024)/mV")
    np.testing.assert_allclose(read_record(tiny, "a", TINY).signals_mv, (digital - 1024) / 100)
    assert read_record(tiny, "a", TINY).notes == {}
    record = read_record(tiny, "a", replace(TINY, adc_gain=None))
    np.testing.assert_allclose(record.signals_mv, (digital - 1024) / 200)
    assert record.notes == {NO_GAIN: 2}


def test_missing_value_in_a_signal_is_a_gap(tmp_path):
    digital = 1024 + np.zeros((1080, 1), int)
    digital[700] = -2048  # WFDB's "no sample" in format 212: wfdb gives NaN
    wfdb.wrsamp(
        "a",
        fs=360,
        units=["mV"],
        sig_name=["MLII"],
        d_signal=digital,
        fmt=["212"],
        adc_gain=[200.0],
        baseline=[1024],
        write_dir=str(tmp_path),
    )
    wfdb.wrann("a", "atr", np.asarray([200, 500]), ["N", "N"], write_dir=str(tmp_path))
    record = read_record(tmp_path, "a", TINY)
    assert {name: gaps.tolist() for name, gaps in record.gaps.items()} == {"MLII": [[700, 701]]}
    np.testing.assert_array_equal(record.signals_mv, np.zeros((1080, 1)))


@pytest.mark.parametrize(
    "name", ["../a.dat", "/etc/passwd", "~a.dat", "..", "a..dat", "file:a.dat"]
)
def test_header_that_names_a_file_elsewhere_is_refused(tiny, name):
    edit(tiny / "a.hea", "a.dat", name)
    with pytest.raises(
        DataError, match=rf"a\.hea names the signal file '{name}', which is not in its folder"
    ):
        read_record(tiny, "a", TINY)


def test_header_of_another_frequency_is_refused(tiny):
    edit(tiny / "a.hea", " 360 ", " 128 ")
    with pytest.raises(DataError, match=r"a\.hea states 128 Hz, but tiny 1 has 360 Hz"):
        read_record(tiny, "a", TINY)


def test_header_without_record_line_is_refused(tiny):
    (tiny / "a.hea").write_text("no header\n")
    with pytest.raises(DataError, match=r"a\.hea"):
        read_record(tiny, "a", TINY)


@pytest.mark.parametrize("name", ["../a", "a/b", "a.b", "", "/etc/passwd"])
def test_record_name_with_a_path_is_refused(tiny, name):
    with pytest.raises(DataError, match="record name .* is refused"):
        preprocess_records(Preprocessing(), tiny_source(tiny, (name,)))


def test_missing_files_are_named_in_one_error(tiny):
    (tiny / "a.dat").unlink()
    with pytest.raises(
        DataError, match=r"a\.dat, b\.hea, b\.dat, b\.atr missing in .*write it again"
    ):
        preprocess_records(Preprocessing(), tiny_source(tiny, ("a", "b")))


@pytest.mark.real_data
def test_changed_file_differs_from_the_published_one(real_root, tmp_path):
    from ecgexp.data.datasets.recorded import RecordedDataset

    for suffix in ("hea", "dat", "atr"):
        (tmp_path / f"100.{suffix}").write_bytes(
            (real_root / "mitdb/1.0.0" / f"100.{suffix}").read_bytes()
        )
    header = tmp_path / "100.hea"
    header.write_bytes(header.read_bytes().replace(b"\r\n", b"\n"))  # line ends may differ
    dataset = RecordedDataset(root=tmp_path, records=("100",))
    assert len(dataset.load()) == 2271
    atr = bytearray((tmp_path / "100.atr").read_bytes())
    atr[101] ^= 0b1000  # another symbol, which no other check detects
    (tmp_path / "100.atr").write_bytes(atr)
    with pytest.raises(
        DataError,
        match=r"100\.atr is not the file that PhysioNet publishes .*dataset\.verify=header",
    ):
        dataset.load()
