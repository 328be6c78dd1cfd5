"""Variants of WFDB files: the requested lead is read correctly, or refused in one line."""

from dataclasses import replace

import numpy as np
import pytest
import wfdb
from tiny_records import TINY, tiny_source

from ecgexp.data.formats.leads import REPEATED_NAME
from ecgexp.data.formats.wfdb_files import LONGER_FILE, NO_CHECKSUM
from ecgexp.data.formats.wfdb_reader import files_of, read_record
from ecgexp.data.formats.wfdb_signals import NO_GAIN, NO_NAME
from ecgexp.data.preprocessing.one_record import choose_leads
from ecgexp.data.preprocessing.pipeline import OUTSIDE_RECORD, preprocess_records
from ecgexp.data.preprocessing.settings import Preprocessing
from ecgexp.settings.declaration import DataError

LENGTH, FS = 2160, 360
BEATS = (300, 700, 1100, 1500)
TRUE_MV = np.stack([np.sin(np.arange(LENGTH) / 9), 0.5 * np.cos(np.arange(LENGTH) / 7)], axis=1)
HALF_STEP_MV = 0.5 / 200 + 1e-9


def write(
    folder,
    *,
    record_id="a",
    signals_mv=TRUE_MV,
    leads=("MLII", "V1"),
    fmt="16",
    samples=BEATS,
    symbols=None,
    **values,
):
    wfdb.wrsamp(
        record_id,
        fs=FS,
        sig_name=list(leads),
        fmt=[fmt] * len(leads),
        write_dir=str(folder),
        **{
            "d_signal": np.rint(signals_mv * 200).astype(int),
            "units": ["mV"] * len(leads),
            "adc_gain": [200.0] * len(leads),
            "baseline": [0] * len(leads),
            **values,
        },
    )
    if samples is not None:
        wfdb.wrann(
            record_id,
            "atr",
            np.asarray(samples),
            list(symbols or "N" * len(samples)),
            write_dir=str(folder),
        )


def edit(folder, old, new, count=1):
    header = folder / "a.hea"
    content = header.read_bytes()
    assert old in content
    header.write_bytes(content.replace(old, new, count))


def read(folder, *leads):
    return read_record(folder, "a", TINY, leads)


def assert_true(record, lead="MLII", truth=TRUE_MV[:, 0]):
    np.testing.assert_allclose(
        record.signals_mv[:, record.lead_names.index(lead)], truth, atol=HALF_STEP_MV
    )
    assert record.beat_samples.tolist() == list(BEATS)


def load(folder, **settings):
    preprocessing = Preprocessing(window_ms=(100, 100), baseline="none", **settings)
    return preprocess_records(preprocessing, tiny_source(folder))


# Damage of a lead that is not requested.


def no_value(folder):
    digital = np.rint(TRUE_MV * 200).astype(int)
    digital[:, 1] = -(2**15)
    write(folder, d_signal=digital)


DAMAGE = {
    "has no value in lead V1: all of it is a gap": no_value,
    "gives lead V1 in 'mmHg', not in volts": lambda folder: write(folder, units=["mV", "mmHg"]),
    "gives lead V1 in '.C', not in volts": lambda folder: (
        write(folder, units=["mV", "XX"]),
        edit(folder, b"/XX", "/°C".encode()),
    ),
    "gives .* mV in lead V1, and an ECG is below": lambda folder: write(
        folder, adc_gain=[200.0, 2e-4]
    ),
}


@pytest.mark.parametrize("words", DAMAGE)
def test_damaged_lead_that_is_not_requested_is_ignored(tmp_path, words):
    DAMAGE[words](tmp_path)
    record = read(tmp_path)
    assert record.lead_names == ("MLII",)
    assert_true(record)
    assert len(load(tmp_path)) == 4


@pytest.mark.parametrize("words", DAMAGE)
@pytest.mark.parametrize("missing_lead", ["error", "skip", "first"])
def test_damaged_lead_that_is_requested_is_refused(tmp_path, words, missing_lead):
    DAMAGE[words](tmp_path)
    with pytest.raises(DataError, match=rf"a\.(hea|dat) {words}.*write it again"):
        load(tmp_path, leads=("V1",), missing_lead=missing_lead)


def test_unusable_lead_does_not_replace_another(tmp_path):
    no_value(tmp_path)
    assert (
        choose_leads(read(tmp_path), Preprocessing(leads=("V5", "MLII"), missing_lead="first"))[0]
        is None
    )


