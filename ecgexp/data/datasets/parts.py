"""Parts of a dataset of several databases or folders, with the preprocessing that they share."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ecgexp.data.beats import COLUMNS, BeatSet, least_known
from ecgexp.data.datasets.base import ReadRecord
from ecgexp.data.datasets.folder import FolderDataset, FolderFiles
from ecgexp.data.datasets.recorded import RecordedDataset, RecordedFiles
from ecgexp.data.identity import check_no_copies
from ecgexp.data.preprocessing.settings import OnProgress, SharedPreprocessing
from ecgexp.settings.declaration import ConfigError, DataError, placed, settings
from ecgexp.storage.digests import digest

if TYPE_CHECKING:
    from ecgexp.data.formats.record import Record

_OF_RECORDS = ("skipped", "templates_mv", "annotated", "recordings", "demographics")
_SHOWN = 6
PartDataset = RecordedDataset | FolderDataset


class DatasetPart(Protocol):
    """Settings of a part: its files, and the preprocessing that it does not share."""

    @property
    def leads(self) -> tuple[str, ...]:
        """Its leads; they correspond to those of the other parts by position."""
        ...

    @property
    def short_name(self) -> str:
        """Prefix of its records and patients, without `/`."""
        ...

    def check_shared(self, shared: SharedPreprocessing) -> None:
        """Check that the preprocessing can be applied.

        Raises:
          ConfigError: It cannot.
        """
        ...

    def with_preprocessing(self, shared: SharedPreprocessing) -> PartDataset:
        """Return the part as a dataset with the preprocessing that all parts share."""
        ...


@settings
class DatabasePart(RecordedFiles):
    """A database as a part; see `RecordedFiles` for the attributes.

    Example:
      >>> part = DatabasePart(database="svdb", leads=["ECG1"])
      >>> part.with_preprocessing(SharedPreprocessing(fs_hz=250)).fs_hz
      250.0
    """

    @property
    def short_name(self) -> str:
        """See `DatasetPart`."""
        return self.entry.name

    def check_shared(self, shared: SharedPreprocessing) -> None:
        """See `DatasetPart.check_shared`."""
        shared.check_band(str(self), self.entry.fs_hz)

    def with_preprocessing(self, shared: SharedPreprocessing) -> RecordedDataset:
        """See `DatasetPart.with_preprocessing`."""
        return RecordedDataset(**_values(self, RecordedFiles), **_values(shared))


@settings
class FolderPart(FolderFiles):
    """A folder of records as a part; see `FolderFiles` for the attributes.

    Example:
      >>> part = FolderPart(path="recordings/ward")
      >>> part.short_name, part.with_preprocessing(SharedPreprocessing(fs_hz=250)).fs_hz
      ('ward', 250.0)
    """

    @property
    def short_name(self) -> str:
        """See `DatasetPart`."""
        return self.title

    def check_shared(self, shared: SharedPreprocessing) -> None:
        """See `DatasetPart.check_shared`: frequencies are known when the records are read."""

    def with_preprocessing(self, shared: SharedPreprocessing) -> FolderDataset:
        """See `DatasetPart.with_preprocessing`."""
        return FolderDataset(**_values(self, FolderFiles), **_values(shared))


def _values(value: Any, kind: Any = SharedPreprocessing) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(kind)}


def check_parts(parts: Mapping[str, DatasetPart], shared: SharedPreprocessing) -> None:
    """Check that parts can be used together.

    Args:
      parts: Key in the configuration, e.g. `dataset.train` -> part.
      shared: Their common preprocessing.

    Raises:
      ConfigError: Two parts have the same name or different numbers of leads, or the preprocessing
        cannot be applied to one of them.
    """
    first_key, first = next(iter(parts.items()))
    names: dict[str, str] = {}
    for key, part in parts.items():
        if (other := names.setdefault(part.short_name, key)) != key:
            raise ConfigError(_same_name(key, part, other))
        if len(part.leads) != len(first.leads):
            raise ConfigError(
                f"{key}.leads=[{','.join(part.leads)}]: leads correspond one to one to "
                f"{first_key}.leads=[{','.join(first.leads)}]; use the same number of leads"
            )
        part.check_shared(shared)


def _same_name(key: str, part: DatasetPart, other: str) -> str:
    if isinstance(part, RecordedFiles):
        return (
            f"{key}.database={part.short_name}: the same as {other}.database; use "
            f"dataset={part.short_name} split=inter_patient"
        )
    return f"{key}: it has the name {part.short_name}, as {other}; use {key}.name= with another one"


def check_all_there(datasets: Mapping[str, PartDataset]) -> None:
    """Check that the files of every part are there; one message names everything that is missing.

    Args:
      datasets: Key in the configuration -> part as a dataset.

    Raises:
      ConfigError: Files were not found.
    """
    absent = []
    for key, dataset in datasets.items():
        try:
            with placed_at(key, dataset):
                dataset.check_there()
        except (DataError, ConfigError) as error:
            absent.append(str(error))
    if absent:
        raise ConfigError("; ".join(absent))


def without_shared(
    datasets: Mapping[str, PartDataset], *, leave_out: bool, remedy: str
) -> tuple[dict[str, PartDataset], tuple[str, ...]]:
    """Return parts of which no two have records of one patient, as far as it is described.

    Databases describe which of their records come from another one (`Database.same_as`). Nothing is
    known of the patients of folders.

    **Guarantees**: A patient of whom two databases are described to have records has beats in one
    part only (`tests/unit/data/cross_database/test_shared_patients.py`).

    Args:
      datasets: Key in the configuration -> part as a dataset. The first one of those that share a
        patient keeps its records.
      leave_out: Leave out the records of the others, instead of raising an error.
      remedy: How to leave them out, for the message.

    Returns:
      The parts, in the given order, and what was left out.

    Raises:
      ConfigError: Two parts share a patient, or all records of a part would be left out.
      DataError: The file `RECORDS` of a database is missing.
    """
    kept: dict[str, PartDataset] = {}
    notes = []
    owners: dict[str, str] = {}
    for key, dataset in datasets.items():
        kept[key] = dataset
        if not isinstance(dataset, RecordedDataset):
            continue
        people = {name: dataset.entry.person_of(name) for name in dataset.names()}
        shared = [name for name, person in people.items() if person in owners]
        if shared:
            others = ", ".join(dict.fromkeys(owners[people[name]] for name in shared))
            what = f"{_first(shared)} of {dataset} from patients of {others}"
            if not leave_out:
                raise ConfigError(f"{key}: record {what}; use {remedy}")
            if len(shared) == len(people):
                raise ConfigError(
                    f"{key}: all records come from patients of {others}, and none is left; leave "
                    "them out of the other part instead"
                )
            kept[key] = replace(dataset, records=[name for name in people if name not in shared])
            notes.append(f"left out: record {what}")
        for name, person in people.items():
            if name not in shared:
                owners.setdefault(person, key)
    return kept, tuple(notes)


def _first(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"{names[0]} comes"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more} come"


def load_parts(
    datasets: Mapping[str, PartDataset],
    names: Iterable[str],
    on_progress: OnProgress | None,
) -> list[BeatSet]:
    """Load the beats of every part; their records and patients begin with the name of the part.

    Args:
      datasets: Key in the configuration -> part as a dataset.
      names: Name of each.
      on_progress: Called with `(done, total, what)` while records are preprocessed, for each part
        in turn.

    Returns:
      The beats of each part, without labels.

    Raises:
      DataError: Files are missing or damaged.
    """
    loaded = []
    for (key, dataset), name in zip(datasets.items(), names, strict=True):
        with placed_at(key, dataset):
            loaded.append(_prefixed(dataset.load(_named(on_progress, name), path=key), name))
    return loaded


def joined(
    loaded: Sequence[BeatSet],
    *,
    keys: Sequence[str],
    lead_names: tuple[str, ...],
    database: str,
    notes: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Return the fields of a `BeatSet` of all parts.

    **Guarantees**: No two records of any parts have the same beats
    (`tests/unit/data/cross_database/test_joined.py`).

    Args:
      loaded: As returned by `load_parts`.
      keys: A word for each part, for the digest.
      lead_names: Of the joined beats.
      database: Of the joined beats.
      notes: Of the joined beats, before those of the parts.

    Raises:
      DataError: Two records, also of different parts, have the same signal.
    """
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(beats, name) for beats in loaded]) for name in COLUMNS
    }
    check_no_copies(columns["record_ids"], columns["signals_mv"])
    merged = {
        name: {key: value for beats in loaded for key, value in getattr(beats, name).items()}
        for name in ("dropped", *_OF_RECORDS)
    }
    codes = [
        beats.quality if len(beats.quality) else np.zeros(len(beats), np.int8) for beats in loaded
    ]
    is_marked = any(len(beats.quality) for beats in loaded)
    return {
        **columns,
        **merged,
        "quality": np.concatenate(codes) if is_marked else np.zeros(0, np.int8),
        "fs_hz": loaded[0].fs_hz,
        "lead_names": lead_names,
        "database": database,
        "digest": digest({key: beats.digest for key, beats in zip(keys, loaded, strict=True)}),
        "patients_are": least_known(beats.patients_are for beats in loaded),
        "notes": (*notes, *(note for beats in loaded for note in beats.notes)),
    }


