"""Checks that the beats of a run let the guarantee hold for its unit of privacy.

Removing one unit must remove all that it contributed: its rows must not contain other beats, its
features must not depend on them, and none of its beats may be published as validation or test data.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ecgexp.privacy.plan import Unit
from ecgexp.settings.declaration import ConfigError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """How the windows of some rows overlap.

    Attributes:
      rows: number of rows that were examined.
      rows_with_other_peak: rows whose window contains the R peak of another annotated beat.
      rows_per_peak: largest number of rows whose windows contain one R peak; 1 where every window
        contains its own peak only.
      rows_sharing: rows that share a sample with another of the rows.
      rows_per_beat: largest number of rows that share a sample with the window of one annotated
        beat, its own row included.
      nearest_ms: smallest distance between a row's R peak and that of another annotated beat,
        milliseconds; infinite where there is no other.
      where: record and annotated sample of a row that contains another R peak, or else shares
        samples; empty where there is none.
      is_known: whether the above was counted; False for rows that somebody else cut.
    """

    rows: int
    rows_with_other_peak: int = 0
    rows_per_peak: int = 1
    rows_sharing: int = 0
    rows_per_beat: int = 1
    nearest_ms: float = float("inf")
    where: str = ""
    is_known: bool = True


def check_overlap(overlap: Overlap) -> None:
    """Check that no row contains the R peak of another beat, where the unit is one row.

    The error message is published, so it contains only what is assumed to be public. The details
    are in the log, which is withheld.
    """
    if overlap.rows_with_other_peak:
        longest = max(1, math.floor(overlap.nearest_ms))
        _log.warning(
            "%d of %d training rows contain the R peak of another beat (%s); with "
            "dataset.window_ms=[%d,%d] none does",
            overlap.rows_with_other_peak,
            overlap.rows,
            overlap.where,
            longest,
            longest,
        )
        raise ConfigError(
            "privacy.unit=beat protects one row, and training rows contain the R peaks of other "
            f"beats, so that one heartbeat is in up to {overlap.rows_per_peak} rows (which ones is "
            "logged in private/ecgexp.log of the run's folder); use a dataset.window_ms that is "
            "shorter than every RR interval, privacy.group=overlap, which accounts for these rows "
            "together, or privacy.unit=patient."
        )


def check_unit_covers_features(unit: Unit, features_crossing_beats: Sequence[str]) -> None:
    """Check that with the unit `beat`, removing one beat does not change features of other beats.

    Args:
      unit: of the guarantee.
      features_crossing_beats: features that depend on other beats.

    Raises:
      ConfigError: the unit is the beat and there are such features.
    """
    if unit == "beat" and features_crossing_beats:
        raise ConfigError(
            f"privacy.unit=beat cannot cover {', '.join(features_crossing_beats)}: removing one "
            "beat changes these features of adjacent beats; use privacy.unit=patient (or record), "
            "or features=signal, which does not have them."
        )


def check_units_apart(
    unit: Unit, patient_ids: np.ndarray, train: np.ndarray, holdout: Mapping[str, np.ndarray]
) -> None:
    """Check that no patient of the training set also has validation or test beats.

    Scores and predictions of validation and test beats are published without noise. The unit
    `record` is checked by patient too, because other records of a patient reveal information about
    the same person.

    **Guarantees**: with the unit `patient` or `record`, no patient of a training beat has a
    validation or test beat (`tests/unit/privacy/test_outputs.py`, also for patients with two
    records).

    Args:
      unit: of the guarantee; `beat` guarantees nothing about other beats of the patient.
      patient_ids: (num_beats,) str.
      train: indices of the training beats.
      holdout: split name -> indices.

    Raises:
      ConfigError: a patient is on both sides. The message names no patient, because who is in the
        training set is private.
    """
    if unit == "beat":
        return
    trained = np.unique(patient_ids[train])
    for split, rows in holdout.items():
        if np.isin(patient_ids[rows], trained).any():
            raise ConfigError(shared_units(unit, f"{split} beats"))


def shared_units(unit: Unit, where: str) -> str:
    """Return the error message for a training patient who also has `where`, e.g. `test beats`."""
    return (
        f"privacy.unit={unit}: a patient of the training set also has {where}, which are published "
        "without noise, so the guarantee would not hold for that patient; use split=inter_patient "
        "(for mitdb with split.merge_same_patient=true), or privacy.unit=beat."
    )