def test_changed_byte_of_any_lead_is_refused(tmp_path):
    write(tmp_path)
    content = bytearray((tmp_path / "a.dat").read_bytes())
    content[2 * 2 * 100 + 2] ^= 1
    (tmp_path / "a.dat").write_bytes(content)
    with pytest.raises(DataError, match="does not have its header's checksum in lead V1"):
        load(tmp_path)


def test_leads_with_one_name_are_numbered(tmp_path):
    write(tmp_path, signals_mv=TRUE_MV[:, [0, 1, 0]], leads=("MLII", "V1", "V2"))
    edit(tmp_path, b" V2", b" V1")
    record = read(tmp_path)
    assert_true(record)
    assert_true(record, "V1-1", TRUE_MV[:, 1])
    assert_true(record, "V1-2")
    assert record.notes == {REPEATED_NAME: 2}
    with pytest.raises(DataError, match=r"MLII, V1-1, V1-2, but not V1"):
        load(tmp_path, leads=("V1",), missing_lead="error")


def test_header_without_names_and_checksums_is_read(tmp_path):
    write(tmp_path)
    header = tmp_path / "a.hea"
    lines = header.read_text().split("\n")
    header.write_text("\n".join([lines[0], *["a.dat 16 200"] * 2, ""]))
    record = read(tmp_path)
    assert_true(record, "signal 0")
    assert_true(record, "signal 1", TRUE_MV[:, 1])
    assert record.notes == {NO_CHECKSUM: 2, NO_NAME: 2}
    content = (tmp_path / "a.dat").read_bytes()
    (tmp_path / "a.dat").write_bytes(content + bytes(4))
    with pytest.raises(DataError, match=r"a\.dat has 8644 bytes, but its header states 8640"):
        read(tmp_path)


def test_longer_file_with_the_checksum_of_its_header_is_read(tmp_path):
    write(tmp_path)
    content = (tmp_path / "a.dat").read_bytes()
    (tmp_path / "a.dat").write_bytes(content + b"padding!")
    record = read(tmp_path)
    assert_true(record)
    assert record.notes == {LONGER_FILE: 1}
    (tmp_path / "a.dat").write_bytes(content[:-1] + b"?" + b"padding!")
    with pytest.raises(DataError, match=r"a\.dat has 8648 bytes, but its header states 8640"):
        read(tmp_path)


# Gaps.


def test_invalid_samples_are_a_gap_on_a_straight_line(tmp_path):
    digital = np.rint(TRUE_MV * 200).astype(int)
    digital[1000:1010, 1] = digital[:3, 1] = digital[-1, 1] = -(2**15)
    write(tmp_path, d_signal=digital)
    record = read(tmp_path)
    assert_true(record)
    gaps = {name: found.tolist() for name, found in record.gaps.items()}
    assert gaps == {"V1": [[0, 3], [1000, 1010], [LENGTH - 1, LENGTH]]}
    v1 = record.signals_mv[:, 1]
    assert (v1[:3] == digital[3, 1] / 200).all()
    assert v1[-1] == digital[-2, 1] / 200
    line = np.linspace(digital[999, 1], digital[1010, 1], 12) / 200
    np.testing.assert_allclose(v1[999:1011], line)
    keep = np.r_[3:1000, 1010 : LENGTH - 1]
    np.testing.assert_array_equal(v1[keep], digital[keep, 1] / 200)


@pytest.mark.parametrize("per_frame", [1, 2])
def test_skew_shifts_a_lead_and_leaves_a_gap(tmp_path, per_frame):
    framed(tmp_path, (1, per_frame), [TRUE_MV[:, 0], FAST_MV[: per_frame * LENGTH]])
    text = (tmp_path / "a.hea").read_text().split("\n")
    head, _, rest = text[2].partition(" 16")
    text[2] = f"{head} 16x{per_frame}:3 " + rest.partition(" ")[2]
    (tmp_path / "a.hea").write_text("\n".join(text))
    record = read(tmp_path, "V1")
    rows = (LENGTH - 3) * per_frame
    assert {name: gaps.tolist() for name, gaps in record.gaps.items()} == {
        "V1": [[rows, LENGTH * per_frame]]
    }
    truth = FAST_MV[3 * per_frame : LENGTH * per_frame]
    v1 = record.signals_mv[:, record.lead_names.index("V1")]
    np.testing.assert_allclose(v1[:rows], truth, atol=HALF_STEP_MV)
    reference = wfdb.rdrecord(str(tmp_path / "a"), smooth_frames=False)
    np.testing.assert_allclose(v1[:rows], reference.e_p_signal[1][:rows], atol=1e-9)
    if per_frame == 1:
        assert_true(record)


