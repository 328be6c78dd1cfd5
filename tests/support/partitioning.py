"""Beats without signal, splits of them, and the counts of a partition."""

import numpy as np

from ecgexp.data import Split
from ecgexp.data.beats import BeatSet


def make_beats(
    labels, *, records=None, patients=None, classes=("N", "S", "V", "F"), database="synthetic 1"
) -> BeatSet:
    labels = np.asarray(labels, np.int64)
    rows = len(labels)
    records = np.asarray(["r"] * rows if records is None else records, np.str_)
    return BeatSet(
        signals_mv=np.zeros((rows, 2, 1), np.float32),
        rr=np.zeros((rows, 4), np.float32),
        symbols=np.asarray(classes)[labels],
        record_ids=records,
        patient_ids=records if patients is None else np.asarray(patients, np.str_),
        r_samples=np.arange(rows),
        fs_hz=360.0,
        lead_names=("MLII",),
        database=database,
        digest="0",
        labels=labels,
        class_names=tuple(classes),
    )


def make_split(train, validation=(), test=()) -> Split:
    parts = {"train": train, "validation": validation, "test": test}
    return Split(
        disjoint="beat", **{name: np.asarray(rows, np.int64) for name, rows in parts.items()}
    )


def all_for_training(beats: BeatSet) -> Split:
    return make_split(np.arange(len(beats)))


def counts_of(part, beats: BeatSet) -> np.ndarray:
    """(num_clients, num_classes), clients in order of their ids."""
    return np.array(
        [
            np.bincount(beats.labels[part[name]], minlength=len(beats.class_names))
            for name in sorted(part)
        ]
    )


def rng(seed=0) -> np.random.Generator:
    return np.random.default_rng(seed)
