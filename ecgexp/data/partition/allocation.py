"""Allocation of beats to clients in random partitions.

Shares become integer counts, counts become rows, and validation and test beats are assigned in the
proportions of the training beats.
"""

from collections.abc import Callable, Sequence

import numpy as np

from ecgexp.data.beats import BeatSet
from ecgexp.data.partition.base import ClientPartition, Rows
from ecgexp.data.splits.base import Split
from ecgexp.settings.declaration import ConfigError

_DRAWS = 10_000


def class_totals(beats: BeatSet, rows: np.ndarray) -> np.ndarray:
    """Count the beats of each class.

    Args:
      beats: Labeled beats.
      rows: (num_rows,) int64, indices of the beats to count.

    Returns:
      (num_classes,) int64.
    """
    return np.bincount(beats.labels[rows], minlength=len(beats.class_names))


def apportion(totals: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Divide totals among clients in integers, by systematic sampling (Madow 1949).

    Rounding each share would not preserve the totals, and the method of largest remainders would
    give every rare class to the same clients.

    **Guarantees**: Counts add up to the totals; each is its exact share rounded down or up; its
    expectation is the share (`tests/unit/data/partition/test_drawn.py`).

    Args:
      totals: (num_classes,) int64.
      shares: (num_clients, num_classes) float64, not negative; each column is divided by its sum,
        which must be above 0.
      rng: Decides which counts are rounded up.

    Returns:
      (num_clients, num_classes) int64; 0 where the share is 0.
    """
    order = rng.permutation(len(shares))
    ends = np.cumsum(shares[order], axis=0)
    marks = np.floor(ends / ends[-1] * totals + rng.random(len(totals)))
    marks[-1] = totals  # a random number close to 1 could have rounded the sum up
    counts = np.empty(shares.shape, np.int64)
    counts[order] = np.diff(np.minimum(marks, totals), axis=0, prepend=0)
    return counts


def cut_by_class(
    labels: np.ndarray, rows: np.ndarray, counts: np.ndarray, rng: np.random.Generator
) -> list[np.ndarray]:
    """Assign `rows` at random such that client i gets `counts[i, k]` beats of class k.

    Args:
      labels: (num_beats,) int64.
      rows: (num_rows,) int64, indices into `labels`.
      counts: (num_clients, num_classes) int64; each column adds up to the number of beats of its
        class in `rows`.
      rng: Draws the beats.

    Returns:
      The rows of each client, int64, not sorted.
    """
    shuffled = rng.permutation(rows)
    per_class = [
        np.split(shuffled[labels[shuffled] == k], np.cumsum(counts[:-1, k]))
        for k in range(counts.shape[1])
    ]
    return [np.concatenate(parts) for parts in zip(*per_class, strict=True)]


def redraw(
    draw: Callable[[], np.ndarray], *, num_clients: int, alpha: float, min_beats: int
) -> np.ndarray:
    """Draw counts until every client has `min_beats`, at most 10 000 times.

    Args:
      draw: Draws (num_clients, num_classes) counts.
      num_clients: For the message.
      alpha: For the message.
      min_beats: Minimum number of beats of a client.

    Returns:
      (num_clients, num_classes) int64.

    Raises:
      ConfigError: No draw gave every client enough beats.
    """
    best = 0
    for _ in range(_DRAWS):
        counts = draw()
        smallest = int(counts.sum(axis=1).min())
        if smallest >= min_beats:
            return counts
        best = max(best, smallest)
    reached = f"partition.min_beats={best}, which the best draw reached, " if best else ""
    raise ConfigError(
        f"partition.alpha={alpha:g}: none of {_DRAWS} draws gave each of "
        f"partition.num_clients={num_clients} clients partition.min_beats={min_beats} training "
        f"beats; use {reached}partition.alpha={max(1.0, 2 * alpha):g} for a smaller skew, or "
        f"partition.num_clients={max(1, num_clients // 2)}"
    )


def assign_like(
    train: Sequence[np.ndarray], beats: BeatSet, split: Split, rng: np.random.Generator
) -> ClientPartition:
    """Assign validation and test beats in the proportions of the training beats of each class.

    A class without training beats is divided in proportion to the clients' training beats. The
    beats themselves are drawn.

    Args:
      train: Training rows of each client, (num_rows,) int64, in any order.
      beats: Labeled beats.
      split: Gives the validation and test beats.
      rng: Draws validation beats first, then test beats.

    Returns:
      The partition, with sorted rows.
    """
    counts = np.stack([class_totals(beats, rows) for rows in train])
    shares = np.where(counts.sum(axis=0) > 0, counts, counts.sum(axis=1, keepdims=True))

    def like(rows: np.ndarray) -> Rows:
        counts = apportion(class_totals(beats, rows), shares, rng)
        return _named(cut_by_class(beats.labels, rows, counts, rng))

    return ClientPartition(
        train=_named(train), validation=like(split.validation), test=like(split.test)
    )


def _named(parts: Sequence[np.ndarray]) -> Rows:
    """Name the clients by ids of equal length, which sort as numbers; omit those without beats."""
    width = max(2, len(str(len(parts) - 1)))
    return {f"client{i:0{width}d}": np.sort(rows) for i, rows in enumerate(parts) if len(rows)}
