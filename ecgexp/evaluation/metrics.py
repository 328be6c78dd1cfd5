"""Scores of one set of predictions, computed with scikit-learn where it has them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ecgexp.evaluation.calibration import reliability
from ecgexp.evaluation.confusion import has_jk_index, jk_index
from ecgexp.evaluation.names import metric_names
from ecgexp.settings.declaration import DataError

_JK_PARTS = ("kappa",) + tuple(
    f"{score}/{name}" for score in ("sensitivity", "positive_predictivity") for name in ("S", "V")
)
_Entries = dict[str, float | str]  # the score, or the reason why it is undefined


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores by name.

    Attributes:
      values: Key -> value; NaN if the score is undefined. Keys: accuracy, balanced_accuracy,
        macro_f1, kappa, jk_index (groupings with classes N, S and V), loss, auroc_macro,
        auprc_macro, expected_calibration_error, and for each class sensitivity/<c>,
        positive_predictivity/<c>, specificity/<c>, f1/<c>, auroc/<c>, auprc/<c>, support/<c>, where
        <c> is `names.metric_name` of the class.
      undefined: Key -> why the value is NaN.
    """

    values: Mapping[str, float]
    undefined: Mapping[str, str]

    def metrics(self, prefix: str) -> dict[str, float]:
        """Return the defined scores as `<prefix>/<key>` -> value."""
        return {
            f"{prefix}/{key}": value for key, value in self.values.items() if not math.isnan(value)
        }


def score(labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]) -> Scores:
    """Score predictions; the predicted class has the highest probability (the first of equal ones).

    - Sensitivity and F1 of a class without beats are undefined: with false positives only, F1
      would be 0. Its positive predictivity is then defined, and 0. A class with beats that is never
      predicted has F1 = 2TP/(2TP+FP+FN) = 0.
    - balanced_accuracy and macro_f1 are averages over the classes with beats
      (`classes_with_beats`). They are undefined if only one class has beats, because a constant
      prediction of this class would score 1.
    - auroc and auprc are one-vs-rest, and undefined if all beats or none are of the class; their
      macro averages are over the same classes as macro_f1. auprc is average precision, to be
      compared with the prevalence of the class.
    - loss is the mean log loss in nats, without class weights.
    - expected_calibration_error is that of the predicted class, in 15 bins of equal width (Guo et
      al. 2017).

    Args:
      labels: (num_beats,) int, class index.
      probabilities: (num_beats, num_classes) float, rows that sum to 1.
      class_names: Names of the classes, in the order of the labels.

    Returns:
      The scores.

    Raises:
      DataError: A probability is not finite.
      ValueError: Shapes, labels or row sums are inconsistent.

    Example:
      >>> labels = np.array([0, 0, 1, 1])
      >>> probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7]])
      >>> scores = score(labels, probabilities, ("N", "V"))
      >>> scores.values["accuracy"], scores.values["sensitivity/V"]
      (0.75, 0.5)
    """
    labels, probabilities = checked(labels, probabilities, class_names)
    entries = _class_scores(labels, probabilities.argmax(axis=1), class_names)
    entries["loss"] = _log_loss(labels, probabilities)
    entries["expected_calibration_error"] = reliability(
        labels, probabilities
    ).expected_calibration_error
    entries |= _ranking_scores(labels, probabilities, class_names)
    return _collect(entries)


def quick_scores(
    labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]
) -> Scores:
    """Compute the scores of `score` except auroc, auprc and calibration, e.g. for validation.

    Args:
      labels: (num_beats,) int, class index.
      probabilities: (num_beats, num_classes) float, rows that sum to 1.
      class_names: Names of the classes, in the order of the labels.

    Returns:
      The scores.

    Raises:
      DataError: A probability is not finite.
      ValueError: Shapes, labels or row sums are inconsistent.
    """
    labels, probabilities = checked(labels, probabilities, class_names)
    entries = _class_scores(labels, probabilities.argmax(axis=1), class_names)
    entries["loss"] = _log_loss(labels, probabilities)
    return _collect(entries)


