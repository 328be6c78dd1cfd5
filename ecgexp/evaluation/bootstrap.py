"""Confidence intervals by the cluster bootstrap over patients.

Beats of one patient are not independent, so patients are drawn with replacement, with all their
beats (cluster bootstrap, Field & Welsh 2007); intervals from drawing single beats would be several
times too narrow. Each patient is reduced to a confusion matrix first, so that a resample is a
weighted sum of matrices instead of a copy of beats.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ecgexp.evaluation.confusion import confusion_scores, count_confusion

MIN_CLUSTERS = 5
_MIN_DEFINED = 0.95

UNKNOWN_PATIENTS = (
    "no intervals: patients unknown, beat level only, and intervals over single beats would be too "
    "narrow"
)


@dataclass(frozen=True)
class Interval:
    """A closed confidence interval."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """Intervals by metric key, with a note on the method.

    Attributes:
      intervals: Key -> interval; empty if none were computed.
      note: The method, e.g. `"95 % by bootstrap over 22 patients, 1000 resamples"`, or why there
        are no intervals.
      missing: Key -> why this score has no interval although others have one.
    """

    intervals: dict[str, Interval]
    note: str
    missing: dict[str, str] = field(default_factory=dict)


def cluster_bootstrap(
    *,
    labels: np.ndarray,
    predictions: np.ndarray,
    class_names: Sequence[str],
    clusters: np.ndarray,
    rng: np.random.Generator,
    unit: str = "patient",
    num_resamples: int = 1000,
    confidence_level: float = 0.95,
) -> Bootstrap:
    """Compute percentile intervals by resampling clusters.

    The intervals describe the variation between patients of the same population, not between
    training seeds. With few patients they are slightly too narrow: with 22 patients of equal size,
    the 95 % interval of accuracy had a measured coverage of about 92 %.

    A score that is undefined in more than 5 % of the resamples (e.g. of a class that only one or
    two patients have) has no interval, because percentiles over the other resamples would describe
    only the draws with these patients. Averages over classes are over the classes with beats in
    `labels`; in a resample that lacks one of these classes, the average is undefined.

    Args:
      labels: (num_beats,) int, class index.
      predictions: (num_beats,) int, the predicted class.
      class_names: Names of the classes, in the order of the labels.
      clusters: (num_beats,) str, the patient of each beat.
      rng: Draws the resamples.
      unit: Name of a cluster in the note.
      num_resamples: Number of resamples; 0 for no intervals.
      confidence_level: Between 0 and 1.

    Returns:
      The intervals; none with fewer than `MIN_CLUSTERS` clusters.

    Example:
      >>> found = cluster_bootstrap(
      ...     labels=np.zeros(40, int),
      ...     predictions=np.zeros(40, int),
      ...     class_names=("N", "V"),
      ...     clusters=np.repeat(list("abcdefgh"), 5),
      ...     rng=np.random.default_rng(0),
      ... )
      >>> found.intervals["accuracy"]
      Interval(low=1.0, high=1.0)
      >>> found.note
      '95 % by bootstrap over 8 patients, 1000 resamples'
    """
    matrices = _matrices(labels, predictions, class_names, clusters)
    averaged = _present(matrices)

    def scores_of(drawn: np.ndarray) -> dict[str, np.ndarray]:
        return confusion_scores(_resample(matrices, drawn), class_names, averaged=averaged)

    return _bootstrap(
        scores_of, len(matrices), rng, unit, num_resamples, confidence_level, kind="bootstrap"
    )


def paired_difference(
    *,
    labels: np.ndarray,
    predictions: np.ndarray,
    other_predictions: np.ndarray,
    class_names: Sequence[str],
    clusters: np.ndarray,
    rng: np.random.Generator,
    unit: str = "patient",
    num_resamples: int = 1000,
    confidence_level: float = 0.95,
) -> Bootstrap:
    """Compute intervals of `score(predictions) - score(other_predictions)` on the same beats.

    Both models are scored on the same drawn patients, so that the variation between patients that
    both share cancels; comparing two separate intervals would miss most true differences.

    Args:
      labels: (num_beats,) int, class index.
      predictions: (num_beats,) int, classes predicted by the first model.
      other_predictions: (num_beats,) int, classes predicted by the second model.
      class_names: Names of the classes, in the order of the labels.
      clusters: (num_beats,) str, the patient of each beat.
      rng: Draws the resamples.
      unit: Name of a cluster in the note.
      num_resamples: Number of resamples; 0 for no intervals.
      confidence_level: Between 0 and 1.

    Returns:
      The intervals of the differences.
    """
    matrices = _matrices(labels, predictions, class_names, clusters)
    others = _matrices(labels, other_predictions, class_names, clusters)
    averaged = _present(matrices)

    def differences_of(drawn: np.ndarray) -> dict[str, np.ndarray]:
        ours = confusion_scores(_resample(matrices, drawn), class_names, averaged=averaged)
        theirs = confusion_scores(_resample(others, drawn), class_names, averaged=averaged)
        return {key: ours[key] - theirs[key] for key in ours}

    return _bootstrap(
        differences_of,
        len(matrices),
        rng,
        unit,
        num_resamples,
        confidence_level,
        kind="paired bootstrap",
    )


def draw_clusters(
    num_clusters: int, num_resamples: int, rng: np.random.Generator
) -> np.ndarray | None:
    """Draw the resamples of several sets of predictions for the same beats.

    Args:
      num_clusters: Number of patients.
      num_resamples: Number of resamples.
      rng: Draws them.

    Returns:
      (num_resamples, num_clusters) int64, how often each cluster was drawn; None with fewer than
      `MIN_CLUSTERS` clusters.
    """
    return None if num_clusters < MIN_CLUSTERS else _draw(num_clusters, num_resamples, rng)


def resampled_means(
    matrices: np.ndarray, class_names: Sequence[str], drawn: np.ndarray
) -> dict[str, np.ndarray]:
    """Score resamples of patients; each score is the mean over runs, e.g. of several seeds.

    Differences of two results with the same `drawn` are those of the paired bootstrap. Patients are
    drawn and seeds are not, so that the percentiles describe the variation between patients for
    the given runs.

    Args:
      matrices: (num_runs, num_clusters, num_classes, num_classes) counts; rows are true classes. A
        cluster that a run was not evaluated on is zero.
      class_names: Names of the classes, in the order of the labels.
      drawn: (num_resamples, num_clusters), of `draw_clusters`.

    Returns:
      Key -> (num_resamples,) float64, NaN where the score of any run is undefined.
    """
    averaged = np.stack([_present(of_run) for of_run in matrices])[:, None]
    resampled = np.stack([_resample(of_run, drawn) for of_run in matrices])
    scores = confusion_scores(resampled, class_names, averaged=averaged)
    return {key: np.mean(of_runs, axis=0) for key, of_runs in scores.items()}


def percentile_interval(
    resampled: np.ndarray, *, confidence_level: float = 0.95
) -> Interval | None:
    """Return the percentile interval of a resampled score or difference.

    Args:
      resampled: (num_resamples,) float, NaN where undefined.
      confidence_level: Between 0 and 1.

    Returns:
      The interval; None if it is undefined in more than 5 % of the resamples.
    """
    return _percentiles({"": resampled}, confidence_level, "patient")[0].get("")


def _bootstrap(
    scores_of: Callable[[np.ndarray], dict[str, np.ndarray]],
    num_clusters: int,
    rng: np.random.Generator,
    unit: str,
    num_resamples: int,
    confidence_level: float,
    *,
    kind: str,
) -> Bootstrap:
    """Compute intervals of `scores_of(drawn)`.

    `drawn`, (num_resamples, num_clusters) int64, is how often each cluster was drawn.
    """
    if refusal := _refusal(num_clusters, unit, num_resamples):
        return Bootstrap(intervals={}, note=refusal)
    resampled = scores_of(_draw(num_clusters, num_resamples, rng))
    intervals, missing = _percentiles(resampled, confidence_level, unit)
    note = (
        f"{100 * confidence_level:g} % by {kind} over {num_clusters} {unit}s, "
        f"{num_resamples} resamples"
    )
    return Bootstrap(intervals=intervals, note=note, missing=missing)


def _matrices(
    labels: np.ndarray, predictions: np.ndarray, class_names: Sequence[str], clusters: np.ndarray
) -> np.ndarray:
    names, groups = np.unique(clusters, return_inverse=True)
    return count_confusion(
        labels, predictions, num_classes=len(class_names), groups=groups, num_groups=len(names)
    )


def _present(matrices: np.ndarray) -> np.ndarray:
    """Return (num_classes,) bool, True for the classes with beats."""
    return matrices.sum(axis=(0, 2)) > 0


def _refusal(num_clusters: int, unit: str, num_resamples: int) -> str:
    if num_resamples < 1:
        return "no intervals: num_resamples=0"
    if num_clusters < MIN_CLUSTERS:
        units = f"{num_clusters} {unit}{'s' if num_clusters != 1 else ''}"
        return f"no intervals: {units}, and at least {MIN_CLUSTERS} are needed"
    return ""


def _draw(num_clusters: int, num_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Return (num_resamples, num_clusters) int64, how often each cluster was drawn."""
    return rng.multinomial(
        num_clusters, np.full(num_clusters, 1 / num_clusters), size=num_resamples
    )


def _resample(matrices: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.tensordot(weights.astype(np.float64), matrices.astype(np.float64), axes=1)


def _percentiles(
    resampled: dict[str, np.ndarray], confidence_level: float, unit: str
) -> tuple[dict[str, Interval], dict[str, str]]:
    tail = 50 * (1 - confidence_level)
    intervals, missing = {}, {}
    for key, values in resampled.items():
        defined = values[~np.isnan(values)]
        if len(defined) < _MIN_DEFINED * len(values):
            missing[key] = (
                f"defined in {len(defined)} of {len(values)} resamples only, because it depends on "
                f"too few {unit}s"
            )
        else:
            intervals[key] = Interval(*np.percentile(defined, [tail, 100 - tail]).tolist())
    return intervals, missing
