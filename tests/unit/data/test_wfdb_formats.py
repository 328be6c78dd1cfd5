"""Signal files of every WFDB format are read as they were written."""

import hashlib

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_records import TINY
from wfdb_bytes import BITS, header, packed, signal_file, signal_line

from ecgexp.data.formats.wfdb_reader import read_record
from ecgexp.data.formats.wfdb_samples import FORMATS
from ecgexp.settings.declaration import DataError

COMPRESSED = ("508", "516", "524")

# Files of the tests of wfdb-python (sample-data/binformats.d1 to d9), written by the WFDB library:
# format -> number of the signal, step from one sample to the next, SHA-256 of the file. Format 8 is
# tested by the specification and by wfdb's reader alone.
WRITTEN_BY_WFDB = {
    "16": (1, 524, "3629b2a775eb3c16"),
    "61": (2, 524, "5f0c279ffe7f42e9"),
    "80": (3, 14, "59affd1ec533d240"),
    "160": (4, 524, "d62686da54796cdd"),
    "212": (5, 284, "64f4ea10644e2fef"),
    "310": (6, 347, "6e5975fc17df87ee"),
    "311": (7, 347, "59dbbb76ba820414"),
    "24": (8, 65804, "53cb9c2ae7fa3e1f"),
    "32": (9, 16843019, "9ad6d322db8d17eb"),
}


@pytest.mark.parametrize("fmt", WRITTEN_BY_WFDB)
def test_written_bytes_are_those_of_the_wfdb_library(fmt):
    number, step, expected = WRITTEN_BY_WFDB[fmt]
    span = 2 ** BITS[fmt] - 1
    values = (number + step * np.arange(499)) % span - 2 ** (BITS[fmt] - 1) + 1
    content = packed(fmt, values)
    content = content[: {"310": 666, "311": 666}.get(fmt, len(content))]  # a started block
    assert hashlib.sha256(content).hexdigest().startswith(expected)


def drawn_signals(rng, fmt, num_frames, per_frame):
    """Samples over the whole range of the format, without the value of a gap."""
    top = 2 ** (BITS[fmt] - 1)
    if fmt == "8":
        steps = [rng.integers(-128, 128, num_frames * width) for width in per_frame]
        return [np.cumsum(each) for each in steps]
    return [rng.integers(1 - top, top, num_frames * width) for width in per_frame]


def write(folder, fmt, signals, per_frame, *, offset=0, stated=True, files=1):
    """Write record `a`; gains keep every format below a volt."""
    gain = f"{2 ** (BITS[fmt] - 1)}(3)/mV"
    lines = []
    groups = [range(len(signals))] if files == 1 else [[each] for each in range(len(signals))]
    for number, group in enumerate(groups):
        chosen = [signals[each] for each in group]
        widths = [per_frame[each] for each in group]
        content = signal_file(fmt, chosen, widths)
        (folder / f"a.d{number}").write_bytes(bytes(offset) + content)
        lines += [
            signal_line(
                f"a.d{number}",
                fmt,
                signals[each],
                f"L{each}",
                per_frame=per_frame[each],
                offset=offset,
                gain=gain,
            )
            for each in group
        ]
    num_frames = len(signals[0]) // per_frame[0] if stated else None
    (folder / "a.hea").write_text(header("a", fs_hz=360, num_frames=num_frames, lines=lines))
    return float(2 ** (BITS[fmt] - 1))


