"""A header is read completely or refused."""

import re
import string

import numpy as np
import pytest
import wfdb
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tiny_records import TINY

from ecgexp.data.formats.wfdb_header import read_header
from ecgexp.settings.declaration import DataError

SOUND = (
    "a 2 360 1080\na.dat 212 200(1024)/mV 12 0 995 -22131 0 MLII\na.dat 212 200(1024)/mV 12 0 "
    "1011 20052 0 V1\n"
)


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    path = tmp_path_factory.mktemp("headers") / "a.hea"

    def _read(content):
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_header(path, TINY)

    return _read


def signal(header):
    line = header.signals[0]
    return line.gain, line.baseline, line.units, line.name


def test_header_fields_are_read(read):
    header = read("# before\n" + SOUND + "# 69 M 1085\r\n#\n")
    first, second = header.signals
    assert (header.fs_hz, header.num_frames) == (360, 1080)
    assert (first.name, second.name) == ("MLII", "V1")
    assert (first.file_name, first.fmt, first.offset, first.skew) == ("a.dat", "212", 0, 0)
    assert (first.first, first.checksum, second.checksum) == (995, -22131, 20052)
    assert signal(header) == (200.0, 1024, "mV", "MLII")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a.dat 16", (None, 0, "mV", 0, None, None)),
        ("a.dat 16 150", (150.0, 0, "mV", 0, None, None)),
        ("a.dat 16 150(7)/uV", (150.0, 7, "uV", 0, None, None)),
        ("a.dat 16 .5/V 12", (0.5, 0, "V", 0, None, None)),
        ("a.dat 16 150 12 1024", (150.0, 1024, "mV", 1024, None, None)),
        ("a.dat 16 150(0) 12 1024 -3", (150.0, 0, "mV", 1024, -3, None)),
        ("a.dat 16 150 12 1024 -3 65535", (150.0, 1024, "mV", 1024, -3, 65535)),
        ("a.dat 16 150 12 1024 -3 65535 0", (150.0, 1024, "mV", 1024, -3, 65535)),
    ],
)
def test_header_fields_that_are_optional_may_be_missing(read, line, expected):
    (found,) = read(f"a 1 360 1080\n{line}\n").signals
    stated = (found.gain, found.baseline, found.units, found.zero, found.first, found.checksum)
    assert (stated, found.name, found.is_named) == (expected, "signal 0", False)


def test_signals_with_one_name_are_numbered(read):
    line = "a.dat 16 200 12 0 0 0 0 "
    lines = [line + name for name in ("ECG", "II", "ECG", "ECG-1")]
    found = read("a 4 360 1080\n" + "\n".join(lines)).signals
    assert [each.name for each in found] == ["ECG-1'", "II", "ECG-2", "ECG-1"]
    assert [each.is_repeated for each in found] == [True, False, True, False]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "a.dat 212 200 11 1024 995 -22131 0 MLII",
            (200.0, 1024, "mV", "MLII"),
        ),  # mitdb: no baseline, so that of the zero
        ("a.dat 16 306 16 0 -102 -28073 0 I", (306.0, 0, "mV", "I")),
        ("a.dat 212 0 10 0 -23 -14336 0 ECG1", (None, 0, "mV", "ECG1")),
        ("a.dat 16+24 1000.0(0)/mV 16 0 28 -1716 0 lead aVR", (1000.0, 0, "mV", "lead aVR")),
        (
            "a.mat 16x1:0+24 1.5e2(-5)/uV 16 7 28 -1716 0 V 1 (left)",
            (150.0, -5, "uV", "V 1 (left)"),
        ),
    ],
)
def test_header_variants_in_use_are_read(read, line, expected):
    assert signal(read(f"a 1 360/360(0) 1080 10:20:30 05/02/2020\n{line}\n")) == expected


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("a 2", "b 2", "is the header of record 'b'"),
        ("a 2", "a/2 2", "several segments"),
        ("a 2", "mitdb/a 2", "is not a WFDB header"),
        ("a 2", "mitdb/2 2", "is the header of record 'mitdb'"),
        ("a 2", "a 3", "states 3 signals, but describes 2"),
        ("a 2", "a 1", "states 1 signals, but describes 2"),
        ("a 2", "a 0", "names no signals"),
        (" 1080", " 0", "states a length of 0 samples"),
        ("360 ", "3e2 ", "is not a WFDB header"),
        ("360 ", "-360 ", "is not a WFDB header"),
        ("360 ", "0 ", "states 0 Hz"),
        ("360 ", "٣٦٠ ", "is not a WFDB header"),
        ("1080", "1_080", "is not a WFDB header"),
        ("1080", "9" * 5000, "is not a WFDB header"),
        ("212 200", "212 nan", "is not a WFDB header"),
        ("212 200", "212 1e309", "states the gain 1e309"),
        ("212 200", "212x0 200", "states 0 samples per frame"),
        ("mV 12 0 995 -22131 0", "mV 12 0 995 x 0", "does not describe a signal"),
        ("mV 12 0", "mV 12 x", "does not describe a signal"),
        ("MLII", "ML\x0cII", "has the byte 0x0c"),
        ("MLII", "ML\x00II", "has the byte 0x00"),
        ("MLII", "ML\rII", "has the byte 0x0d"),
        ("mV 12", "m(V 12", "does not describe a signal"),
        ("MLII", "ML\x85II", "has control characters"),
        (" 1080", " 1080 10:20:30 05-Feb-2020", "is not a WFDB header"),
    ],
)
def test_invalid_header_is_refused_in_one_line(read, old, new, words):
    with pytest.raises(DataError, match=words) as caught:
        read(SOUND.replace(old, new, 1))
    assert re.search(r"a\.hea .*write it again$", str(caught.value))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("written", "units"),
    [
        ("µV".encode(), "uV"),
        ("μV".encode(), "uV"),
        (b"\xb5V", "uV"),
        ("°C".encode(), "°C"),
        (b"mmHg", "mmHg"),
    ],
)
def test_header_units_in_any_encoding_are_read(read, written, units):
    assert read(SOUND.encode().replace(b"/mV", b"/" + written, 1)).signals[0].units == units


