"""EDF, EDF+ and BDF are read as written; gaps stay gaps; personal fields stay in the file."""

import edfio
import numpy as np
import pytest
import wfdb
from edf_bytes import edf_file, tal
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_records import TINY

from ecgexp.data.formats.annotation_order import UNSORTED
from ecgexp.data.formats.edf_annotations import NotAnnotations, parse_lists
from ecgexp.data.formats.edf_header import NO_COUNT
from ecgexp.data.formats.edf_reader import OUT_OF_RANGE, files_of, read_record
from ecgexp.data.formats.labels import OTHER_NOTE, Labels
from ecgexp.data.formats.leads import REPEATED_NAME
from ecgexp.settings.declaration import DataError

FS, SECONDS = 100, 6
DIGITAL = np.random.default_rng(0).integers(-3000, 3000, FS * SECONDS)
ECG = {"digital": DIGITAL, "samples": FS, "label": "ECG II"}
OTHER = {"digital": -DIGITAL, "samples": FS, "label": "ECG V1"}


@pytest.fixture
def read(tmp_path):
    def _read(*leads, content=None, name="a.edf", **values):
        signals = values.pop("signals", [ECG])
        arguments = {key: values.pop(key) for key in ("labels", "annotator") if key in values}
        path = tmp_path / name
        path.write_bytes(edf_file(signals, **values) if content is None else content)
        return read_record(path, TINY, leads, **arguments)

    return _read


def test_plain_edf_is_read_in_millivolts(read):
    record = read(signals=[ECG, OTHER])
    assert (record.fs_hz, record.lead_names) == (FS, ("ECG II", "ECG V1"))
    np.testing.assert_allclose(record.signals_mv[:, 0], DIGITAL / 1000, atol=1e-12)
    np.testing.assert_allclose(record.signals_mv[:, 1], -DIGITAL / 1000, atol=1e-12)
    assert (len(record.samples), record.gaps, record.notes) == (0, {}, {})


@pytest.mark.parametrize(
    ("units", "scale"),
    [("uV", 1e-3), ("µV", 1e-3), ("μV".encode(), 1e-3), ("mV", 1), ("V", 1e3), ("nV", 1e-6)],
)
def test_edf_units_are_converted(read, units, scale):
    record = read(signals=[ECG | {"units": units, "physical": (-3.2768, 3.2767)}])
    np.testing.assert_allclose(record.signals_mv[:, 0], DIGITAL / 10000 * scale, atol=1e-9)


def test_inverted_physical_range_is_an_inverted_lead(read):
    record = read(signals=[ECG | {"physical": (32.768, -32.767)}])
    np.testing.assert_allclose(record.signals_mv[:, 0], -DIGITAL / 1000, atol=1e-9)


def test_bdf_is_read(read):
    signal = ECG | {
        "digital": DIGITAL * 1000,
        "limits": (-8388608, 8388607),
        "physical": (-8388608, 8388607),
        "units": "nV",
    }
    record = read(name="a.bdf", signals=[signal], version=b"\xffBIOSEMI", kind="24BIT")
    np.testing.assert_allclose(record.signals_mv[:, 0], DIGITAL / 1000, atol=1e-9)


def test_leads_of_several_frequencies_are_read(read):
    slow = {"digital": DIGITAL[:: FS // 50], "samples": 50, "label": "slow"}
    signals = [ECG, slow, {"digital": DIGITAL[:180], "samples": 30, "label": "odd"}]
    record = read("ECG II", signals=signals)
    assert (record.fs_hz, record.lead_names) == (100, ("ECG II",))
    np.testing.assert_allclose(record.signals_mv[:, 0], DIGITAL / 1000, atol=1e-12)
    assert "50 samples of lead slow in a data record, but 100" in record.unusable["slow"]
    record = read("slow", signals=signals)
    assert (record.fs_hz, record.lead_names) == (50, ("ECG II", "slow"))
    np.testing.assert_allclose(record.signals_mv[:, 0], DIGITAL.reshape(-1, 2).mean(axis=1) / 1000)
    assert read(signals=signals).fs_hz == 10


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"units": "mmHg"}, "gives lead ECG V1 in 'mmHg', not in volts"),
        ({"units": ""}, "gives lead ECG V1 in '', not in volts"),
        ({"physical": (1, 1)}, "gives lead ECG V1 no physical range"),
        ({"limits": (5, 5)}, "gives lead ECG V1 the digital range 5 to 5"),
        ({"limits": (5, -5)}, "gives lead ECG V1 the digital range 5 to -5"),
        ({"physical": (-999999, 999999)}, "and an ECG is below 1000 mV"),
    ],
)
def test_edf_lead_that_cannot_be_used_is_left_out(read, changed, words):
    record = read(signals=[ECG, OTHER | changed])
    assert record.lead_names == ("ECG II",)
    assert words in record.unusable["ECG V1"]
    with pytest.raises(DataError, match="a.edf "):
        read(signals=[OTHER | changed])


