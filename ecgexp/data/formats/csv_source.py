"""The recordings of a user's folder in CSV files, each with a table of annotations."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats import csv_signals_reader
from ecgexp.data.formats.csv_signals_reader import SUFFIX, CsvLayout
from ecgexp.data.formats.discovery import FoundRecords, gathered
from ecgexp.data.formats.folder_source import FolderSource
from ecgexp.data.formats.record import Record
from ecgexp.data.formats.single_record import check_frequency
from ecgexp.settings.declaration import DataError

_WILDCARDS = "*?["


def find_recordings(
    path: Path, annotations: str, *, others: Sequence[Path | None], setting: str
) -> FoundRecords:
    """Find the recordings of a path.

    A folder is searched with all its subfolders, except hidden ones and links to folders.

    Args:
      path: A folder, a recording, or a glob pattern.
      annotations: End of the names of annotation tables, which are no recordings.
      others: CSV files that are no recordings, such as that of the patients.
      setting: The path as the user wrote it, for messages.

    Returns:
      The recordings.

    Raises:
      DataError: There is no such path, or it has no recording.
    """
    not_recordings = {each.resolve() for each in others if each is not None}
    if path.is_dir():
        folder, files = path, _in_folder(path)
    elif path.is_file():
        folder, files = path.parent, iter([path])
    else:
        first = next(
            (n for n, part in enumerate(path.parts) if set(part) & set(_WILDCARDS)), len(path.parts)
        )
        folder = Path(*path.parts[:first])
        pattern = "/".join(path.parts[first:])
        files = folder.glob(pattern) if pattern and ".." not in path.parts[first:] else iter(())
    found = [
        file
        for file in files
        if file.suffix.lower() == SUFFIX
        and not file.name.endswith(annotations)
        and file.is_file()
        and file.resolve() not in not_recordings
    ]
    if not found:
        raise DataError(
            f"{setting}: no recording was found, which would be a file {SUFFIX} whose name does "
            f"not end with {annotations}; use the folder of the recordings"
        )
    return gathered(folder, found, is_complete=path.is_dir())


def _in_folder(folder: Path) -> Iterator[Path]:
    for place, subfolders, names in os.walk(folder):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


@dataclass(frozen=True, kw_only=True)
class CsvSource(FolderSource):
    """See `RecordSource`.

    Attributes:
      layout: What the columns mean.
    """

    layout: CsvLayout

    def files_of(self, record_id: str) -> tuple[Path, ...]:
        """See `RecordSource`."""
        if record_id in self.found.refused:
            raise DataError(f"dataset=csv: {self.found.refused[record_id]}")
        path = self.found.files[record_id]
        files = csv_signals_reader.files_of(path, self.layout)
        if path.is_file() and not files[-1].is_file():
            raise DataError(
                f"dataset=csv: record {record_id} has no annotations {files[-1].name}; use "
                "dataset.annotations= with the end of their names, or dataset.on_error=skip, which "
                "leaves the record out"
            )
        return files

    def signal_files_of(self, record_id: str) -> tuple[Path, ...]:
        """See `RecordSource`."""
        return (self.found.files[record_id],)

    def _read_file(
        self, record_id: str, path: Path, database: Database, leads: Sequence[str]
    ) -> Record:
        patient = self.patients.patient_of(record_id, ())
        record = csv_signals_reader.read_record(path, database, self.layout, labels=self.labels)
        check_frequency(path, record.fs_hz, database)
        return replace(record, patient_id=patient)

    def _relative(self, message: str) -> str:
        return super()._relative(message).replace("dataset=folder:", "dataset=csv:", 1)

    def identity(self) -> dict[str, Any]:
        """See `RecordSource`."""
        return {**super().identity(), "layout": "csv", "columns": asdict(self.layout)}
