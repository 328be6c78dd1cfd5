"""A file of any kind is read, or refused in one line with its name and the remedy."""

import json
import os
import re
from pathlib import Path

import pytest
from typing_extensions import TypedDict

from ecgexp.settings.declaration import DataError
from ecgexp.storage.reading import (
    MissingFileError,
    cut_torn_line,
    open_plain,
    read_bytes,
    read_json,
    read_lines,
    read_text,
)

FIX = "get it again"


class Kind(TypedDict):
    name: str
    count: int
    share: float | None


SOUND = {"name": "a", "count": 1, "share": 0.5}


def refused(read, path, *args, **options):
    with pytest.raises(DataError) as raised:
        read(path, *args, fix=FIX, **options)
    line = str(raised.value)
    assert line.startswith(str(path))
    assert line.endswith(f"; {FIX}")
    assert line.isprintable()
    return line


def test_valid_file_is_read_unchanged(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(SOUND | {"more": [1, {"x": None}]}))
    assert read_json(path, Kind, fix=FIX) == SOUND | {"more": [1, {"x": None}]}
    link = tmp_path / "link"
    link.symlink_to(path)
    assert read_json(link, Kind, fix=FIX)["count"] == 1


@pytest.mark.parametrize(
    "make",
    [Path.mkdir, os.mkfifo, lambda path: path.symlink_to(path.name)],
    ids=["dir", "fifo", "loop"],
)
@pytest.mark.parametrize("read", [read_bytes, read_text, open_plain])
def test_special_file_is_refused_without_waiting(tmp_path, make, read):
    make(tmp_path / "a")
    refused(read, tmp_path / "a")


@pytest.mark.parametrize("name", ["a", "a/b", "x" * 300, "nul\0"])
def test_missing_file_or_impossible_name_is_refused(tmp_path, name):
    with pytest.raises(DataError, match=FIX):
        read_bytes(tmp_path / name, fix=FIX)


def test_missing_file_differs_from_a_damaged_one(tmp_path):
    with pytest.raises(MissingFileError):
        read_bytes(tmp_path / "a", fix=FIX)


def test_file_above_the_size_limit_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(bytes(11))
    assert "has 11 bytes" in refused(read_bytes, tmp_path / "a", most=10)
    assert read_bytes(tmp_path / "a", fix=FIX, most=11) == bytes(11)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("{} x", "not JSON"),
        ("[]", "dictionary"),
        ("null", "dictionary"),
        ('{"name": "a", "count": 1}', "'share' is missing"),
        ('{"name": 1, "count": 1, "share": null}', "name: .*string"),
        ('{"name": "a", "count": true, "share": null}', "count: .*integer"),
        ('{"name": "a", "count": 1.5, "share": null}', "count: .*integer"),
        ('{"name": "a", "count": "1", "share": null}', "count: .*integer"),
        ('{"name": "a", "count": 1, "share": NaN}', "NaN or infinite"),
        ('{"name": "a", "count": 1, "share": -Infinity}', "NaN or infinite"),
        ('{"name": "a", "count": 1, "share": 1e999}', "NaN or infinite"),
        ('{"name": "a", "count": ' + "9" * 30 + ', "share": null}', "beyond 64 bits"),
        ('{"name": "a", "count": ' + "9" * 9999 + ', "share": null}', "beyond 64 bits"),
        ('{"name": "a", "name": "b", "count": 1, "share": null}', "'name' occurs twice"),
        (
            '{"name": "a", "count": 1, "share": null, "x": ' + "[" * 70 + "]" * 70 + "}",
            "nested deeper",
        ),
        ("[" * 100_000, "nested deeper|not JSON"),
        ('{"name": "\\u0000", "count": 1, "share": null}', "NUL bytes"),
        ('{"name": "\\ud800", "count": 1, "share": null}', "unpaired surrogates"),
        ('{"name": "a", "count": 1, "share": null}\0', "NUL bytes"),
    ],
)
def test_json_of_another_type_is_refused(tmp_path, text, why):
    (tmp_path / "a").write_text(text)
    line = refused(read_json, tmp_path / "a", Kind)
    assert re.search(why, line)


def test_text_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"ab\xff")
    assert "byte 2 is not UTF-8" in refused(read_text, tmp_path / "a")


def test_incomplete_last_line_is_omitted_and_damaged_one_named(tmp_path):
    path = tmp_path / "a.jsonl"
    line = json.dumps(SOUND)
    path.write_text(f"{line}\n{line}\n{line[:9]}")
    assert read_lines(path, Kind, fix=FIX) == [SOUND, SOUND]
    path.write_text(f"{line}\n{line[:9]}\n{line}\n")
    assert "damaged in line 2" in refused(read_lines, path, Kind)


@pytest.mark.parametrize("torn", ["", "{", '{"name": "a"}'])
def test_line_after_an_incomplete_one_is_separate(tmp_path, torn):
    path = tmp_path / "a.jsonl"
    path.write_text(f"{json.dumps(SOUND)}\n{torn}")
    cut_torn_line(path)
    with path.open("a") as file:
        file.write(f"{json.dumps(SOUND)}\n")
    assert read_lines(path, Kind, fix=FIX) == [SOUND, SOUND]


def test_missing_file_has_no_incomplete_line(tmp_path):
    cut_torn_line(tmp_path / "a.jsonl")
    assert not (tmp_path / "a.jsonl").exists()
