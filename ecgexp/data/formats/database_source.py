"""The records of a published, own or generated database in one folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgexp.data.beats import PatientsAre
from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats import csv_reader, wfdb_reader
from ecgexp.data.formats.demographics import Demographics, of_comments
from ecgexp.data.formats.integrity import check_published
from ecgexp.data.formats.record import Record
from ecgexp.data.formats.untrusted import check_record_name
from ecgexp.data.formats.wfdb_header import read_record_line
from ecgexp.data.preprocessing.settings import Layout, Verify

_READ_BY = (
    "fs_hz",
    "num_samples",
    "adc_gain",
    "adc_zero",
    "same_patient",
    "patient_pattern",
    "patient_comment",
    "same_as",
)
_READERS = {"wfdb": wfdb_reader, "kaggle_csv": csv_reader}


@dataclass(frozen=True, kw_only=True)
class DatabaseSource:
    """See `RecordSource`.

    Attributes:
      database: The database of the records.
      folder: Folder of their files, without subfolders.
      records: Their names.
      layout: WFDB files, or the CSV files of Kaggle.
      verify: `published`: compare every file with PhysioNet's SHA-256, if the package has a list of
        them; `header`: only sizes, checksums and order, which are always checked.

    Raises:
      DataError: A name is not that of a record.
    """

    database: Database
    folder: Path
    records: Sequence[str]
    layout: Layout = "wfdb"
    verify: Verify = "published"

    def __post_init__(self):
        for record_id in self.records:
            check_record_name(record_id)

    @property
    def name(self) -> str:
        """See `RecordSource`."""
        return str(self.database)

    @property
    def fix(self) -> str:
        """See `RecordSource`."""
        return self.database.fix

    @property
    def patients_are(self) -> PatientsAre:
        """See `RecordSource`: the database's description states the patients."""
        return "stated"

    def files_of(self, record_id: str) -> tuple[Path, ...]:
        """See `RecordSource`."""
        return _READERS[self.layout].files_of(self.folder, record_id)

    def signal_files_of(self, record_id: str) -> tuple[Path, ...]:
        """See `RecordSource`."""
        return tuple(_READERS[self.layout].signals_among(self.files_of(record_id)))

    def check_files(self, sha256: Mapping[Path, str]) -> None:
        """See `RecordSource`."""
        if self.verify == "published":
            check_published(sha256, self.database)

    def read(self, record_id: str, leads: Sequence[str]) -> Record:
        """See `RecordSource`."""
        return _READERS[self.layout].read_record(self.folder, record_id, self.database, leads)

    def demographics_of(self, record_id: str) -> Demographics:
        """See `RecordSource`; the CSV layout of Kaggle states nothing of patients."""
        if self.layout != "wfdb":
            return Demographics()
        line = read_record_line(self.folder / f"{record_id}.hea", self.database)
        return of_comments(line.comments)

    def identity(self) -> dict[str, Any]:
        """See `RecordSource`."""
        return {"database": str(self.database), "layout": self.layout}

    def parameters(self) -> dict[str, Any]:
        """See `RecordSource`: beats also depend on the description of the database."""
        return {"catalog": {name: str(getattr(self.database, name)) for name in _READ_BY}}
