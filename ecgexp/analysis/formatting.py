"""Formats of numbers on the report page."""

import math
from collections.abc import Callable

from ecgexp.analysis.spread import Spread
from ecgexp.formatting import epsilon_text

_BLANK = "\N{NO-BREAK SPACE}"  # keeps a range on one line
UNDEFINED = "undefined"
CLASS_SCORES = {"f1": "F1", "sensitivity": "sensitivity", "positive_predictivity": "+P"}


def score(found: Spread) -> str:
    """`0.812 (0.800 to 0.824)` over seeds that differ, `0.812 [0.790, 0.834]` of a single run with an interval."""
    return _spread(found, lambda value: f"{value:.3f}")


def figure(found: Spread) -> str:
    """Like `score`, to three digits whatever the size."""
    return _spread(found, three_digits)


def epsilon(found: Spread) -> str:
    """Like `figure`, rounded up: ε is an upper bound."""
    return _spread(found, epsilon_text)


def duration(found: Spread) -> str:
    """Like `score`, in seconds or minutes."""
    return _spread(found, _seconds)


def three_digits(value: float) -> str:
    """`0.0123`, `1.23`, `12.3`, `123`, `1e-05`; infinity is `∞`."""
    if math.isinf(value):
        return "∞"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}".replace(",", _BLANK)


def _spread(found: Spread, write: Callable[[float], str]) -> str:
    if not found.is_defined:
        return UNDEFINED
    mean, low, high = write(found.mean), write(found.low), write(found.high)
    beside = []
    if found.interval is not None:
        return f"{mean} [{f',{_BLANK}'.join(map(write, found.interval))}]"
    if low != high:
        beside.append(f"{low}{_BLANK}to{_BLANK}{high}")
    if found.undefined:
        beside.append(f"undefined in {found.undefined} of {found.count + found.undefined}")
    return f"{mean} ({'; '.join(beside)})" if beside else mean


def _seconds(value: float) -> str:
    return f"{value:.0f}{_BLANK}s" if value < 600 else f"{value / 60:.0f}{_BLANK}min"
