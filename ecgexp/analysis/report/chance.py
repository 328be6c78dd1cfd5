"""Which differences between the configurations of a page may be chance: bootstrap over patients."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ecgexp.analysis.report.groups import Configuration
from ecgexp.analysis.run_rows import Row
from ecgexp.evaluation.bootstrap import (
    Interval,
    draw_clusters,
    percentile_interval,
    resampled_means,
)

HEADLINES = {"accuracy": "accuracy", "macro_f1": "macro F1", "jk_index": "jk index"}
"""Metric key -> name of the scores that the summary of a page ranks by."""

_SCORES = (*HEADLINES, "balanced_accuracy")
_NUM_RESAMPLES = 1000


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A score of one configuration minus that of another, on the same patients.

    Attributes:
      value: The difference.
      interval: 95 %, by the paired bootstrap over patients; None if there is none.
    """

    value: float
    interval: Interval | None

    @property
    def may_be_chance(self) -> bool:
        """Whether 0 is in the interval, or there is no interval."""
        return self.interval is None or self.interval.low <= 0 <= self.interval.high


@dataclass(frozen=True, kw_only=True)
class EvaluatedTogether:
    """The configurations that were evaluated on the same test beats.

    **Guarantees** (`tests/unit/analysis/report/test_chance.py`): two configurations are in one
    group only if their database, their patients and the beats of each patient and class are equal
    in all of their runs; only within a group are differences computed. An interval of a
    configuration with several seeds is of the mean over its seeds. Patients are drawn, seeds are
    not.

    Attributes:
      split: `test` or `validation`, whose scores are compared.
      configurations: In the order of the page.
      num_patients: 0 if the runs stored no predictions, or their seeds have other test beats;
        there are no intervals then.
    """

    split: str
    configurations: Sequence[Configuration]
    num_patients: int
    _resampled: Mapping[int, Mapping[str, np.ndarray]] = field(repr=False)

    def interval(self, one: Configuration, score: str) -> Interval | None:
        """Return the 95 % interval over patients of the mean over the seeds; None without one."""
        found = self._resampled.get(one.number, {}).get(score)
        return None if found is None else percentile_interval(found)

    def difference(self, one: Configuration, other: Configuration, score: str) -> Difference:
        """Return the difference of a score, `one` minus `other`."""
        first, second = (self._resampled.get(part.number, {}).get(score) for part in (one, other))
        return Difference(
            value=one.score(self.split, score).mean - other.score(self.split, score).mean,
            interval=None
            if first is None or second is None
            else percentile_interval(first - second),
        )

    def over_baseline(self, one: Configuration, score: str) -> Difference:
        """Return a score minus that of the majority-class baseline."""
        baseline = one.score(self.split, f"majority/{score}").mean
        ours, theirs = (self._resampled.get(number, {}).get(score) for number in (one.number, 0))
        return Difference(
            value=one.score(self.split, score).mean - baseline,
            interval=None if ours is None or theirs is None else percentile_interval(ours - theirs),
        )


def by_test_beats(configurations: Sequence[Configuration], split: str) -> list[EvaluatedTogether]:
    """Group configurations by their test beats.

    Args:
      configurations: Those whose scores may be ranked.
      split: `test` or `validation`, whose scores are compared.
    """
    groups: dict[tuple[object, ...], list[Configuration]] = {}
    for one in configurations:
        groups.setdefault(_evaluated_on(one, split), []).append(one)
    return [_evaluated(group, split) for group in groups.values()]


def _evaluated_on(one: Configuration, split: str) -> tuple[object, ...]:
    """Return a key that configurations have in common if their scored beats are equal."""
    found = {_beats_of(row.patients, row.by_patient, row.classes) for row in one.rows}
    averaged = tuple(one.averaged(split))
    if split == "test" and len(found) == 1 and None not in found:
        return one.database, found.pop(), averaged
    settings = (item for item in one.params.items() if item[0].startswith(("split.", "grouping.")))
    return one.database, None, averaged, *sorted(settings)


def _beats_of(
    patients: tuple[str, ...], by_patient: np.ndarray | None, classes: tuple[str, ...]
) -> tuple[object, ...] | None:
    if by_patient is None:
        return None
    return patients, classes, by_patient.sum(axis=2).tobytes()


def _evaluated(group: list[Configuration], split: str) -> EvaluatedTogether:
    row = group[0].rows[0]
    known = _evaluated_on(group[0], split)[1] is not None
    # Drawn once, so that the differences of two configurations are paired.
    drawn = (
        draw_clusters(len(row.patients), _NUM_RESAMPLES, np.random.default_rng(0))
        if known
        else None
    )
    resampled = {}
    if drawn is not None:
        parts = {
            one.number: [part.by_patient for part in one.rows if part.by_patient is not None]
            for one in group
        }
        parts[0] = _baseline(row)
        for number, matrices in parts.items():
            if matrices:
                means = resampled_means(np.stack(matrices), row.classes, drawn)
                resampled[number] = {score: means[score] for score in _SCORES if score in means}
    return EvaluatedTogether(
        split=split,
        configurations=group,
        num_patients=len(row.patients) if drawn is not None else 0,
        _resampled=resampled,
    )


def _baseline(row: Row) -> list[np.ndarray]:
    """Return the matrices of the majority-class baseline; none if its class is unknown.

    Runs store its accuracy and not its class: the class with that share of the test beats.
    """
    accuracy = row.metrics.get("test/majority/accuracy")
    if row.by_patient is None or accuracy is None:
        return []
    support = row.by_patient.sum(axis=2)
    shares = support.sum(axis=0) / support.sum()
    place = int(np.abs(shares - accuracy).argmin())
    if not math.isclose(shares[place], accuracy, abs_tol=1e-6):
        return []
    answers = np.zeros_like(row.by_patient)
    answers[:, :, place] = support
    return [answers]
