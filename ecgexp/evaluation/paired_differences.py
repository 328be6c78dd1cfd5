"""Paired differences between the scores of two models, and a one-sentence verdict."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecgexp.evaluation.bootstrap import UNKNOWN_PATIENTS, Bootstrap, Interval, paired_difference
from ecgexp.evaluation.confusion import confusion_scores, count_confusion
from ecgexp.evaluation.metrics import classes_with_beats
from ecgexp.evaluation.missing import AVERAGES, over
from ecgexp.evaluation.names import metric_names
from ecgexp.evaluation.pairs import Pairs
from ecgexp.formatting import difference_text

_OVERALL = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "jk_index": "jk index",
}
_PER_CLASS = {"f1": "F1", "sensitivity": "sensitivity", "positive_predictivity": "+P"}
_FALLBACK = ("macro_f1", "accuracy")


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """A score of two models on their common beats.

    Attributes:
      key: Metric key, e.g. `f1/V`.
      name: Name for display, e.g. `F1 of V`.
      a: Score of A; NaN if undefined.
      b: Score of B; NaN if undefined.
      interval: Confidence interval of B − A; None if there is none.
      missing: Why there is no interval although other scores have one; otherwise empty.
    """

    key: str
    name: str
    a: float
    b: float
    interval: Interval | None = None
    missing: str = ""

    @property
    def difference(self) -> float:
        """B − A."""
        return self.b - self.a

    @property
    def leaves_zero_out(self) -> bool | None:
        """Whether the interval excludes 0; None without an interval."""
        return None if self.interval is None else self.interval.low > 0 or self.interval.high < 0


@dataclass(frozen=True, kw_only=True)
class PairedDifferences:
    """All differences between two models.

    Attributes:
      differences: Differences in the order of display.
      note: Method of the intervals, or why there are none.
      num_patients: Number of patients that the intervals are based on.
      same_answers: Whether both models predict the same class for every beat.
      decisive: The difference that the verdict is based on, fixed independently of the results.
      stands_in: Why the verdict is not based on the requested score; empty if it is.
      averaged: The classes with beats, over which averages are taken.
      class_names: All classes.
    """

    differences: tuple[PairedDifference, ...]
    note: str
    num_patients: int
    same_answers: bool
    decisive: PairedDifference
    stands_in: str
    averaged: tuple[str, ...]
    class_names: tuple[str, ...]

    def verdict(self) -> str:
        """Return one sentence: which model is better, by how much, and the interval."""
        found = self.decisive
        if self.same_answers:
            return "A and B predict the same class for every beat: neither is better."
        if math.isnan(found.difference):
            return f"No verdict: {found.name} is {found.missing}."
        if found.interval is None:
            why = found.missing or self.note
            return (
                f"The difference B − A of {difference_text(found.difference)} in {found.name} may "
                f"be chance; {why}."
            )
        patients = f"{self.num_patients} patients"
        low, high = found.interval.low, found.interval.high
        if not found.leaves_zero_out:
            return (
                f"The difference of {difference_text(found.difference)} in {found.name} may be "
                f"chance ({difference_text(low)} to {difference_text(high)}, {patients})."
            )
        better, sign = ("B", 1) if low > 0 else ("A", -1)
        ends = sorted((sign * low, sign * high))
        return (
            f"{better} is better in {found.name} by {difference_text(sign * found.difference)} "
            f"({difference_text(ends[0])} to {difference_text(ends[1])}, {patients})."
        )


def paired_differences(
    pairs: Pairs, *, rng: np.random.Generator, num_resamples: int = 2000, metric: str = "macro_f1"
) -> PairedDifferences:
    """Score two models on common beats, with intervals by the paired bootstrap over patients.

    Args:
      pairs: The common beats and both models' predictions.
      rng: Draws the resamples.
      num_resamples: Number of resamples; 0 for no intervals.
      metric: The score of the verdict. If it is not among the differences or undefined, macro F1 is
        used, and accuracy if macro F1 is undefined.

    Returns:
      The differences.
    """
    averaged = classes_with_beats(pairs.labels, pairs.class_names)
    names = _names(pairs.class_names, over(averaged, pairs.class_names))
    bootstrap = (
        paired_difference(
            labels=pairs.labels,
            predictions=pairs.predicted_b,
            other_predictions=pairs.predicted_a,
            class_names=pairs.class_names,
            clusters=pairs.patients,
            rng=rng,
            num_resamples=num_resamples,
        )
        if pairs.knows_patients
        else Bootstrap(intervals={}, note=UNKNOWN_PATIENTS)
    )
    ours, theirs = (
        _scores(pairs, predicted) for predicted in (pairs.predicted_a, pairs.predicted_b)
    )
    found = (
        PairedDifference(
            key=key,
            name=name,
            a=ours[key],
            b=theirs[key],
            interval=bootstrap.intervals.get(key),
            missing=bootstrap.missing.get(key, ""),
        )
        for key, name in names
        if key in ours
    )
    differences = {row.key: _only_where_defined(row) for row in found}
    asked = [key for key in (metric, *_FALLBACK) if key in differences]
    decisive = next((key for key in asked if not math.isnan(differences[key].difference)), asked[0])
    stands_in = ""
    if decisive != metric:
        why = (
            differences[metric].missing
            if metric in differences
            else "not computed from predicted classes"
        )
        stands_in = f"{differences[decisive].name} is used instead of {metric}, which is {why}"
    return PairedDifferences(
        differences=tuple(differences.values()),
        note=bootstrap.note,
        num_patients=pairs.num_patients,
        same_answers=bool((pairs.predicted_a == pairs.predicted_b).all()),
        decisive=differences[decisive],
        stands_in=stands_in,
        averaged=averaged,
        class_names=tuple(pairs.class_names),
    )


def _only_where_defined(row: PairedDifference) -> PairedDifference:
    """Remove the interval if a score is undefined on these beats, even if resamples have it."""
    undefined = [name for name, value in (("A", row.a), ("B", row.b)) if math.isnan(value)]
    return (
        replace(row, interval=None, missing=f"undefined for {' and '.join(undefined)}")
        if undefined
        else row
    )


def _names(class_names: Sequence[str], averaged: str) -> Iterator[tuple[str, str]]:
    for key, word in _OVERALL.items():
        yield key, f"{word} {averaged}".rstrip() if key in AVERAGES else word
    for score, word in _PER_CLASS.items():
        for name, key in zip(class_names, metric_names(class_names), strict=True):
            yield f"{score}/{key}", f"{word} of {name}"


def _scores(pairs: Pairs, predicted: np.ndarray) -> dict[str, float]:
    confusion = count_confusion(pairs.labels, predicted, num_classes=len(pairs.class_names))[0]
    return {
        key: float(value) for key, value in confusion_scores(confusion, pairs.class_names).items()
    }
