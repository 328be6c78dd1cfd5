"""Split beats into training, validation and test parts."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Protocol

import numpy as np
from pydantic import Field

from ecgexp.data.beats import TESTED, TRAINED, BeatSet, databases
from ecgexp.data.datasets.base import Dataset
from ecgexp.data.datasets.catalog import DS1, DS2, INTER_PATIENT_TWO_LEAD, WITHIN_RECORD
from ecgexp.data.datasets.cross_database import TwoDatabases
from ecgexp.data.holdout import hold_out_beats, hold_out_patients
from ecgexp.settings.declaration import (
    ConfigError,
    DataError,
    Fraction,
    NonNegativeInt,
    Whole,
    settings,
)

_SAME_PATIENT = "201+202"


@dataclass(frozen=True, kw_only=True)
class Split:
    """Sorted indices of the parts into one `BeatSet`.

    **Guarantees**: `ecgexp.data.leakage.check_split` verifies `disjoint` on the beats of every run.

    Attributes:
      train: (num_train,) int64.
      validation: (num_validation,) int64; may be empty.
      test: (num_test,) int64.
      disjoint: What the three parts do not share. `beat`: beats; `patient`: patients and beats;
        `database`: in addition, the test part is a database of its own.
      shared_patients: Exceptions to `patient`: patients with records in both DS1 and DS2.
      notes: Remarks that are needed to interpret the scores.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    disjoint: Literal["beat", "patient", "database"]
    shared_patients: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Splitter(Protocol):
    """Settings by which beats are split."""

    divides_patients: ClassVar[bool]
    """Whether beats of one patient may be in several parts."""

    def split(self, beats: BeatSet, rng: np.random.Generator) -> Split:
        """Split the beats.

        Args:
          beats: Labeled beats.
          rng: Random generator of the split.

        Raises:
          DataError: The beats do not support this split.
        """
        ...


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
    """

    division: Literal["auto", "published", "random"] = "auto"
    test_fraction: Annotated[Fraction, Field(gt=0)] = 0.4
    validation_fraction: Fraction = 0.2
    merge_same_patient: bool = False

    divides_patients: ClassVar[bool] = False

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
        if self.division == "random" or (self.division == "auto" and not _is_mitdb(beats)):
            training, test = hold_out_patients(
                beats, np.arange(len(beats)), self.test_fraction, rng
            )
            return _with_validation(
                beats, training, test, self.validation_fraction, rng, shared=(), notes=()
            )
        return _published(
            beats, rng, DS1, DS2, self.validation_fraction, merge=self.merge_same_patient
        )


@settings
class InterPatientTwoLead:
    """DS1 and DS2 without the records that lack lead V1 (100 103 114 117 123 124).

    Attributes:
      validation_fraction: As in `InterPatient`.
      merge_same_patient: As in `InterPatient`.
    """

    validation_fraction: Fraction = 0.2
    merge_same_patient: bool = False

    divides_patients: ClassVar[bool] = False

    def split(self, beats: BeatSet, rng: np.random.Generator) -> Split:
        """Split by patient; see `InterPatient.split`."""
        train_records = tuple(record for record in DS1 if record in INTER_PATIENT_TWO_LEAD)
        test_records = tuple(record for record in DS2 if record in INTER_PATIENT_TWO_LEAD)
        return _published(
            beats,
            rng,
            train_records,
            test_records,
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
    """

    num_folds: Annotated[Whole, Field(ge=2, le=1000)] = 5
    fold: NonNegativeInt = 0
    validation_fraction: Fraction = 0.2

    divides_patients: ClassVar[bool] = False

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
        num_patients = len(np.unique(beats.patient_ids))
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
        training, test = list(folds.split(beats.labels, beats.labels, beats.patient_ids))[self.fold]
        return _with_validation(
            beats, training, test, self.validation_fraction, rng, shared=(), notes=()
        )


