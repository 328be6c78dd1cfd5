"""Recorded databases: the database, the folder of its files, and the records."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, ValidationInfo

from ecgexp.data.beats import BeatSet
from ecgexp.data.datasets.base import ReadRecord
from ecgexp.data.datasets.catalog import Database, find_database, names_in
from ecgexp.data.preprocessing.settings import (
    Layout,
    Name,
    OnProgress,
    OwnPreprocessing,
    Preprocessing,
    Verify,
)
from ecgexp.settings.declaration import ConfigError, DataError, check_named_once, settings
from ecgexp.settings.installation import to_type
from ecgexp.settings.paths import Folder
from ecgexp.settings.renamed import OPTIONS, renamed

if TYPE_CHECKING:
    from ecgexp.data.formats.source import RecordSource

_MARKS = {"wfdb": ".hea", "kaggle_csv": ".csv"}
_LIST = "RECORDS"
_SEARCH_DEPTH = 5


def names_of(value: Any) -> Any:
    """Return the records of a value of `dataset.records` of a user's own recordings.

    Args:
      value: The name of a record set of mitdb, e.g. `within_record`, of which the recordings may be
        a copy; of one record; or any other value.

    Returns:
      The records of the set, the one record as a tuple, or `value` unchanged.
    """
    return names_in(value, find_database("mitdb"))


def _described(database: Database | str) -> Database:
    return find_database(database) if isinstance(database, str) else database


def _records_of(value: Any, info: ValidationInfo) -> Any:
    database = info.data.get("database")
    return value if database is None else names_in(value, _described(database))


@settings
class RecordedFiles(OwnPreprocessing):
    """The files of a database, and which of its records and leads are used.

    Attributes:
      database: The name of a published database of `conf/database/`, or the description of another
        one.
      layout: `wfdb`: `.hea`, `.dat`, `.atr`; `kaggle_csv`: `100.csv` and `100annotations.txt`.
      root: Folder below which the files are searched, see `find_folder`.
      records: Record names, or a record set of the database (of mitdb `ds1 ds2 without_pacemaker
        paced two_lead within_record`); None: all records with beats.
      verify: `published`: every file must have the SHA-256 that PhysioNet publishes, if the package
        has a list of them; `header`: check only sizes, header checksums and order, for files that
        were changed deliberately.
      strict: Refuse a record with annotations before its first sample or after its last one, or
        with anything else that is accepted and counted (`Record.notes`).
        Published databases have such records; by default these annotations are left out and
        counted.
      demographics: State in the result how many patients of each split have which sex and which
        decade of age, as headers state them.
    """

    database: Database | str = "mitdb"
    layout: Layout = "wfdb"
    root: Folder = Path("data")
    records: Annotated[tuple[Name, ...] | None, BeforeValidator(_records_of)] = None
    verify: Verify = "published"
    strict: bool = False
    demographics: bool = False

    def __post_init__(self):
        super().__post_init__()
        entry = self.entry
        if isinstance(self.database, Database):
            self.database.checked("dataset.database")
        check_named_once("dataset.records", self.records or ())
        self._check_records(entry)
        if entry.lead_names:
            self.check_recorded(entry.lead_names, f"{entry} has")

    def _check_records(self, entry: Database) -> None:
        from ecgexp.data.formats.untrusted import is_record_name

        there = entry.records
        unknown = [
            name
            for name in self.records or ()
            if (name not in there if there else not is_record_name(name))
        ]
        if unknown and (new := OPTIONS.get(f"dataset.records={unknown[0]}")) is not None:
            raise ConfigError(renamed(f"dataset.records={unknown[0]}", new))
        if unknown or self.records == ():
            sets = f", or one of the sets {', '.join(entry.record_sets)}"
            raise ConfigError(
                f"dataset.records={list(self.records or ())}: {', '.join(unknown) or 'no record'} "
                f"is not in {entry}; use "
                + (f"records of {there[0]} … {there[-1]}" if there else "dataset.records=null")
                + (sets if entry.record_sets else "")
            )
        for name in self.records or ():
            if (why := entry.why_left_out(name)) is not None:
                raise ConfigError(
                    f"dataset.records={list(self.records or ())}: {name} of {entry} is {why}; "
                    "leave it out"
                )

    def __str__(self) -> str:
        return str(self.entry)

    @property
    def entry(self) -> Database:
        """The description of the database."""
        return _described(self.database)

    def folder(self) -> Path:
        """Find the folder of the files.

        Returns:
          The folder, `root` or below it.

        Raises:
          DataError: No folder, or more than one, has the files; see `find_folder`.
          ConfigError: The database has no classes of beats.
        """
        entry = self._entry()
        if entry.no_beat_classes:
            raise ConfigError(
                f"dataset.database={entry.name}: it has no classes of beats, but "
                f"{entry.no_beat_classes}, so that no model can be trained or scored on it; use "
                "another database, or annotate its records by a trained model with "
                f"{to_type('ecgexp-predict')}"
            )
        return find_folder(self.root, entry, self.records or entry.records, self.layout)

    def names(self) -> tuple[str, ...]:
        """Return the names of the records that are used.

        Raises:
          DataError: The database is not there, or its file `RECORDS` is missing.
        """
        entry = self._entry()
        return self.records or tuple(
            name for name in all_records(entry, self.folder()) if entry.why_left_out(name) is None
        )

    def notes(self) -> tuple[str, ...]:
        """Return what a reader of the scores must know of the database."""
        entry = self._entry()
        found = []
        if not entry.verified:
            found.append(
                f"{entry}: its description was never compared with the files of the database; "
                "compare numbers of records, patients and leads with its publication"
            )
        left_out: dict[str, list[str]] = {}
        for name in () if self.records else all_records(entry, self.folder()):
            if (why := entry.why_left_out(name)) is not None:
                left_out.setdefault(why, []).append(name)
        found += [
            f"{entry}: left out: {', '.join(names)} ({why})" for why, names in left_out.items()
        ]
        return tuple(found)

    def _entry(self) -> Database:
        if self.layout == "kaggle_csv":
            return replace(self.entry, remedy="unpack mondejar/mitbih-database of Kaggle there")
        return self.entry


def all_records(entry: Database, folder: Path) -> tuple[str, ...]:
    """Return the records of a database: as it is described, else as its file `RECORDS` lists them.

    Args:
      entry: The database.
      folder: Folder of its files.

    Raises:
      DataError: The file is missing or lists no record.
    """
    if entry.records is not None:
        return entry.records
    from ecgexp.data.formats.discovery import listed_names

    return listed_names(folder, entry)


@settings
class RecordedDataset(RecordedFiles, Preprocessing):
    """A database, read from files.

    See `RecordedFiles`, `OwnPreprocessing` and `SharedPreprocessing` for the attributes.

    Example:
      >>> dataset = RecordedDataset(records="ds1", window_ms=(200, 300))
      >>> str(dataset), dataset.records[:3], dataset.window_samples
      ('mitdb 1.0.0', ('101', '106', '108'), (72, 108))
    """

    def __post_init__(self):
        super().__post_init__()  # of all bases
        self.check_band(str(self), self.entry.fs_hz)

    def check_there(self) -> None:
        """See `Dataset.check_there`."""
        self.folder()
        self.names()

    def load(self, on_progress: OnProgress | None = None, *, path: str = "dataset") -> BeatSet:
        """Load all beats of the records, without labels.

        Args:
          on_progress: Called with `(done, total, what)` while records are preprocessed.
          path: Key of these settings in the configuration, for messages.

        Returns:
          The beats, in the order of the records.

        Raises:
          DataError: Files are missing or damaged.
        """
        # Imported here, because it imports SciPy.
        from ecgexp.data.preprocessing.pipeline import preprocess_records

        beats = preprocess_records(
            self,
            self._source(),
            strict=self.strict,
            demographics=self.demographics,
            on_progress=on_progress,
            path=path,
        )
        return replace(beats, notes=(*beats.notes, *self.notes()))

    @contextmanager
    def open_records(self) -> Iterator[ReadRecord]:
        """See `Dataset.open_records`."""
        with self.open_source() as source:
            yield lambda record_id: source.read(record_id, self.recorded_leads)

    @contextmanager
    def open_source(self) -> Iterator["RecordSource"]:
        """See `HasSource`."""
        yield self._source()

    def _source(self) -> "RecordSource":
        # Imported here, because it imports the readers.
        from ecgexp.data.formats.database_source import DatabaseSource

        return DatabaseSource(
            database=self._entry(),
            folder=self.folder(),
            records=self.names(),
            layout=self.layout,
            verify=self.verify,
        )


def find_folder(
    root: Path, database: Database, records: tuple[str, ...] | None, layout: Layout
) -> Path:
    """Find the folder below `root` that has files of the records.

    Well-known places are searched first: the folders that `ecgexp-fetch`,
    `wfdb.dl_database` and `wget -r` create, `root` itself, and the unpacked zip file. Then all
    folders down to five levels are searched.

    Args:
      root: The data root.
      database: The database.
      records: Record names; one of them is sufficient. None: they are not known, and a file
        `RECORDS` is searched, in folders with the name of the database.
      layout: Layout of the files.

    Returns:
      The folder.

    Raises:
      DataError: No folder was found, or several that are not well-known places.
    """
    wanted = {f"{record}{_MARKS[layout]}" for record in records or ()} or {_LIST}
    tail = Path(database.slug or database.name)
    for place in (
        tail,
        database.name,
        "",
        Path("files") / tail,
        Path("physionet.org/files") / tail,
        f"{database.name}_csv",
    ):
        if any((root / place / name).is_file() for name in wanted) and (
            records is not None or _is_named(root / place, database)
        ):
            return root / place
    found = sorted(
        folder
        for folder in _folders_with(root, wanted)
        if records is not None or _is_named(folder, database)
    )
    if len(found) > 1:
        raise DataError(
            f"dataset.root={root}: {database.name} was found in {', '.join(map(str, found))}; "
            f"use dataset.root={found[0]} or another one of them"
        )
    if not found:
        option = f"{database.name}_csv" if layout == "kaggle_csv" else database.name
        raise DataError(
            f"dataset={option}: not found in {root}; {database.fix}, or set ECGEXP_DATA to the "
            "folder that has it"
        )
    return found[0]


def _is_named(folder: Path, database: Database) -> bool:
    """Return whether a folder has the name of the database, as on PhysioNet or unpacked."""
    title = re.sub(r"[^a-z0-9]+", "-", database.title.lower()).strip("-")
    names = {database.name, f"{database.name}-{database.version}", f"{title}-{database.version}"}
    return bool(names & {part.lower() for part in folder.absolute().parts[-2:]})


def _folders_with(root: Path, wanted: set[str]) -> Iterator[Path]:
    for folder, subfolders, names in os.walk(root):
        if wanted & set(names):
            yield Path(folder)
        depth = len(Path(folder).relative_to(root).parts)
        subfolders[:] = (
            [name for name in subfolders if not name.startswith(".")]
            if depth < _SEARCH_DEPTH
            else []
        )
