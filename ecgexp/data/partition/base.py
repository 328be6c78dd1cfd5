"""What every partition is: a deal of a split's beats to clients, none of them twice and none left over."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ecgexp.data.beats import BeatSet
from ecgexp.data.splits import Split
from ecgexp.settings.declaration import DataError

Rows = Mapping[str, np.ndarray]

POOLED = "pooled"


@dataclass(frozen=True, kw_only=True)
class ClientPartition:
    """Who holds which beats: for each part of the split, client id -> sorted row indices.

    A client without beats in a part is absent from it, or has an empty array there.

    Attributes:
      train: client id -> (num_rows,) int64; every client here has a beat.
      validation: the same for the validation beats; a client that is not in `train` is new to the model.
      test: the same for the test beats.
    """

    train: Rows
    validation: Rows
    test: Rows

    @property
    def parts(self) -> dict[str, Rows]:
        """Part of the split -> its deal."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def is_pooled(self) -> bool:
        """Whether there are no clients to speak of: one place holds all beats."""
        return set(self.train) == {POOLED}

    def num_clients(self) -> dict[str, int]:
        """Part of the split -> clients that have beats in it."""
        return {
            name: sum(len(rows) > 0 for rows in part.values()) for name, part in self.parts.items()
        }

    def class_counts(self, beats: BeatSet) -> dict[str, dict[str, dict[str, int]]]:
        """Part of the split -> client id -> class -> beats, zeros included, for the clients that have beats in the part."""
        return {
            name: {client: beats.class_counts(rows) for client, rows in part.items() if len(rows)}
            for name, part in self.parts.items()
        }


class Partition(Protocol):
    """Deals the beats of a split out to clients."""

    def assign(self, beats: BeatSet, split: Split, rng: np.random.Generator) -> ClientPartition:
        """Deals every beat of the split to exactly one client; `check_partition` holds it to that.

        Args:
          beats: labelled.
          split: the beats to deal.
          rng: decides whatever is drawn; the same generator gives the same deal.

        Raises:
          ConfigError: these beats cannot be dealt so.
        """


def check_partition(partition: ClientPartition, split: Split) -> None:
    """Stops a run whose clients do not hold exactly the beats of the split.

    Args:
      partition: to be checked.
      split: what was dealt.

    Raises:
      DataError: in some part of the split a client's rows are not sorted indices, a beat has two clients or none, or a beat
        of another part was dealt; or a training client has no beat.
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
            f"partition: client {idle[0]} has no training beat; leave such clients out of the deal"
        )


def _check_rows(what: str, rows: np.ndarray) -> None:
    if not (
        isinstance(rows, np.ndarray) and rows.ndim == 1 and np.issubdtype(rows.dtype, np.integer)
    ):
        raise DataError(f"{what} are not a one-dimensional array of integer indices")
    if (np.diff(rows) <= 0).any():
        raise DataError(f"{what} are not sorted, or hold a beat twice")


def _check_cover(name: str, part: Rows, expected: np.ndarray) -> None:
    assigned = np.concatenate([np.zeros(0, np.int64), *part.values()])
    rows, holders = np.unique(assigned, return_counts=True)
    if (holders > 1).any():
        row = rows[holders > 1][0]
        both = ", ".join(client for client, held in part.items() if row in held)
        raise DataError(
            f"partition: {(holders > 1).sum()} {name} beats have several clients: row {row} is held by {both}"
        )
    if len(strange := np.setdiff1d(rows, expected)):
        raise DataError(
            f"partition: {len(strange)} beats dealt for {name} are not {name} beats, such as row {strange[0]}"
        )
    if len(left := np.setdiff1d(expected, rows)):
        raise DataError(
            f"partition: {len(left)} of {len(expected)} {name} beats have no client, such as row {left[0]}"
        )
