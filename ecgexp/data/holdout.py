"""Holding out: whole patients, or beats of every class."""

import numpy as np

from ecgexp.data.beats import BeatSet
from ecgexp.settings.declaration import DataError

_CANDIDATES = 512


def hold_out_patients(
    beats: BeatSet, rows: np.ndarray, fraction: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Holds out whole patients such that every class that can be is on both sides.

    Of several hundred random draws the one is taken that leaves the fewest classes missing, a class that a single
    patient has being wanted among those kept, and among equals the one whose held-out share of every class is nearest
    to `fraction`. With a few patients a plain draw often leaves a rare class on one side only.

    Args:
      beats: labelled.
      rows: indices to divide.
      fraction: about this share of the patients is held out, at least one if it is above 0.
      rng: draws the patients.

    Returns:
      kept, held: sorted indices.

    Raises:
      DataError: there are fewer than two patients.
    """
    if fraction == 0:
        return rows, rows[:0]
    patients, owner = np.unique(beats.patient_ids[rows], return_inverse=True)
    if len(patients) < 2:
        raise DataError(
            f"split: {len(patients)} patient cannot be divided in two; take more records or split=intra_patient"
        )
    counts = np.zeros((len(patients), len(beats.class_names)), np.int64)
    np.add.at(counts, (owner, beats.labels[rows]), 1)
    size = min(max(1, round(fraction * len(patients))), len(patients) - 1)
    draws = rng.permuted(np.tile(np.arange(len(patients)), (_CANDIDATES, 1)), axis=1)[:, :size]
    chosen = draws[_rank(counts, draws, fraction)]
    held = np.isin(owner, chosen)
    return rows[~held], rows[held]


def _rank(counts: np.ndarray, draws: np.ndarray, fraction: float) -> int:
    """The best draw: fewest classes missing, then the most even shares.

    Args:
      counts: (patients, classes) beats.
      draws: (candidates, size) patients held out.
      fraction: the share of each class that is aimed at.
    """
    held = counts[draws].sum(axis=1)
    total = counts.sum(axis=0)
    owners = (counts > 0).sum(axis=0)
    missing = ((held == total) & (total > 0)).sum(axis=1) * len(
        total
    )  # nothing to learn a class from is the worse lack
    missing = missing + ((held == 0) & (owners >= 2)).sum(axis=1)
    unevenness = np.abs(held / np.maximum(total, 1) - fraction)[:, owners >= 2].sum(axis=1)
    return int(np.lexsort((unevenness, missing))[0])


def hold_out_beats(
    strata: np.ndarray, rows: np.ndarray, fraction: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Holds out the same share of every stratum, drawn beat by beat.

    A stratum of a single beat is kept, not held out.

    Args:
      strata: (num_beats,) int64, e.g. the labels.
      rows: indices to divide.
      fraction: share to hold out; 0 for none.
      rng: draws the beats.

    Returns:
      kept, held: sorted indices.

    Raises:
      DataError: too few beats for the strata to be on both sides.
    """
    if fraction == 0:
        return rows, rows[:0]
    from sklearn.model_selection import train_test_split

    _, inverse, sizes = np.unique(strata[rows], return_inverse=True, return_counts=True)
    single = sizes[inverse] == 1
    many = rows[~single]
    state = int(rng.integers(2**31))
    try:
        kept, held = train_test_split(
            many, test_size=fraction, stratify=strata[many], random_state=state
        )
    except ValueError as error:
        raise DataError(
            f"split: {len(rows)} beats cannot be divided {1 - fraction:g} to {fraction:g} with every class on both "
            f"sides ({error}); take more records or a larger fraction"
        ) from error
    return np.sort(np.concatenate([kept, rows[single]])), np.sort(held)
