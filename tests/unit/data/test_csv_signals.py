"""Continuous signals in CSV files: columns, units, times and gaps are read as stated."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_records import TINY

from ecgexp.data.formats.csv_signals_reader import ESTIMATED, CsvLayout, files_of, read_record
from ecgexp.data.formats.leads import REPEATED_NAME
from ecgexp.settings.declaration import DataError

N = 200
MV = np.round(np.stack([np.sin(np.arange(N) / 9), np.cos(np.arange(N) / 7)], axis=1), 4)
AT_250 = CsvLayout(recorded_hz=250.0, units="mV")


def table(heading="MLII,V1", rows=None, *, times=None, form="{}", separator=","):
    rows = MV if rows is None else rows
    lines = []
    for number, row in enumerate(rows):
        cells = ["" if np.isnan(value) else form.format(value) for value in row]
        lines.append(separator.join([*([] if times is None else [str(times[number])]), *cells]))
    return "\n".join([heading, *lines]) + "\n"


@pytest.fixture
def read(tmp_path):
    def _read(text, layout=AT_250, *, annotations="sample,symbol\n10,N\n50,V\n"):
        path = tmp_path / "a.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        files_of(path, layout)[1].write_text(annotations)
        return read_record(path, TINY, layout)

    return _read


def assert_true(record, fs_hz=250.0):
    assert (record.fs_hz, record.lead_names, record.gaps) == (fs_hz, ("MLII", "V1"), {})
    np.testing.assert_allclose(record.signals_mv, MV, atol=1e-9)
    assert (record.samples.tolist(), record.symbols.tolist()) == ([10, 50], ["N", "V"])


MS_360 = np.round(np.arange(N) / 0.36).astype(int)


@pytest.mark.parametrize(
    ("text", "layout"),
    [
        (table(), AT_250),
        (table().replace("\n", "\r\n"), AT_250),
        ("\ufeff" + table("'MLII','V1'"), AT_250),
        (table("sample,MLII,V1", times=range(N)), AT_250),
        (table("sample,MLII,V1", times=range(1, N + 1)), AT_250),
        (table("MLII (mV),V1 [mV]"), CsvLayout(recorded_hz=250.0)),
        (table("MLII;V1", separator=";", form="{}").replace(".", ","), AT_250),
        (table("MLII\tV1", separator="\t"), AT_250),
        (table("MLII (µV),V1 (uV)", MV * 1000, form="{:.6f}"), CsvLayout(recorded_hz=250.0)),
        (table(rows=MV / 1000, form="{:.9f}"), CsvLayout(recorded_hz=250.0, units="V")),
        (table("seconds,MLII,V1", times=np.arange(N) / 250), AT_250),
        (table("time_ms,MLII,V1", times=7000 + 4 * np.arange(N)), AT_250),
        (
            table("t,MLII,V1", times=4 * np.arange(N)),
            CsvLayout(recorded_hz=250.0, units="mV", time_column="t", time_unit="milliseconds"),
        ),
    ],
)
def test_csv_signals_variants_give_the_same_record(read, text, layout):
    record = read(text, layout)
    assert_true(record)
    assert record.notes == {}


@pytest.mark.parametrize(
    ("heading", "times", "fs_hz"),
    [
        ("time_ms,MLII,V1", MS_360, 360.0),
        ("seconds,MLII,V1", np.round(np.arange(N) / 128, 3), 128.0),
        ("time_s,MLII,V1", np.arange(N) / 250, 250.0),
    ],
)
def test_frequency_is_estimated_from_rounded_times(read, heading, times, fs_hz):
    record = read(table(heading, times=times), CsvLayout(units="mV"))
    assert_true(record, fs_hz)
    assert record.notes == {ESTIMATED: 1}


def test_empty_cells_are_gaps_of_their_lead(read):
    rows = MV.copy()
    rows[20:25, 0] = rows[0, 1] = np.nan
    record = read(table(rows=rows).replace("\n,", "\nnan,", 1))
    assert {name: gaps.tolist() for name, gaps in record.gaps.items()} == {
        "MLII": [[20, 25]],
        "V1": [[0, 1]],
    }
    np.testing.assert_allclose(record.signals_mv[25:], MV[25:])
    np.testing.assert_allclose(np.diff(record.signals_mv[19:26, 0], 2), 0, atol=1e-9)


@settings(max_examples=40)
@given(
    missing=st.sets(st.integers(1, N - 2), max_size=60),
    unit=st.sampled_from(["sample", "seconds", "time_ms"]),
    fs_hz=st.sampled_from([100.0, 250.0, 360.0]),
)
def test_missing_steps_of_time_are_gaps(tmp_path_factory, missing, unit, fs_hz):
    path = tmp_path_factory.mktemp("csv") / "gaps.csv"
    kept = np.array([at for at in range(N) if at not in missing])
    times = {"sample": kept, "seconds": np.round(kept / fs_hz, 4), "time_ms": kept * 1000 / fs_hz}
    if unit == "time_ms":
        times["time_ms"] = np.round(times["time_ms"], 1)
    path.write_text(table(f"{unit},MLII,V1", MV[kept], times=times[unit]))
    layout = CsvLayout(recorded_hz=fs_hz, units="mV")
    record = read_record(path, TINY, layout, has_annotations=False)
    assert len(record.signals_mv) == N
    np.testing.assert_allclose(record.signals_mv[kept], MV[kept])
    is_gap = np.zeros(N, bool)
    for begin, end in record.gaps.get("V1", ()):
        is_gap[begin:end] = True
    assert set(np.flatnonzero(is_gap).tolist()) == missing


def test_csv_leads_that_cannot_be_used_are_left_out(read):
    heading = "I (mV),art (mmHg),II,II,none (mV),far (mV)"
    rows = np.concatenate([MV, MV, np.full((N, 1), np.nan), MV[:, :1] * 1e6], axis=1)
    record = read(table(heading, rows))
    assert record.lead_names == ("I", "II-1", "II-2")
    assert record.notes == {REPEATED_NAME: 2}
    assert "gives lead art in 'mmHg', not in volts" in record.unusable["art"]
    assert "has no value in lead none" in record.unusable["none"]
    assert "an ECG is below 1000 mV" in record.unusable["far"]
    with pytest.raises(DataError, match="states no units of lead MLII; use dataset.units=mV"):
        read(table(), CsvLayout(recorded_hz=250.0))


@pytest.mark.parametrize(
    ("text", "layout", "words"),
    [
        ("", AT_250, "does not name its columns"),
        ("MLII,V1\n", AT_250, "has no samples"),
        ("0.1,0.2\n0.1,0.2\n", AT_250, "has no heading with lead names"),
        (table("MLII,V1;x"), AT_250, "separates its columns by several characters"),
        ("MLII,V1\n1,2\n3\n", AT_250, "has not 2 columns in line 3"),
        ("MLII,V1\n1,2\n3,4,5\n", AT_250, "has not 2 columns in line 3"),
        ("MLII,V1\n1,2\n3,abc\n", AT_250, "has a value that is not a number in line 3: '3,abc'"),
        ("MLII,V1\n1,2\n3,1e\n", AT_250, "has a value that is not a number"),
        ("MLII,V1\n1,2\n3,1e999\n", AT_250, "has a value that is not a number, or infinite"),
        ("MLII;V1\n1,5;2.5\n", AT_250, "has a value that is not a number in line 2"),
        (
            table(),
            CsvLayout(units="mV"),
            "states no times; state its frequency by dataset.recorded",
        ),
        (table("sample,seconds,V1", times=range(N)), AT_250, "has several time columns"),
        (
            table(),
            CsvLayout(units="mV", time_column="time"),
            r"has 0 columns 'time' \(dataset.time_column\)",
        ),
        ("sample,V1\n0,1\n2,1\n1,1\n", AT_250, "is not in time order: line 4 has 1"),
        ("sample,V1\n0,1\n1,1\n1,1\n", AT_250, "is not in time order: line 4 has 1"),
        ("sample,V1\n0,1\n1.5,1\n", AT_250, "is not sampled at 250 Hz near line 3"),
        ("sample,V1\n0,1\n,1\n", AT_250, "has no time in line 3"),
        ("sample,V1\n0,1\n9999999999,1\n", AT_250, "has times from 0 to 1e"),
        (table("seconds,I,II", times=np.arange(N) / 200), AT_250, "is not sampled at 250 Hz"),
        (table("seconds,I,II", times=np.arange(N) / 125), AT_250, "is not sampled at 250 Hz"),
        (
            table("seconds,I,II", times=np.arange(N) ** 2),
            CsvLayout(units="mV"),
            "is not sampled at",
        ),
    ],
)
def test_damaged_csv_signals_are_refused(read, text, layout, words):
    with pytest.raises(DataError, match=rf"a\.csv {words}") as caught:
        read(text, layout)
    assert str(caught.value).isprintable()


@settings(max_examples=200)
@given(place=st.integers(0, 150), new=st.binary(max_size=6), cut=st.integers(0, 6))
def test_mutated_csv_is_read_or_refused_in_one_line(tmp_path_factory, place, new, cut):
    content = table("time_ms,MLII,V1", MV[:12], times=4 * np.arange(12)).encode()
    path = tmp_path_factory.mktemp("csv") / "mutated.csv"
    path.write_bytes(content[:place] + new + content[place + cut :])
    refused, record = "mutated.csv", None
    try:
        record = read_record(path, TINY, AT_250, has_annotations=False)
    except DataError as error:
        refused = str(error)
    assert refused.isprintable()
    assert "mutated.csv" in refused
    assert record is None or np.isfinite(record.signals_mv).all()