def majority_scores(labels: np.ndarray, majority_class: int, class_names: Sequence[str]) -> Scores:
    """Score the majority-class baseline, without loss, auroc, auprc and calibration.

    Args:
      labels: (num_beats,) int, class index.
      majority_class: Index of the most frequent class of the *training* labels.
      class_names: Names of the classes, in the order of the labels.

    Returns:
      The scores of always predicting `majority_class`.
    """
    return _collect(
        _class_scores(labels, np.full(len(labels), majority_class, np.int64), class_names)
    )


def checked(
    labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Validate labels and probabilities.

    Args:
      labels: (num_beats,) int, class index.
      probabilities: (num_beats, num_classes) float, rows that sum to 1.
      class_names: Names of the classes, in the order of the labels.

    Returns:
      The labels as int64 and the probabilities as float64.

    Raises:
      DataError: A probability is not finite.
      ValueError: Shapes, labels or row sums are inconsistent.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, np.float64)
    rows, classes = len(labels), len(class_names)
    if rows == 0 or classes < 2:
        raise ValueError(
            f"{rows} beats of {classes} classes cannot be scored; one beat and two classes are "
            "needed"
        )
    if labels.shape != (rows,) or probabilities.shape != (rows, classes):
        raise ValueError(
            f"probabilities {probabilities.shape} must be ({rows}, {classes}) for labels "
            f"{labels.shape}"
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"labels ({labels.dtype}, {labels.min()} to {labels.max()}) must be integers from 0 to "
            f"{classes - 1}"
        )
    broken = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if len(broken):
        raise DataError(
            f"the model's probabilities are not finite for {len(broken)} of {rows} beats (first: "
            f"beat {broken[0]}), because training diverged; use a smaller trainer.learning_rate"
        )
    if probabilities.min() < 0 or np.abs(probabilities.sum(axis=1) - 1).max() > 1e-3:
        raise ValueError(
            "each row of probabilities must be non-negative and sum to 1; apply softmax to logits"
        )
    return labels.astype(np.int64), probabilities


def _class_scores(
    labels: np.ndarray, predictions: np.ndarray, class_names: Sequence[str]
) -> _Entries:
    from sklearn import metrics

    indices = np.arange(len(class_names))
    predictivity, sensitivity, f1, support = metrics.precision_recall_fscore_support(
        labels, predictions, labels=indices, zero_division=np.nan
    )
    # (num_classes, 2, 2): for each class, the matrix of the other classes and this one.
    binary = metrics.multilabel_confusion_matrix(labels, predictions, labels=indices)
    present = support > 0
    alone = _alone(labels, class_names)
    entries: _Entries = {
        "accuracy": metrics.accuracy_score(labels, predictions),
        "balanced_accuracy": alone or sensitivity[present].mean(),
        "macro_f1": alone or f1[present].mean(),
        "kappa": _kappa(labels, predictions, class_names),
    }
    for i, (name, key) in enumerate(zip(class_names, metric_names(class_names), strict=True)):
        (true_negatives, false_positives), _ = binary[i]
        negatives, absent = true_negatives + false_positives, f"no beat is of class {name}"
        entries[f"support/{key}"] = support[i]
        entries[f"sensitivity/{key}"] = sensitivity[i] if present[i] else absent
        entries[f"positive_predictivity/{key}"] = _or(
            predictivity[i], f"no beat was predicted {name}"
        )
        entries[f"specificity/{key}"] = (
            true_negatives / negatives if negatives else f"every beat is of class {name}"
        )
        entries[f"f1/{key}"] = f1[i] if present[i] else absent
    if has_jk_index(class_names):
        entries["jk_index"] = _jk_index(entries)
    return entries


