"""How much better B is than A, score by score, and the one sentence that comes of it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecgexp.evaluation.bootstrap import Interval, paired_difference
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
    """One score of both models on the beats they share.

    Attributes:
      key: as the evaluator calls it, e.g. `f1/V`.
      name: as a person reads it, e.g. `F1 of V`.
      a: A's score; NaN where it is not defined.
      b: B's.
      interval: of B − A; None where there is none.
      missing: why there is no interval although other scores have one; empty otherwise.
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
        """Whether the interval says that it is not chance; None without an interval."""
        return None if self.interval is None else self.interval.low > 0 or self.interval.high < 0


@dataclass(frozen=True, kw_only=True)
class PairedDifferences:
    """All differences between two models.

    Attributes:
      differences: in the order in which they are shown.
      note: how the intervals were made, or why there are none.
      num_patients: whom the intervals go by.
      same_answers: whether both models say the same of every beat.
      decisive: the one difference that the verdict goes by, fixed before looking at any of them.
      stands_in: why the verdict does not go by the score that was asked for; empty where it does.
      averaged: the classes with a beat, over which both models' averages are.
      class_names: all classes.
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
        """One sentence: which is better, by how much and how surely."""
        found = self.decisive
        if self.same_answers:
            return "A and B say the same of every beat: neither is better."
        if math.isnan(found.difference):
            return f"No verdict: {found.name} is {found.missing}."
        if found.interval is None:
            why = found.missing or self.note
            return f"The difference B − A of {difference_text(found.difference)} in {found.name} may be chance; {why}."
        patients = f"{self.num_patients} patients"
        low, high = found.interval.low, found.interval.high
        if not found.leaves_zero_out:
            return (
                f"The difference of {difference_text(found.difference)} in {found.name} may be chance "
                f"({difference_text(low)} to {difference_text(high)}, {patients})."
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
    """Scores both models on the beats of `pairs`, and how far apart they are by the paired bootstrap over patients.

    Args:
      pairs: the beats.
      rng: draws the resamples.
      num_resamples: resamples; 0 for no intervals.
      metric: the score that decides; macro F1 stands in for one that is not among the differences, and accuracy for that
        where it is not defined.
    """
    averaged = classes_with_beats(pairs.labels, pairs.class_names)
    names = _names(pairs.class_names, over(averaged, pairs.class_names))
    bootstrap = paired_difference(
        labels=pairs.labels, predictions=pairs.predicted_b, other_predictions=pairs.predicted_a,
        class_names=pairs.class_names, clusters=pairs.patients, rng=rng, num_resamples=num_resamples,
    )  # fmt: skip
    ours, theirs = (
        _scores(pairs, predicted) for predicted in (pairs.predicted_a, pairs.predicted_b)
    )
    found = (
        PairedDifference(
            key=key, name=name, a=ours[key], b=theirs[key], interval=bootstrap.intervals.get(key),
            missing=bootstrap.missing.get(key, ""),
        )
        for key, name in names
        if key in ours
    )  # fmt: skip
    differences = {row.key: _only_where_defined(row) for row in found}
    asked = [key for key in (metric, *_FALLBACK) if key in differences]
    decisive = next((key for key in asked if not math.isnan(differences[key].difference)), asked[0])
    stands_in = ""
    if decisive != metric:
        why = (
            differences[metric].missing
            if metric in differences
            else "not among the scores of decisions"
        )
        stands_in = f"{differences[decisive].name} stands in for {metric}, which is {why}"
    return PairedDifferences(
        differences=tuple(differences.values()), note=bootstrap.note, num_patients=pairs.num_patients,
        same_answers=bool((pairs.predicted_a == pairs.predicted_b).all()), decisive=differences[decisive],
        stands_in=stands_in, averaged=averaged, class_names=tuple(pairs.class_names),
    )  # fmt: skip


def _only_where_defined(row: PairedDifference) -> PairedDifference:
    """A score that has no value on these beats has no difference either, whatever the resamples say."""
    undefined = [name for name, value in (("A", row.a), ("B", row.b)) if math.isnan(value)]
    return (
        replace(row, interval=None, missing=f"not defined for {' and '.join(undefined)}")
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
