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
    in all of their runs or, if seeds differ in their test beats, in the runs of each seed; only
    within a group are differences computed. An interval of a configuration with several seeds is of
    the mean over its seeds. Patients are drawn, seeds are not.

    Attributes:
      split: `test` or `validation`, whose scores are compared.
      configurations: In the order of the page.
      num_patients: Number of test patients; 0 if there are fewer than 5 or the runs stored no
        predictions, and there are no intervals then.
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
    """Return a key that configurations have in common if their scored beats are equal.

    If the test beats depend on the seed, the key has those of each seed.
    """
    found = [(row.seed, _beats_of(row.patients, row.by_patient, row.classes)) for row in one.rows]
    averaged = tuple(one.averaged(split))
    different = {beats for _, beats in found}
    if split == "test" and None not in different:
        beats = different if len(different) == 1 else sorted(found, key=lambda item: item[0])
        return one.database, tuple(beats), averaged
    settings = (item for item in one.params.items() if item[0].startswith(("split.", "grouping.")))
    return one.database, None, averaged, *sorted(settings)


def _beats_of(
    patients: tuple[str, ...], by_patient: np.ndarray | None, classes: tuple[str, ...]
) -> tuple[object, ...] | None:
    if by_patient is None:
        return None
    return patients, classes, by_patient.sum(axis=2).tobytes()


def _evaluated(group: list[Configuration], split: str) -> EvaluatedTogether:
    known = _evaluated_on(group[0], split)[1] is not None
    patients = sorted({name for row in group[0].rows for name in row.patients}) if known else []
    # Drawn once, so that the differences of two configurations are paired.
    drawn = draw_clusters(len(patients), _NUM_RESAMPLES, np.random.default_rng(0))
    resampled = {}
    if drawn is not None:
        parts = {one.number: [_counts(row, row.by_patient) for row in one.rows] for one in group}
        parts[0] = [_counts(row, _baseline(row)) for row in group[0].rows]
        for number, counts in parts.items():
            matrices = [_of_patients(found, patients) for found in counts if found is not None]
            if len(matrices) == len(counts):
                means = resampled_means(np.stack(matrices), group[0].classes, drawn)
                resampled[number] = {score: means[score] for score in _SCORES if score in means}
    return EvaluatedTogether(
        split=split,
        configurations=group,
        num_patients=len(patients) if drawn is not None else 0,
        _resampled=resampled,
    )


def _counts(row: Row, matrices: np.ndarray | None) -> Mapping[str, np.ndarray] | None:
    return None if matrices is None else dict(zip(row.patients, matrices, strict=True))


def _of_patients(found: Mapping[str, np.ndarray], patients: Sequence[str]) -> np.ndarray:
    """Return (patients, classes, classes); zeros for a patient that the run has no test beat of."""
    nothing = np.zeros_like(next(iter(found.values())))
    return np.stack([found.get(name, nothing) for name in patients])


def _baseline(row: Row) -> np.ndarray | None:
    """Return the matrices of the majority-class baseline; None if its class is unknown.

    Runs store its accuracy and not its class: the class with that share of the test beats.
    """
    accuracy = row.metrics.get("test/majority/accuracy")
    if row.by_patient is None or accuracy is None:
        return None
    support = row.by_patient.sum(axis=2)
    shares = support.sum(axis=0) / support.sum()
    place = int(np.abs(shares - accuracy).argmin())
    if not math.isclose(shares[place], accuracy, abs_tol=1e-6):
        return None
    answers = np.zeros_like(row.by_patient)
    answers[:, :, place] = support
    return answers
