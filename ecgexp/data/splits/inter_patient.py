"""Splits by patient: the patients of the test part are new to the model."""

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ecgexp.data.beats import BeatSet, in_order_of_rows
from ecgexp.data.datasets.catalog import find_database
from ecgexp.data.holdout import hold_out_patients
from ecgexp.data.splits.base import Split, is_mitdb, require_mitdb
from ecgexp.settings.declaration import (
    ConfigError,
    DataError,
    Fraction,
    NonNegativeInt,
    Whole,
    settings,
)

NumPatients = Annotated[Whole, Field(ge=1, le=1_000_000)]
"""Number of training patients."""

_SAME_PATIENT = "201+202"


@settings
class InterPatient:
    """Inter-patient split: training and test patients are different.

    For mitdb it is the split of de Chazal, O'Dwyer & Reilly 2004 (doi:10.1109/TBME.2004.827359):
    the 22 records of DS1 for training, the 22 of DS2 for testing, without paced records. Records
    201 (DS1) and 202 (DS2) come from one patient, so 21 of the 22 test patients are new. For
    another database, the patients are drawn.

    Attributes:
      division: `published`: DS1 and DS2; `random`: patients drawn with the seed of the run; `auto`:
        published for mitdb, random for any other database.
      test_fraction: Approximate share of test patients if they are drawn.
      validation_fraction: Approximate share of the training patients held out for validation, drawn
        such that every class is in both parts where possible; 0 for none.
      merge_same_patient: Correct the published split: record 202 moves from the test set to the
        training set, so that its patient is in the training set only. The test set has one record
        fewer than the published one.
      num_train_patients: Train on so many of the training patients, drawn with the seed of the run;
        None: on all. Validation and test patients do not depend on it, and with one seed a smaller
        number is part of a larger one, so that runs with several numbers give a learning curve.

    Example:
      >>> InterPatient(division="random", test_fraction=0.5).divides_patients
      False
    """

    division: Literal["auto", "published", "random"] = "auto"
    test_fraction: Annotated[Fraction, Field(gt=0)] = 0.4
    validation_fraction: Fraction = 0.2
    merge_same_patient: bool = False
    num_train_patients: NumPatients | None = None

    divides_patients: ClassVar[bool] = False
    needs_patients: ClassVar[bool] = True

    def split(self, beats: BeatSet, rng: np.random.Generator) -> Split:
        """Split by patient.

        Args:
          beats: Labeled beats.
          rng: Draws the patients.

        Returns:
          A split that is disjoint by patient.

        Raises:
          DataError: The training or test set has no record, or there are too few patients.
        """
        if self.division == "random" or (self.division == "auto" and not is_mitdb(beats)):
            training, test = hold_out_patients(
                beats, np.arange(len(beats)), self.test_fraction, rng
            )
            found = _with_validation(
                beats, training, test, self.validation_fraction, rng, shared=(), notes=()
            )
        else:
            found = _published(
                beats,
                rng,
                *_division("without_pacemaker"),
                self.validation_fraction,
                merge=self.merge_same_patient,
            )
        return _with_fewer_patients(beats, found, self.num_train_patients, rng)


@settings
class InterPatientTwoLead:
    """DS1 and DS2 without the records that lack lead V1 (100 103 114 117 123 124).

    Attributes:
      validation_fraction: As in `InterPatient`.
      merge_same_patient: As in `InterPatient`.

    Example:
      >>> InterPatientTwoLead().merge_same_patient
      False
    """

    validation_fraction: Fraction = 0.2
    merge_same_patient: bool = False

    divides_patients: ClassVar[bool] = False
    needs_patients: ClassVar[bool] = True

    def split(self, beats: BeatSet, rng: np.random.Generator) -> Split:
        """Split by patient; see `InterPatient.split`."""
        return _published(
            beats,
            rng,
            *_division("two_lead"),
            self.validation_fraction,
            merge=self.merge_same_patient,
        )


