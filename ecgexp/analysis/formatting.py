"""Formats of numbers on the report page."""

from collections.abc import Callable

from ecgexp.analysis.spread import Spread
from ecgexp.formatting import BLANK, duration_text, epsilon_text, score_text, significant_text

UNDEFINED = "undefined"
CLASS_SCORES = {"f1": "F1", "sensitivity": "sensitivity", "positive_predictivity": "+P"}


def score(found: Spread) -> str:
    """`0.812 (0.800 to 0.824)` over seeds that differ, `0.812 [0.790, 0.834]` of a single run with an interval."""
    return _spread(found, score_text)


def figure(found: Spread) -> str:
    """Like `score`, to three digits whatever the size."""
    return _spread(found, significant_text)


def epsilon(found: Spread) -> str:
    """Like `figure`, rounded up: ε is an upper bound."""
    return _spread(found, epsilon_text)


def duration(found: Spread) -> str:
    """Like `score`, in seconds or minutes."""
    return _spread(found, duration_text)


def _spread(found: Spread, write: Callable[[float], str]) -> str:
    if not found.is_defined:
        return UNDEFINED
    mean, low, high = write(found.mean), write(found.low), write(found.high)
    beside = []
    if found.interval is not None:
        return f"{mean} [{f',{BLANK}'.join(map(write, found.interval))}]"
    if low != high:
        beside.append(f"{low}{BLANK}to{BLANK}{high}")
    if found.undefined:
        beside.append(f"undefined in {found.undefined} of {found.count + found.undefined}")
    return f"{mean} ({'; '.join(beside)})" if beside else mean
