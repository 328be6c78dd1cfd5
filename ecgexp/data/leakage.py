"""The leak guard: what a split promised, checked on the beats themselves."""

import logging
from collections.abc import Mapping
from itertools import combinations

import numpy as np

from ecgexp.data.beats import TESTED, TRAINED, BeatSet
from ecgexp.data.splits import Split
from ecgexp.settings.declaration import DataError

_log = logging.getLogger(__name__)
_SHOWN = 5


def check_split(beats: BeatSet, split: Split) -> None:
    """Stops a run whose parts share what they must not.

    A beat is known by its record and annotated sample, not by its row, so a copy of a beat (as augmentation before the
    split would make) is found as well. Beats of other identity are never compared by content. Notes of the split, and
    patients who are on two sides because the division was published so, are logged as warnings.

    Args:
      beats: the beats.
      split: indices into them.

    Raises:
      DataError: an index is out of range, a part is empty, or two parts share a beat, or share a patient that they
        promise not to share; the message names some. Beats of two databases are divided otherwise than between them.
    """
    parts = {"train": split.train, "validation": split.validation, "test": split.test}
    for name, indices in parts.items():
        _check_indices(name, indices, len(beats))
    identities = _identities(beats)
    for (first, a), (second, b) in combinations(parts.items(), 2):
        shared = np.intersect1d(identities[a], identities[b])
        if len(shared):
            rows = [int(np.flatnonzero(identities == value)[0]) for value in shared[:_SHOWN]]
            named = ", ".join(
                f"record {beats.record_ids[row]} sample {beats.r_samples[row]}" for row in rows
            )
            raise DataError(
                f"leak: {first} and {second} share {len(shared)} beats: {named}. Split before copying beats"
            )
        if split.disjoint != "beat":
            _check_patients(
                first,
                set(beats.patient_ids[a].tolist()),
                second,
                set(beats.patient_ids[b].tolist()),
                split,
            )
    _check_databases(beats, split, parts)
    for note in split.notes:
        _log.warning("%s", note)


def _check_databases(beats: BeatSet, split: Split, parts: Mapping[str, np.ndarray]) -> None:
    """Of two databases only the first is learned from, and only the second tested."""
    if not beats.is_of_two:
        if split.disjoint == "database":
            raise DataError(
                f"leak: the split promises to test another database, and all beats are of {beats.database}"
            )
        return
    for name, indices in parts.items():
        strays = indices[beats.parts[indices] != (TESTED if name == "test" else TRAINED)]
        if len(strays):
            raise DataError(
                f"leak: {name} has {len(strays)} beats of the wrong one of {beats.database}, such as record "
                f"{beats.record_ids[strays[0]]} sample {beats.r_samples[strays[0]]}; take split=cross_database"
            )


def _check_indices(name: str, indices: np.ndarray, num_beats: int) -> None:
    if not len(indices) and name != "validation":
        raise DataError(f"split: no beat is left for {name}; choose other records or fractions")
    if len(indices) and (indices.min() < 0 or indices.max() >= num_beats):
        raise DataError(f"split.{name} has an index outside the {num_beats} beats")
    if len(np.unique(indices)) < len(indices):
        raise DataError(f"leak: split.{name} holds a beat twice")


def _identities(beats: BeatSet) -> np.ndarray:
    """(num_beats,) int64: one number for each (record, sample)."""
    _, record = np.unique(beats.record_ids, return_inverse=True)
    return record.astype(np.int64) * (int(beats.r_samples.max(initial=0)) + 1) + beats.r_samples


def _check_patients(first: str, a: set[str], second: str, b: set[str], split: Split) -> None:
    shared = sorted((a & b) - set(split.shared_patients))
    if shared:
        raise DataError(
            f"leak: {first} and {second} share the patients {', '.join(shared[:_SHOWN])}, which this split promises "
            "they do not; take split=patient_kfold, or split=intra_patient if patients may be shared"
        )
