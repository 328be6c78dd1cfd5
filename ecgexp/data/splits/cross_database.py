"""The split of two databases: train on one, test on the other."""

from typing import ClassVar

import numpy as np

from ecgexp.data.beats import TESTED, TRAINED, BeatSet, databases
from ecgexp.data.datasets.base import Dataset
from ecgexp.data.datasets.cross_database import TwoDatabases
from ecgexp.data.holdout import hold_out_patients
from ecgexp.data.splits.as_given import AsGiven
from ecgexp.data.splits.base import Split, Splitter
from ecgexp.settings.declaration import ConfigError, DataError, Fraction, settings
from ecgexp.settings.option_names import option_name


@settings
class CrossDatabase:
    """Cross-database split: train on one database and test on all of another.

    It needs a dataset of two databases, such as `mitdb_to_svdb`. The test database is not used for
    validation.

    Attributes:
      validation_fraction: Approximate share of the patients of the training database held out for
        validation, as in `InterPatient`; 0 for none.

    Example:
      >>> CrossDatabase(validation_fraction=0.25).divides_patients
      False
    """

    validation_fraction: Fraction = 0.2

    divides_patients: ClassVar[bool] = False
    needs_patients: ClassVar[bool] = True

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
    if getattr(dataset, "test_path", None) is not None and not isinstance(split, AsGiven):
        raise ConfigError(
            "dataset.test_path: the test set is a file of its own, with which "
            f"split={_option(split)} would mix the training beats; use split=as_given, or "
            "dataset.test_path=null"
        )
    if is_two and not crosses:
        raise ConfigError(
            f"dataset={dataset}: it has a training and a test database, which "
            f"split={_option(split)} would mix; use split=cross_database"
        )
    if crosses and not dataset.has_records:
        raise ConfigError(
            f"split=cross_database: divides two databases of records, but dataset={dataset} has "
            "beats that are cut already; use split=as_given"
        )
    if crosses and not is_two:
        option = _option(dataset).removesuffix("_dataset")
        raise ConfigError(_needs_two(str(getattr(dataset, "database", option))))


def _option(part: Dataset | Splitter) -> str:
    return option_name(type(part).__name__)


def _needs_two(database: str) -> str:
    return (
        f"split=cross_database: it needs two databases, but the dataset is {database}; use "
        "dataset=mitdb_to_svdb, dataset=folder_to_folder for your own recordings, or "
        "split=inter_patient"
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