@settings(max_examples=60)
@given(
    fmt=st.sampled_from(sorted(FORMATS)),
    num_frames=st.integers(1, 40),
    per_frame=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    offset=st.sampled_from([0, 0, 24]),
    stated=st.booleans(),
    files=st.sampled_from([1, 2]),
    seed=st.integers(0, 2**32 - 1),
)
def test_samples_of_every_format_are_read_as_written(
    tmp_path_factory, fmt, num_frames, per_frame, offset, stated, files, seed
):
    folder = tmp_path_factory.mktemp("formats")
    if fmt in COMPRESSED:
        per_frame, offset = [per_frame[0]] * len(per_frame), 0
    signals = drawn_signals(np.random.default_rng(seed), fmt, num_frames, per_frame)
    stated = stated or fmt in ("310", "311")  # a completed block can be another sample
    gain = write(folder, fmt, signals, per_frame, offset=offset, stated=stated, files=files)
    for number, width in enumerate(per_frame):
        record = read_record(folder, "a", TINY, (f"L{number}",), annotator=None)
        column = record.lead_names.index(f"L{number}")
        assert record.samples_per_frame == width
        np.testing.assert_array_equal(record.signals_mv[:, column], (signals[number] - 3) / gain)
    assert not record.gaps


@pytest.mark.parametrize("fmt", sorted(set(FORMATS) - {"8"}))
def test_invalid_code_of_every_format_is_a_gap(tmp_path, fmt):
    values = np.full(50, 5)
    values[10:12] = FORMATS[fmt].invalid
    write(tmp_path, fmt, [values], [1])
    record = read_record(tmp_path, "a", TINY, annotator=None)
    assert {name: gaps.tolist() for name, gaps in record.gaps.items()} == {"L0": [[10, 12]]}
    assert len(np.unique(record.signals_mv)) == 1


@pytest.mark.parametrize("fmt", sorted(set(FORMATS) - {"61"}))
@pytest.mark.parametrize("width", [1, 3])
def test_wfdb_reads_the_same_samples(tmp_path, fmt, width):
    signals = drawn_signals(np.random.default_rng(7), fmt, 60, [width, width])
    write(tmp_path, fmt, signals, [width, width])
    record = read_record(tmp_path, "a", TINY, ("L0", "L1"), annotator=None)
    reference = wfdb.rdrecord(str(tmp_path / "a"), smooth_frames=False)
    for column in range(2):
        np.testing.assert_allclose(
            record.signals_mv[:, column], reference.e_p_signal[column], atol=1e-12
        )


@pytest.mark.parametrize("fmt", COMPRESSED)
def test_damaged_compressed_file_is_refused(tmp_path, fmt):
    signals = drawn_signals(np.random.default_rng(1), fmt, 5000, [1, 1])
    write(tmp_path, fmt, signals, [1, 1])
    content = (tmp_path / "a.d0").read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    for damaged in (content[:-100], content[:20], bytes(flipped), b"RIFF" + content[4:], b""):
        (tmp_path / "a.d0").write_bytes(damaged)
        with pytest.raises(DataError, match=r"a\.d0 ") as caught:
            read_record(tmp_path, "a", TINY, annotator=None)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (" 516 ", " 508 ", "has 16 bits, more than format 508 allows"),
        (" 516 ", " 516x2 ", "samples per frame|samples, but its header states"),
        (" 50", " 51", "samples, but its header states 102"),
    ],
)
def test_compressed_file_unlike_its_header_is_refused(tmp_path, old, new, words):
    signals = drawn_signals(np.random.default_rng(1), "516", 50, [1, 1])
    write(tmp_path, "516", signals, [1, 1])
    text = (tmp_path / "a.hea").read_text()
    (tmp_path / "a.hea").write_text(text.replace(old, new))
    with pytest.raises(DataError, match=words):
        read_record(tmp_path, "a", TINY, annotator=None)
    lines = text.replace("a 2", "a 1", 1).split("\n")
    (tmp_path / "a.hea").write_text("\n".join(lines[:2]) + "\n")
    with pytest.raises(DataError, match="has 2 signals, but its header states 1"):
        read_record(tmp_path, "a", TINY, annotator=None)


def test_compressed_file_without_its_library_is_refused(tmp_path, monkeypatch):
    write(tmp_path, "516", [np.arange(9)], [1])
    monkeypatch.setitem(__import__("sys").modules, "soundfile", None)
    with pytest.raises(DataError, match="needs the package soundfile") as caught:
        read_record(tmp_path, "a", TINY, annotator=None)
    assert "\n" not in str(caught.value)
