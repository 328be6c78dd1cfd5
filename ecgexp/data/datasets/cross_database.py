"""Two databases or folders as one dataset: the first for training, the second for testing."""

from contextlib import AbstractContextManager
from typing import Literal

import numpy as np

from ecgexp.data.beats import TESTED, TRAINED, BeatSet, arrow
from ecgexp.data.datasets.base import ReadRecord
from ecgexp.data.datasets.parts import (
    DatasetPart,
    PartDataset,
    check_all_there,
    check_parts,
    joined,
    load_parts,
    open_parts,
    without_shared,
)
from ecgexp.data.preprocessing.settings import OnProgress, Preprocessing, SharedPreprocessing
from ecgexp.settings.declaration import Part, settings


@settings
class TwoDatabases(SharedPreprocessing):
    """A database or folder for training and another one for testing, with beats of one shape.

    Record and patient ids start with the name of their database, `mitdb/100` and `svdb/800`, so
    that equal names are not taken for one patient. The files do not state whether a person was
    recorded in both databases. The other attributes are those of `SharedPreprocessing`.

    Attributes:
      train: Database for training and validation.
      test: Database for testing. Its leads correspond to those of `train` by position: the first
        lead of each is the first column of a window, whatever its name.
      shared_patients: What to do if both databases have records of one patient: stop, or leave
        these records out of one of them.

    Example:
      >>> from ecgexp.data import DatabasePart
      >>> test = DatabasePart(database="svdb", leads=["ECG1"])
      >>> dataset = TwoDatabases(train=DatabasePart(), test=test, fs_hz=250)
      >>> str(dataset), [part.fs_hz for part in dataset.parts.values()]
      ('mitdb 1.0.0 -> svdb 1.0.0', [250.0, 250.0])
    """

    train: Part[DatasetPart]
    test: Part[DatasetPart]
    shared_patients: Literal["refuse", "leave_out_of_train", "leave_out_of_test"] = "refuse"

    def __post_init__(self):
        super().__post_init__()
        check_parts({"dataset.train": self.train, "dataset.test": self.test}, self)

    def __str__(self) -> str:
        return arrow(str(self.train), str(self.test))

    @property
    def parts(self) -> dict[str, PartDataset]:
        """Name of the part -> its dataset, for `train` and `test`."""
        return {
            TRAINED: self.train.with_preprocessing(self),
            TESTED: self.test.with_preprocessing(self),
        }

    @property
    def preprocessings(self) -> tuple[Preprocessing, ...]:
        """See `Dataset`."""
        return tuple(self.parts.values())

    def check_there(self) -> None:
        """See `Dataset.check_there`; one message names everything that is missing.

        Raises:
          ConfigError: The files of a database were not found, or both have a patient.
        """
        self._apart()

    def _apart(self) -> tuple[dict[str, PartDataset], tuple[str, ...]]:
        """Return key -> part, for training first, without shared patients; and notes."""
        keyed = {f"dataset.{part}": dataset for part, dataset in self.parts.items()}
        check_all_there(keyed)
        order = reversed(keyed) if self.shared_patients == "leave_out_of_train" else keyed
        kept, notes = without_shared(
            {key: keyed[key] for key in order},
            leave_out=self.shared_patients != "refuse",
            remedy="dataset.shared_patients=leave_out_of_train or leave_out_of_test",
        )
        return {key: kept[key] for key in keyed}, notes

    def load(self, on_progress: OnProgress | None = None) -> BeatSet:
        """Load all beats of both databases, without labels, those for training first.

        Args:
          on_progress: Called with `(done, total, what)` while records are preprocessed, for each
            database in turn.

        Returns:
          The beats; `BeatSet.parts` gives the part of each beat.

        Raises:
          ConfigError: The files of a database were not found, or both have a patient; raised before
            a database is preprocessed.
          DataError: Files are missing or damaged.
        """
        keyed, notes = self._apart()
        loaded = load_parts(keyed, self._names(), on_progress)
        first, second = loaded
        lead_names = zip(first.lead_names, second.lead_names, strict=True)
        return BeatSet(
            **joined(
                loaded,
                keys=(TRAINED, TESTED),
                lead_names=tuple(arrow(*pair) for pair in lead_names),
                database=arrow(first.database, second.database),
                notes=notes,
            ),
            parts=np.repeat([TRAINED, TESTED], [len(beats) for beats in loaded]),
        )

    def _names(self) -> tuple[str, str]:
        return self.train.short_name, self.test.short_name

    def open_records(self) -> AbstractContextManager[ReadRecord]:
        """See `Dataset.open_records`."""
        return open_parts(self.named_parts())

    def named_parts(self) -> dict[str, PartDataset]:
        """Name before the ids of its records -> the dataset, for training first."""
        return dict(zip(self._names(), self.parts.values(), strict=True))
