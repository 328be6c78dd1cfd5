"""Recorded databases: the database, the folder of its files, and the records."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from ecgexp.data.beats import BeatSet
from ecgexp.data.datasets.base import ReadRecord
from ecgexp.data.datasets.catalog import RECORD_SETS, Database, find_database
from ecgexp.data.preprocessing.settings import (
    Layout,
    Name,
    OnProgress,
    OwnPreprocessing,
    Preprocessing,
    Verify,
)
from ecgexp.settings.declaration import ConfigError, DataError, check_named_once, settings
from ecgexp.settings.paths import Folder
from ecgexp.settings.renamed import OPTIONS, renamed

if TYPE_CHECKING:
    from ecgexp.data.formats.source import RecordSource

_MARKS = {"wfdb": ".hea", "kaggle_csv": ".csv"}
_SEARCH_DEPTH = 5


def names_of(value: Any) -> Any:
    """Return the records of a value of `dataset.records`.

    Args:
      value: The name of a record set of the catalog, e.g. `within_record`, of one record, or any
        other value.

    Returns:
      The records of the set, the one record as a tuple, or `value` unchanged.
    """
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return RECORD_SETS.get(str(value).lower(), (value,))
    return value


@settings
class RecordedFiles(OwnPreprocessing):
    """The files of a database of the catalog, and which of its records and leads are used.

    Attributes:
      database: Its name in the catalog.
      layout: `wfdb`: `.hea`, `.dat`, `.atr`; `kaggle_csv`: `100.csv` and `100annotations.txt`.
      root: Folder below which the files are searched, see `find_folder`.
      records: Record names, or a record set of the catalog (`ds1 ds2 without_pacemaker paced
        two_lead within_record`); None: all records.
      verify: `published`: every file must have the SHA-256 that PhysioNet publishes, if the package
        has a list of them; `header`: check only sizes, header checksums and order, for files that
        were changed deliberately.
      strict: Refuse a record with annotations before its first sample or after its last one, or
        with anything else that is accepted and counted (`Record.notes`).
        Published databases have such records; by default these annotations are left out and
        counted.
    """

    database: str = "mitdb"
    layout: Layout = "wfdb"
    root: Folder = Path("data")
    records: Annotated[tuple[Name, ...] | None, BeforeValidator(names_of)] = None
    verify: Verify = "published"
    strict: bool = False

    def __post_init__(self):
        super().__post_init__()
        entry = find_database(self.database)
        check_named_once("dataset.records", self.records or ())
        unknown = [name for name in self.records or () if name not in entry.records]
        if unknown and (new := OPTIONS.get(f"dataset.records={unknown[0]}")) is not None:
            raise ConfigError(renamed(f"dataset.records={unknown[0]}", new))
        if unknown or self.records == ():
            raise ConfigError(
                f"dataset.records={list(self.records or ())}: {', '.join(unknown) or 'no record'} "
                f"is not in {entry}; use records of {entry.records[0]} … {entry.records[-1]}, or "
                f"one of the sets {', '.join(RECORD_SETS)} of mitdb"
            )
        self.check_recorded(entry.lead_names, f"{entry} has")

    def __str__(self) -> str:
        return str(find_database(self.database))

    def folder(self) -> Path:
        """Find the folder of the files.

        Returns:
          The folder, `root` or below it.

        Raises:
          DataError: No folder, or more than one, has the files; see `find_folder`.
        """
        entry = self._entry()
        return find_folder(self.root, entry, self.records or entry.records, self.layout)

    def _entry(self) -> Database:
        entry = find_database(self.database)
        if self.layout == "kaggle_csv":
            return replace(entry, remedy="unpack mondejar/mitbih-database of Kaggle there")
        return entry


@settings
class RecordedDataset(RecordedFiles, Preprocessing):
    """A database of the catalog, read from files.

    See `RecordedFiles`, `OwnPreprocessing` and `SharedPreprocessing` for the attributes.

    Example:
      >>> dataset = RecordedDataset(records="ds1", window_ms=(200, 300))
      >>> str(dataset), dataset.records[:3], dataset.window_samples
      ('mitdb 1.0.0', ('101', '106', '108'), (72, 108))
    """

    def __post_init__(self):
        super().__post_init__()  # of all bases
        entry = find_database(self.database)
        self.check_band(str(entry), entry.fs_hz)

    def check_there(self) -> None:
        """See `Dataset.check_there`."""
        self.folder()

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

        return preprocess_records(
            self, self._source(), strict=self.strict, on_progress=on_progress, path=path
        )

    @contextmanager
    def open_records(self) -> Iterator[ReadRecord]:
        """See `Dataset.open_records`."""
        source = self._source()
        yield lambda record_id: source.read(record_id, self.recorded_leads)

    @contextmanager
    def open_source(self) -> Iterator["RecordSource"]:
        """See `HasSource`."""
        yield self._source()

    def _source(self) -> "RecordSource":
        # Imported here, because it imports the readers.
        from ecgexp.data.formats.database_source import DatabaseSource

        entry = self._entry()
        return DatabaseSource(
            database=entry,
            folder=self.folder(),
            records=self.records or entry.records,
            layout=self.layout,
            verify=self.verify,
        )


def find_folder(root: Path, database: Database, records: tuple[str, ...], layout: Layout) -> Path:
    """Find the folder below `root` that has files of the records.

    Well-known places are searched first: the folders that `ecgexp-fetch`,
    `wfdb.dl_database` and `wget -r` create, `root` itself, and the unpacked zip file. Then all
    folders down to five levels are searched.

    Args:
      root: The data root.
      database: The database.
      records: Record names; one of them is sufficient.
      layout: Layout of the files.

    Returns:
      The folder.

    Raises:
      DataError: No folder was found, or several that are not well-known places.
    """
    wanted = {f"{record}{_MARKS[layout]}" for record in records}
    tail = Path(database.slug or database.name)
    for place in (
        tail,
        database.name,
        "",
        Path("files") / tail,
        Path("physionet.org/files") / tail,
        f"{database.name}_csv",
    ):
        if any((root / place / name).is_file() for name in wanted):
            return root / place
    found = sorted(_folders_with(root, wanted))
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