def test_unusual_edf_is_counted(read):
    signals = [ECG | {"label": "ECG", "limits": (-100, 100)}, OTHER | {"label": "ECG"}]
    record = read(signals=signals, num_records=-1)
    assert record.lead_names == ("ECG-1", "ECG-2")
    assert record.notes == {NO_COUNT: 1, OUT_OF_RANGE: 1, REPEATED_NAME: 2}
    content = edf_file([ECG], num_records=-1)
    record = read(content=content[:-70])  # the last data record is incomplete
    np.testing.assert_allclose(record.signals_mv[:, 0], DIGITAL[:-FS] / 1000, atol=1e-12)


def test_edf_written_by_edfio_is_read(tmp_path):
    slow = np.sin(np.arange(256 * 10) / 40)
    edf = edfio.Edf(
        [
            edfio.EdfSignal(slow, 256, label="ECG II", physical_dimension="mV"),
            edfio.EdfSignal(1000 * slow[::2], 128, label="V1", physical_dimension="uV"),
        ],
        annotations=[edfio.EdfAnnotation(1.5, None, "V"), edfio.EdfAnnotation(0.25, None, "N")],
        data_record_duration=1,
    )
    edf.write(tmp_path / "a.edf")
    record = read_record(tmp_path / "a.edf", TINY)
    expected = [signal.data for signal in edf.signals]
    assert record.fs_hz == 128
    mean = expected[0].reshape(-1, 2).mean(axis=1)
    np.testing.assert_allclose(record.signals_mv[:, 0], mean, atol=1e-12)
    np.testing.assert_allclose(record.signals_mv[:, 1], expected[1] / 1000, atol=1e-12)
    assert (record.samples.tolist(), record.symbols.tolist()) == ([32, 192], ["N", "V"])


def test_edfio_reads_the_same_of_continuous_files(read, tmp_path):
    texts = [(0.5, "N"), (1.0, "V"), (5.99, "A")]
    record = read(kind="EDF+C", signals=[ECG, OTHER], annotations=texts)
    reference = edfio.read_edf(tmp_path / "a.edf")
    for column, signal in enumerate(reference.signals):
        np.testing.assert_allclose(record.signals_mv[:, column], signal.data, atol=1e-12)
    found = [(round(each.onset * FS), each.text) for each in reference.annotations]
    assert found == list(zip(record.samples.tolist(), record.symbols.tolist(), strict=True))


# Gaps.


def test_discontinuous_edf_keeps_its_gaps(read, tmp_path):
    begins = [5, 6, 9.5, 10.5, 30, 31]
    beats = [(5.5, "N"), (8, "V"), (10, "N"), (31.99, "A")]
    record = read(kind="EDF+D", begins=begins, annotations=beats)
    assert len(record.signals_mv) == 27 * FS
    assert {name: gaps.tolist() for name, gaps in record.gaps.items()} == {
        "ECG II": [[200, 450], [650, 2500]]
    }
    for number, begin in enumerate(begins):
        rows = slice(round((begin - 5) * FS), round((begin - 4) * FS))
        truth = DIGITAL[number * FS : (number + 1) * FS] / 1000
        np.testing.assert_allclose(record.signals_mv[rows, 0], truth, atol=1e-12)
    assert record.samples.tolist() == [50, 300, 500, 2699]
    line = record.signals_mv[199:451, 0]
    np.testing.assert_allclose(np.diff(line), np.diff(line)[0])
    # edfio joins the parts without a word, so that its last annotation is beyond the signal.
    joined = edfio.read_edf(tmp_path / "a.edf")
    assert len(joined.signals[0].data) == len(DIGITAL)
    assert joined.annotations[-1].onset == 26.99


