"""The key of a store's digests: made once, kept apart, and of no use without itself."""

import hashlib
import stat
from concurrent.futures import ProcessPoolExecutor

import pytest

from ecgexp.privacy.keyed_digests import NAME, DigestKey
from ecgexp.settings.declaration import ConfigError
from ecgexp.tracking.settings import MlflowTracking, NoTracking


def _digest(folder):
    return DigestKey.of(folder).digest("beats")


def test_digest_of_one_store_is_stable_across_runs(tmp_path):
    assert _digest(tmp_path / "a") == _digest(tmp_path / "a")


def test_digest_of_another_store_differs(tmp_path):
    assert _digest(tmp_path / "a") != _digest(tmp_path / "b")


def test_digest_without_the_key_tells_nothing(tmp_path):
    found, key = _digest(tmp_path), (tmp_path / NAME).read_bytes()
    assert len(key) == 32
    assert found != hashlib.sha256(b"beats").hexdigest()
    assert key.hex() not in repr(DigestKey.of(tmp_path))


def test_digest_keeps_words_apart(tmp_path):
    key = DigestKey.of(tmp_path)
    assert key.digest("ab", "c") != key.digest("a", "bc") != key.digest("abc")


def test_key_is_readable_by_its_owner_alone(tmp_path):
    DigestKey.of(tmp_path / "store")
    assert stat.S_IMODE((tmp_path / "store" / NAME).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700


def test_key_made_by_many_processes_at_once_is_one(tmp_path):
    with ProcessPoolExecutor(4) as pool:
        assert len(set(pool.map(_digest, [tmp_path / "store"] * 16))) == 1


def test_key_that_is_damaged_is_refused(tmp_path):
    DigestKey.of(tmp_path)
    (tmp_path / NAME).write_bytes(b"half")
    with pytest.raises(ConfigError, match="4 bytes instead of 32; restore the file"):
        DigestKey.of(tmp_path)


def test_key_in_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="ECGEXP_PRIVATE"):
        DigestKey.of(tmp_path / "file")


def test_private_dir_of_a_sqlite_store_is_beside_it(tmp_path):
    one = MlflowTracking(uri="sqlite:///runs/a.db").private_dir(tmp_path)
    assert one == tmp_path / "runs" / "a.db.private"
    assert MlflowTracking(uri=f"sqlite:///{tmp_path}/runs/a.db").private_dir() == one


@pytest.mark.parametrize("tracking", [NoTracking(), MlflowTracking(uri="http://example.org:5000")])
def test_private_dir_without_a_file_is_local(tracking, tmp_path, monkeypatch):
    monkeypatch.delenv("ECGEXP_PRIVATE")
    assert tracking.private_dir(tmp_path) == tmp_path / "mlruns" / "mlflow.db.private"
    monkeypatch.setenv("ECGEXP_PRIVATE", str(tmp_path / "mine"))
    assert tracking.private_dir(tmp_path) == tmp_path / "mine"
