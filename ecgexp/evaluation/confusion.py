"""Confusion matrices by group of beats, and the scores that follow from them, for a thousand matrices at once.

scikit-learn scores one pair of vectors at a time, and `metrics` uses it for that. The bootstrap and the per-record
table need the same scores of many confusion matrices; the tests hold both ways to the same numbers.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from ecgexp.evaluation.names import metric_names

JK_CLASSES = ("N", "S", "V")


def count_confusion(
    labels: np.ndarray,
    predictions: np.ndarray,
    *,
    num_classes: int,
    groups: np.ndarray | None = None,
    num_groups: int = 1,
) -> np.ndarray:
    """Counts beats by group, true class and predicted class.

    Args:
      labels: (n,) int, the true class.
      predictions: (n,) int, the predicted class.
      num_classes: size of the matrix.
      groups: (n,) int below `num_groups`, e.g. the patient of each beat; None puts all beats in one group.
      num_groups: number of matrices.

    Returns:
      (num_groups, num_classes, num_classes) int64; rows are true classes, columns predicted ones.
    """
    cells = labels.astype(np.int64) * num_classes + predictions
    if groups is not None:
        cells = cells + groups.astype(np.int64) * num_classes**2
    counts = np.bincount(cells, minlength=num_groups * num_classes**2)
    return counts.reshape(num_groups, num_classes, num_classes)


def confusion_scores(
    confusion: np.ndarray, class_names: Sequence[str], *, averaged: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Scores of each confusion matrix, under the keys of `metrics.score`; NaN where undefined.

    Args:
      confusion: (..., classes, classes) counts; rows are true classes.
      class_names: (classes,) names, in the order of the labels.
      averaged: (classes,) bool, the classes over which balanced_accuracy and macro_f1 are averages; a matrix that lacks one of
        them has no average. None: the classes that each matrix has, which takes two of them.

    Returns:
      key -> (...) float64: accuracy, balanced_accuracy, macro_f1, kappa, jk_index where the classes allow it, and
      sensitivity/<c>, positive_predictivity/<c>, f1/<c>.
    """
    confusion = np.asarray(confusion, np.float64)
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    true, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    total = true.sum(axis=-1)
    sensitivity, predictivity = _divide(hits, true), _divide(hits, predicted)
    f1 = np.where(true > 0, _divide(2 * hits, true + predicted), np.nan)
    complete = (true > 0).sum(axis=-1) > 1
    if averaged is not None:
        complete &= ((true > 0) | ~averaged).all(axis=-1)
    scores = {
        "accuracy": _divide(hits.sum(axis=-1), total),
        "balanced_accuracy": np.where(complete, _mean_where(sensitivity, true > 0), np.nan),
        "macro_f1": np.where(complete, _mean_where(f1, true > 0), np.nan),
        "kappa": _kappa(hits, true, predicted, total),
    }
    for i, name in enumerate(metric_names(class_names)):
        scores[f"sensitivity/{name}"] = sensitivity[..., i]
        scores[f"positive_predictivity/{name}"] = predictivity[..., i]
        scores[f"f1/{name}"] = f1[..., i]
    if has_jk_index(class_names):
        scores["jk_index"] = jk_index(scores)
    return scores


def has_jk_index(class_names: Sequence[str]) -> bool:
    """Whether the classes are those of an AAMI grouping, for which the jk index is defined."""
    return set(JK_CLASSES) <= set(class_names)


def jk_index(scores: Mapping[str, np.ndarray | float]) -> np.ndarray | float:
    """κ/2 + (Se_S + Se_V + P_S + P_V)/8 (Mar et al. 2011), 1 at best; P is positive predictivity; NaN when a part is.

    Some publications use EC57's exemption, which does not count an F beat taken for V against P_V; here it counts, so
    this index is the same or slightly lower (by 0.0002 on de Chazal's published matrix).
    """
    parts = [
        scores[f"{score}/{name}"]
        for score in ("sensitivity", "positive_predictivity")
        for name in ("S", "V")
    ]
    return scores["kappa"] / 2 + sum(parts) / 8


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(
        numerator, denominator, out=np.full(np.shape(numerator), np.nan), where=denominator > 0
    )


def _mean_where(values: np.ndarray, present: np.ndarray) -> np.ndarray:
    return _divide(np.where(present, values, 0.0).sum(axis=-1), present.sum(axis=-1))


def _kappa(
    hits: np.ndarray, true: np.ndarray, predicted: np.ndarray, total: np.ndarray
) -> np.ndarray:
    # In counts, not in fractions: they are exact in float64, so that "all one class" is 0/0 and not noise/noise.
    by_chance = (true * predicted).sum(axis=-1)
    return _divide(total * hits.sum(axis=-1) - by_chance, total**2 - by_chance)