@pytest.mark.parametrize("missing", [" 1080", " 360 1080"])
def test_header_without_length_or_frequency_is_read(read, missing):
    header = read(SOUND.replace(missing, "", 1))
    assert (header.num_frames, header.fs_hz) == (None, 360 if missing == " 1080" else 250)


def test_header_comment_in_any_language_is_read(read):
    assert read(SOUND + "# a \x85\u2028é b\n") == read(SOUND)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "cp037"])
def test_header_in_another_encoding_is_refused(read, encoding):
    with pytest.raises(DataError, match="is not a WFDB header"):
        read(SOUND.encode(encoding))


def test_header_of_a_gigabyte_is_refused_unread(tmp_path):
    with (tmp_path / "a.hea").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(
        DataError, match=r"a\.hea has 1073741824 bytes, but at most 1048576 are read"
    ):
        read_header(tmp_path / "a.hea", TINY)


names = (
    st.text(string.ascii_letters + string.digits + " ()-+", min_size=1, max_size=12)
    .map(str.strip)
    .filter(bool)
)


@settings(max_examples=60)
@given(
    gain=st.floats(0.01, 1e6),
    baseline=st.integers(-(2**15), 2**15),
    units=st.sampled_from(["mV", "uV", "V"]),
    lead=names,
    length=st.integers(1, 50),
    fs=st.sampled_from([100, 128, 257, 360, 249.5]),
)
def test_header_written_by_wfdb_is_read_back(
    tmp_path_factory, gain, baseline, units, lead, length, fs
):
    folder = tmp_path_factory.mktemp("written")
    digital = np.arange(length)[:, None] - 3
    wfdb.wrsamp(
        "a",
        fs=fs,
        units=[units],
        sig_name=[lead],
        d_signal=digital,
        fmt=["16"],
        adc_gain=[gain],
        baseline=[baseline],
        comments=["made up"],
        write_dir=str(folder),
    )
    header, reference = read_header(folder / "a.hea", TINY), wfdb.rdheader(str(folder / "a"))
    assert (header.fs_hz, header.num_frames) == (fs, length)
    assert signal(header) == (reference.adc_gain[0], baseline, units, lead)
    assert header.signals[0].first == reference.init_value[0] == -3
    assert header.signals[0].checksum == reference.checksum[0]


@settings(max_examples=400)
@given(place=st.integers(0, len(SOUND) - 1), new=st.binary(max_size=4), width=st.integers(0, 4))
@example(place=0, new=b"\xef\xbb\xbf", width=0)
@example(place=33, new=b"\xa0", width=0)
def test_changed_header_is_refused_or_read_as_written(read, place, new, width):
    content = SOUND.encode()
    changed = content[:place] + new + content[place + width :]
    refused = None
    try:
        header = read(changed)
    except DataError as error:
        refused = str(error)
    if refused is not None:
        assert refused.isprintable()
        assert "a.hea" in refused
        return
    lines = [
        re.split("[ \t]+", decoded(line).strip(" \t"))
        for line in changed.removeprefix(b"\xef\xbb\xbf").replace(b"\r", b"").split(b"\n")
        if line.strip() and not line.lstrip().startswith(b"#")
    ]
    claimed = int(lines[0][3]) if len(lines[0]) > 3 else None
    assert (header.num_frames, len(header.signals)) == (claimed, int(lines[0][1]))
    for found, words in zip(header.signals, lines[1:], strict=True):
        assert found.file_name == words[0]
        assert found.first == (int(words[5]) if len(words) > 5 else None)
        assert found.checksum == (int(words[6]) if len(words) > 6 else None)
        assert found.is_named == (len(words) > 8)
        assert not found.is_named or found.is_repeated or found.name.split() == words[8:]


def decoded(line):
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_in_one_line(read, content):
    with pytest.raises(DataError, match=r"a\.hea") as caught:
        read(content)
    assert str(caught.value).isprintable()
