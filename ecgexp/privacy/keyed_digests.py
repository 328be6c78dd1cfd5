"""Keyed digests: private beats are recognized again by whoever has the store, and by nobody else.

A plain digest of private training data answers a question that a privacy guarantee must not answer: whoever holds all beats
but one hashes them with and without the last one and compares. A keyed digest (HMAC-SHA256) answers nobody without the key.
"""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from filelock import FileLock, Timeout

from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.storage.atomic import replacing
from ecgexp.storage.reading import read_bytes

NAME = "digest.key"
_BYTES = 32
_LOCK_S = 60.0


class DigestKey:
    """The secret key of one store, for digests of private data.

    **Guarantees**: the key has 256 bits from the operating system's entropy, is made once in a folder whichever process comes
    first, is readable by its owner alone, and is written nowhere else: no run, log, parameter, tag or artifact holds it
    (`tests/privacy/test_keyed.py`).

    Args:
      key: 32 bytes.
    """

    def __init__(self, key: bytes):
        self._key = key

    @classmethod
    def of(cls, folder: Path) -> "DigestKey":
        """The key that lies in `folder`, made there if there is none.

        Args:
          folder: private folder of a store; see `ecgexp.tracking.settings`.

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
                f"{folder}: the key of the digests of private beats cannot be kept there ({error}); use a folder that can be "
                "written, by tracking.uri= or ECGEXP_PRIVATE="
            ) from error
        if len(key) != _BYTES:
            raise ConfigError(
                f"{path}: the key has {len(key)} bytes instead of {_BYTES}; restore the file, or remove it, after which beats of "
                "earlier runs are recognized by the name of their database only"
            )
        return cls(key)

    def digest(self, *words: str | bytes) -> str:
        """64 hexadecimal digits that only this key makes of `words`; each word counts as one, whatever it holds."""
        found = hmac.new(self._key, digestmod=hashlib.sha256)
        for word in words:
            word = word.encode() if isinstance(word, str) else word
            found.update(len(word).to_bytes(8, "big") + word)
        return found.hexdigest()

    def __repr__(self) -> str:
        return "DigestKey(***)"


def _make(path: Path) -> None:
    """Writes a new key, whole and on the disk before it has its name: a half one would be kept for good."""
    with replacing(path) as part:
        part.chmod(0o600)  # while it is empty
        file = os.open(part, os.O_WRONLY)
        try:
            os.write(file, secrets.token_bytes(_BYTES))
            os.fsync(file)
        finally:
            os.close(file)
