"""Killed writers of the cache, read-only folders and damaged files: beats are always correct."""

import mmap
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import fields
from pathlib import Path

import cache_writer
import numpy as np
import pytest
from cache_writer import beats_of, key_of
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgexp.data.preprocessing.cache import STORAGE_VERSION, load_or_preprocess
from ecgexp.storage.atomic import claimed_file


def load(folder, number, **how):
    """What the cache answers, and whether the beats were computed."""
    calls = []
    cached = load_or_preprocess(
        Path(folder), key_of(number), lambda: calls.append(1) or beats_of(number, **how)
    )
    return cached, bool(calls)


def assert_right(cached, number, **how):
    expected = beats_of(number, **how)
    assert cached.warnings == expected.warnings
    for field in fields(expected.beats):
        one, other = getattr(cached.beats, field.name), getattr(expected.beats, field.name)
        np.testing.assert_equal(one, other)
        assert not isinstance(other, np.ndarray) or one.dtype == other.dtype


def parts(folder):
    return list(folder.rglob(".*"))


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def index_of(folder):
    (path,) = folder.glob("beats-*.json")
    return path


# Sudden death.


@pytest.mark.slow
def test_cache_writer_killed_at_random_times_loses_nothing(tmp_path):
    draw = random.Random(10)
    number, half_written = 0, 0
    for _ in range(10):
        command = [sys.executable, cache_writer.__file__, str(tmp_path), str(number)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            output = writer.stdout.readline()
            time.sleep(draw.uniform(0, 0.15))
            writer.send_signal(signal.SIGKILL)
            output += writer.stdout.read()
        assert writer.returncode == -signal.SIGKILL
        begun = [int(line.split()[1]) for line in output.splitlines() if line.startswith("begin")]
        kept = [int(line.split()[1]) for line in output.splitlines() if line.startswith("kept")]
        half_written += len(parts(tmp_path))
        for each in kept:
            cached, anew = load(tmp_path, each)
            assert not anew
            assert_right(cached, each)
        assert_right(load(tmp_path, begun[-1])[0], begun[-1])
        cached, anew = load(tmp_path, begun[-1])
        assert not anew
        assert_right(cached, begun[-1])
        number = begun[-1] + 1
        assert parts(tmp_path) == []
    assert half_written > 0, "no death came while a file was being written: this test tests nothing"
    load(tmp_path, number)
    assert parts(tmp_path) == []
    assert len(list(tmp_path.glob("beats-*.json"))) == number + 1


def test_dead_before_the_rename_is_computed_again(tmp_path):
    script = (
        "import os, signal, cache_writer\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"cache_writer.main({str(tmp_path)!r}, 3)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(cache_writer.__file__).parent,
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == b"begin 3\n"
    (left,) = parts(tmp_path)
    assert left.suffix == ".part"
    assert not list(tmp_path.glob("beats-*"))
    cached, anew = load(tmp_path, 3)
    assert anew
    assert_right(cached, 3)
    assert not load(tmp_path, 3)[1]


# What dead writers left.


@pytest.mark.parametrize("hours", [0, 1000, -1000])
def test_half_written_file_of_a_dead_writer_is_removed(tmp_path, hours):
    part = tmp_path / ".beats-0123-abc.part"
    part.write_bytes(b"half")
    os.utime(part, (time.time() - hours * 3600,) * 2)
    load(tmp_path, 1, rows=3)
    assert not part.exists()


def test_half_written_file_of_a_living_writer_stays(tmp_path):
    part = tmp_path / ".beats-0123-abc.part"
    with claimed_file(part):
        os.utime(part, (0, 0))
        load(tmp_path, 1, rows=3)
        assert part.exists()


@pytest.mark.parametrize(
    "name", ["beats-0123.npz", ".beats-0123", "notes.part", ".other-1.part", "beats-0123-abc.part"]
)
def test_nothing_else_is_removed(tmp_path, name):
    (tmp_path / name).write_bytes(b"old")
    os.utime(tmp_path / name, (0, 0))
    load(tmp_path, 1, rows=3)
    assert (tmp_path / name).exists()


def test_links_and_folders_are_removed_and_not_followed(tmp_path, caplog):
    folder = tmp_path / ".beats-0123-abc.part"
    folder.mkdir()
    link = tmp_path / ".beats-0123-def.part"
    target = tmp_path / "target"
    target.touch()
    link.symlink_to(target)
    load(tmp_path, 1, rows=3)
    assert not load(tmp_path, 1, rows=3)[1]
    assert not link.is_symlink()
    assert not folder.exists()
    assert target.exists()
    assert caplog.text == ""


# Folders.


def test_relative_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load("deep/cache", 1, rows=3)[1]
    cached, anew = load("deep/cache", 1, rows=3)
    assert not anew
    assert_right(cached, 1, rows=3)
    assert (
        index_of(tmp_path / "deep" / "cache").name
        == f"beats-{key_of(1)[:32]}-{STORAGE_VERSION}.json"
    )
    monkeypatch.chdir("deep")
    assert not load("cache", 1, rows=3)[1]
    assert not load("../deep/./cache", 1, rows=3)[1]


def test_read_only_folder_is_read_and_not_written(open_folder, not_root, caplog):
    folder = open_folder / "cache"
    load(folder, 1, rows=3)
    stray = folder / ".beats-0123-abc.part"
    stray.touch()
    os.utime(stray, (0, 0))
    folder.chmod(0o555)
    before = names(folder)
    assert not load(folder, 1, rows=3)[1]
    assert caplog.text == ""
    cached, anew = load(folder, 2, rows=3)
    assert anew
    assert_right(cached, 2, rows=3)
    assert "could not be cached" in caplog.text
    assert "Permission denied" in caplog.text
    assert "dataset.cache_dir" in caplog.text
    assert names(folder) == before
    folder.chmod(0o755)


def test_folder_that_cannot_be_made(open_folder, not_root, caplog):
    locked = open_folder / "locked"
    locked.mkdir(mode=0o555)
    for _ in range(2):
        cached, anew = load(locked / "cache", 1, rows=3)
        assert anew
        assert_right(cached, 1, rows=3)
    assert caplog.text.count("could not be cached") == 2


def test_file_of_somebody_else_is_computed_again(open_folder, not_root, caplog):
    load(open_folder, 1, rows=3)
    index_of(open_folder).chmod(0)
    cached, anew = load(open_folder, 1, rows=3)
    assert anew
    assert_right(cached, 1, rows=3)
    assert "Permission denied" in caplog.text


def test_full_disk(small_disk, caplog):
    load(small_disk, 1, rows=500)
    before = names(small_disk)
    cached, anew = load(small_disk, 2)
    assert anew
    assert_right(cached, 2)
    assert "No space left on device" in caplog.text
    assert names(small_disk) == before
    assert not load(small_disk, 1, rows=500)[1]


# Damage.


def file_of(folder, which):
    """The index, or one of the arrays."""
    return index_of(folder) if which == "index" else sorted((folder / "arrays").iterdir())[which]


def assert_computed_again_with_a_warning(folder, caplog):
    cached, anew = load(folder, 1, rows=3)
    assert anew
    assert_right(cached, 1, rows=3)
    assert "is damaged" in caplog.text
    assert str(index_of(folder)) in caplog.text
    cached, anew = load(folder, 1, rows=3)
    assert not anew
    assert_right(cached, 1, rows=3)


@pytest.mark.parametrize("which", ["index", 0, 2, 4])
@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.999])
def test_truncated_file(tmp_path, caplog, share, which):
    load(tmp_path, 1, rows=3)
    path = file_of(tmp_path, which)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert_computed_again_with_a_warning(tmp_path, caplog)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"'descr': '<f4'", b"'descr': '<f2'"),
        (b"'descr': '<f4'", b"'descr': '|O4'"),
        (b"'shape': (3, 90, 1)", b"'shape': (3, 30, 1)"),
        (b"'shape': (3, 90, 1)", b"'shape': (3, 90, 9)"),
        (b"'shape': (3, 90, 1)", b"'shape': (3, 90, 1{"),
        (b"\x93NUMPY\x01", b"\x93NUMPY\x09"),
        (np.float32(1).tobytes(), np.float32(-1).tobytes()),
        (b"number 1", b"number 2"),
        (b'"left": 1', b'"left": 2'),
        (b'"storage": 3', b'"storage": 9'),
    ],
)
def test_changed_byte(tmp_path, caplog, old, new):
    load(tmp_path, 1, rows=3)
    path = next(
        path for path in sorted(tmp_path.rglob("*")) if path.is_file() and old in path.read_bytes()
    )
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    assert_computed_again_with_a_warning(tmp_path, caplog)


