"""Stored digests of files are used only if the file cannot have changed."""

import os
import time

import pytest

from ecgexp.settings.declaration import DataError
from ecgexp.storage import digests
from ecgexp.storage.digests import FileDigests, file_sha256


@pytest.fixture
def files(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.dat").write_bytes(name.encode() * 100)
    return sorted(tmp_path.glob("*.dat"))


@pytest.fixture
def hashed(monkeypatch):
    names = []
    monkeypatch.setattr(
        digests, "file_sha256", lambda path: names.append(path.name) or file_sha256(path)
    )
    return names


@pytest.fixture
def later(monkeypatch):
    """Make the files appear to be changed a minute ago."""
    now = time.time_ns
    monkeypatch.setattr(digests.time, "time_ns", lambda: now() + 60_000_000_000)


def digests_of(tmp_path, files):
    found = FileDigests(tmp_path / "cache", tmp_path).of(files)
    return {path.name: sha256 for path, sha256 in found.items()}


def test_file_digest_is_stored_for_the_next_call(tmp_path, files, hashed, later):
    first = digests_of(tmp_path, files)
    assert first == {path.name: file_sha256(path) for path in files}
    assert digests_of(tmp_path, files) == first
    assert hashed == ["a.dat", "b.dat"]


def test_file_digest_of_a_recent_change_is_not_stored(tmp_path, files, hashed):
    """A second change within the resolution of file times would not be detected."""
    digests_of(tmp_path, files)
    digests_of(tmp_path, files)
    assert hashed == ["a.dat", "b.dat"] * 2


@pytest.mark.parametrize(("age_s", "reads"), [(40, 2), (60, 1)])
def test_file_digest_is_stored_a_minute_after_a_change(
    tmp_path, files, hashed, monkeypatch, age_s, reads
):
    """A write to a mapped page changes the ctime again only when the system writes it to disk."""
    now = time.time_ns
    monkeypatch.setattr(digests.time, "time_ns", lambda: now() + age_s * 1_000_000_000)
    digests_of(tmp_path, files)
    digests_of(tmp_path, files)
    assert hashed == ["a.dat", "b.dat"] * reads


def in_place(path):
    with path.open("r+b") as file:
        file.write(b"x")


def replaced(path):
    other = path.with_suffix(".new")
    other.write_bytes(b"x" * path.stat().st_size)
    os.replace(other, path)


@pytest.mark.parametrize("change", [in_place, replaced])
def test_file_digest_changes_at_equal_size_and_time(tmp_path, files, later, change):
    first, times = digests_of(tmp_path, files), files[0].stat()
    change(files[0])
    os.utime(files[0], ns=(times.st_atime_ns, times.st_mtime_ns))
    second = digests_of(tmp_path, files)
    assert second["a.dat"] == file_sha256(files[0]) != first["a.dat"]
    assert second["b.dat"] == first["b.dat"]


def test_file_digest_of_a_written_ctime_is_not_stored(tmp_path, files, hashed, later, monkeypatch):
    """Images of file systems have times in whole seconds, which two images may have in common."""
    identity = digests._identity
    monkeypatch.setattr(
        digests, "_identity", lambda path: (*identity(path)[:3], 1_000_000_000, 1_000_000_000)
    )
    digests_of(tmp_path, files)
    files[0].write_bytes(b"x" * 100)
    assert digests_of(tmp_path, files)["a.dat"] == file_sha256(files[0])


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b"null", b"\xff\xfe", b"[" * 50_000])
def test_file_digest_index_that_is_damaged_is_ignored(tmp_path, files, later, damage):
    first = digests_of(tmp_path, files)
    (index,) = (tmp_path / "cache").iterdir()
    content = index.read_bytes()
    index.write_bytes(damage)
    assert digests_of(tmp_path, files) == first
    index.write_bytes(content.replace(first["a.dat"].encode(), b"0" * 64))
    assert digests_of(tmp_path, files) == first


def test_file_digests_without_a_cache_are_computed(tmp_path, files, hashed):
    for _ in range(2):
        FileDigests(None, tmp_path).of(files)
    assert hashed == ["a.dat", "b.dat"] * 2


def test_file_digests_that_cannot_be_stored_are_returned(tmp_path, files, later):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert digests_of(tmp_path, files)["a.dat"] == file_sha256(files[0])


@pytest.mark.parametrize("change", [in_place, replaced])
def test_file_changed_after_its_digest_is_refused(tmp_path, files, change):
    digests = FileDigests(None, tmp_path)
    digests.of(files)
    digests.check_unchanged()
    change(files[1])
    with pytest.raises(
        DataError, match=r"b\.dat was changed while it was being read; run this again"
    ):
        digests.check_unchanged()


def test_file_that_keeps_changing_is_refused(tmp_path, files, monkeypatch):
    def grows(path):
        with path.open("ab") as file:
            file.write(b"x")
        return file_sha256(path)

    monkeypatch.setattr(digests, "file_sha256", grows)
    with pytest.raises(DataError, match=r"a\.dat was changed while it was being read"):
        FileDigests(None, tmp_path).of(files)


def test_file_digests_of_equal_names_in_two_subfolders_differ(tmp_path, hashed, later):
    paths = [tmp_path / "one" / "a.dat", tmp_path / "two" / "a.dat"]
    for content, path in enumerate(paths):
        path.parent.mkdir()
        path.write_bytes(bytes([content]))
    for _ in range(2):
        found = FileDigests(tmp_path / "cache", tmp_path).of(paths)
        assert found == {path: file_sha256(path) for path in paths}
    assert hashed == ["a.dat", "a.dat"]