def test_skew_beyond_the_record_leaves_no_value(tmp_path):
    write(tmp_path)
    edit(tmp_path, b"a.dat 16 200.0(0)/mV 16 0 100", b"a.dat 16:9999 200.0(0)/mV 16 0 100")
    assert_true(read(tmp_path))
    with pytest.raises(DataError, match="has no value in lead V1"):
        load(tmp_path, leads=("V1",))


# Units, formats, lengths.


@pytest.mark.parametrize("micro", ["µV".encode(), "μV".encode(), b"\xb5V", b"uV"])
def test_microvolts_are_converted_in_every_spelling(tmp_path, micro):
    write(tmp_path, adc_gain=[0.2, 0.2], units=["uV", "uV"])
    edit(tmp_path, b"/uV", b"/" + micro, count=2)
    assert_true(read(tmp_path))


@pytest.mark.parametrize("leads", [("MLII",), ("V1",)])
def test_negative_gain_is_an_inverted_lead(tmp_path, leads):
    write(tmp_path)
    edit(tmp_path, b" 200.0(0)", b" -200.0(0)")
    record = read(tmp_path, *leads)
    assert_true(record, truth=-TRUE_MV[:, 0])
    assert_true(record, "V1", TRUE_MV[:, 1])
    np.testing.assert_allclose(
        wfdb.rdrecord(str(tmp_path / "a")).p_signal, record.signals_mv, atol=1e-9
    )


