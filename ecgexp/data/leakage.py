"""Check for leakage: the parts of a split share only what the split declares."""

import logging
from collections.abc import Mapping
from itertools import combinations

import numpy as np

from ecgexp.console import NOTE
from ecgexp.data.beats import TESTED, TRAINED, BeatSet
from ecgexp.data.splits.base import Split
from ecgexp.settings.declaration import DataError

_log = logging.getLogger(__name__)
_SHOWN = 5


def check_split(beats: BeatSet, split: Split) -> None:
    """Check that the parts of a split share no beats, and no patients if the split declares so.

    A beat is identified by its record and annotated sample, not by its row, so a copy of a beat (as
    augmentation before the split would make) is found too. Beats of different identity are not
    compared by content. Notes of the split, such as patients with records in both DS1 and
    DS2, are logged as notes.

    **Guarantees**: if it returns, no beat is in two parts; no patient is in two parts unless
    `split.disjoint` is `beat` or the patient is in `split.shared_patients`; and of two databases,
    only the first is in training and validation and only the second is in test
    (`tests/unit/data/test_splits.py`).

    Args:
      beats: The beats.
      split: Indices into them.

    Raises:
      DataError: An index is out of range, a part is empty, two parts share a beat or an undeclared
        patient, or beats of two databases are not divided by database; the message gives examples.
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
                f"leakage: {first} and {second} share {len(shared)} beats: {named}; split before "
                "copying beats"
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
        _log.log(NOTE, "%s", note)


def _check_databases(beats: BeatSet, split: Split, parts: Mapping[str, np.ndarray]) -> None:
    """Check that of two databases only the first is trained on and only the second is tested."""
    if not beats.is_of_two:
        if split.disjoint == "database":
            raise DataError(
                "leakage: the split tests a database that is not trained on, but all beats are of "
                f"{beats.database}; use a dataset of two databases, e.g. dataset=mitdb_to_svdb"
            )
        return
    for name, indices in parts.items():
        strays = indices[beats.parts[indices] != (TESTED if name == "test" else TRAINED)]
        if len(strays):
            raise DataError(
                f"leakage: {name} has {len(strays)} beats of the wrong database of "
                f"{beats.database}, "
                f"such as record {beats.record_ids[strays[0]]} sample "
                f"{beats.r_samples[strays[0]]}; use "
                "split=cross_database"
            )


def _check_indices(name: str, indices: np.ndarray, num_beats: int) -> None:
    if not len(indices) and name != "validation":
        raise DataError(f"split: no beat is left for {name}; use other records or fractions")
    if len(indices) and (indices.min() < 0 or indices.max() >= num_beats):
        raise DataError(f"split.{name} has an index outside the {num_beats} beats")
    if len(np.unique(indices)) < len(indices):
        raise DataError(f"leakage: split.{name} contains a beat twice")


def _identities(beats: BeatSet) -> np.ndarray:
    """Return (num_beats,) int64, one number for each (record, sample)."""
    _, record = np.unique(beats.record_ids, return_inverse=True)
    return record.astype(np.int64) * (int(beats.r_samples.max(initial=0)) + 1) + beats.r_samples


def _check_patients(first: str, a: set[str], second: str, b: set[str], split: Split) -> None:
    shared = sorted((a & b) - set(split.shared_patients))
    if shared:
        raise DataError(
            f"leakage: {first} and {second} share the patients {', '.join(shared[:_SHOWN])}, but "
            "the split "
            "must be disjoint by patient; use split=patient_kfold, or split=intra_patient if "
            "patients may "
            "be shared"
        )
