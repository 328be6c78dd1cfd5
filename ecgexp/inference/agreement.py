"""Agreement between predicted classes and reference annotations."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ecgexp.evaluation.confusion import confusion_scores, count_confusion
from ecgexp.inference.model import TrainedModel
from ecgexp.inference.record import Annotated


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Confusion matrix of the classified beats with a reference annotation.

    Attributes:
      class_names: Names of rows and columns.
      confusion: (num_classes, num_classes) int64; rows are reference classes, columns predicted
        ones.
      num_without_class: Classified beats whose reference symbol is in no class of the model.
    """

    class_names: tuple[str, ...]
    confusion: np.ndarray
    num_without_class: int

    @property
    def num_beats(self) -> int:
        """Number of beats in the matrix."""
        return int(self.confusion.sum())

    def scores(self) -> dict[str, float]:
        """Return the scores of `ecgexp.evaluation.confusion.confusion_scores`; NaN if undefined."""
        return {
            key: float(value)
            for key, value in confusion_scores(self.confusion, self.class_names).items()
        }


def agree(
    model: TrainedModel, records: Iterable[Annotated], *, with_marked: bool = True
) -> Agreement:
    """Count the beats of all records.

    Args:
      model: Gives the classes of reference symbols.
      records: Annotated records; beats without a reference are not counted.
      with_marked: Whether beats count where no usable ECG is shown.

    Returns:
      The counts.
    """
    names = model.classifier.class_names
    confusion, without = np.zeros((len(names), len(names)), np.int64), 0
    for record in records:
        labels = model.labels(record.references)
        evaluated = record.is_classified & (record.references != "")
        if not with_marked:
            evaluated &= ~record.is_marked
        rows = evaluated & (labels >= 0)
        confusion += count_confusion(labels[rows], record.predicted[rows], num_classes=len(names))[
            0
        ]
        without += int(np.sum(evaluated & (labels < 0)))
    return Agreement(class_names=names, confusion=confusion, num_without_class=without)
