"""The interface and the result of partitions, and the check that every beat has one client."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from ecgexp.data.beats import BeatSet
from ecgexp.data.splits.base import Split
from ecgexp.settings.declaration import DataError

Rows = Mapping[str, np.ndarray]

POOLED = "pooled"


@dataclass(frozen=True, kw_only=True)
class ClientPartition:
    """The beats of each client: for each part of the split, client id -> sorted row indices.

    A client without beats in a part is absent from it, or has an empty array.

    Attributes:
      train: Client id -> (num_rows,) int64; every client has at least one beat.
      validation: The same for the validation beats. A client that is not in `train` does not take
        part in training.
      test: The same for the test beats.
    """

    train: Rows
    validation: Rows
    test: Rows

    @property
    def parts(self) -> dict[str, Rows]:
        """Part of the split -> rows of each client."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def is_pooled(self) -> bool:
        """Whether one client, `pooled`, has all beats."""
        return set(self.train) == {POOLED}

    def num_clients(self) -> dict[str, int]:
        """Return part of the split -> number of clients with beats in it."""
        return {
            name: sum(len(rows) > 0 for rows in part.values()) for name, part in self.parts.items()
        }

    def class_counts(self, beats: BeatSet) -> dict[str, dict[str, dict[str, int]]]:
        """Count beats by part of the split, client and class.

        Args:
          beats: Labeled beats.

        Returns:
          Part -> client id -> class -> number of beats, including zeros, for the clients with beats
          in the part.
        """
        return {
            name: {client: beats.class_counts(rows) for client, rows in part.items() if len(rows)}
            for name, part in self.parts.items()
        }


class Partition(Protocol):
    """Assigns the beats of a split to clients."""

    is_pooled: ClassVar[bool]
    """Whether there are no clients: one place holds all beats."""

    def assign(self, beats: BeatSet, split: Split, rng: np.random.Generator) -> ClientPartition:
        """Assign every beat of the split to exactly one client.

        **Guarantees**: `check_partition` verifies the result in every run.

        Args:
          beats: Labeled beats.
          split: The beats to assign.
          rng: Used for all draws; the same state gives the same partition.

        Returns:
          The partition.

        Raises:
          ConfigError: The settings do not fit these beats.
        """
        ...


def check_partition(partition: ClientPartition, split: Split) -> None:
    """Check that the clients have exactly the beats of the split.

    Args:
      partition: The partition to check.
      split: The split that was partitioned.

    Raises:
      DataError: In a part of the split, a client's rows are not sorted indices, a beat has no
        client or several, or a beat belongs to another part; or a training client has no beat.
    """
    for name, expected in (
        ("train", split.train),
        ("validation", split.validation),
        ("test", split.test),
    ):
        part = partition.parts[name]
        for client, rows in part.items():
            _check_rows(f"partition: {name} rows of client {client}", rows)
        _check_cover(name, part, expected)
    if idle := [client for client, rows in partition.train.items() if not len(rows)]:
        raise DataError(
            f"partition: client {idle[0]} has no training beat; omit clients without training beats"
        )


def _check_rows(what: str, rows: np.ndarray) -> None:
    if not (
        isinstance(rows, np.ndarray) and rows.ndim == 1 and np.issubdtype(rows.dtype, np.integer)
    ):
        raise DataError(f"{what} are not a one-dimensional array of integer indices")
    if (np.diff(rows) <= 0).any():
        raise DataError(f"{what} are not sorted, or contain a beat twice")


def _check_cover(name: str, part: Rows, expected: np.ndarray) -> None:
    assigned = np.concatenate([np.zeros(0, np.int64), *part.values()])
    rows, holders = np.unique(assigned, return_counts=True)
    if (holders > 1).any():
        row = rows[holders > 1][0]
        both = ", ".join(client for client, held in part.items() if row in held)
        raise DataError(
            f"partition: {(holders > 1).sum()} {name} beats have several clients: row {row} is "
            f"assigned to {both}"
        )
    if len(strange := np.setdiff1d(rows, expected)):
        raise DataError(
            f"partition: {len(strange)} beats assigned for {name} are not {name} beats, such as "
            f"row {strange[0]}"
        )
    if len(left := np.setdiff1d(expected, rows)):
        raise DataError(
            f"partition: {len(left)} of {len(expected)} {name} beats have no client, such as row "
            f"{left[0]}"
        )
