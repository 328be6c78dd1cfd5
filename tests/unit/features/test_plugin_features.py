"""Features of plug-ins: one beat must not change those of another."""

import numpy as np
import pytest

from ecgexp.features.checks import check_rows_apart, crossing_beats
from ecgexp.features.inputs import SignalFeatures
from ecgexp.settings.declaration import ConfigError


class Foreign:
    """Features that are none of ecgexp's."""

    features_crossing_beats = ()
    uses_template = False

    def __init__(self, transform, *, uses_rr=False):
        self._transform, self.uses_rr = transform, uses_rr

    def names(self):
        return frozenset({"signal"})

    def transform(self, signals_mv, rr, templates_mv=None):
        assert (rr is not None) == self.uses_rr
        return self._transform(signals_mv)


@pytest.mark.parametrize(
    ("transform", "why"),
    [
        (lambda x: {"signal": x - x.mean()}, "one beat changes signal of another"),
        (lambda x: {"signal": x / np.abs(x).max(axis=0)}, "one beat changes signal of another"),
        (lambda x: {"signal": np.roll(x, 1, axis=0)}, "one beat changes signal of another"),
        (lambda x: {"signal": x[:-1]}, "returns 5 rows of signal for 6 beats"),
        (lambda x: {"other": x}, "return arrays of these names"),
    ],
)
def test_features_that_mix_beats_are_refused(transform, why):
    with pytest.raises(ConfigError, match=rf"^features=Foreign: .*{why}"):
        check_rows_apart(Foreign(transform), window=20, leads=2)


def test_features_of_single_beats_are_accepted():
    scaled = Foreign(lambda x: {"signal": x - x.mean(axis=1, keepdims=True)}, uses_rr=True)
    check_rows_apart(scaled, window=20, leads=2)
    assert crossing_beats(scaled) == ("rr",)
    assert crossing_beats(SignalFeatures()) == ()
