"""A small part of a split, for runs that try a configuration."""

import hashlib
from dataclasses import replace

import numpy as np

from ecgexp.data.beats import BeatSet
from ecgexp.data.splits.base import Split

_LARGEST = 2.0**64


def few_of_split(
    beats: BeatSet, split: Split, *, train: int, validation: int, unit: str | None, seed: int
) -> Split:
    """Return few beats of a split, and none for testing.

    **Guarantees** (`tests/unit/data/test_few_beats.py`): with a unit of privacy, which training
    beats of a unit remain follows from that unit and from the number of units, so that one more
    unit changes no beat of another one.

    Args:
      beats: the beats, with labels.
      split: indices into them.
      train: training beats that remain, about; of a unit of privacy, at least one.
      validation: validation beats that remain.
      unit: unit of privacy, `beat`, `record` or `patient`; None without privacy.
      seed: of the choice.

    Returns:
      The smaller split; its test part is empty.
    """
    return replace(
        split,
        train=(
            _spread(beats, split.train, train, seed)
            if unit is None
            else _by_unit(beats, split.train, train, unit, seed)
        ),
        validation=_spread(beats, split.validation, validation, seed),
        test=np.zeros(0, np.int64),
    )


def few_beats(beats: BeatSet, number: int, *, seed: int) -> BeatSet:
    """Return about `number` beats of all classes and records, in their order."""
    return beats.take(_spread(beats, np.arange(len(beats)), number, seed))


def _spread(beats: BeatSet, rows: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Choose rows of all classes and records: first one of each class of each record, and so on."""
    places = _places(beats, rows, seed)
    groups = np.char.add(np.char.add(beats.record_ids[rows], " "), beats.labels[rows].astype(str))
    order = np.lexsort((places, _rank_within(groups, places)))
    return np.sort(rows[order[:number]])


def _by_unit(beats: BeatSet, rows: np.ndarray, number: int, unit: str, seed: int) -> np.ndarray:
    places = _places(beats, rows, seed)
    if unit == "beat":
        return rows[places < number / max(1, len(rows)) * _LARGEST]
    owners = (beats.patient_ids if unit == "patient" else beats.record_ids)[rows]
    each = max(1, number // max(1, len(np.unique(owners))))
    return rows[_rank_within(owners, places) < each]


def _places(beats: BeatSet, rows: np.ndarray, seed: int) -> np.ndarray:
    """Return a pseudorandom number for each row, which follows from its record and sample."""
    names = zip(beats.record_ids[rows].tolist(), beats.r_samples[rows].tolist(), strict=True)
    return np.array(
        [
            int.from_bytes(
                hashlib.blake2b(f"{seed} {record} {at}".encode(), digest_size=8).digest()
            )
            for record, at in names
        ],
        np.uint64,
    ).astype(np.float64)


def _rank_within(groups: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the rank of each row within its group, by its place."""
    _, group = np.unique(groups, return_inverse=True)
    order = np.lexsort((places, group))
    first = np.searchsorted(group[order], np.arange(group.max(initial=-1) + 1))
    ranks = np.empty(len(groups), np.int64)
    ranks[order] = np.arange(len(groups)) - first[group[order]]
    return ranks