@contextmanager
def open_parts(datasets: Mapping[str, PartDataset]) -> Iterator[ReadRecord]:
    """Return the context in which records of all parts are read.

    Args:
      datasets: Name of the part -> the part as a dataset.
    """
    with ExitStack() as stack:
        read = {
            name: stack.enter_context(dataset.open_records()) for name, dataset in datasets.items()
        }

        def read_record(record_id: str) -> "Record":
            name, _, record = record_id.partition("/")
            return read[name](record)

        yield read_record


@contextmanager
def placed_at(key: str, part: Any) -> Iterator[None]:
    """Name settings of a part by their full key in error messages."""
    try:
        yield
    except (DataError, ConfigError) as error:
        raise type(error)(placed(str(error), key, type(part))) from error


def _prefixed(beats: BeatSet, name: str) -> BeatSet:
    """Prefix records, patients and reasons of dropped beats with the name of the part."""
    return replace(
        beats,
        record_ids=np.char.add(f"{name}/", beats.record_ids),
        patient_ids=np.char.add(f"{name}/", beats.patient_ids),
        dropped={f"{name}: {reason}": count for reason, count in beats.dropped.items()},
        **{
            values: {f"{name}/{record}": value for record, value in getattr(beats, values).items()}
            for values in _OF_RECORDS
        },
    )


def _named(on_progress: OnProgress | None, name: str) -> OnProgress | None:
    if on_progress is None:
        return None
    return lambda done, total, what: on_progress(done, total, f"{name}/{what}" if what else "")
