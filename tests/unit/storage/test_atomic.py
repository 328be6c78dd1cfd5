"""A file or folder is complete or unchanged, whatever terminates its writer."""

import errno
import os
import signal
import sqlite3

import pytest

from ecgexp.storage.atomic import (
    claimed_file,
    claimed_folder,
    is_disk_full,
    remove_litter_below,
    replacing,
    replacing_folder,
    resolved,
)


def listing(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("before", [None, "old"])
def test_file_is_unchanged_if_its_writer_is_killed(tmp_path, before, killed_while):
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
def test_folder_is_unchanged_if_its_writer_is_killed(tmp_path, before, killed_while):
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


def test_folder_is_unchanged_after_an_error(tmp_path):
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
def test_full_disk_is_found_as_cause_of_other_errors(error, full):
    assert is_disk_full(error) is full
    assert is_disk_full(chained(error)) is full


def test_report_over_file_of_another_kind_is_refused(tmp_path, capsys):
    from ecgexp.cli.report import main

    file = tmp_path / "notes.html"
    file.write_text("<html>mine")
    assert main([str(tmp_path), "--output", str(file)]) == 2
    assert "is not a report; use another --output" in capsys.readouterr().err
    assert file.read_text() == "<html>mine"


@pytest.mark.parametrize("text", ["mine", "[]", '{"status": "FINISHED"}'])
def test_comparison_over_file_of_another_kind_is_refused(tmp_path, capsys, text):
    from ecgexp.cli.compare import main

    file = tmp_path / "result.json"
    file.write_text(text)
    assert main([str(tmp_path), str(tmp_path), "--output", str(file), "--overwrite"]) == 2
    error = capsys.readouterr().err
    assert "result.json" in error
    assert "is not a comparison; use another --output" in error
    assert file.read_text() == text


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def write_and_die(path):
    with replacing(path) as part:
        part.write_text("ne")
        die()


def fill_and_die(path):
    with replacing_folder(path) as part:
        (part / "a").write_text("new")
        die()


def everything(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("kill", [write_and_die, fill_and_die])
def test_leftovers_of_a_killed_writer_are_removed_by_the_next(tmp_path, kill, killed_while):
    path = tmp_path / "model"
    killed_while(lambda: kill(path))
    assert len(everything(tmp_path)) > 0
    with (replacing if kill is write_and_die else replacing_folder)(path) as part:
        if part.is_file():
            part.write_text("whole")
    assert everything(tmp_path) == ["model"]


@pytest.mark.parametrize("kill", [write_and_die, fill_and_die])
def test_leftovers_are_removed_when_the_folder_is_opened(tmp_path, kill, killed_while):
    (tmp_path / "deep").mkdir()
    (tmp_path / "kept.txt").write_text("kept")
    killed_while(lambda: kill(tmp_path / "deep" / "model"))
    (removed,) = remove_litter_below(tmp_path)
    assert removed.name.endswith(".part")
    assert everything(tmp_path) == ["deep", "kept.txt"]


def test_files_of_active_writers_are_not_removed(tmp_path):
    with (
        replacing(tmp_path / "a") as a,
        replacing_folder(tmp_path / "b") as b,
        claimed_file(tmp_path / ".step-1.part"),
        claimed_folder(tmp_path / ".synthetic.part"),
    ):
        a.write_text("new")
        (b / "c").write_text("new")
        child = os.fork()
        if child == 0:  # another process, which holds none of the locks
            os._exit(len(remove_litter_below(tmp_path)))
        assert os.waitpid(child, 0)[1] == 0
    assert listing(tmp_path) == {"a": "new", "b/c": "new", ".step-1.part": ""}


def test_files_with_other_names_are_not_removed(tmp_path):
    names = [".part", ".gitkeep", "a.part", ".a.1.parts", ".lock"]
    for name in names:
        (tmp_path / name).touch()
    assert remove_litter_below(tmp_path) == []
    with replacing(tmp_path / "a") as part:
        part.touch()
    assert everything(tmp_path) == sorted([*names, "a"])


def test_other_hidden_files_beside_an_output_are_not_removed(tmp_path):
    (tmp_path / ".page.html.mine.part").touch()
    (tmp_path / ".other.html.1.part").touch()
    with replacing(tmp_path / "page.html") as part:
        part.touch()
    assert everything(tmp_path) == [".other.html.1.part", ".page.html.mine.part", "page.html"]


@pytest.mark.parametrize(
    "finish", [lambda path: remove_litter_below(path.parent), lambda path: None]
)
def test_folder_is_restored_if_killed_between_two_renames(
    tmp_path, monkeypatch, finish, killed_while
):
    path = tmp_path / "model"
    path.mkdir()
    (path / "a").write_text("old")
    rename = os.rename

    def rename_and_die(source, target):
        rename(source, target)
        die()

    def work():
        os.rename = rename_and_die
        with replacing_folder(path) as part:
            (part / "a").write_text("new")

    killed_while(work)
    assert not path.exists()
    if finish(path) is None:
        with pytest.raises(OSError, match="full"), replacing_folder(path):
            raise OSError(errno.ENOSPC, "full")
    assert listing(tmp_path) == {"model/a": "old"}


def test_link_to_itself_is_resolved_without_error(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    assert resolved(tmp_path / "loop") == tmp_path.resolve() / "loop"
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert resolved(tmp_path / "link") == tmp_path.resolve() / "file"
