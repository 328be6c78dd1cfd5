"""The records of a user's folder: nested or flat, of any frequency, with any leads."""

import glob
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ecgexp.data.beats import PatientsAre
from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats import csv_signals_reader, edf_reader, wfdb_reader
from ecgexp.data.formats.csv_layout import CsvLayout
from ecgexp.data.formats.demographics import Demographics, of_comments, of_edf
from ecgexp.data.formats.discovery import FoundRecords
from ecgexp.data.formats.labels import Labels
from ecgexp.data.formats.patients import PatientRule
from ecgexp.data.formats.record import Record
from ecgexp.data.formats.single_record import check_frequency
from ecgexp.data.formats.untrusted import without_quotes
from ecgexp.data.formats.wanted_files import format_of
from ecgexp.data.formats.wfdb_header import read_record_line
from ecgexp.settings.declaration import DataError

_FIX = "copy the file again, or use dataset.on_error=skip, which leaves the record out"
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class FolderSource:
    """See `RecordSource`.

    **Guarantees**: A record has an id, a patient, leads, times and symbols, and nothing else of its
    header; comments are compared with `patients.comment_pattern` only. `demographics_of`, which is
    used on demand, has sex and decade of age. Messages quote no text of a
    file, which may name a person (`tests/unit/data/folder/test_folder_dataset.py`).

    Attributes:
      name: Name of the dataset, without spaces.
      found: The records that are used, and those that are refused.
      annotator: Suffix of the annotation files.
      labels: How the symbols of annotations are determined.
      patients: How the patients are known.
      csv: What the columns of CSV files mean, and the gain of leads whose header states none.
    """

    name: str
    found: FoundRecords
    annotator: str
    labels: Labels
    patients: PatientRule
    csv: CsvLayout = CsvLayout()

    @property
    def folder(self) -> Path:
        """See `RecordSource`."""
        return self.found.folder

    @property
    def records(self) -> tuple[str, ...]:
        """See `RecordSource`; `files_of` raises the error of those that are refused."""
        return *self.found.files, *self.found.refused

    @property
    def fix(self) -> str:
        """See `RecordSource`."""
        return _FIX

    @property
    def patients_are(self) -> PatientsAre:
        """See `RecordSource`."""
        return self.patients.patients_are

    def files_of(self, record_id: str) -> tuple[Path, ...]:
        """See `RecordSource`."""
        if record_id in self.found.refused:
            raise DataError(f"dataset=folder: {self.found.refused[record_id]}")
        path = self.found.files[record_id]
        match format_of(path):
            case "edf":
                return edf_reader.files_of(path, annotator=self.annotator)
            case "csv":
                files, setting = csv_signals_reader.files_of(path, self.csv), "annotations"
            case "wfdb":
                files = wfdb_reader.files_of(path.parent, path.stem, annotator=self.annotator)
                setting = "annotator"
        if path.is_file() and not files[-1].is_file():
            raise DataError(
                f"dataset=folder: record {record_id} has no annotation file "
                f"{files[-1].name}{self._others(path)}; use dataset.{setting}= with the end of the "
                "names of such files, or dataset.on_error=skip, which leaves the record out"
            )
        return files

    def _others(self, path: Path) -> str:
        """Return the suffixes of other files of the record, one of which may be annotations."""
        others = sorted(
            file.suffix[1:]
            for file in path.parent.glob(f"{glob.escape(path.stem)}.*")
            if file.suffix not in (path.suffix, ".dat", ".mat", ".xws") and file.stem == path.stem
        )
        return f" (there is .{', .'.join(others[:_SHOWN])})" if others else ""

    def signal_files_of(self, record_id: str) -> tuple[Path, ...]:
        """See `RecordSource`."""
        path = self.found.files[record_id]
        if format_of(path) != "wfdb":
            return (path,)
        return tuple(wfdb_reader.signals_among(self.files_of(record_id)))

    def check_files(self, sha256: Mapping[Path, str]) -> None:
        """See `RecordSource`: nothing states what the files must be."""

    def read(self, record_id: str, leads: Sequence[str]) -> Record:
        """See `RecordSource`."""
        path = self.found.files[record_id]
        with self._placed():
            record = self._read_file(record_id, path, self._database(path), leads)
        unusable = {lead: self._relative(why) for lead, why in record.unusable.items()}
        return replace(record, record_id=record_id, unusable=unusable)

    def _database(self, path: Path) -> Database:
        return Database(
            name=self.name,
            version="",
            title="",
            fs_hz=0.0,
            records=(path.stem,),
            lead_names=(),
            adc_gain=self.csv.adc_gain,
            remedy=_FIX,
        )

    def _read_file(
        self, record_id: str, path: Path, database: Database, leads: Sequence[str]
    ) -> Record:
        """Read a record, by the reader of its format, with its patient."""
        match format_of(path):
            case "edf":
                return self._read_edf(record_id, path, database, leads)
            case "csv":
                return self._read_csv(record_id, path, database)
            case "wfdb":
                return self._read_wfdb(record_id, path, database, leads)

    def _read_wfdb(
        self, record_id: str, path: Path, database: Database, leads: Sequence[str]
    ) -> Record:
        line = read_record_line(path, database)
        check_frequency(path, line.fs_hz, database)
        patient = self.patients.patient_of(record_id, line.comments)
        record = wfdb_reader.read_record(
            path.parent,
            path.stem,
            replace(database, fs_hz=line.fs_hz),
            leads,
            annotator=self.annotator,
            labels=self.labels,
        )
        return replace(record, patient_id=patient)

    def _read_edf(
        self, record_id: str, path: Path, database: Database, leads: Sequence[str]
    ) -> Record:
        # The fields of EDF that name the patient are not used: most of them name a person.
        patient = self.patients.patient_of(record_id, ())
        record = edf_reader.read_record(
            path, database, leads, annotator=self.annotator, labels=self.labels
        )
        check_frequency(path, record.signal_hz, database)
        if not len(record.samples):
            raise DataError(
                f"dataset=folder: record {record_id} has no annotations; put {path.stem}.csv with "
                f"the columns sample and symbol, or {path.stem}.{self.annotator}, beside "
                f"{path.name}, or use dataset.on_error=skip, which leaves the record out"
            )
        return replace(record, patient_id=patient)

    def _read_csv(self, record_id: str, path: Path, database: Database) -> Record:
        patient = self.patients.patient_of(record_id, ())
        record = csv_signals_reader.read_record(path, database, self.csv, labels=self.labels)
        check_frequency(path, record.fs_hz, database)
        return replace(record, patient_id=patient)

    def demographics_of(self, record_id: str) -> Demographics:
        """See `RecordSource`; CSV files state nothing of patients."""
        path = self.found.files[record_id]
        with self._placed():
            match format_of(path):
                case "edf":
                    try:
                        return of_edf(path)
                    except OSError as error:
                        raise DataError(f"{path} cannot be read ({error.strerror})") from error
                case "csv":
                    return Demographics()
                case "wfdb":
                    return of_comments(read_record_line(path, self._database(path)).comments)

    @contextmanager
    def _placed(self) -> Iterator[None]:
        """Begin messages with the dataset, and name files relative to its folder."""
        try:
            yield
        except DataError as error:
            raise DataError(self._relative(str(error))) from error

    def _relative(self, message: str) -> str:
        """Name the dataset, and hide what the message quotes of a file."""
        if message.startswith("dataset"):
            return message
        plain = without_quotes(message.replace(f"{self.folder}/", ""))
        return f"dataset=folder: {plain}"

    def identity(self) -> dict[str, Any]:
        """See `RecordSource`."""
        is_csv = [format_of(path) == "csv" for path in self.found.files.values()]
        return {
            "database": self.name,
            "layout": "folder",
            "annotator": self.annotator,
            "symbols_from": self.labels.symbols_from,
            "symbols": dict(self.labels.symbols),
            "adc_gain": self.csv.adc_gain,
            "patients": self._patients(),
        } | ({"csv": asdict(self.csv)} if any(is_csv) else {})

    def _patients(self) -> dict[str, Any]:
        rule = self.patients
        table = None if rule.table is None else sorted(rule.table.items())
        return {
            "table": None if table is None else hashlib.sha256(repr(table).encode()).hexdigest(),
            "name": None if rule.name_pattern is None else rule.name_pattern.pattern,
            "comment": None if rule.comment_pattern is None else rule.comment_pattern.pattern,
        }

    def parameters(self) -> dict[str, Any]:
        """See `RecordSource`."""
        return {"files": {key: str(path) for key, path in self.found.files.items()}}
