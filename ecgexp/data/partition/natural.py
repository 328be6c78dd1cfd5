"""Partitions without random draws: one client for all beats, for each patient or each record."""

from typing import ClassVar

import numpy as np

from ecgexp.data.beats import BeatSet
from ecgexp.data.partition.base import POOLED, ClientPartition, Rows
from ecgexp.data.splits.base import Split
from ecgexp.settings.declaration import settings


@settings
class Pooled:
    """One client has all beats, as in centralized training.

    Example:
      >>> Pooled().is_pooled
      True
    """

    is_pooled: ClassVar[bool] = True

    def assign(self, beats: BeatSet, split: Split, rng: np.random.Generator) -> ClientPartition:
        """Assign all beats to the client `pooled`; see `Partition.assign`."""
        return _by_holder(np.full(len(beats), POOLED), split)


@settings
class ByPatient:
    """Every patient is a client, with all records of the patient (201 and 202 of mitdb are one).

    Validation and test beats belong to the client of their patient. With a split by patient, the
    validation and test clients are therefore not training clients; with a split by beat, every
    client is tested on its own beats.

    Example:
      >>> ByPatient().is_pooled
      False
    """

    is_pooled: ClassVar[bool] = False

    def assign(self, beats: BeatSet, split: Split, rng: np.random.Generator) -> ClientPartition:
        """Assign beats by `patient_ids`, without draws; see `Partition.assign`."""
        return _by_holder(beats.patient_ids, split)


@settings
class ByRecord:
    """Every record is a client, even if a patient has several; otherwise like `ByPatient`.

    Example:
      >>> ByRecord().is_pooled
      False
    """

    is_pooled: ClassVar[bool] = False

    def assign(self, beats: BeatSet, split: Split, rng: np.random.Generator) -> ClientPartition:
        """Assign beats by `record_ids`, without draws; see `Partition.assign`."""
        return _by_holder(beats.record_ids, split)


def _by_holder(holders: np.ndarray, split: Split) -> ClientPartition:
    """Assign every beat to the client of `holders`, (num_beats,) str."""

    def grouped(rows: np.ndarray) -> Rows:
        clients, owner = np.unique(holders[rows], return_inverse=True)
        return {str(client): np.sort(rows[owner == i]) for i, client in enumerate(clients)}

    return ClientPartition(
        train=grouped(split.train), validation=grouped(split.validation), test=grouped(split.test)
    )