def causes(undefined: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the causes of undefined scores, each once.

    Args:
      undefined: Key -> why the score is undefined, as in `Scores`.

    Returns:
      Cause -> keys of the scores that it concerns. jk_index has the causes of the scores of which
      it consists.

    Example:
      >>> found = score(np.array([0, 0, 1, 2]), np.eye(3)[[0, 0, 0, 2]], ("N", "S", "V"))
      >>> causes(found.undefined)
      {'no beat was predicted S': ['jk_index', 'positive_predictivity/S']}
    """
    found: dict[str, list[str]] = {}
    for key, reason in undefined.items():
        parts = [undefined[part] for part in _JK_PARTS if part in undefined]
        for cause in parts if key == "jk_index" and parts else [reason]:
            found.setdefault(cause, []).append(key)
    return found


def classes_with_beats(labels: np.ndarray, class_names: Sequence[str]) -> tuple[str, ...]:
    """Return the classes with beats, over which averages over classes are taken.

    Args:
      labels: (num_beats,) int, class index.
      class_names: Names of the classes, in the order of the labels.

    Returns:
      Names of the classes of balanced_accuracy, macro_f1, auroc_macro and auprc_macro.
    """
    counts = np.bincount(labels, minlength=len(class_names))
    return tuple(name for name, count in zip(class_names, counts, strict=True) if count)


def _alone(labels: np.ndarray, class_names: Sequence[str]) -> str:
    """Return why averages over classes are undefined; empty if they are defined."""
    present = classes_with_beats(labels, class_names)
    return (
        f"every beat is of class {''.join(present)}, and an average needs two classes"
        if len(present) < 2
        else ""
    )


def _kappa(labels: np.ndarray, predictions: np.ndarray, class_names: Sequence[str]) -> float | str:
    from sklearn.metrics import cohen_kappa_score

    if np.array_equal(np.unique(labels), np.unique(predictions)) and labels.min() == labels.max():
        name = class_names[labels[0]]
        return f"every beat is {name} and predicted {name}; agreement beyond chance is not defined"
    return cohen_kappa_score(labels, predictions)


def _jk_index(entries: _Entries) -> float | str:
    known = {key: value for key, value in entries.items() if not isinstance(value, str)}
    missing = [f"{key} is undefined ({entries[key]})" for key in _JK_PARTS if key not in known]
    return "; ".join(missing) if missing else float(jk_index(known))


def _log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    from sklearn.metrics import log_loss

    # Float32 softmax sums to 1 within 1e-6, for which scikit-learn warns. It clips probabilities at
    # 2.2e-16.
    normalized = probabilities / probabilities.sum(axis=1, keepdims=True)
    return log_loss(labels, normalized, labels=np.arange(probabilities.shape[1]))


def _ranking_scores(
    labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]
) -> _Entries:
    from sklearn.metrics import average_precision_score, roc_auc_score

    entries: _Entries = {}
    for i, (name, key) in enumerate(zip(class_names, metric_names(class_names), strict=True)):
        positive = labels == i
        if positive.all() or not positive.any():
            reason = f"{'every' if positive.any() else 'no'} beat is of class {name}"
            entries[f"auroc/{key}"] = entries[f"auprc/{key}"] = reason
            continue
        entries[f"auprc/{key}"] = average_precision_score(positive, probabilities[:, i])
        entries[f"auroc/{key}"] = roc_auc_score(positive, probabilities[:, i])
    for area in ("auroc", "auprc"):
        defined = [
            value
            for key, value in entries.items()
            if key.startswith(f"{area}/") and not isinstance(value, str)
        ]
        entries[f"{area}_macro"] = (
            float(np.mean(defined)) if defined else _alone(labels, class_names)
        )
    return entries


def _or(value: float, reason: str) -> float | str:
    return reason if math.isnan(value) else value


def _collect(entries: _Entries) -> Scores:
    entries = dict(sorted(entries.items(), key=lambda item: "/" in item[0]))  # overall scores first
    values = {
        key: math.nan if isinstance(value, str) else float(value) for key, value in entries.items()
    }
    return Scores(
        values=values,
        undefined={key: value for key, value in entries.items() if isinstance(value, str)},
    )
