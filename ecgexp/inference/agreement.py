"""What the model says of beats against what the reference says of them."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ecgexp.evaluation.confusion import confusion_scores, count_confusion
from ecgexp.inference.model import TrainedModel
from ecgexp.inference.record import Annotated


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Classified beats that have a reference, one matrix for all of them.

    Attributes:
      class_names: in the order of rows and columns.
      confusion: (num_classes, num_classes) int64; rows are the reference's classes, columns the model's.
      num_without_class: classified beats whose reference symbol is in none of the model's classes.
    """

    class_names: tuple[str, ...]
    confusion: np.ndarray
    num_without_class: int

    @property
    def num_beats(self) -> int:
        """Beats in the matrix."""
        return int(self.confusion.sum())

    def scores(self) -> dict[str, float]:
        """By the keys of `ecgexp.evaluation.confusion.confusion_scores`; NaN where undefined."""
        return {
            key: float(value)
            for key, value in confusion_scores(self.confusion, self.class_names).items()
        }


def agree(model: TrainedModel, records: Iterable[Annotated]) -> Agreement:
    """Counts over all of `records`; those without a reference add nothing."""
    names = model.classifier.class_names
    confusion, without = np.zeros((len(names), len(names)), np.int64), 0
    for record in records:
        labels = model.labels(record.references)
        evaluated = record.is_classified & (record.references != "")
        rows = evaluated & (labels >= 0)
        confusion += count_confusion(labels[rows], record.predicted[rows], num_classes=len(names))[
            0
        ]
        without += int(np.sum(evaluated & (labels < 0)))
    return Agreement(class_names=names, confusion=confusion, num_without_class=without)