@settings
class PatientKFold:
    """One fold of a cross-validation over patients, with classes as evenly divided as possible.

    The same seed gives the same folds, so runs with `fold=0 … num_folds-1` test every patient once.

    Attributes:
      num_folds: Number of folds.
      fold: Index of the test fold, from 0.
      validation_fraction: As in `InterPatient`.
      num_train_patients: As in `InterPatient`.

    Example:
      >>> [PatientKFold(num_folds=3, fold=fold).fold for fold in range(3)]
      [0, 1, 2]
    """

    num_folds: Annotated[Whole, Field(ge=2, le=1000)] = 5
    fold: NonNegativeInt = 0
    validation_fraction: Fraction = 0.2
    num_train_patients: NumPatients | None = None

    divides_patients: ClassVar[bool] = False
    needs_patients: ClassVar[bool] = True

    def __post_init__(self):
        if self.fold >= self.num_folds:
            raise ConfigError(
                f"split.fold={self.fold}: it must be below split.num_folds={self.num_folds}; use 0 "
                "to "
                f"{self.num_folds - 1}"
            )

    def split(self, beats: BeatSet, rng: np.random.Generator) -> Split:
        """Split by patient.

        Args:
          beats: Labeled beats.
          rng: Draws the folds and the validation patients.

        Returns:
          A split that is disjoint by patient.

        Raises:
          DataError: There are fewer patients than folds.
        """
        patients, owner = in_order_of_rows(beats.patient_ids)
        num_patients = len(patients)
        if num_patients < self.num_folds:
            raise DataError(
                f"split.num_folds={self.num_folds}: there are only {num_patients} patients; use "
                "fewer "
                "folds or more records"
            )
        from sklearn.model_selection import StratifiedGroupKFold

        folds = StratifiedGroupKFold(
            self.num_folds, shuffle=True, random_state=int(rng.integers(2**31))
        )
        training, test = list(folds.split(beats.labels, beats.labels, owner))[self.fold]
        found = _with_validation(
            beats, training, test, self.validation_fraction, rng, shared=(), notes=()
        )
        return _with_fewer_patients(beats, found, self.num_train_patients, rng)


def _division(records: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return those of a record set of mitdb that are in DS1, and those that are in DS2."""
    mitdb = find_database("mitdb")
    used = mitdb.record_set(records)
    training, test = (
        tuple(record for record in mitdb.record_set(name) if record in used)
        for name in ("ds1", "ds2")
    )
    return training, test


def _published(
    beats: BeatSet,
    rng: np.random.Generator,
    train_records: tuple[str, ...],
    test_records: tuple[str, ...],
    validation_fraction: float,
    *,
    merge: bool,
) -> Split:
    require_mitdb(beats, "inter_patient")
    if merge:
        train_records, test_records = (
            (*train_records, "202"),
            tuple(name for name in test_records if name != "202"),
        )
    training = np.flatnonzero(np.isin(beats.record_ids, train_records))
    test = np.flatnonzero(np.isin(beats.record_ids, test_records))
    if not len(training) or not len(test):
        side = "training (DS1)" if not len(training) else "test (DS2)"
        raise DataError(
            f"split.division=published: no {side} record is in dataset.records; use "
            "split.division=random or dataset.records=null"
        )
    both = {"201", "202"} <= set(beats.record_ids.tolist()) and not merge
    note = (
        "Records 201 and 202 come from one patient, and the published division trains on one and "
        "tests on "
        "the other; split.merge_same_patient=true uses both for training."
    )
    shared, notes = ((_SAME_PATIENT,), (note,)) if both else ((), ())
    return _with_validation(
        beats, training, test, validation_fraction, rng, shared=shared, notes=notes
    )


def _with_validation(
    beats: BeatSet,
    training: np.ndarray,
    test: np.ndarray,
    fraction: float,
    rng: np.random.Generator,
    *,
    shared: tuple[str, ...],
    notes: tuple[str, ...],
) -> Split:
    train, validation = hold_out_patients(beats, training, fraction, rng)
    return Split(
        train=train,
        validation=validation,
        test=test,
        disjoint="patient",
        shared_patients=shared,
        notes=notes,
    )


def _with_fewer_patients(
    beats: BeatSet, split: Split, number: int | None, rng: np.random.Generator
) -> Split:
    """Keep the beats of `number` training patients; None: of all.

    **Guarantees** (`tests/unit/data/test_splits.py`): the patients are the first ones of an order
    that depends on the generator only, so that those of a smaller number are among those of a
    larger one; validation and test are unchanged.

    Raises:
      DataError: There are not so many training patients; the message does not say how many.
    """
    if number is None:
        return split
    patients = rng.permutation(in_order_of_rows(beats.patient_ids[split.train])[0])
    if number > len(patients):
        raise DataError(
            f"split.num_train_patients={number}: there are fewer training patients; use a smaller "
            "number, or split.num_train_patients=null for all"
        )
    train = split.train[np.isin(beats.patient_ids[split.train], patients[:number])]
    own = set(beats.patient_ids[np.concatenate([train, split.validation])].tolist())
    shared = tuple(patient for patient in split.shared_patients if patient in own)
    notes = split.notes if shared == split.shared_patients else ()
    return replace(split, train=train, shared_patients=shared, notes=notes)
