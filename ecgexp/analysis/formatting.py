"""Formats of numbers on the report page."""

from collections.abc import Callable

from ecgexp.analysis.spread import Spread
from ecgexp.formatting import BLANK, duration_text, epsilon_text, score_text, significant_text

UNDEFINED = "undefined"
LEVELS = {"beat": "example-level", "record": "record-level", "patient": "patient-level"}
"""Unit of privacy -> the field's name for guarantees of that unit."""

CLASS_SCORES = {"f1": "F1", "sensitivity": "sensitivity", "positive_predictivity": "+P"}


def score(found: Spread) -> str:
    """Format a score with three decimals.

    E.g. `0.812 (0.800 to 0.824)` for mean and range over seeds, and `0.812 [0.790, 0.834]` for a
    single run with an interval.
    """
    return _spread(found, score_text)


def figure(found: Spread) -> str:
    """Format like `score`, but with three significant digits."""
    return _spread(found, significant_text)


def epsilon(found: Spread) -> str:
    """Format like `figure`, but rounded up: ε is an upper bound."""
    return _spread(found, epsilon_text)


def duration(found: Spread) -> str:
    """Format like `score`, in seconds or minutes."""
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
