"""What is written is whole or as it was, whatever ends the process."""

import errno
import os
import signal
import sqlite3

import pytest

from ecgexp._files import is_disk_full, replacing, replacing_folder


def listing(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("before", [None, "old"])
def test_file_killed_while_written_is_as_before(tmp_path, before, killed_while):
    path = tmp_path / "page.html"
    if before is not None:
        path.write_text(before)

    def work():
        with replacing(path) as part:
            part.write_text("ne")
            os.kill(os.getpid(), signal.SIGKILL)

    killed_while(work)
    assert (path.read_text() if path.exists() else None) == before


@pytest.mark.parametrize("before", [None, "old"])
def test_folder_killed_while_filled_is_as_before(tmp_path, before, killed_while):
    path = tmp_path / "model"
    if before is not None:
        path.mkdir()
        (path / "a").write_text(before)

    def work():
        with replacing_folder(path) as part:
            (part / "a").write_text("new")
            os.kill(os.getpid(), signal.SIGKILL)

    killed_while(work)
    assert (listing(path) if path.exists() else None) == (None if before is None else {"a": "old"})


def test_folder_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "deep" / "model"
    for content in ({"a": "1", "b": "2"}, {"c": "3"}):
        with replacing_folder(path) as part:
            for name, text in content.items():
                (part / name).write_text(text)
        assert listing(path.parent) == {f"model/{name}": text for name, text in content.items()}


def test_folder_after_error_is_as_before(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    (path / "a").write_text("old")

    def fail():
        with replacing_folder(path) as part:
            (part / "a").write_text("new")
            raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert listing(tmp_path) == {"model/a": "old"}


def chained(inner):
    try:
        try:
            raise inner
        except Exception as error:
            raise ValueError("outer") from error
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "x"), True),
        (OSError(errno.EDQUOT, "x"), True),
        (sqlite3.OperationalError("database or disk is full"), True),
        (OSError(errno.EACCES, "x"), False),
        (sqlite3.OperationalError("database is locked"), False),
    ],
)
def test_full_disk_is_found_behind_other_errors(error, full):
    assert is_disk_full(error) is full
    assert is_disk_full(chained(error)) is full


def test_report_over_file_of_another_kind_is_refused(tmp_path, capsys):
    from ecgexp.report.main import main

    file = tmp_path / "notes.html"
    file.write_text("<html>mine")
    assert main(["--parent", str(tmp_path), "--output", str(file)]) == 1
    assert "is no report; use another --output" in capsys.readouterr().err
    assert file.read_text() == "<html>mine"


@pytest.mark.parametrize("text", ["mine", "[]", '{"status": "FINISHED"}'])
def test_comparison_over_file_of_another_kind_is_refused(tmp_path, capsys, text):
    from ecgexp.compare import main

    file = tmp_path / "result.json"
    file.write_text(text)
    assert main([str(tmp_path), str(tmp_path), "--json", str(file)]) == 1
    assert "is no comparison; use another --json" in capsys.readouterr().err
    assert file.read_text() == text
