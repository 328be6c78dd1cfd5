"""Annotation tables beside a recording."""

import pytest
from tiny_records import TINY

from ecgexp.data.formats.annotation_table import read_annotation_table
from ecgexp.settings.declaration import DataError


def read(tmp_path, text):
    path = tmp_path / "a.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    samples, symbols = read_annotation_table(path, 250.0, TINY)
    return list(zip(samples.tolist(), symbols.tolist(), strict=True))


@pytest.mark.parametrize(
    "text",
    [
        "sample,symbol\n10,N\n500,V\n",
        "Sample;Label;extra\r\n10;N;\r\n500;V;x\r\n",
        "\ufefftype\tseconds\nN\t0.04\nV\t2.0\n",
        "time_s;symbol\n0,04;N\n2;V\n",
        'milliseconds,annotation\n40,N\n\n"2000","V"\n',
    ],
)
def test_annotation_table_variants_are_read(tmp_path, text):
    assert read(tmp_path, text) == [(10, "N"), (500, "V")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("10,N\n", "needs one of sample, seconds"),
        ("sample,seconds,symbol\n1,2,N\n", "needs one of sample, seconds"),
        ("sample,symbol,symbol\n1,N,N\n", "needs one of"),
        ("sample,symbol\n1.5,N\n", "has no sample and symbol in line 2"),
        ("sample,symbol\nnan,N\n", "has no sample and symbol in line 2"),
        ("sample,symbol\n1,N,2\n", "has no sample and symbol in line 2"),
        ("sample,symbol\n1,\n", "has the symbol '' in line 2"),
        ("sample,symbol\n1,N\x07\n", "has the symbol"),
        ("sample,symbol;x\n1,N\n", "separates its columns by several characters"),
        (b"sample,symbol\n1,\xff\n", "is not text in UTF-8"),
        ('sample,symbol\n1,"N\n', "is not a CSV file"),
    ],
)
def test_damaged_annotation_table_is_refused(tmp_path, text, words):
    with pytest.raises(DataError, match=rf"a\.csv .*{words}") as caught:
        read(tmp_path, text)
    assert str(caught.value).isprintable()