def test_header_with_byte_order_mark_and_crlf_is_read(tmp_path):
    write(tmp_path)
    content = (tmp_path / "a.hea").read_bytes()
    (tmp_path / "a.hea").write_bytes(b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n"))
    assert_true(read(tmp_path))
    assert len(load(tmp_path)) == 4


def packed_310(values):
    first, second, third = (values & 1023).reshape(-1, 3).T
    words = np.stack([first << 1 | (third & 31) << 11, second << 1 | (third >> 5) << 11], axis=1)
    return words.astype("<u2").tobytes()


def packed_311(values):
    first, second, third = (values & 1023).reshape(-1, 3).T
    return (first | second << 10 | third << 20).astype("<u4").tobytes()


@pytest.mark.parametrize(("fmt", "packed"), [("310", packed_310), ("311", packed_311)])
@pytest.mark.parametrize("length", [2160, 2159, 2158])
def test_formats_with_ten_bits_are_read(tmp_path, fmt, packed, length):
    write(tmp_path, signals_mv=TRUE_MV[:length, :1], leads=("MLII",))
    digital = np.fromfile(tmp_path / "a.dat", "<i2").astype(np.int64)
    content = packed(np.concatenate([digital, np.zeros(-length % 3, np.int64)]))
    (tmp_path / "a.dat").write_bytes(content)
    edit(tmp_path, b"a.dat 16 ", f"a.dat {fmt} ".encode())
    assert_true(read(tmp_path), truth=TRUE_MV[:length, 0])
    (tmp_path / "a.dat").write_bytes(content[:-4])
    with pytest.raises(DataError, match="bytes, but its header states"):
        read(tmp_path)


@pytest.mark.parametrize("fmt", ["16", "24", "32", "80", "212"])
def test_header_without_length_uses_that_of_the_file(tmp_path, fmt):
    gain = 50.0 if fmt == "80" else 200.0
    write(tmp_path, fmt=fmt, d_signal=np.rint(TRUE_MV * gain).astype(int), adc_gain=[gain] * 2)
    edit(tmp_path, b" 360 2160", b" 360")
    record = read(tmp_path)
    assert len(record.signals_mv) == LENGTH
    np.testing.assert_allclose(record.signals_mv, TRUE_MV, atol=0.5 / gain + 1e-9)
    content = (tmp_path / "a.dat").read_bytes()
    for cut in (1, 24):
        (tmp_path / "a.dat").write_bytes(content[:-cut])
        with pytest.raises(
            DataError,
            match=r"a\.dat (has \d+ bytes, but complete samples|does not have its header's "
            r"checksum)",
        ):
            read(tmp_path)


# Annotations outside the record.


@pytest.mark.parametrize("beyond", [0, 1, 5, 360])
@pytest.mark.parametrize(("symbol", "beats"), [("N", 1), ("|", 0)])
def test_annotation_beyond_the_end_is_counted(tmp_path, caplog, beyond, symbol, beats):
    write(tmp_path, samples=(*BEATS, LENGTH + beyond), symbols="NNNN" + symbol)
    record = read(tmp_path)
    assert_true(record)
    assert (dict(record.outside), record.num_beats_outside) == ({symbol: 1}, beats)
    found = load(tmp_path)
    assert (len(found), found.dropped.get(OUTSIDE_RECORD, 0)) == (4, beats)
    assert (
        "annotations outside the record are left out, 1 in all: a 1 (dataset.strict=true refuses"
        in caplog.text
    )


def test_annotation_on_the_last_sample_is_read(tmp_path):
    write(tmp_path, samples=(*BEATS, LENGTH - 1))
    record = read(tmp_path)
    assert (len(record.beat_samples), dict(record.outside)) == (5, {})


def test_annotation_before_the_start_is_counted(tmp_path):
    write(tmp_path)
    back = [59 << 10, 0xFFFF, 0x10000 - 40, 1 << 10]  # a step of -40, then N
    content = np.frombuffer((tmp_path / "a.atr").read_bytes(), "<u2").tolist()
    content[0] += 40
    (tmp_path / "a.atr").write_bytes(np.asarray([*back, *content], "<u2").tobytes())
    record = read(tmp_path)
    assert_true(record)
    assert dict(record.outside) == {"N": 1}


def test_annotations_outside_are_refused_when_strict(tmp_path):
    write(tmp_path, samples=(*BEATS, LENGTH))
    settings = Preprocessing(window_ms=(100, 100), cache_dir=tmp_path / "cache")
    for strict in (False, True):  # a cached entry of strict=false is not used
        if not strict:
            preprocess_records(settings, tiny_source(tmp_path))
            continue
        with pytest.raises(
            DataError, match=r"dataset\.strict=true: record a has 1 .*use dataset\.strict=false"
        ):
            preprocess_records(settings, tiny_source(tmp_path), strict=True)


def test_what_is_unusual_is_reported_or_refused_when_strict(tmp_path, caplog):
    write(tmp_path)
    edit(tmp_path, b"200.0(0)/mV", b"0(0)/mV")
    source = tiny_source(tmp_path, database=replace(TINY, adc_gain=None))
    settings = Preprocessing(window_ms=(100, 100), baseline="none")
    assert len(preprocess_records(settings, source)) == 4
    assert f"{NO_GAIN}, 1 in all: a 1 (dataset.strict=true refuses such records)" in caplog.text
    with pytest.raises(DataError, match=r"dataset\.strict=true: record a: lead without a gain"):
        preprocess_records(settings, source, strict=True)


# One beat.


def test_only_beat_of_a_record_is_read_without_intervals(tmp_path):
    write(tmp_path, samples=(1000,), symbols="V")
    found = load(tmp_path)
    assert (found.symbols.tolist(), found.dropped) == (["V"], {"window leaves the record": 0})
    assert np.isnan(found.rr).all()
    np.testing.assert_allclose(found.signals_mv[0, :, 0], TRUE_MV[964:1036, 0], atol=HALF_STEP_MV)


# Segments.


def segmented(folder, lines=("a_0 1080", "a_1 1080"), head="a/2 2 360 2160", **second):
    write(folder, record_id="a_0", signals_mv=TRUE_MV[:1080], samples=None)
    write(folder, record_id="a_1", **{"signals_mv": TRUE_MV[1080:], "samples": None, **second})
    (folder / "a.hea").write_text("\n".join([head, *lines]) + "\n")
    wfdb.wrann("a", "atr", np.asarray(BEATS), ["N"] * 4, write_dir=str(folder))


def test_segments_are_concatenated(tmp_path):
    segmented(tmp_path)
    record = read(tmp_path)
    assert_true(record)
    assert_true(record, "V1", TRUE_MV[:, 1])
    assert len(load(tmp_path)) == 4


def test_segments_of_a_variable_layout_are_read(tmp_path):
    (tmp_path / "a_layout.hea").write_text(
        "a_layout 2 360 0\n~ 0 200(0)/mV 16 0 0 0 0 MLII\n~ 0 200(0)/mV 16 0 0 0 0 V1\n"
    )
    segmented(
        tmp_path,
        lines=("a_layout 0", "a_0 1080", "a_1 1080"),
        head="a/3 2 360 2160",
        signals_mv=TRUE_MV[1080:, [1, 0]],
        leads=("V1", "MLII"),
        adc_gain=[200.0, 400.0],
        d_signal=np.rint(TRUE_MV[1080:, [1, 0]] * [200, 400]).astype(int),
    )
    assert_true(read(tmp_path))
    assert len(load(tmp_path)) == 4


def test_segment_without_a_lead_is_a_gap_of_the_lead(tmp_path):
    segmented(tmp_path, signals_mv=TRUE_MV[1080:, :1], leads=("MLII",))
    record = read(tmp_path)
    assert_true(record)
    assert {name: gaps.tolist() for name, gaps in record.gaps.items()} == {"V1": [[1080, LENGTH]]}
    found = load(tmp_path, leads=("V1",))
    assert found.r_samples.tolist() == [300, 700]


def test_null_segment_is_a_gap_of_every_lead(tmp_path):
    segmented(tmp_path, lines=("~ 100", "a_0 1080", "~ 20", "a_1 1080", "~ 5"), head="a/5 2 360")
    record = read(tmp_path)
    gaps = [[0, 100], [1180, 1200], [2280, 2285]]
    assert {name: found.tolist() for name, found in record.gaps.items()} == {
        "MLII": gaps,
        "V1": gaps,
    }
    np.testing.assert_allclose(record.signals_mv[100:1180], TRUE_MV[:1080], atol=HALF_STEP_MV)
    np.testing.assert_allclose(record.signals_mv[1200:2280], TRUE_MV[1080:], atol=HALF_STEP_MV)


def test_lead_of_another_unit_in_a_segment_is_unusable(tmp_path):
    segmented(tmp_path, units=["mV", "mmHg"])
    assert_true(read(tmp_path))
    with pytest.raises(DataError, match=r"a_1\.hea gives lead V1 in 'mmHg', not in volts"):
        load(tmp_path, leads=("V1",))


def test_segments_that_share_a_file_name_it_once(tmp_path):
    segmented(tmp_path)
    (tmp_path / "a_1.hea").write_text(
        (tmp_path / "a_0.hea").read_text().replace("a_0 2", "a_1 2", 1)
    )
    names = [path.name for path in files_of(tmp_path, "a")]
    assert names == ["a.hea", "a_0.hea", "a_0.dat", "a_1.hea", "a.atr"]


@pytest.mark.parametrize(
    ("lines", "head", "words"),
    [
        (("a_0 1080", "a_0 1080"), "a/2 2 360", "lists segment a_0 twice, as numbers 1 and 2"),
        (("a_0 1080", "a 1080"), "a/2 2 360", "lists itself as a segment"),
        (("a_0 1080",), "a/2 2 360", "states 2 segments, but lists 1"),
        (("a_0 1080", "a_1 1000"), "a/2 2 360", "a_1.hea has 1080 samples, but a.hea lists 1000"),
        (("a_0 1080", "a_1 1080"), "a/2 2 360 99", "states 99 samples, but its segments have 2160"),
        (("~ 1080", "~ 1080"), "a/2 2 360", "lists no segment with samples"),
        (("a_0 1080", f"~ {10**14}"), "a/2 2 360", "more samples than fit into memory"),
        (("a_0 1080", "a_2 1080"), "a/2 2 360", r"a_2\.hea is missing|a_2\.hea missing"),
    ],
)
def test_inconsistent_segments_are_refused_in_one_line(tmp_path, lines, head, words):
    segmented(tmp_path, lines, head)
    with pytest.raises(DataError, match=words) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_changed_byte_in_a_segment_is_refused(tmp_path):
    segmented(tmp_path)
    content = bytearray((tmp_path / "a_1.dat").read_bytes())
    content[500] ^= 1
    (tmp_path / "a_1.dat").write_bytes(content)
    with pytest.raises(DataError, match=r"a_1\.dat does not have its header's checksum"):
        read(tmp_path)


def test_cache_key_depends_on_segments(tmp_path):
    segmented(tmp_path)
    first = load(tmp_path, cache_dir=tmp_path / "cache")
    segmented(tmp_path, signals_mv=2 * TRUE_MV[1080:])
    second = load(tmp_path, cache_dir=tmp_path / "cache")
    np.testing.assert_allclose(second.signals_mv[3], 2 * first.signals_mv[3], atol=3 * HALF_STEP_MV)


# Several samples in a frame.


def framed(folder, per_frame, signals):
    wfdb.wrsamp(
        "a",
        fs=FS,
        units=["mV"] * 2,
        sig_name=["MLII", "V1"],
        e_d_signal=[np.rint(200 * each).astype(int) for each in signals],
        samps_per_frame=list(per_frame),
        fmt=["16"] * 2,
        adc_gain=[200.0] * 2,
        baseline=[0] * 2,
        write_dir=str(folder),
    )
    wfdb.wrann("a", "atr", np.asarray(BEATS), ["N"] * 4, write_dir=str(folder))


FAST_MV = np.sin(np.arange(2 * LENGTH) / 18)


@pytest.mark.parametrize("offset", [0, 17])
@pytest.mark.parametrize("files", [("a.dat", "a.dat"), ("a.dat", "b.dat")])
def test_frames_of_format_61_are_read(tmp_path, offset, files):
    framed(tmp_path, (2, 1), [FAST_MV, TRUE_MV[:, 1]])
    fast, slow = (
        np.rint(FAST_MV * 200).astype(">i2").reshape(-1, 2),
        np.rint(TRUE_MV[:, [1]] * 200).astype(">i2"),
    )
    parts = [np.concatenate([fast, slow], axis=1)] if files[0] == files[1] else [fast, slow]
    for name, part in zip(dict.fromkeys(files), parts, strict=True):
        (tmp_path / name).write_bytes(b"x" * offset + part.astype(">i2").tobytes())
    words = f"+{offset}".encode() if offset else b""
    edit(tmp_path, b"a.dat 16x2", b"a.dat 61x2" + words)
    edit(tmp_path, b"a.dat 16x1 ", files[1].encode() + b" 61" + words + b" ")
    assert_true(read(tmp_path, "MLII"), truth=FAST_MV)
    assert_true(read(tmp_path, "V1"), "V1", TRUE_MV[:, 1])


def test_frames_of_formats_61_and_16_are_read(tmp_path):
    framed(tmp_path, (2, 1), [FAST_MV, TRUE_MV[:, 1]])
    (tmp_path / "a.dat").write_bytes(np.rint(FAST_MV * 200).astype(">i2").tobytes())
    (tmp_path / "b.dat").write_bytes(np.rint(TRUE_MV[:, 1] * 200).astype("<i2").tobytes())
    edit(tmp_path, b"a.dat 16x2", b"a.dat 61x2")
    edit(tmp_path, b"a.dat 16x1 ", b"b.dat 16 ")
    assert_true(read(tmp_path, "MLII"), truth=FAST_MV)
    assert_true(read(tmp_path, "V1"), "V1", TRUE_MV[:, 1])


def test_frames_with_more_samples_of_another_lead_are_averaged(tmp_path):
    framed(tmp_path, (1, 2), [TRUE_MV[:, 0], FAST_MV])
    record = read(tmp_path, "MLII")
    assert (record.fs_hz, record.signal_hz) == (360, 360)
    assert_true(record)
    assert len(load(tmp_path)) == 4


def test_frames_with_more_samples_of_the_lead_set_the_rate(tmp_path):
    framed(tmp_path, (2, 1), [FAST_MV, TRUE_MV[:, 1]])
    record = read(tmp_path, "MLII")
    assert (record.fs_hz, record.signal_hz, record.lead_names) == (360, 720, ("MLII",))
    assert_true(record, truth=FAST_MV)
    assert "1 samples per frame of lead V1" in record.unusable["V1"]
    found = load(tmp_path, fs_hz=720.0)
    np.testing.assert_allclose(
        found.signals_mv[0, :, 0], FAST_MV[600 - 72 : 600 + 72], atol=HALF_STEP_MV
    )
    assert found.r_samples.tolist() == list(BEATS)
    np.testing.assert_allclose(found.rr[1, 0], 400 / 360, rtol=1e-6)


def test_frames_are_averaged_without_a_requested_lead(tmp_path):
    framed(tmp_path, (2, 1), [FAST_MV, TRUE_MV[:, 1]])
    record = read(tmp_path)
    assert_true(record, truth=FAST_MV.reshape(-1, 2).mean(axis=1))
    assert_true(record, "V1", TRUE_MV[:, 1])


def test_frames_of_the_wrong_size_are_refused(tmp_path):
    write(tmp_path)
    edit(tmp_path, b"a.dat 16 ", b"a.dat 16x2 ")
    with pytest.raises(DataError, match=r"a\.dat has 8640 bytes, but its header states 12960"):
        read(tmp_path)
