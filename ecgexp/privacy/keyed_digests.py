"""Keyed digests, by which only the owner of a store can recognize private beats again.

A plain digest of private training data breaks a privacy guarantee: an adversary who has all beats
but one can hash them with and without the last one and compare. A keyed digest (HMAC-SHA256)
cannot be computed without the key.
"""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from filelock import FileLock, Timeout

from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.storage.atomic import replacing
from ecgexp.storage.handles import NO_LINK
from ecgexp.storage.reading import read_bytes

NAME = "digest.key"
_BYTES = 32
_LOCK_S = 60.0


class DigestKey:
    """The secret key of one store, for digests of private data.

    **Guarantees**: the key has 256 bits from the operating system's entropy, is created once per
    folder even if several processes start together, is readable by its owner only, and is written
    nowhere else: no run, log, parameter, tag or artifact contains it
    (`tests/unit/privacy/test_keyed.py`).

    Args:
      key: 32 bytes.
    """

    def __init__(self, key: bytes):
        self._key = key

    @classmethod
    def of(cls, folder: Path) -> "DigestKey":
        """Read the key in `folder`, or create it there if there is none.

        Args:
          folder: private folder of a store; see `ecgexp.tracking.settings`.

        Returns:
          The key.

        Raises:
          ConfigError: the folder cannot be written, or the key in it is damaged.
        """
        path = folder / NAME
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with FileLock(folder / ".lock", timeout=_LOCK_S):
                if not path.exists():
                    _make(path)
                key = read_bytes(path, fix="restore the file from a copy", most=1 << 10)
        except DataError as error:
            raise ConfigError(str(error)) from error
        except (OSError, Timeout) as error:
            raise ConfigError(
                f"{folder}: the key of the digests of private beats cannot be stored there "
                f"({error}); use a writable folder, set by tracking.uri= or ECGEXP_PRIVATE="
            ) from error
        if len(key) != _BYTES:
            raise ConfigError(
                f"{path}: the key has {len(key)} bytes instead of {_BYTES}; restore the file, or "
                "remove it, after which beats of earlier runs are recognized by the name of their "
                "database only"
            )
        return cls(key)

    def digest(self, *words: str | bytes) -> str:
        """Compute the keyed digest of `words`.

        Args:
          words: what to digest; each is prefixed with its length, so that no two sequences of
            words have the same input.

        Returns:
          64 hexadecimal digits.
        """
        found = hmac.new(self._key, digestmod=hashlib.sha256)
        for word in words:
            word = word.encode() if isinstance(word, str) else word
            found.update(len(word).to_bytes(8, "big") + word)
        return found.hexdigest()

    def __repr__(self) -> str:
        return "DigestKey(***)"


def _make(path: Path) -> None:
    """Write a new key completely to the disk before it gets its name; a partial one would stay."""
    with replacing(path) as part:
        part.chmod(0o600)  # while it is empty
        file = os.open(part, os.O_WRONLY | NO_LINK)
        try:
            os.write(file, secrets.token_bytes(_BYTES))
            os.fsync(file)
        finally:
            os.close(file)