@settings(max_examples=40)
@given(
    steps=st.lists(st.sampled_from([0, 0, 1, 7, 100, 12345]), min_size=5, max_size=5),
    first=st.sampled_from([0, 3, 100.5]),
)
def test_gaps_of_any_length_are_kept(tmp_path_factory, steps, first):
    path = tmp_path_factory.mktemp("edf") / "a.edf"
    starts = np.concatenate([[0], np.cumsum(np.asarray(steps) + FS)])
    path.write_bytes(edf_file([ECG], kind="EDF+D", begins=(first + starts / FS).tolist()))
    record = read_record(path, TINY)
    is_known = np.ones(len(record.signals_mv), bool)
    for begin, end in record.gaps.get("ECG II", ()):
        is_known[begin:end] = False
    rows = (starts[:, None] + np.arange(FS)).reshape(-1)
    # A gap of one sample is not distinguished from a time that is rounded.
    if 1 not in steps:
        assert np.flatnonzero(is_known).tolist() == rows.tolist()
        np.testing.assert_allclose(record.signals_mv[rows, 0], DIGITAL / 1000, atol=1e-12)
    assert is_known.sum() == len(DIGITAL)


@pytest.mark.parametrize(
    ("kind", "begins", "words"),
    [
        ("EDF+D", [0, 1, 2, 2.5, 4, 5], "has data record 3 at 2.5 s, but record 2 ends at 3 s"),
        ("EDF+D", [0, 1, 2, 9, 4, 5], "has data record 4 at 4 s"),
        ("EDF+D", [9, 1, 2, 3, 4, 5], "has data records at 1 to 9 s"),
        ("EDF+D", [0, 1, 2, 3, 4, 9e9], "has data records at 0 to 9e"),
        ("EDF+C", [0, 1, 2, 3, 5, 6], "has data record 4 at 5 s.*by its header it has no gaps"),
    ],
)
def test_impossible_times_of_edf_are_refused(read, kind, begins, words):
    with pytest.raises(DataError, match=words):
        read(kind=kind, begins=begins)


def test_discontinuous_edf_without_times_is_refused(read):
    content = edf_file([ECG], kind="EDF+D").replace(b"EDF Annotations", b"EDF Remarks    ")
    with pytest.raises(DataError, match="does not state when its parts begin"):
        read(content=content)
    with pytest.raises(DataError, match="does not state when data record 0 begins"):
        read(content=edf_file([ECG], kind="EDF+D").replace(b"+0\x14\x14\0", b"+0\x14x\x14"))


def test_rounded_times_of_edf_are_no_gaps(read):
    begins = [0, 1.004, 2.008, 3.001, 3.995, 5]
    for kind in ("EDF+C", "EDF+D"):
        record = read(kind=kind, begins=begins)
        assert not record.gaps
        assert len(record.signals_mv) == len(DIGITAL)


# Annotations.


def test_edf_annotations_are_symbols_or_mapped(read):
    texts = [(0.5, "N"), (1.0, "Ventrikuläre Extrasystole"), (0.75, "lights off"), (9, "N")]
    record = read(kind="EDF+C", annotations=texts, annotation_bytes=240)
    assert record.samples.tolist() == [50, 75, 100]
    assert record.symbols.tolist() == ["N", '"', '"']
    assert (dict(record.outside), record.notes) == ({"N": 1}, {OTHER_NOTE: 2, UNSORTED: 1})
    symbols = {"Ventrikuläre Extrasystole": "V", "lights off": "~", "N": "L"}
    record = read(
        kind="EDF+C", annotations=texts, annotation_bytes=240, labels=Labels(symbols=symbols)
    )
    assert record.symbols.tolist() == ["L", "~", "V"]
    assert record.notes == {UNSORTED: 1}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", (None, [])),
        (tal(3, ""), (3.0, [])),
        (tal(-0.5, "", "x"), (-0.5, [(-0.5, "x")])),
        (
            tal(3, "") + tal(4.25, "a", "b") + tal(5, "c", duration=2.5),
            (3.0, [(4.25, "a"), (4.25, "b"), (5.0, "c")]),
        ),
        (tal(3, "x"), (None, [(3.0, "x")])),
    ],
)
def test_lists_of_annotations_are_parsed(content, expected):
    begin, found = parse_lists(content + bytes(9), 0)
    assert (begin, [(each.seconds, each.text) for each in found]) == expected


@pytest.mark.parametrize(
    "content",
    [b"3\x14\x14\0", b"+3", b"+3\x14x", b"+\x14\x14\0", b"+3\x15\x14\0", b"+3,5\x14\x14\0", b"x"],
)
def test_damaged_lists_of_annotations_are_refused(content):
    with pytest.raises(NotAnnotations, match="damaged annotations in data record 7"):
        parse_lists(content + bytes(4), 7)


