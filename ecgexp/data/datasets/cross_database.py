"""Two databases as one dataset: the first for training, the second for testing."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgexp.data.beats import COLUMNS, TESTED, TRAINED, BeatSet, arrow, least_known
from ecgexp.data.datasets.base import ReadRecord
from ecgexp.data.datasets.catalog import find_database
from ecgexp.data.datasets.recorded import RecordedDataset, RecordedFiles
from ecgexp.data.identity import check_no_copies
from ecgexp.data.preprocessing.settings import OnProgress, Preprocessing, SharedPreprocessing
from ecgexp.settings.declaration import ConfigError, DataError, placed, settings
from ecgexp.storage.digests import digest

if TYPE_CHECKING:
    from ecgexp.data.formats.record import Record


@settings
class DatabasePart(RecordedFiles):
    """One of the databases of `TwoDatabases`; see `RecordedFiles` for the attributes.

    Example:
      >>> part = DatabasePart(database="svdb", leads=["ECG1"])
      >>> part.with_preprocessing(SharedPreprocessing(fs_hz=250)).fs_hz
      250.0
    """

    def with_preprocessing(self, shared: SharedPreprocessing) -> RecordedDataset:
        """Return the database as a dataset with the preprocessing that both databases share."""
        own = {name: getattr(self, name) for name in _names(DatabasePart)}
        return RecordedDataset(
            **own, **{name: getattr(shared, name) for name in _names(SharedPreprocessing)}
        )


def _names(kind: Any) -> list[str]:
    return [field.name for field in fields(kind)]


@settings
class TwoDatabases(SharedPreprocessing):
    """A database for training and another one for testing, with beats of the same shape.

    Record and patient ids start with the name of their database, `mitdb/100` and `svdb/800`, so
    that equal names are not taken for one patient. The files do not state whether a person was
    recorded in both databases. The other attributes are those of `SharedPreprocessing`.

    Attributes:
      train: Database for training and validation.
      test: Database for testing. Its leads correspond to those of `train` by position: the first
        lead of each is the first column of a window, whatever its name.

    Example:
      >>> test = DatabasePart(database="svdb", leads=["ECG1"])
      >>> dataset = TwoDatabases(train=DatabasePart(), test=test, fs_hz=250)
      >>> str(dataset), [part.fs_hz for part in dataset.parts.values()]
      ('mitdb 1.0.0 -> svdb 1.0.0', [250.0, 250.0])
    """

    train: DatabasePart
    test: DatabasePart

    def __post_init__(self):
        super().__post_init__()
        if self.train.database == self.test.database:
            raise ConfigError(
                f"dataset.test.database={self.test.database}: the same as dataset.train.database; "
                f"use dataset={self.train.database} split=inter_patient"
            )
        if len(self.train.leads) != len(self.test.leads):
            raise ConfigError(
                f"dataset.test.leads={_listed(self.test.leads)}: leads correspond one to one to "
                f"dataset.train.leads={_listed(self.train.leads)}; use the same number of leads"
            )
        for entry in (find_database(part.database) for part in (self.train, self.test)):
            self.check_band(str(entry), entry.fs_hz)

    def __str__(self) -> str:
        return arrow(str(self.train), str(self.test))

    @property
    def parts(self) -> dict[str, RecordedDataset]:
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
          ConfigError: The files of a database were not found.
        """
        absent = []
        for part, dataset in self.parts.items():
            try:
                with _placed(f"dataset.{part}"):
                    dataset.folder()
            except DataError as error:
                absent.append(str(error))
        if absent:
            raise ConfigError("; ".join(absent))

    def load(self, on_progress: OnProgress | None = None) -> BeatSet:
        """Load all beats of both databases, without labels, those for training first.

        Args:
          on_progress: Called with `(done, total, what)` while records are preprocessed, for each
            database in turn.

        Returns:
          The beats; `BeatSet.parts` gives the part of each beat.

        Raises:
          ConfigError: The files of a database were not found; raised before the other database is
            preprocessed.
          DataError: Files are missing or damaged.
        """
        self.check_there()
        loaded = {}
        for part, dataset in self.parts.items():
            with _placed(f"dataset.{part}"):
                loaded[part] = dataset.load(
                    _named(on_progress, dataset.database), path=f"dataset.{part}"
                )
        return self._joined(loaded)

    @contextmanager
    def open_records(self) -> Iterator[ReadRecord]:
        """See `Dataset.open_records`."""
        with ExitStack() as stack:
            read = {
                part.database: stack.enter_context(part.open_records())
                for part in self.parts.values()
            }

            def read_record(record_id: str) -> "Record":
                database, _, record = record_id.partition("/")
                return read[database](record)

            yield read_record

    def _joined(self, loaded: dict[str, BeatSet]) -> BeatSet:
        databases = {TRAINED: self.train.database, TESTED: self.test.database}
        named = [_with_database(beats, databases[part]) for part, beats in loaded.items()]
        first, second = named
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(beats, name) for beats in named]) for name in COLUMNS
        }
        check_no_copies(columns["record_ids"], columns["signals_mv"])
        lead_names = zip(first.lead_names, second.lead_names, strict=True)
        return BeatSet(
            **columns,
            fs_hz=self.fs_hz,
            lead_names=tuple(arrow(*pair) for pair in lead_names),
            database=arrow(first.database, second.database),
            dropped={**first.dropped, **second.dropped},
            skipped={**first.skipped, **second.skipped},
            digest=digest({part: beats.digest for part, beats in loaded.items()}),
            templates_mv={**first.templates_mv, **second.templates_mv},
            annotated={**first.annotated, **second.annotated},
            parts=np.repeat(list(loaded), [len(beats) for beats in named]),
            patients_are=least_known(beats.patients_are for beats in named),
        )


def _with_database(beats: BeatSet, name: str) -> BeatSet:
    """Prefix records, patients and reasons of dropped beats with the name of the database."""
    return replace(
        beats,
        record_ids=np.char.add(f"{name}/", beats.record_ids),
        patient_ids=np.char.add(f"{name}/", beats.patient_ids),
        templates_mv={f"{name}/{record}": median for record, median in beats.templates_mv.items()},
        annotated={f"{name}/{record}": places for record, places in beats.annotated.items()},
        dropped={f"{name}: {reason}": count for reason, count in beats.dropped.items()},
        skipped={f"{name}/{record}": reason for record, reason in beats.skipped.items()},
    )


def _named(on_progress: OnProgress | None, name: str) -> OnProgress | None:
    if on_progress is None:
        return None
    return lambda done, total, what: on_progress(done, total, f"{name}/{what}" if what else "")


@contextmanager
def _placed(path: str) -> Iterator[None]:
    """Name settings of a part by their full key in error messages."""
    try:
        yield
    except DataError as error:
        raise DataError(placed(str(error), path, DatabasePart)) from error


def _listed(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{','.join(_listed(item) for item in value)}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