def test_cache_array_that_is_missing_is_computed_again(tmp_path, caplog):
    load(tmp_path, 1, rows=3)
    file_of(tmp_path, 3).unlink()
    assert_computed_again_with_a_warning(tmp_path, caplog)


def test_cache_index_of_another_key_is_not_taken(tmp_path, caplog):
    load(tmp_path, 2, rows=3)
    index_of(tmp_path).rename(tmp_path / f"beats-{key_of(1)[:32]}-{STORAGE_VERSION}.json")
    assert_computed_again_with_a_warning(tmp_path, caplog)
    assert "another key" in caplog.text


@pytest.mark.parametrize(
    "content", [b"[]", b"null", b"7", b"{}", b'{"sha256": 7}', b"\xff", b"[" * 100_000]
)
def test_cache_index_that_is_no_index(tmp_path, caplog, content):
    load(tmp_path, 1, rows=3)
    index_of(tmp_path).write_bytes(content)
    assert_computed_again_with_a_warning(tmp_path, caplog)


def test_cache_arrays_are_mapped_and_read_only(tmp_path):
    load(tmp_path, 1, rows=3)
    cached, _ = load(tmp_path, 1, rows=3)
    for name in ("signals_mv", "rr", "r_samples", "record_ids"):
        array = getattr(cached.beats, name)
        assert isinstance(array.base, mmap.mmap)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]


def test_cache_mapped_arrays_outlive_their_replacement(tmp_path):
    load(tmp_path, 1, rows=3)
    cached, _ = load(tmp_path, 1, rows=3)
    for path in (tmp_path / "arrays").iterdir():
        replacement = path.with_suffix(".new")
        replacement.write_bytes(b"other")
        os.replace(replacement, path)
    assert_right(cached, 1, rows=3)


@pytest.mark.slow
@settings(max_examples=300)
@given(
    which=st.one_of(st.just("index"), st.sampled_from(range(5))),
    flips=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=2
    ),
)
def test_cache_with_any_changed_byte_gives_the_true_beats(which, flips):
    """Blanks of an index mean nothing for the content; all else leads to preprocessing again."""
    with tempfile.TemporaryDirectory() as place:
        load(place, 1, rows=3)
        path = file_of(Path(place), which)
        content = bytearray(path.read_bytes())
        for share, mask in flips:
            content[int(share * len(content))] ^= mask
        path.write_bytes(content)
        assert_right(load(place, 1, rows=3)[0], 1, rows=3)
