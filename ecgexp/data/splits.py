"""Splits: which beats are trained on, which decide when to stop, which are tested."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ecgexp.data.beats import TESTED, TRAINED, BeatSet, databases
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

_SAME_MAN = "201+202"


@dataclass(frozen=True, kw_only=True)
class Split:
    """Indices into one `BeatSet`, each sorted.

    Attributes:
      train: (num_train,) int64.
      validation: (num_validation,) int64; may be empty.
      test: (num_test,) int64.
      disjoint: what the three never share: `beat`, or `patient` (and so beats as well); `database`: nor is a beat of a
        database in `test` when others of it are in the other two, which share no patient.
      shared_patients: the exceptions to `patient`: on two sides because the division was published so.
      notes: what a reader of the scores has to know.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    disjoint: Literal["beat", "patient", "database"]
    shared_patients: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@settings
class InterPatient:
    """Trains on some patients and tests on others.

    For mitdb it is the division of de Chazal 2004: DS1 for training, DS2 for testing, paced records in neither. It puts
    201 and 202, which are one man, on either side. For a database without a published division the patients are drawn.

    Attributes:
      division: `published`: DS1 and DS2; `random`: patients drawn from the run's seed; `auto`: published for mitdb,
        random for any other.
      test_fraction: about this share of the patients is tested, in a random division.
      validation_fraction: about this share of the training patients is held out whole for validation, drawn so that
        every class that can be is on both sides; 0 for none.
      merge_same_patient: mend the published division: 202 moves from DS2 to DS1, so that the man is only trained on.
        The test set loses a record and gains none; it is no longer the published one.
    """

    division: Literal["auto", "published", "random"] = "auto"
    test_fraction: Annotated[Fraction, Field(gt=0)] = 0.4
    validation_fraction: Fraction = 0.2
    merge_same_patient: bool = False

    def split(self, beats: BeatSet, rng: np.random.Generator) -> Split:
        """Splits by patient.

        Args:
          beats: labelled.
          rng: draws the patients.

        Raises:
          DataError: a side has no record or too few patients.
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
    """DS1 and DS2 without the records that have no V1 beside MLII (100 103 114 117 123 124).

    Attributes:
      validation_fraction: as in `InterPatient`.
      merge_same_patient: as in `InterPatient`.
    """

    validation_fraction: Fraction = 0.2
    merge_same_patient: bool = False

    def split(self, beats: BeatSet, rng: np.random.Generator) -> Split:
        """Splits by patient; see `InterPatient.split`."""
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
    """One fold of a cross-validation over patients, classes spread as evenly as whole patients allow.

    The same seed gives the same folds, so runs with `fold=0 … num_folds-1` test every patient once.

    Attributes:
      num_folds: how many.
      fold: which one is tested, from 0.
      validation_fraction: as in `InterPatient`.
    """

    num_folds: Annotated[Whole, Field(ge=2, le=1000)] = 5
    fold: NonNegativeInt = 0
    validation_fraction: Fraction = 0.2

    def __post_init__(self):
        if self.fold >= self.num_folds:
            raise ConfigError(
                f"split.fold={self.fold} must be below split.num_folds={self.num_folds}; folds count from 0"
            )

    def split(self, beats: BeatSet, rng: np.random.Generator) -> Split:
        """Splits by patient.

        Raises:
          DataError: there are fewer patients than folds.
        """
        num_patients = len(np.unique(beats.patient_ids))
        if num_patients < self.num_folds:
            raise DataError(
                f"split.num_folds={self.num_folds} is more than the {num_patients} patients there are"
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
    """Splits beat by beat, every class alike; a patient's beats are on all sides: scores say nothing of new patients.

    Attributes:
      validation_fraction: share of the beats that are not tested; 0 for none.
      test_fraction: share of all beats.
    """

    validation_fraction: Fraction = 0.2
    test_fraction: Annotated[Fraction, Field(gt=0)] = 0.2

    def split(self, beats: BeatSet, rng: np.random.Generator) -> Split:
        """Splits by beat, stratified by class.

        Raises:
          DataError: a class has too few beats to be on every side.
        """
        return _by_beat(
            beats, np.arange(len(beats)), self.test_fraction, self.validation_fraction, rng
        )


@settings
class WithinRecord:
    """Ten records of mitdb, each a client; beats are split within every one, so each client has its own test beats.

    Attributes:
      validation_fraction: as in `IntraPatient`.
      test_fraction: as in `IntraPatient`.
    """

    validation_fraction: Fraction = 0.2
    test_fraction: Annotated[Fraction, Field(gt=0)] = 0.2

    def split(self, beats: BeatSet, rng: np.random.Generator) -> Split:
        """Splits by beat, stratified by record and class; beats of other records are in no part.

        Raises:
          DataError: one of the ten records is not there.
        """
        _require_mitdb(beats, "within_record")
        if absent := sorted(set(WITHIN_RECORD) - set(beats.record_ids.tolist())):
            lead = (
                "; dataset.missing_lead=first lets V5 stand in for the MLII that 104 lacks"
                if "104" in absent
                else ""
            )
            raise DataError(f"split=within_record: no beat of record {', '.join(absent)}{lead}")
        rows = np.flatnonzero(np.isin(beats.record_ids, WITHIN_RECORD))
        return _by_beat(
            beats, rows, self.test_fraction, self.validation_fraction, rng, by_record=True
        )


@settings
class CrossDatabase:
    """Trains on one database and tests on another, all of it: for a dataset of two, such as `mitdb_to_svdb`.

    Attributes:
      validation_fraction: about this share of the patients of the first database is held out whole for validation, as in
        `InterPatient`; nothing is chosen by a beat of the second. 0 for none.
    """

    validation_fraction: Fraction = 0.2

    def split(self, beats: BeatSet, rng: np.random.Generator) -> Split:
        """Splits by database, and the first of them by patient.

        Args:
          beats: labelled.
          rng: draws the validation patients.

        Raises:
          ConfigError: the beats are of one database.
          DataError: no beat of the first is left, or too few patients.
        """
        if not beats.is_of_two:
            raise ConfigError(_needs_two(beats.database))
        training, test = (np.flatnonzero(beats.parts == part) for part in (TRAINED, TESTED))
        if not len(training) or not len(test):
            trained, tested = databases(beats.database)
            raise DataError(
                f"split=cross_database: no beat is left of {tested if len(training) else trained}"
            )
        train, validation = hold_out_patients(beats, training, self.validation_fraction, rng)
        notes = _one_sided(beats, training, test)
        return Split(
            train=train, validation=validation, test=test, disjoint="database", notes=notes
        )


def check_databases(dataset: Any, split: Any) -> None:
    """A dataset of two databases and the split between them go together, and neither goes with anything else.

    Raises:
      ConfigError: they do not.
    """
    is_two, crosses = isinstance(dataset, TwoDatabases), isinstance(split, CrossDatabase)
    if is_two and not crosses:
        raise ConfigError(
            f"the dataset {dataset} trains on one database and tests on the other, which {type(split).__name__} would mix; "
            "type split=cross_database"
        )
    if crosses and not is_two:
        raise ConfigError(_needs_two(str(getattr(dataset, "database", type(dataset).__name__))))


def _needs_two(database: str) -> str:
    return (
        f"split=cross_database trains on one database and tests on another, and {database} is one; type "
        "dataset=mitdb_to_svdb, or split=inter_patient"
    )


def _one_sided(beats: BeatSet, training: np.ndarray, test: np.ndarray) -> tuple[str, ...]:
    """Classes that one database lacks: they cannot be learned, or not be tested."""
    trained, tested = databases(beats.database)
    learned, asked = beats.class_counts(training), beats.class_counts(test)
    notes = [
        f"{trained} has no beat of class {name}, so none can be found"
        for name in learned
        if not learned[name]
    ]
    notes += [f"{tested} has no beat of class {name} to test" for name in asked if not asked[name]]
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
            f"split: no {side} record is among dataset.records; try split.division=random or dataset.records=null"
        )
    both = {"201", "202"} <= set(beats.record_ids.tolist()) and not merge
    note = (
        "Records 201 and 202 are one man, and the published division trains on one and tests on the other; "
        "split.merge_same_patient=true keeps him on one side."
    )
    shared, notes = ((_SAME_MAN,), (note,)) if both else ((), ())
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
            f"split={name} lists records of mitdb, and these are of {beats.database}; take dataset=mitdb, or "
            "split=inter_patient split.division=auto"
        )
