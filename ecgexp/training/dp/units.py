"""The rows of one unit of privacy: a beat with its views, or all beats of a record or patient."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ecgexp.privacy.plan import Unit
from ecgexp.settings.declaration import DataError
from ecgexp.training.base import TrainingData


class DrawnRows(NamedTuple):
    """The rows of some units.

    Attributes:
      rows: (sum of lengths,) int64; those of one unit are adjacent.
      lengths: (num_drawn,) int64, rows of each unit; at least 1.
    """

    rows: np.ndarray
    lengths: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Units:
    """The units of a training split.

    Attributes:
      rows: (num_rows,) int64, all training rows; those of one unit are adjacent.
      starts: (num_units + 1,) int64, where each unit begins in `rows`, and the end.
    """

    rows: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    def take(self, units: np.ndarray) -> DrawnRows:
        """The rows of `units`, (num_drawn,) numbers of units, in that order."""
        lengths = self.starts[units + 1] - self.starts[units]
        shifts = self.starts[units] - (np.cumsum(lengths) - lengths)
        return DrawnRows(self.rows[np.repeat(shifts, lengths) + np.arange(lengths.sum())], lengths)


def units_of(data: TrainingData, unit: Unit) -> Units:
    """The training rows by unit of privacy; every training row is in exactly one.

    Raises:
      DataError: a row is listed twice, so that one beat would be counted as two units.
    """
    repeated = len(data.train) - len(np.unique(data.train))
    if repeated:
        raise DataError(
            f"{repeated} rows are listed more than once for training; a beat counts once under "
            "privacy"
        )
    if unit == "beat":
        return Units(rows=data.train, starts=np.arange(len(data.train) + 1))
    owners = (data.record_ids if unit == "record" else data.patient_ids)[data.train]
    order = np.argsort(owners, kind="stable")
    _, starts = np.unique(owners[order], return_index=True)
    return Units(rows=data.train[order], starts=np.append(starts, len(order)))


class Views:
    """The augmented copies of each row, as `augmentation.expand` lists them; draws from them.

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

    def draw(
        self, positions: np.ndarray, multiplicity: int, rng: np.random.Generator
    ) -> np.ndarray:
        """(len(positions) * multiplicity,) view numbers, those of one position adjacent."""
        repeated = np.repeat(positions, multiplicity)
        return self._views[self._starts[repeated] + rng.integers(self._counts[repeated])]
