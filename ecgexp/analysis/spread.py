"""A score over the seeds of one configuration: mean and range, or the interval of a single run."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ecgexp.analysis.run_rows import Row


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A score of several runs.

    Attributes:
      mean: over the runs in which the score is defined; NaN if there are none.
      low: smallest value.
      high: largest value.
      count: number of runs in which the score is defined.
      undefined: number of runs in which it is not.
      interval: 95 % bootstrap interval of a single run; None for several runs or without one.
    """

    mean: float
    low: float
    high: float
    count: int
    undefined: int
    interval: tuple[float, float] | None = None

    @property
    def is_defined(self) -> bool:
        """Whether any run has a value."""
        return self.count > 0


def spread(values: Iterable[float | None]) -> Spread:
    """Return mean and range of `values`; None and NaN mean that the score is undefined in a run."""
    given = list(values)
    known = [float(value) for value in given if value is not None and not math.isnan(value)]
    if not known:
        return Spread(mean=math.nan, low=math.nan, high=math.nan, count=0, undefined=len(given))
    # The mean of three 0.3 would be 0.30000000000000004.
    mean = known[0] if len(set(known)) == 1 else math.fsum(known) / len(known)
    return Spread(
        mean=mean,
        low=min(known),
        high=max(known),
        count=len(known),
        undefined=len(given) - len(known),
    )


def score_of(rows: Sequence[Row], split: str, score: str) -> Spread:
    """Return one score of one split over `rows`.

    Args:
      rows: runs of one configuration.
      split: `test` or `validation`.
      score: e.g. `macro_f1` or `f1/V`.
    """
    found = spread(row.metrics.get(f"{split}/{score}") for row in rows)
    if len(rows) > 1 or not found.is_defined:
        return found
    return replace(found, interval=interval_of(rows[0].metrics, split, score))


def interval_of(metrics: Mapping[str, float], split: str, score: str) -> tuple[float, float] | None:
    """Return the 95 % interval of a score, e.g. `f1/V`, from a run's metrics; None without one."""
    metric, slash, name = score.partition("/")
    low, high = (metrics.get(f"{split}/{metric}_ci_{end}{slash}{name}") for end in ("low", "high"))
    return None if low is None or high is None else (low, high)
