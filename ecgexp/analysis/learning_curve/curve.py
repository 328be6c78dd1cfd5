"""A learning curve: a score against the number of training patients, with intervals over seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEAST_SEEDS = 3
"""Seeds of which an interval is given: of two it would be 7 times as wide as of five."""

LEAST_SIZES = 4
"""Numbers of patients from which a curve with three parameters is extrapolated."""

_CONFIDENCE = 0.95
_EXPONENTS = np.linspace(0.05, 2.0, 40)
_RESAMPLES = 1000


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """The scores of one number of training patients.

    Attributes:
      patients: Number of training patients.
      scores: Score of each repetition, in the order of `LearningCurve.repetitions`; NaN where there
        is no run, or the score is undefined.
    """

    patients: int
    scores: tuple[float, ...]

    @property
    def known(self) -> tuple[float, ...]:
        """The scores that are defined."""
        return tuple(score for score in self.scores if not math.isnan(score))

    @property
    def mean(self) -> float:
        """Mean of the defined scores, of which there is at least one."""
        return math.fsum(self.known) / len(self.known)

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % t interval of the mean over repetitions, within 0 and 1.

        None of fewer than `LEAST_SEEDS`.
        """
        found = _t_interval(self.known)
        return None if found is None else (max(found[0], 0.0), min(found[1], 1.0))


@dataclass(frozen=True, kw_only=True)
class Extrapolation:
    """A power law through the means, continued to more patients than any run had.

    Attributes:
      patients: Number of training patients.
      score: Of the power law.
      interval: Middle 95 % over resampled repetitions.
    """

    patients: int
    score: float
    interval: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """Scores of runs that differ in the number of training patients and the seed.

    Attributes:
      points: In ascending order of patients, each with at least one defined score.
      repetitions: Seed of each repetition; with a cross-validation also its fold.

    Example:
      >>> points = [CurvePoint(patients=n, scores=(0.5, 0.6, 0.7)) for n in (2, 4)]
      >>> curve = LearningCurve(points=points, repetitions=("0", "1", "2"))
      >>> curve.gain
      (0.0, (0.0, 0.0))
    """

    points: Sequence[CurvePoint]
    repetitions: Sequence[str]

    @property
    def gain(self) -> tuple[float, tuple[float, float] | None] | None:
        """Mean difference of the two largest numbers of patients, and its 95 % t interval.

        Differences are paired by repetition, since the patients of the smaller number are among
        those of the larger one. None without two numbers that have a repetition in common.
        """
        if len(self.points) < 2:
            return None
        fewer, more = (np.asarray(point.scores) for point in self.points[-2:])
        differences = (more - fewer)[~np.isnan(more - fewer)]
        if not len(differences):
            return None
        return float(differences.mean()), _t_interval(differences.tolist())

    @property
    def extrapolation(self) -> Extrapolation | None:
        """The score of twice as many patients as the largest number, by a power law.

        `score = a - b * patients ** -c` with `b >= 0` and `a <= 1` is fitted by least squares to
        the means (Viering & Loog 2023, doi:10.1109/TPAMI.2022.3220744, section 4). The interval is
        that of the repetitions of which every number has a score; it does not cover that the curve
        may not be a power law. None below `LEAST_SIZES` numbers or `LEAST_SEEDS` repetitions.
        """
        scores = np.asarray([point.scores for point in self.points])
        if len(self.points) < LEAST_SIZES:
            return None
        scores = scores[:, ~np.isnan(scores).any(axis=0)]
        if scores.shape[1] < LEAST_SEEDS:
            return None
        patients = np.asarray([point.patients for point in self.points], np.float64)
        target = 2 * self.points[-1].patients
        rng = np.random.default_rng(0)
        drawn = rng.integers(scores.shape[1], size=(_RESAMPLES, scores.shape[1]))
        found = _continued(patients, scores[:, drawn].mean(axis=2).T, target)
        low, high = np.quantile(found, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
        score = float(_continued(patients, scores.mean(axis=1)[None], target)[0])
        return Extrapolation(
            patients=target,
            score=score,
            interval=(min(float(low), score), max(float(high), score)),
        )


def learning_curve(scores: Mapping[tuple[int, str], float]) -> LearningCurve:
    """Arrange scores by patients and repetition.

    Args:
      scores: Number of training patients and repetition -> score; NaN if it is undefined.
    """
    repetitions = sorted({repetition for _, repetition in scores}, key=lambda one: (len(one), one))
    points = [
        CurvePoint(
            patients=number,
            scores=tuple(scores.get((number, each), math.nan) for each in repetitions),
        )
        for number in sorted({number for number, _ in scores})
    ]
    return LearningCurve(points=[one for one in points if one.known], repetitions=repetitions)


def _t_interval(values: Sequence[float]) -> tuple[float, float] | None:
    if len(values) < LEAST_SEEDS:
        return None
    mean, spread = float(np.mean(values)), float(np.std(values, ddof=1))
    half = float(stats.t.ppf((1 + _CONFIDENCE) / 2, len(values) - 1)) * spread
    half /= math.sqrt(len(values))
    return mean - half, mean + half


def _continued(patients: np.ndarray, means: np.ndarray, target: int) -> np.ndarray:
    """Return the value of the best power law at `target`.

    Args:
      patients: (num_sizes,).
      means: (num_curves, num_sizes).
      target: number of patients.

    Returns:
      (num_curves,).
    """
    least = np.full(len(means), np.inf)
    found = np.zeros(len(means))
    mean = means.mean(axis=1)
    for exponent in _EXPONENTS:
        x = -(patients**-exponent)
        covariance = (means - mean[:, None]) @ (x - x.mean()) / len(x)
        slope = np.maximum(covariance / x.var(), 0.0)
        limit = mean - slope * x.mean()
        to_one = np.maximum((means - 1) @ x / (x**2).sum(), 0.0)  # a score is at most 1
        slope, limit = np.where(limit > 1, to_one, slope), np.minimum(limit, 1.0)
        error = ((limit[:, None] + slope[:, None] * x - means) ** 2).sum(axis=1)
        found = np.where(error < least, limit - slope * target**-exponent, found)
        least = np.minimum(least, error)
    return found
