"""Splits beat by beat: the beats of a patient are in all parts."""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from ecgexp.data.beats import BeatSet
from ecgexp.data.datasets.catalog import find_database
from ecgexp.data.holdout import hold_out_beats
from ecgexp.data.splits.base import Split, require_mitdb
from ecgexp.settings.declaration import DataError, Fraction, settings


@settings
class IntraPatient:
    """Intra-patient split: beat by beat, stratified by class.

    The beats of a patient are in all parts, so the scores do not apply to new patients.

    Attributes:
      validation_fraction: Share of the non-test beats used for validation; 0 for none.
      test_fraction: Share of all beats used for testing.

    Example:
      >>> IntraPatient(test_fraction=0.2).divides_patients
      True
    """

    validation_fraction: Fraction = 0.2
    test_fraction: Annotated[Fraction, Field(gt=0)] = 0.2

    divides_patients: ClassVar[bool] = True
    needs_patients: ClassVar[bool] = False

    def split(self, beats: BeatSet, rng: np.random.Generator) -> Split:
        """Split by beat, stratified by class.

        Args:
          beats: Labeled beats.
          rng: Draws the beats.

        Returns:
          A split that is disjoint by beat.

        Raises:
          DataError: A class has too few beats to be in every part.
        """
        return _by_beat(
            beats, np.arange(len(beats)), self.test_fraction, self.validation_fraction, rng
        )


@settings
class WithinRecord:
    """Ten records of mitdb, with beats split within each record.

    With a client for each record, each client has test beats of its own.

    Attributes:
      validation_fraction: As in `IntraPatient`.
      test_fraction: As in `IntraPatient`.

    Example:
      >>> WithinRecord().divides_patients
      True
    """

    validation_fraction: Fraction = 0.2
    test_fraction: Annotated[Fraction, Field(gt=0)] = 0.2

    divides_patients: ClassVar[bool] = True
    needs_patients: ClassVar[bool] = False

    def split(self, beats: BeatSet, rng: np.random.Generator) -> Split:
        """Split by beat, stratified by record and class; beats of other records are in no part.

        Args:
          beats: Labeled beats.
          rng: Draws the beats.

        Returns:
          A split that is disjoint by beat.

        Raises:
          DataError: One of the ten records is missing.
        """
        require_mitdb(beats, "within_record")
        records = find_database("mitdb").record_set("within_record")
        if absent := sorted(set(records) - set(beats.record_ids.tolist())):
            remedy = (
                "dataset.missing_lead=first, which replaces the lead MLII missing in 104 by V5"
                if "104" in absent
                else "dataset.records=within_record"
            )
            raise DataError(
                f"split=within_record: no beat of record {', '.join(absent)}; use {remedy}"
            )
        rows = np.flatnonzero(np.isin(beats.record_ids, records))
        return _by_beat(
            beats, rows, self.test_fraction, self.validation_fraction, rng, by_record=True
        )


def _by_beat(
    beats: BeatSet,
    rows: np.ndarray,
    test_fraction: float,
    validation_fraction: float,
    rng: np.random.Generator,
    *,
    by_record: bool = False,
) -> Split:
    strata = beats.labels.copy()
    if by_record:
        _, record = np.unique(beats.record_ids, return_inverse=True)
        strata += record * len(beats.class_names)
    training, test = hold_out_beats(strata, rows, test_fraction, rng)
    train, validation = hold_out_beats(strata, training, validation_fraction, rng)
    return Split(train=train, validation=validation, test=test, disjoint="beat")
