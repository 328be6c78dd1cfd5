"""Hold out whole patients, or a share of the beats of every class."""

import numpy as np

from ecgexp.data.beats import BeatSet, in_order_of_rows
from ecgexp.settings.declaration import DataError

_CANDIDATES = 512


def hold_out_patients(
    beats: BeatSet, rows: np.ndarray, fraction: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Hold out whole patients, with every class in both parts where possible.

    Of 512 random draws, the one with the fewest missing classes is used; a class of a single
    patient is wanted on the kept side. Among equal draws, the one is used whose held-out share of
    every class is nearest to `fraction`. With few patients, a single draw often leaves a rare class
    on one side only.

    **Guarantees**: The draw depends on the order of the patients' rows and not on their names, so
    that the same recordings under pseudonyms are divided in the same way
    (`tests/unit/data/test_splits.py`).

    Args:
      beats: Labeled beats.
      rows: (num_rows,) int64, indices to divide.
      fraction: Approximate share of the patients to hold out; at least one patient if it is above
        0.
      rng: Draws the patients.

    Returns:
      kept: (num_kept,) int64, sorted indices.
      held: (num_held,) int64, sorted indices of the holdout.

    Raises:
      DataError: There are fewer than two patients.
    """
    if fraction == 0:
        return rows, rows[:0]
    patients, owner = in_order_of_rows(beats.patient_ids[rows])
    if len(patients) < 2:
        raise DataError(
            f"split: {len(patients)} patient cannot be divided into two groups; use more records "
            "or "
            "split=intra_patient"
        )
    counts = np.zeros((len(patients), len(beats.class_names)), np.int64)
    np.add.at(counts, (owner, beats.labels[rows]), 1)
    size = min(max(1, round(fraction * len(patients))), len(patients) - 1)
    draws = rng.permuted(np.tile(np.arange(len(patients)), (_CANDIDATES, 1)), axis=1)[:, :size]
    chosen = draws[_rank(counts, draws, fraction)]
    held = np.isin(owner, chosen)
    return rows[~held], rows[held]


def _rank(counts: np.ndarray, draws: np.ndarray, fraction: float) -> int:
    """Return the index of the best draw: fewest missing classes, then the most even shares.

    Args:
      counts: (num_patients, num_classes) int64, numbers of beats.
      draws: (candidates, size) int64, patients held out in each draw.
      fraction: Target share of each class.
    """
    held = counts[draws].sum(axis=1)
    total = counts.sum(axis=0)
    owners = (counts > 0).sum(axis=0)
    # A class without training beats is worse than one without held-out beats.
    missing = ((held == total) & (total > 0)).sum(axis=1) * len(total)
    missing = missing + ((held == 0) & (owners >= 2)).sum(axis=1)
    unevenness = np.abs(held / np.maximum(total, 1) - fraction)[:, owners >= 2].sum(axis=1)
    return int(np.lexsort((unevenness, missing))[0])


def hold_out_beats(
    strata: np.ndarray, rows: np.ndarray, fraction: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Hold out the same share of every stratum, drawn beat by beat.

    A stratum of a single beat is kept, not held out.

    Args:
      strata: (num_beats,) int64, e.g. the labels.
      rows: (num_rows,) int64, indices to divide.
      fraction: Share to hold out; 0 for none.
      rng: Draws the beats.

    Returns:
      kept: (num_kept,) int64, sorted indices.
      held: (num_held,) int64, sorted indices of the holdout.

    Raises:
      DataError: A stratum has too few beats to be on both sides.
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
            f"split: {len(rows)} beats cannot be divided {1 - fraction:g} to {fraction:g} with "
            f"every class on both sides ({error}); use more records or a larger fraction"
        ) from error
    return np.sort(np.concatenate([kept, rows[single]])), np.sort(held)
