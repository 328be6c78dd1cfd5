"""Reuse of PLD values within a process: computing them takes most of the time of many tests.

A value is that of dp_accounting for the same composition, δ, relation and grid; the project
requests it as in a run.
"""

import pytest
from dp_accounting import pld

_REAL = pld.PLDAccountant
_VALUES: dict[tuple, float] = {}


class Remembering:
    """`PLDAccountant` that composes events only for an ε that was not computed before."""

    def __init__(self, *args, **kwargs):
        self._accountant = lambda: _REAL(*args, **kwargs)
        self._key = (repr(args), repr(kwargs))
        self._events = []

    def compose(self, event, count=1):
        self._events.append((event, count))
        return self

    def get_epsilon(self, delta):
        key = (*self._key, repr(self._events), delta)
        if key not in _VALUES:
            accountant = self._accountant()
            for event, count in self._events:
                accountant.compose(event, count)
            _VALUES[key] = accountant.get_epsilon(delta)
        return _VALUES[key]


@pytest.fixture(scope="session", autouse=True)
def remembered_epsilons():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pld, "PLDAccountant", Remembering)
        yield
