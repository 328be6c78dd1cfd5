"""Evaluation of a model's predictions on one split: scores, intervals, baseline and tables."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ecgexp.evaluation.bootstrap import UNKNOWN_PATIENTS, Bootstrap, Interval, cluster_bootstrap
from ecgexp.evaluation.confusion import confusion_scores, count_confusion
from ecgexp.evaluation.metrics import Scores, checked, majority_scores, score
from ecgexp.evaluation.names import metric_names

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Scores of one model on one split, with intervals and the majority-class baseline.

    Attributes:
      class_names: Names of the classes, in the order of the labels.
      num_beats: Number of scored beats.
      scores: Scores of the model.
      intervals: Metric key -> 95 % confidence interval; see `intervals_note`.
      intervals_note: Method of the intervals, or why there are none.
      intervals_missing: Metric key -> why this score has no interval although others have one.
      confusion: (num_classes, num_classes) int64; rows are true classes, columns predicted ones.
      per_record: One row per record, sorted by name: record, patient, beats, accuracy, macro_f1,
        and for each class support/<c> and sensitivity/<c> (NaN without beats of the class).
      majority_class: Name of the class that the baseline predicts, see `evaluate`.
      majority: Scores of the majority-class baseline, which always predicts this class.
    """

    class_names: tuple[str, ...]
    num_beats: int
    scores: Scores
    intervals: Mapping[str, Interval]
    intervals_note: str
    intervals_missing: Mapping[str, str]
    confusion: np.ndarray
    per_record: Sequence[Mapping[str, Any]]
    majority_class: str
    majority: Scores

    @property
    def classes_in_average(self) -> tuple[str, ...]:
        """The classes with beats, over which macro F1 and the other averages are taken."""
        return tuple(
            name
            for name, count in zip(self.class_names, self.confusion.sum(axis=1), strict=True)
            if count
        )

    @property
    def undefined(self) -> Mapping[str, str]:
        """Metric key -> why the score is undefined and therefore not in `metrics`."""
        return self.scores.undefined

    def metrics(self, prefix: str) -> dict[str, float]:
        """Return all scores as key -> value for a tracker.

        Args:
          prefix: Name of the split, e.g. `test`.

        Returns:
          Keys such as `test/accuracy`, `test/f1/V`, `test/accuracy_ci_low`, `test/f1_ci_high/V` and
          `test/majority/accuracy`, without undefined scores. `test/classes_in_average` is the
          number of classes of the averages. Scores of single classes of the baseline are left out,
          because they are 0, 1 or undefined.
        """
        flat = self.scores.metrics(prefix) | {
            f"{prefix}/classes_in_average": float(len(self.classes_in_average))
        }
        for key, interval in self.intervals.items():
            metric, slash, name = key.partition("/")
            flat[f"{prefix}/{metric}_ci_low{slash}{name}"] = interval.low
            flat[f"{prefix}/{metric}_ci_high{slash}{name}"] = interval.high
        overall = {
            key: value
            for key, value in self.majority.values.items()
            if "/" not in key and not math.isnan(value)
        }
        return flat | {f"{prefix}/majority/{key}": value for key, value in overall.items()}


def evaluate(
    *,
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    record_ids: np.ndarray,
    patient_ids: np.ndarray | None,
    majority_class: int,
    rng: np.random.Generator,
    num_resamples: int = 1000,
    patient_word: str = "patient",
) -> Evaluation:
    """Evaluate predictions on one split.

    Args:
      labels: (num_beats,) int, class index.
      probabilities: (num_beats, num_classes) float, rows that sum to 1.
      class_names: Names of the classes, in the order of the labels.
      record_ids: (num_beats,) str, the record of each beat.
      patient_ids: (num_beats,) str, the patient of each beat; None if patients are unknown, and
        there are no intervals then: beats of one patient are dependent, so that intervals over
        single beats would be too narrow.
      majority_class: Index of the class that the majority-class baseline predicts: the most
        frequent one of the training labels or, in a run that withholds what it computes from
        training beats, of the evaluated beats.
      rng: Draws the resamples of the bootstrap.
      num_resamples: Number of resamples of the bootstrap; 0 for no intervals.
      patient_word: What a patient is in the note on the intervals: `record`, if a record is taken
        for a patient.

    Returns:
      The evaluation.

    Raises:
      DataError: A probability is not finite.
      ValueError: Shapes, labels or row sums are inconsistent.
    """
    labels, probabilities = checked(labels, probabilities, class_names)
    predictions = probabilities.argmax(axis=1)
    scores = score(labels, probabilities, class_names)
    bootstrap = (
        Bootstrap(intervals={}, note=UNKNOWN_PATIENTS)
        if patient_ids is None
        else cluster_bootstrap(
            labels=labels,
            predictions=predictions,
            class_names=class_names,
            clusters=patient_ids,
            unit=patient_word,
            rng=rng,
            num_resamples=num_resamples,
        )
    )
    return Evaluation(
        class_names=tuple(class_names),
        num_beats=len(labels),
        scores=scores,
        intervals=_without(scores.undefined, bootstrap.intervals),
        intervals_note=bootstrap.note,
        intervals_missing=_without(scores.undefined, bootstrap.missing),
        confusion=count_confusion(labels, predictions, num_classes=len(class_names))[0],
        per_record=_per_record(labels, predictions, class_names, record_ids, patient_ids),
        majority_class=class_names[majority_class],
        majority=majority_scores(labels, majority_class, class_names),
    )


def _without(undefined: Mapping[str, str], by_key: Mapping[str, T]) -> dict[str, T]:
    return {key: value for key, value in by_key.items() if key not in undefined}


def _per_record(
    labels: np.ndarray,
    predictions: np.ndarray,
    class_names: Sequence[str],
    record_ids: np.ndarray,
    patient_ids: np.ndarray | None,
) -> list[dict[str, Any]]:
    records, first, groups = np.unique(record_ids, return_index=True, return_inverse=True)
    matrices = count_confusion(
        labels, predictions, num_classes=len(class_names), groups=groups, num_groups=len(records)
    )
    scores, support = confusion_scores(matrices, class_names), matrices.sum(axis=2)
    rows = []
    for i, record in enumerate(records):
        row = {
            "record": str(record),
            "patient": "" if patient_ids is None else str(patient_ids[first[i]]),
        }
        row |= {
            "beats": int(support[i].sum()),
            "accuracy": float(scores["accuracy"][i]),
            "macro_f1": float(scores["macro_f1"][i]),
        }
        for j, name in enumerate(metric_names(class_names)):
            row[f"support/{name}"] = int(support[i, j])
            row[f"sensitivity/{name}"] = float(scores[f"sensitivity/{name}"][i])
        rows.append(row)
    return rows
