"""Partitions that need no drawing: one place for all beats, or a client for each patient or record."""

import numpy as np

from ecgexp.data.beats import BeatSet
from ecgexp.data.partition.base import POOLED, ClientPartition, Rows
from ecgexp.data.splits import Split
from ecgexp.settings.declaration import settings


@settings
class Pooled:
    """All beats in one place, as centralized training has them."""

    def assign(self, beats: BeatSet, split: Split, rng: np.random.Generator) -> ClientPartition:
        """One client, `pooled`."""
        return _by_holder(np.full(len(beats), POOLED), split)


@settings
class ByPatient:
    """Every patient is a client and keeps all records of that patient; 201 and 202 of mitdb are one.

    Held-out beats stay with their patient. So under a split by patient the validation and test clients are new ones, which
    no model was trained on; under a split by beat every client is tested on beats of its own.
    """

    def assign(self, beats: BeatSet, split: Split, rng: np.random.Generator) -> ClientPartition:
        """Clients are named by `patient_ids`; nothing is drawn."""
        return _by_holder(beats.patient_ids, split)


@settings
class ByRecord:
    """Every record is a client, even if several are of one patient; otherwise as `ByPatient`."""

    def assign(self, beats: BeatSet, split: Split, rng: np.random.Generator) -> ClientPartition:
        """Clients are named by `record_ids`; nothing is drawn."""
        return _by_holder(beats.record_ids, split)


def _by_holder(holders: np.ndarray, split: Split) -> ClientPartition:
    """Gives every beat to its holder, of whom `holders` (num_beats,) tells."""

    def grouped(rows: np.ndarray) -> Rows:
        clients, owner = np.unique(holders[rows], return_inverse=True)
        return {str(client): np.sort(rows[owner == i]) for i, client in enumerate(clients)}

    return ClientPartition(
        train=grouped(split.train), validation=grouped(split.validation), test=grouped(split.test)
    )
