"""The records of a path: folders, single records, patterns, lists, and names that are not safe."""

import os

import pytest
from tiny_records import write_record

from ecgexp.data.formats.discovery import find_records, select_records
from ecgexp.settings.declaration import DataError

HEADER = "{name} 1 360 100\n{name}.dat 16 200 11 0 0 0 0 MLII\n"


def header(folder, record_id, text=HEADER):
    path = folder / f"{record_id}.hea"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.format(name=path.stem))
    return path


def found(path):
    return find_records(path, setting=f"dataset.path={path}")


@pytest.fixture
def nested(tmp_path):
    """Two wards, hidden files, a link to a folder, and a record of two segments."""
    for name in ("ward2/10", "ward1/b", "ward1/a", "top", ".hidden/x", "ward1/.x"):
        header(tmp_path, name)
    for name in ("m_1", "m_2"):
        header(tmp_path / "ward2", name)
    header(tmp_path, "ward2/m", "{name}/2 1 360 200\nm_1 100\nm_2 100\n")
    (tmp_path / "loop").symlink_to(tmp_path)
    return tmp_path


def test_folder_is_searched_with_its_subfolders(nested):
    records = found(nested)
    assert list(records.files) == ["top", "ward1/a", "ward1/b", "ward2/10", "ward2/m"]
    assert records.files["ward1/a"] == nested / "ward1" / "a.hea"
    assert (records.folder, records.is_complete, records.refused) == (nested, True, {})


@pytest.mark.parametrize("name", ["top", "top.hea", "top.dat"])
def test_one_record_is_named_with_or_without_suffix(nested, name):
    (nested / "top.dat").write_bytes(b"")
    records = found(nested / name)
    assert (list(records.files), records.is_complete) == (["top"], False)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("ward*", ["ward1/a", "ward1/b", "ward2/10", "ward2/m"]),
        ("ward1/[a]*", ["a"]),
        ("**/1?.hea", ["ward2/10"]),
        ("ward?/?.hea", ["ward1/a", "ward1/b", "ward2/m"]),
    ],
)
def test_pattern_matches_folders_and_files(nested, pattern, names):
    assert list(found(nested / pattern).files) == names


def test_list_gives_records_in_its_order(nested):
    (nested / "RECORDS").write_text("ward2/10\r\ntop\n\nward1/\nmissing\n")
    records = found(nested / "RECORDS")
    assert list(records.files) == ["ward2/10", "top", "ward1/a", "ward1/b", "missing"]
    (nested / "ward1" / "RECORDS").write_text("b\n")
    assert list(found(nested / "RECORDS").files)[2:] == ["ward1/b", "missing"]


@pytest.mark.parametrize("line", ["../other/100", "/etc/passwd", "a/../../b"])
def test_list_with_a_path_outside_is_refused(nested, line):
    (nested / "RECORDS").write_text(f"top\n{line}\n")
    with pytest.raises(DataError, match=r"line 2 names .*; list names such as 100 or part1/100"):
        found(nested / "RECORDS")


@pytest.mark.parametrize(
    "name", ["a\nb", "-rf", "a;b", "$(x)", "a" * 101, "<b>", "\u202eb", " a", "d\x1b[31m/a"]
)
def test_unsafe_name_is_refused_in_one_line(tmp_path, name):
    header(tmp_path, "good")
    header(tmp_path, name)
    records = found(tmp_path)
    assert list(records.files) == ["good"]
    ((shown, why),) = records.refused.items()
    assert "rename the file or folder" in why
    assert (shown + why).isprintable()


@pytest.mark.parametrize("name", ["José", "rec 001", "a.b", "p1_(night)", "x+y=z,1@2"])
def test_name_with_spaces_or_accents_is_accepted(tmp_path, name):
    header(tmp_path, name)
    assert list(found(tmp_path).files) == [name]


def test_path_without_records_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"dataset\.path=.*no record was found.*use a folder"):
        found(tmp_path)
    for absent in (tmp_path / "absent", tmp_path / "absent*" / "x", tmp_path / "a" / "b*"):
        with pytest.raises(
            DataError, match=r"dataset\.path=.*no (such|record).*use (the|a) folder"
        ):
            found(absent)


def test_damaged_header_is_still_a_record(tmp_path):
    (tmp_path / "a.hea").write_bytes(b"\xff\x00")
    assert list(found(tmp_path).files) == ["a"]


def test_selected_records_have_the_given_order(nested):
    records = select_records(found(nested), ["top", "ward1/b"])
    assert list(records.files) == ["top", "ward1/b"]
    with pytest.raises(DataError, match=r"dataset\.records: there is no record 'x'.*as of top"):
        select_records(found(nested), ["x"])


def test_link_to_a_file_is_a_record(tmp_path):
    write_record(tmp_path, "a")
    os.symlink(tmp_path / "a.hea", tmp_path / "b.hea")
    assert list(found(tmp_path).files) == ["a", "b"]


@pytest.mark.parametrize("path", ["beats.npz", "."])
def test_tables_are_no_records_and_no_list(tmp_path, path):
    (tmp_path / "beats.npz").write_bytes(b"PK")
    (tmp_path / "ages.csv").write_text("record,age\na,50\n")
    with pytest.raises(DataError, match=r"dataset=csv if all CSV files.*dataset=arrays"):
        found(tmp_path / path)
