"""ε of dp_accounting that tests need, computed once: it takes most of the time of many tests.

`accountant_values.json` holds each value as dp_accounting computed it for the same accountant,
composition, δ, relation and grid. One in sixteen is computed again in every run and must be equal;
a value that is not stored is computed. `ECGEXP_STORE_ACCOUNTANT_VALUES=FILE` in the environment
adds each value that is computed to FILE, which may be `accountant_values.json` itself.
"""

import hashlib
import json
import os
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path

import pytest
from dp_accounting import pld, rdp

_FILE = Path(__file__).with_name("accountant_values.json")
_STORED: dict[str, str] = json.loads(_FILE.read_text())
_VALUES: dict[str, float] = {}
_STORE = "ECGEXP_STORE_ACCOUNTANT_VALUES"
_CHECKED = "0"  # first digit of the digests whose values are computed again


class Remembering:
    """An accountant that composes events only for an ε that is not known."""

    def __init__(self, real, *args, **kwargs):
        self._accountant = lambda: real(*args, **kwargs)
        self._key = f"{real.__name__} {version('dp-accounting')} {args!r} {kwargs!r}"
        self._events = []

    def compose(self, event, count=1):
        self._events.append((event, count))
        return self

    def get_epsilon(self, delta):
        text = f"{self._key} {self._events!r} {delta!r}"
        digest = hashlib.sha256(text.encode()).hexdigest()[:20]
        if digest not in _VALUES:
            known = _STORED.get(digest)
            if known is None or digest.startswith(_CHECKED):
                value = self._computed(delta)
                assert known in (None, value.hex()), f"{_FILE.name} has another value: {text}"
                if file := os.environ.get(_STORE):
                    _add(Path(file), digest, value)
            else:
                value = float.fromhex(known)
            _VALUES[digest] = value
        return _VALUES[digest]

    def _computed(self, delta):
        accountant = self._accountant()
        for event, count in self._events:
            accountant.compose(event, count)
        return float(accountant.get_epsilon(delta))


def _add(file, digest, value):
    """Several processes add to the same file one by one."""
    from filelock import FileLock

    with FileLock(f"{file}.lock"):
        before = json.loads(file.read_text()) if file.exists() else {}
        now = before | {digest: value.hex()}
        file.write_text(json.dumps(dict(sorted(now.items())), indent=0) + "\n")


def install(replace=setattr):
    """Puts the memory in the place of both accountants: `replace(module, name, stand_in)`."""
    for module, name in ((pld, "PLDAccountant"), (rdp, "RdpAccountant")):
        replace(module, name, partial(Remembering, getattr(module, name)))


@contextmanager
def installed():
    """Remembers within the block."""
    with pytest.MonkeyPatch.context() as patch:
        install(patch.setattr)
        yield