@settings
class IntraPatient:
    """Intra-patient split: beat by beat, stratified by class.

    The beats of a patient are in all parts, so the scores do not apply to new patients.

    Attributes:
      validation_fraction: Share of the non-test beats used for validation; 0 for none.
      test_fraction: Share of all beats used for testing.
    """

    validation_fraction: Fraction = 0.2
    test_fraction: Annotated[Fraction, Field(gt=0)] = 0.2

    divides_patients: ClassVar[bool] = True

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
    """

    validation_fraction: Fraction = 0.2
    test_fraction: Annotated[Fraction, Field(gt=0)] = 0.2

    divides_patients: ClassVar[bool] = True

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
        _require_mitdb(beats, "within_record")
        if absent := sorted(set(WITHIN_RECORD) - set(beats.record_ids.tolist())):
            remedy = (
                "dataset.missing_lead=first, which replaces the lead MLII missing in 104 by V5"
                if "104" in absent
                else "dataset.records=within_record"
            )
            raise DataError(
                f"split=within_record: no beat of record {', '.join(absent)}; use {remedy}"
            )
        rows = np.flatnonzero(np.isin(beats.record_ids, WITHIN_RECORD))
        return _by_beat(
            beats, rows, self.test_fraction, self.validation_fraction, rng, by_record=True
        )


@settings
class CrossDatabase:
    """Cross-database split: train on one database and test on all of another.

    It needs a dataset of two databases, such as `mitdb_to_svdb`. The test database is not used for
    validation.

    Attributes:
      validation_fraction: Approximate share of the patients of the training database held out for
        validation, as in `InterPatient`; 0 for none.
    """

    validation_fraction: Fraction = 0.2

    divides_patients: ClassVar[bool] = False

    def split(self, beats: BeatSet, rng: np.random.Generator) -> Split:
        """Split by database, and the training database by patient.

        Args:
          beats: Labeled beats.
          rng: Draws the validation patients.

        Returns:
          A split that is disjoint by database.

        Raises:
          ConfigError: The beats come from one database.
          DataError: No beat of a database is left, or there are too few patients.
        """
        if not beats.is_of_two:
            raise ConfigError(_needs_two(beats.database))
        training, test = (np.flatnonzero(beats.parts == part) for part in (TRAINED, TESTED))
        if not len(training) or not len(test):
            trained, tested = databases(beats.database)
            raise DataError(
                f"split=cross_database: no beat is left of {tested if len(training) else trained}; "
                "use more records or another grouping"
            )
        train, validation = hold_out_patients(beats, training, self.validation_fraction, rng)
        notes = _one_sided(beats, training, test)
        return Split(
            train=train, validation=validation, test=test, disjoint="database", notes=notes
        )


def check_databases(dataset: Dataset, split: Splitter) -> None:
    """Check that `split=cross_database` is used exactly for datasets of two databases.

    Args:
      dataset: The dataset settings.
      split: The split settings.

    Raises:
      ConfigError: One is used without the other.
    """
    is_two, crosses = isinstance(dataset, TwoDatabases), isinstance(split, CrossDatabase)
    if is_two and not crosses:
        raise ConfigError(
            f"dataset={dataset}: it has a training and a test database, which "
            f"{type(split).__name__} "
            "would mix; use split=cross_database"
        )
    if crosses and not is_two:
        raise ConfigError(_needs_two(str(getattr(dataset, "database", type(dataset).__name__))))


def _needs_two(database: str) -> str:
    return (
        f"split=cross_database: it needs two databases, but the dataset is {database}; use "
        "dataset=mitdb_to_svdb, or split=inter_patient"
    )


def _one_sided(beats: BeatSet, training: np.ndarray, test: np.ndarray) -> tuple[str, ...]:
    """Return notes on classes that one of the databases lacks."""
    trained, tested = databases(beats.database)
    trained_counts, test_counts = beats.class_counts(training), beats.class_counts(test)
    notes = [
        f"{trained} has no beat of class {name}, so the model cannot learn this class"
        for name in trained_counts
        if not trained_counts[name]
    ]
    notes += [
        f"{tested} has no beat of class {name} to test"
        for name in test_counts
        if not test_counts[name]
    ]
    return tuple(notes)


def _published(
    beats: BeatSet,
    rng: np.random.Generator,
    train_records: tuple[str, ...],
    test_records: tuple[str, ...],
    validation_fraction: float,
    *,
    merge: bool,
) -> Split:
    _require_mitdb(beats, "inter_patient")
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


def _is_mitdb(beats: BeatSet) -> bool:
    return [name.split()[0] for name in databases(beats.database)] == ["mitdb"]


def _require_mitdb(beats: BeatSet, name: str) -> None:
    if not _is_mitdb(beats):
        raise DataError(
            f"split={name}: it lists records of mitdb, but the beats are of {beats.database}; use "
            "dataset=mitdb, or split=inter_patient split.division=auto"
        )
