"""Point scores of one set of predictions; scikit-learn computes what it computes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ecgexp.evaluation.calibration import reliability
from ecgexp.evaluation.confusion import has_jk_index, jk_index
from ecgexp.evaluation.names import metric_names
from ecgexp.settings.declaration import DataError

# A score, or in words why it is not defined.
_Entries = dict[str, float | str]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores by name.

    Attributes:
      values: key -> value; NaN where the score is not defined. Keys: accuracy, balanced_accuracy, macro_f1, kappa,
        jk_index (AAMI groupings), loss, auroc_macro, auprc_macro, expected_calibration_error, and for each class
        sensitivity/<c>, positive_predictivity/<c>, specificity/<c>, f1/<c>, auroc/<c>, auprc/<c>, support/<c>, with
        <c> as `names.metric_name` gives it.
      undefined: key -> why the value is NaN.
    """

    values: Mapping[str, float]
    undefined: Mapping[str, str]

    def metrics(self, prefix: str) -> dict[str, float]:
        """The defined scores as `<prefix>/<key>`; undefined ones are left out."""
        return {
            f"{prefix}/{key}": value for key, value in self.values.items() if not math.isnan(value)
        }


def score(labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]) -> Scores:
    """Scores predictions; the predicted class is the one of highest probability (the first of equals).

    - A score of a class without a true beat is undefined, F1 included: false alarms alone would read as an F1 of 0 (their
      positive predictivity is defined, and 0). A present class that is never predicted has F1 = 2TP/(2TP+FP+FN) = 0.
    - balanced_accuracy and macro_f1 average over the classes that have a true beat (`classes_with_beats`), and are undefined
      where only one has: always answering that class would score 1.
    - auroc and auprc are one-vs-rest, and undefined where every beat or none is of the class; their macro is the mean over the
      same classes as macro_f1. auprc is average precision, to be read against the class's prevalence.
    - loss is the mean log-loss in nats, without class weights.
    - expected_calibration_error is that of the predicted class in 15 bins of equal width (Guo et al. 2017).

    Args:
      labels: (n,) int class index.
      probabilities: (n, classes), rows that sum to one.
      class_names: (classes,) in the order of the labels.

    Raises:
      DataError: a probability is not finite.
      ValueError: shapes, labels or row sums do not fit.
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
    """What an epoch's validation needs: the scores of `score` that need no sorting (no auroc, auprc, calibration)."""
    labels, probabilities = checked(labels, probabilities, class_names)
    entries = _class_scores(labels, probabilities.argmax(axis=1), class_names)
    entries["loss"] = _log_loss(labels, probabilities)
    return _collect(entries)


def majority_scores(labels: np.ndarray, majority_class: int, class_names: Sequence[str]) -> Scores:
    """Scores of always predicting one class; without probabilities, so without loss, ranking and calibration.

    Args:
      labels: (n,) int class index.
      majority_class: the commonest class of the *training* labels.
      class_names: (classes,).
    """
    return _collect(
        _class_scores(labels, np.full(len(labels), majority_class, np.int64), class_names)
    )


def checked(
    labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """The labels as int64 and the probabilities as float64, once they are known to fit each other.

    Raises:
      DataError: a probability is not finite.
      ValueError: shapes, labels or row sums do not fit.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, np.float64)
    rows, classes = len(labels), len(class_names)
    if rows == 0 or classes < 2:
        raise ValueError(
            f"nothing to score: {rows} beats of {classes} classes; it takes one beat and two classes"
        )
    if labels.shape != (rows,) or probabilities.shape != (rows, classes):
        raise ValueError(
            f"probabilities {probabilities.shape} must be ({rows}, {classes}) for labels {labels.shape}"
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"labels ({labels.dtype}, {labels.min()} to {labels.max()}) must be integers from 0 to {classes - 1}"
        )
    broken = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if len(broken):
        raise DataError(
            f"the model's probabilities are not finite for {len(broken)} of {rows} beats (first: beat {broken[0]}): "
            "training diverged; try a smaller trainer.learning_rate"
        )
    if probabilities.min() < 0 or np.abs(probabilities.sum(axis=1) - 1).max() > 1e-3:
        raise ValueError(
            "each row of probabilities must be non-negative and sum to 1; apply softmax to logits first"
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
    binary = metrics.multilabel_confusion_matrix(
        labels, predictions, labels=indices
    )  # (classes, [rest, class], …)
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


def classes_with_beats(labels: np.ndarray, class_names: Sequence[str]) -> tuple[str, ...]:
    """The classes over which balanced_accuracy, macro_f1, auroc_macro and auprc_macro average: those with a true beat."""
    counts = np.bincount(labels, minlength=len(class_names))
    return tuple(name for name, count in zip(class_names, counts, strict=True) if count)


def _alone(labels: np.ndarray, class_names: Sequence[str]) -> str:
    """Why there is no average over classes; empty where there is one."""
    present = classes_with_beats(labels, class_names)
    return (
        f"every beat is of class {present[0]}, and an average takes two classes"
        if len(present) < 2
        else ""
    )


def _kappa(labels: np.ndarray, predictions: np.ndarray, class_names: Sequence[str]) -> float | str:
    from sklearn.metrics import cohen_kappa_score

    if np.array_equal(np.unique(labels), np.unique(predictions)) and labels.min() == labels.max():
        return f"every beat is {class_names[labels[0]]} and predicted so; there is no agreement beyond chance to measure"
    return cohen_kappa_score(labels, predictions)


def _jk_index(entries: _Entries) -> float | str:
    parts = [
        f"{score}/{name}"
        for score in ("sensitivity", "positive_predictivity")
        for name in ("S", "V")
    ]
    missing = [
        f"{key} is not defined ({entries[key]})"
        for key in ("kappa", *parts)
        if isinstance(entries[key], str)
    ]
    return "; ".join(missing) if missing else jk_index(entries)


def _log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    from sklearn.metrics import log_loss

    # Softmax in float32 sums to one within 1e-6; scikit-learn warns about less. A probability of 0 counts as 2.2e-16.
    normalised = probabilities / probabilities.sum(axis=1, keepdims=True)
    return log_loss(labels, normalised, labels=np.arange(probabilities.shape[1]))


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
