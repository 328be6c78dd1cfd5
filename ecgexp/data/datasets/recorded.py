"""Recorded databases: which one, where its files are, which records."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from ecgexp.data.beats import BeatSet
from ecgexp.data.datasets.catalog import RECORD_SETS, Database, find_database
from ecgexp.data.preprocessing.settings import Layout, Name, OnProgress, Preprocessing, Verify
from ecgexp.settings.declaration import ConfigError, DataError, check_named_once, settings
from ecgexp.settings.paths import Folder
from ecgexp.settings.renamed import OPTIONS, renamed

_MARKS = {"wfdb": ".hea", "kaggle_csv": ".csv"}
_SEARCH_DEPTH = 5


def names_of(value: Any) -> Any:
    """The records that `dataset.records` names: a record set's name, e.g. `within_record`, stands for its records."""
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return RECORD_SETS.get(str(value).lower(), (value,))
    return value


@settings
class RecordedDataset(Preprocessing):
    """A database of the catalog, read from files.

    Attributes:
      database: its name in the catalog.
      layout: `wfdb`: `.hea`, `.dat`, `.atr`; `kaggle_csv`: `100.csv` and `100annotations.txt`.
      root: folder below which the files are found, in any of the layouts people have.
      records: their names, or one of the catalog's record sets (`ds1 ds2 without_pacemaker paced two_lead within_record`); None: all.
      verify: `published`: every file must be the one PhysioNet publishes, where the package knows its SHA-256;
        `header`: sizes, header checksums and order only, for files changed on purpose.
      strict: refuse a record with annotations before its first sample or beyond its last one. Published databases have such
        records; by default those annotations are left out and counted.
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
                f"dataset.records={list(self.records or ())}: {', '.join(unknown) or 'no record'} is not in {entry}; "
                f"it has {entry.records[0]} … {entry.records[-1]}, and the sets {', '.join(RECORD_SETS)} of mitdb"
            )
        if absent := [name for name in self.leads if name not in entry.lead_names]:
            raise ConfigError(
                f"dataset.leads: {entry} has no lead {', '.join(absent)}; it has {', '.join(entry.lead_names)}"
            )
        if self.baseline == "bandpass" and self.bandpass_hz[1] >= entry.fs_hz / 2:
            raise ConfigError(
                f"dataset.bandpass_hz={list(self.bandpass_hz)}: {entry} at {entry.fs_hz:g} Hz can be filtered below "
                f"{entry.fs_hz / 2:g} Hz only; try [0.5,40]"
            )

    def __str__(self) -> str:
        return str(find_database(self.database))

    def folder(self) -> Path:
        """Where the files are.

        Raises:
          DataError: nowhere below `root`.
        """
        entry = self._entry()
        return find_folder(self.root, entry, self.records or entry.records, self.layout)

    def load(self, on_progress: OnProgress | None = None, *, path: str = "dataset") -> BeatSet:
        """All beats of the records, without labels.

        Args:
          on_progress: told `(done, total, what)` while records are prepared.
          path: where these settings stand in the configuration, for what is said of them.

        Raises:
          DataError: files are missing or damaged.
        """
        entry, folder = self._entry(), self.folder()
        from ecgexp.data.preprocessing.pipeline import (
            preprocess_records,
        )  # only now: it pulls in the readers

        return preprocess_records(
            self, database=entry, folder=folder, records=self.records or entry.records, layout=self.layout,
            verify=self.verify, strict=self.strict, on_progress=on_progress, path=path,
        )  # fmt: skip

    def _entry(self) -> Database:
        entry = find_database(self.database)
        if self.layout == "kaggle_csv":
            return replace(entry, remedy="unpack Kaggle's mondejar/mitbih-database there")
        return entry


def find_folder(root: Path, database: Database, records: tuple[str, ...], layout: Layout) -> Path:
    """The folder below `root` that holds the records' files.

    The usual places come first: `root` itself, what `wfdb.dl_database` and `scripts/fetch_data.py` make, what `wget -r`
    makes, the unpacked zip. Then every folder down to five levels is looked at.

    Raises:
      DataError: there is none, or more than one beside the usual places.
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
            f"{database.name} was found in {', '.join(map(str, found))}; say which with dataset.root="
        )
    if not found:
        raise DataError(
            f"dataset={database.name}{'_csv' if layout == 'kaggle_csv' else ''} not found in {root} → "
            f"{database.fix} or set ECGEXP_DATA to the folder that has it"
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
