"""What a model found and missed in each patient."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecgexp.evaluation.confusion import count_confusion
from ecgexp.evaluation.names import metric_names


@dataclass(frozen=True, kw_only=True)
class PatientConfusion:
    """A confusion matrix for each patient.

    Attributes:
      patients: sorted.
      class_names: in the order of the labels.
      counts: (num_patients, num_classes, num_classes) int64; rows are true classes, columns
        predicted ones.
    """

    patients: Sequence[str]
    class_names: Sequence[str]
    counts: np.ndarray

    @classmethod
    def of(
        cls,
        labels: np.ndarray,
        predictions: np.ndarray,
        patient_ids: np.ndarray,
        class_names: Sequence[str],
    ) -> "PatientConfusion":
        """Count beats by patient, true class and predicted class.

        Args:
          labels: (num_beats,) int, the true class.
          predictions: (num_beats,) int, the predicted class.
          patient_ids: (num_beats,) str.
          class_names: in the order of the labels.
        """
        patients, groups = np.unique(patient_ids, return_inverse=True)
        counts = count_confusion(
            labels,
            predictions,
            num_classes=len(class_names),
            groups=groups,
            num_groups=len(patients),
        )
        return cls(patients=patients.tolist(), class_names=tuple(class_names), counts=counts)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row for each patient.

        Yields:
          The patient, its beats, its accuracy, and for each class `true/<c>`, `found/<c>`,
          `false/<c>` (beats of other classes taken for it) and `true/<c>/as/<d>`.
        """
        names = metric_names(self.class_names)
        for patient, counts in zip(self.patients, self.counts, strict=True):
            total = int(counts.sum())
            row: dict[str, Any] = {
                "patient": str(patient),
                "beats": total,
                "accuracy": float(np.trace(counts) / max(total, 1)),
            }
            for i, name in enumerate(names):
                row[f"true/{name}"] = int(counts[i].sum())
                row[f"found/{name}"] = int(counts[i, i])
                row[f"false/{name}"] = int(counts[:, i].sum() - counts[i, i])
                row |= {
                    f"true/{name}/as/{other}": int(counts[i, j])
                    for j, other in enumerate(names)
                    if j != i
                }
            yield row
