"""What one unit of privacy is in terms of rows: a beat with its views, or all beats of a record or patient."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecgexp.privacy.plan import Unit
from ecgexp.training.base import TrainingData


@dataclass(frozen=True, kw_only=True)
class Units:
    """The units of a training split.

    Attributes:
      rows: for each unit, the training rows that belong to it.
    """

    rows: Sequence[np.ndarray]

    def __len__(self) -> int:
        return len(self.rows)


def units_of(data: TrainingData, unit: Unit) -> Units:
    """The training rows by unit of privacy; every training row is in exactly one."""
    if unit == "beat":
        return Units(rows=data.train[:, None])
    owners = (data.record_ids if unit == "record" else data.patient_ids)[data.train]
    order = np.argsort(owners, kind="stable")
    _, starts = np.unique(owners[order], return_index=True)
    return Units(rows=np.split(data.train[order], starts[1:]))


class Views:
    """The augmented copies of each row, as `augmentation.expand` lists them, to draw from.

    Args:
      rows: (num_copies,) positions.
      views: (num_copies,) which view each copy is.
      num_rows: positions there are.
    """

    def __init__(self, rows: np.ndarray, views: np.ndarray, num_rows: int):
        order = np.argsort(rows, kind="stable")
        self._views = views[order]
        self._starts = np.searchsorted(rows[order], np.arange(num_rows))
        self._counts = np.bincount(rows, minlength=num_rows)

    def draw(self, positions: np.ndarray, multiplicity: int, rng: np.random.Generator) -> np.ndarray:
        """(len(positions) * multiplicity,) view numbers, those of one position adjacent."""
        repeated = np.repeat(positions, multiplicity)
        return self._views[self._starts[repeated] + rng.integers(self._counts[repeated])]
