"""Formats of scores over seeds, on the report page and on the pages of published results."""

from collections.abc import Callable
from dataclasses import replace

from ecgexp.analysis.spread import Spread
from ecgexp.formatting import BLANK, duration_text, epsilon_text, score_text, significant_text

UNDEFINED = "undefined"
LEVELS = {"beat": "example-level", "record": "record-level", "patient": "patient-level"}
"""Unit of privacy -> the field's name for guarantees of that unit."""

CLASS_SCORES = {"f1": "F1", "sensitivity": "sensitivity", "positive_predictivity": "+P"}


def score(found: Spread) -> str:
    """Format a score with three decimals: the mean, the range over seeds, the 95 % interval.

    E.g. `0.812 (0.800–0.824)` for several seeds, and `0.812 [0.790, 0.834]` for a single run with
    an interval.
    """
    return _spread(found, score_text)


def score_range(found: Spread) -> str:
    """Format like `score`, without the interval."""
    return score(replace(found, interval=None))


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
    low, high = write(found.low), write(found.high)
    beside = []
    if low != high:
        # A dash before a minus sign, or after a unit, would be hard to read.
        compact = found.low >= 0 and BLANK not in low + high
        beside.append(low + ("–" if compact else f"{BLANK}to{BLANK}") + high)
    if found.undefined:
        beside.append(f"undefined in {found.undefined} of {found.count + found.undefined}")
    text = write(found.mean)
    if beside:
        text += f" ({'; '.join(beside)})"
    if found.interval is not None:
        text += f" [{f',{BLANK}'.join(map(write, found.interval))}]"
    return text
