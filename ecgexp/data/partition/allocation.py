"""How drawn partitions share beats out: shares to whole numbers, numbers to rows, and held-out beats like training beats."""

from collections.abc import Callable, Sequence

import numpy as np

from ecgexp.data.beats import BeatSet
from ecgexp.data.partition.base import ClientPartition, Rows
from ecgexp.data.splits import Split
from ecgexp.settings.declaration import ConfigError

_DRAWS = 10_000


def class_totals(beats: BeatSet, rows: np.ndarray) -> np.ndarray:
    """(num_classes,) int64: beats of each class among `rows`."""
    return np.bincount(beats.labels[rows], minlength=len(beats.class_names))


def apportion(totals: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Whole numbers that add up to the totals, each its exact share rounded down or up, and on average the share itself.

    Systematic sampling (Madow 1949). Plain rounding would not add up, and largest remainders would give every rare class
    to the same clients.

    Args:
      totals: (num_classes,) int64.
      shares: (num_clients, num_classes), not negative; each column is divided by its sum, which must be above 0.
      rng: decides who is rounded up.

    Returns:
      (num_clients, num_classes) int64; 0 where the share is 0.
    """
    order = rng.permutation(len(shares))
    ends = np.cumsum(shares[order], axis=0)
    marks = np.floor(ends / ends[-1] * totals + rng.random(len(totals)))
    marks[-1] = totals  # what it is, but for a random number so near 1 that the sum was rounded up
    counts = np.empty(shares.shape, np.int64)
    counts[order] = np.diff(np.minimum(marks, totals), axis=0, prepend=0)
    return counts


def cut_by_class(
    labels: np.ndarray, rows: np.ndarray, counts: np.ndarray, rng: np.random.Generator
) -> list[np.ndarray]:
    """Deals `rows` at random such that client i gets `counts[i, k]` beats of class k.

    Args:
      labels: (num_beats,) int64.
      rows: indices into `labels`.
      counts: (num_clients, num_classes); each column adds up to the beats of its class among `rows`.
      rng: decides which beats.

    Returns:
      For each client its rows, in no order.
    """
    shuffled = rng.permutation(rows)
    per_class = [
        np.split(shuffled[labels[shuffled] == k], np.cumsum(counts[:-1, k])) for k in range(counts.shape[1])
    ]  # fmt: skip
    return [np.concatenate(hands) for hands in zip(*per_class, strict=True)]


def redraw(
    draw: Callable[[], np.ndarray], *, num_clients: int, alpha: float, min_beats: int
) -> np.ndarray:
    """Draws until every client has `min_beats`, at most 10 000 times.

    Args:
      draw: gives (num_clients, num_classes) counts.
      num_clients: for the message.
      alpha: for the message.
      min_beats: the fewest beats of any client.

    Raises:
      ConfigError: no draw was good enough.
    """
    best = 0
    for _ in range(_DRAWS):
        counts = draw()
        smallest = int(counts.sum(axis=1).min())
        if smallest >= min_beats:
            return counts
        best = max(best, smallest)
    reached = f"partition.min_beats={best} (the best draw had it), " if best else ""
    raise ConfigError(
        f"partition.alpha={alpha:g}: none of {_DRAWS} draws gave each of partition.num_clients={num_clients} clients "
        f"partition.min_beats={min_beats} training beats; type {reached}partition.alpha={max(1.0, 2 * alpha):g} for a milder "
        f"skew, or partition.num_clients={max(1, num_clients // 2)}"
    )


def assign_like(
    train: Sequence[np.ndarray], beats: BeatSet, split: Split, rng: np.random.Generator
) -> ClientPartition:
    """Deals the held-out beats so that of each class a client gets its share of the class's training beats.

    A class without training beats is dealt in proportion to the clients' sizes. Which beats a client gets is drawn.

    Args:
      train: each client's training rows, in any order.
      beats: labelled.
      split: whose validation and test beats are dealt.
      rng: draws validation first, then test.
    """
    counts = np.stack([class_totals(beats, rows) for rows in train])
    shares = np.where(counts.sum(axis=0) > 0, counts, counts.sum(axis=1, keepdims=True))

    def like(rows: np.ndarray) -> Rows:
        counts = apportion(class_totals(beats, rows), shares, rng)
        return _named(cut_by_class(beats.labels, rows, counts, rng))

    return ClientPartition(
        train=_named(train), validation=like(split.validation), test=like(split.test)
    )


def _named(hands: Sequence[np.ndarray]) -> Rows:
    """Ids of equal length, so that they sort as numbers do; clients without a beat are left out."""
    width = max(2, len(str(len(hands) - 1)))
    return {f"client{i:0{width}d}": np.sort(rows) for i, rows in enumerate(hands) if len(rows)}
