"""Variants of the CSV layout of Kaggle, and damaged files."""

import numpy as np
import pytest
from tiny_records import TINY

from ecgexp.data.formats.annotation_order import UNSORTED
from ecgexp.data.formats.csv_reader import read_record
from ecgexp.settings.declaration import DataError

ANNOTATIONS = [
    "      Time   Sample #  Type  Sub Chan  Num\tAux",
    "    0:00.003        1     +    0    0    0\t(N",
    "    0:00.006        2     N    0    0    0",
    "    0:00.008        3     V    1    0    0",
]


def write(
    folder,
    *,
    header="'sample #','V5','MLII'",
    rows=("0,10,20", "1,11,21", "2,12,22", "3,13,23"),
    text=ANNOTATIONS,
    end="\n",
    last="\n",
):
    (folder / "a.csv").write_bytes((end.join([header, *rows]) + last).encode())
    (folder / "aannotations.txt").write_bytes((end.join(text) + last).encode())


@pytest.mark.parametrize(
    "variant",
    [
        {},
        {"end": "\r\n", "last": "\r\n"},
        {"last": ""},
        {"header": "sample #,V5,MLII"},
        {"header": "'sample #', 'V5', 'MLII'"},
        {"text": ["    Time    Sample #", *ANNOTATIONS[1:]]},
        {"text": ["Time Sample# Type", *ANNOTATIONS[1:]]},
        {"header": "\ufeff'sample #','V5','MLII'"},
        {"header": "'sample #';'V5';'MLII'", "rows": ("0;10;20", "1;11;21", "2;12;22", "3;13;23")},
    ],
)
def test_csv_variants_give_the_same_record(tmp_path, variant):
    write(tmp_path, **variant)
    record = read_record(tmp_path, "a", TINY)
    assert record.lead_names == ("V5", "MLII")
    np.testing.assert_array_equal(record.signals_mv * 100, [[10, 20], [11, 21], [12, 22], [13, 23]])
    assert record.beat_samples.tolist() == [2, 3]
    assert record.beat_symbols.tolist() == ["N", "V"]
    assert record.symbols.tolist() == ["+", "N", "V"]


@pytest.mark.parametrize(
    ("fault", "match"),
    [
        (
            {"rows": ("0,10,20", "1,nan,21", "2,1,1", "3,1,1")},
            r"a\.csv has a value that is not an integer",
        ),
        (
            {"rows": ("0,10,20", "1,11", "2,1,1", "3,1,1")},
            r"a\.csv has a value that is not an integer",
        ),
        ({"rows": ("0,10,20", "2,11,21", "3,1,1")}, r"a\.csv does not number its samples"),
        ({"header": "'sample #','V5'"}, r"a\.csv names 2 columns, but has 3"),
        (
            {"text": [*ANNOTATIONS, "  0:00.010"]},
            r"aannotations\.txt has no time, sample and type in line",
        ),
        (
            {"header": "0,9,19"},
            r"a\.csv has no heading with lead names: it begins with '0,9,19'",
        ),
        (
            {"header": "'sample #';'V5';'MLII'", "rows": ("0;1,5;2", "1;1,5;2")},
            r"a\.csv separates its columns by semicolons and also has commas",
        ),
    ],
)
def test_damaged_csv_is_refused_with_the_reason(tmp_path, fault, match):
    write(tmp_path, **fault)
    with pytest.raises(DataError, match=match):
        read_record(tmp_path, "a", TINY)


@pytest.mark.parametrize("sample", [4, 5, 364])
def test_csv_annotation_beyond_the_end_is_counted(tmp_path, sample):
    write(tmp_path, text=[*ANNOTATIONS, f"  0:{sample / 360:06.3f}  {sample}  N 0 0 0"])
    record = read_record(tmp_path, "a", TINY)
    assert (record.samples.tolist(), dict(record.outside)) == ([1, 2, 3], {"N": 1})


def test_csv_annotations_are_brought_into_time_order(tmp_path):
    write(tmp_path)
    expected = read_record(tmp_path, "a", TINY)
    write(tmp_path, text=[ANNOTATIONS[0], *ANNOTATIONS[:0:-1]])
    record = read_record(tmp_path, "a", TINY)
    assert record.samples.tolist() == expected.samples.tolist()
    assert record.notes[UNSORTED] > 0


def test_csv_lead_named_twice_is_unusable(tmp_path):
    write(tmp_path, header="'sample #','MLII','MLII'")
    with pytest.raises(DataError, match=r"a\.csv names lead MLII twice, in columns 2 and 3"):
        read_record(tmp_path, "a", TINY)


def test_csv_of_another_length_is_refused(tmp_path):
    from dataclasses import replace

    write(tmp_path)
    with pytest.raises(DataError, match=r"a\.csv has 4 samples, but tiny 1 has 650000"):
        read_record(tmp_path, "a", replace(TINY, num_samples=650_000))
