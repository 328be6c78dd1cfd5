"""Confusion matrices by group of beats, and their scores, vectorized over many matrices.

`metrics` uses scikit-learn, which scores one pair of vectors at a time. The bootstrap and the
per-record table need the same scores of many matrices; `tests/unit/evaluation/test_confusion.py`
checks that both agree.
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
    """Count beats by group, true class and predicted class.

    Args:
      labels: (num_beats,) int, the true class.
      predictions: (num_beats,) int, the predicted class.
      num_classes: Size of a matrix.
      groups: (num_beats,) int below `num_groups`, e.g. the patient of each beat; None: all beats
        are in one group.
      num_groups: Number of matrices.

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
    """Compute the scores of each confusion matrix, with the keys of `metrics.score`.

    Args:
      confusion: (..., num_classes, num_classes) counts; rows are true classes.
      class_names: Names of the classes, in the order of the labels.
      averaged: (..., num_classes) bool, the classes over which balanced_accuracy and macro_f1 are
        averages; they are undefined for a matrix without beats of one of them. None: the classes
        with beats in each matrix, two or more.

    Returns:
      Key -> (...) float64, NaN if undefined: accuracy, balanced_accuracy, macro_f1, kappa, jk_index
      (classes N, S and V), and sensitivity/<c>, positive_predictivity/<c>, f1/<c> of each class.
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
    """Return whether the classes include N, S and V, for which the jk index is defined."""
    return set(JK_CLASSES) <= set(class_names)


def jk_index(scores: Mapping[str, np.ndarray | float]) -> np.ndarray | float:
    """Compute κ/2 + (Se_S + Se_V + P_S + P_V)/8 (Mar et al. 2011); P is positive predictivity.

    Some publications apply EC57's exemption, by which an F beat predicted as V does not lower P_V.
    It is not applied here, so this index is equal or slightly lower (by 0.0002 on de Chazal's
    published matrix).

    Args:
      scores: Key -> value, as returned by `confusion_scores`.

    Returns:
      The index, 1 at best; NaN if a part is NaN.
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
    # Counts are exact in float64, unlike fractions: with a single class the result is 0/0 = NaN.
    by_chance = (true * predicted).sum(axis=-1)
    return _divide(total * hits.sum(axis=-1) - by_chance, total**2 - by_chance)