def test_annotation_file_beside_edf_is_used(read, tmp_path):
    assert files_of(tmp_path / "a.edf") == (tmp_path / "a.edf",)
    wfdb.wrann("a", "atr", np.array([10, 200]), ["N", "V"], write_dir=str(tmp_path))
    assert files_of(tmp_path / "a.edf")[1] == tmp_path / "a.atr"
    record = read(kind="EDF+C", annotations=[(0.5, "A")])
    assert (record.samples.tolist(), record.symbols.tolist()) == ([10, 200], ["N", "V"])
    (tmp_path / "a.csv").write_text("seconds;symbol;who\n0,5;A;x\n1,26;V;y\n")
    record = read()
    assert (record.samples.tolist(), record.symbols.tolist()) == ([50, 126], ["A", "V"])
    assert not len(read(annotator=None).samples)
    assert files_of(tmp_path / "a.edf")[1:] == (tmp_path / "a.csv",)


# Personal data and damage.


def test_personal_fields_of_edf_do_not_leave_the_reader(read):
    name = "MCH-0234567 F 02-MAY-1951 Haagse_Harry"
    planted = {
        "patient": name,
        "recording": "Startdate 02-MAR-2002 PSG-1234 Dr_Planted",
        "date": "02.03.02",
    }
    texts = [(0.5, "N"), (1, "Haagse_Harry fell asleep")]
    record = read(kind="EDF+C", annotations=texts, annotation_bytes=240, **planted)
    shown = [repr(record)]
    content = edf_file([ECG], kind="EDF+C", annotations=texts, annotation_bytes=240, **planted)
    for place in range(0, len(content), 40):
        with pytest.raises(DataError) as caught:
            read(content=content[:place])
        shown.append(str(caught.value))
    secret = ("Harry", "0234567", "1951", "Planted", "PSG", "MAR-2002", "02.03")
    assert not [word for word in secret for line in shown if word in line]


@pytest.mark.parametrize(
    ("place", "new", "words"),
    [
        (0, b"1       ", "is not an EDF or BDF file"),
        (184, b"768     ", "states 1 signals and a header of 768 bytes"),
        (252, b"0   ", "states 0 signals"),
        (252, b"9999", "states 9999 signals"),
        (252, b"x   ", "states the number of signals as 'x', not as a number"),
        (236, b"7       ", "has 1712 bytes, but its header states 1912"),
        (236, b"5       ", "has 1712 bytes, but its header states 1512"),
        (236, b"0       ", "bytes, but its header states"),
        (236, b"-2      ", "bytes, but its header states"),
        (244, b"0       ", "states data records of 0 s"),
        (244, b"nan     ", "states the duration of a data record as 'nan', not as a number"),
        (256, b"EC\n", "names a signal 'EC"),
        (256 + 16 + 80 + 8, b"1,5     ", "states the physical range of ECG II as '1,5', not"),
        (256 + 216, b"-5      ", "states -5 samples of signal ECG II"),
        (256 + 216, b"0       ", "states no samples"),
        (256 + 216, b"99      ", "has 1712 bytes, but its header states 1700"),
    ],
)
def test_damaged_edf_header_is_refused(read, place, new, words):
    content = bytearray(edf_file([ECG]))
    content[place : place + len(new)] = new
    with pytest.raises(DataError, match=words) as caught:
        read(content=bytes(content))
    assert str(caught.value).isprintable()


@settings(max_examples=300)
@given(place=st.integers(0, 1200), new=st.binary(max_size=9), cut=st.integers(0, 9))
def test_mutated_edf_is_read_or_refused_in_one_line(tmp_path_factory, place, new, cut):
    short = [ECG | {"digital": DIGITAL[:40], "samples": 10}]
    content = edf_file(short, kind="EDF+D", begins=[0, 1, 4, 5], annotations=[(0.1, "N")])
    path = tmp_path_factory.mktemp("edf") / "mutated.edf"
    path.write_bytes(content[:place] + new + content[place + cut :])
    refused, record = "mutated.edf", None
    try:
        record = read_record(path, TINY)
    except DataError as error:
        refused = str(error)
    assert refused.isprintable()
    assert "mutated.edf" in refused
    assert record is None or np.isfinite(record.signals_mv).all()
