"""Read a single record by its path: signals and, if it has some, annotations."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ecgexp.data.datasets.catalog import Database, published_databases
from ecgexp.data.formats import csv_signals_reader, edf_reader
from ecgexp.data.formats.csv_layout import CsvLayout
from ecgexp.data.formats.labels import Labels
from ecgexp.data.formats.record import Record
from ecgexp.data.formats.record_paths import annotation_file, file_without_header
from ecgexp.data.formats.stored_signals import OnSamples, StreamedRecord
from ecgexp.data.formats.untrusted import damaged, hides_texts
from ecgexp.data.formats.wanted_files import format_of
from ecgexp.data.formats.wfdb_header import RecordLine, read_record_line
from ecgexp.data.formats.wfdb_reader import files_of, read_record
from ecgexp.data.formats.wfdb_stream import store_record
from ecgexp.data.synthetic.database import SYNTHETIC, patient_in, version_of
from ecgexp.storage.atomic import resolved
from ecgexp.storage.digests import file_sha256

_CSV, _LABELS = CsvLayout(), Labels()
_LOWEST_HZ, _HIGHEST_HZ = 10.0, 100_000.0


@hides_texts()
def read_single(
    stem: Path,
    *,
    annotator: str | None,
    leads: Sequence[str] = (),
    database: Database | None = None,
    csv: CsvLayout = _CSV,
    labels: Labels = _LABELS,
) -> tuple[Record, Database]:
    """Read a record with the reader of datasets, and with the same checks.

    Args:
      stem: Its path without suffix, as returned by `locate`.
      annotator: Suffix of its annotation file; None: the record has no annotations. An EDF file may
        have annotations of its own, or a CSV beside it, instead; a CSV file has a table.
      leads: Leads that are needed, as in `wfdb_reader.read_record`.
      database: As returned by `database_of`; None: determined here.
      csv: What the columns of a CSV file mean.
      labels: How symbols are determined.

    Returns:
      record: The record; `samples` and `symbols` are empty without an annotator.
      database: See `database_of`.

    Raises:
      DataError: A file is missing or damaged; the message quotes no text of it, which may name a
        person.
    """
    database = database or database_of(stem)
    if (file := file_without_header(stem)) is not None:
        record = (
            edf_reader.read_record(file, database, leads, annotator=annotator, labels=labels)
            if format_of(file) == "edf"
            else csv_signals_reader.read_record(
                file, database, csv, has_annotations=annotator is not None, labels=labels
            )
        )
        check_frequency(file, record.signal_hz, database)
        return record, database
    if annotator is not None and not annotation_file(stem, annotator).is_file():
        raise damaged(annotation_file(stem, annotator), "is missing", database)
    record = read_record(
        stem.parent, stem.name, database, leads, annotator=annotator, labels=labels
    )
    return record, database


@hides_texts()
def open_single(
    stem: Path,
    *,
    annotator: str | None,
    leads: Sequence[Sequence[str]],
    database: Database,
    scratch: Path,
    csv: CsvLayout = _CSV,
    labels: Labels = _LABELS,
    on_samples: OnSamples = lambda _: None,
) -> StreamedRecord:
    """Read a record like `read_single`, but keep its signals in scratch files.

    Args:
      stem: See `read_single`.
      annotator: See `read_single`.
      leads: For each lead that is needed its spellings.
      database: As returned by `database_of`.
      scratch: An existing folder.
      csv: What the columns of a CSV file mean.
      labels: How symbols are determined.
      on_samples: Called with the number of frames that were read since the last call.

    Returns:
      The record. Formats other than WFDB are read whole, and are in memory.

    Raises:
      DataError: See `read_single`.
    """
    if file_without_header(stem) is None:
        if annotator is not None and not annotation_file(stem, annotator).is_file():
            raise damaged(annotation_file(stem, annotator), "is missing", database)
        return store_record(
            stem.parent,
            stem.name,
            database,
            leads,
            annotator=annotator,
            scratch=scratch,
            labels=labels,
            on_samples=on_samples,
        )
    names = [name for spellings in leads for name in spellings]
    record, _ = read_single(
        stem, annotator=annotator, leads=names, database=database, csv=csv, labels=labels
    )
    return StreamedRecord.in_memory(record)


@hides_texts()
def database_of(stem: Path, own: Sequence[Database] = ()) -> Database:
    """Determine the database of a record from its content, its header and its folder.

    Args:
      stem: Its path without suffix, as returned by `locate`.
      own: The user's own databases.

    Returns:
      The database of the catalog that publishes the same signal file under any name; or that of the
      catalog or the user whose name is that of a folder with the record; the virtual patients of a
      seed if the header states them; else a database of this record alone, with the name `record`.

    Raises:
      DataError: The header is missing or damaged.
    """
    unknown = Database(
        name="record",
        version=stem.name,
        title="A single record",
        fs_hz=0.0,
        records=(stem.name,),
        lead_names=(),
        remedy="copy the record's files again",
    )
    if file_without_header(stem) is not None:
        return unknown
    header_path = stem.with_suffix(".hea")
    line = read_record_line(header_path, unknown)
    check_frequency(header_path, line.fs_hz, unknown)
    if published := _published(stem, line.fs_hz):
        entry, name = published
        patients = {**entry.same_patient, stem.name: entry.patient_of(name, line.comments)}
        return replace(entry, same_patient=patients, remedy=unknown.remedy)
    return (
        _catalogued(stem, line.fs_hz, (*own, *published_databases().values()))
        or _synthetic(stem, line, unknown)
        or replace(unknown, fs_hz=line.fs_hz)
    )


def check_frequency(header_path: Path, fs_hz: float, database: Database) -> None:
    """Check that a frequency can be that of an ECG, because a recording is resampled from it.

    Args:
      header_path: The file that states it.
      fs_hz: The frequency.
      database: Gives the remedy.

    Raises:
      DataError: It is too low or too high.
    """
    if not _LOWEST_HZ <= fs_hz <= _HIGHEST_HZ:
        allowed = f"{_LOWEST_HZ:g} to {_HIGHEST_HZ:g} Hz"
        raise damaged(header_path, f"states {fs_hz:g} Hz, not {allowed}", database)


def published_name(stem: Path) -> str:
    """Return the name of a record in the database that publishes its signal, or its own name."""
    published = None if file_without_header(stem) else _published(stem, None)
    return published[1] if published else stem.name


def _published(stem: Path, fs_hz: float | None) -> tuple[Database, str] | None:
    """Find the published signal file with the SHA-256 of this one, under any name."""
    _, *signals, _ = files_of(stem.parent, stem.name)
    for entry in published_databases().values():
        names = {
            digest: name
            for name, digest in entry.published_sha256().items()
            if name.endswith(".dat")
        }
        if (
            not names
            or fs_hz not in (None, entry.fs_hz)
            or len(signals) != 1
            or not signals[0].is_file()
        ):
            continue
        if (name := names.get(file_sha256(signals[0]))) is not None:
            return entry, name.removesuffix(".dat")
    return None


def _catalogued(stem: Path, fs_hz: float, known: Sequence[Database]) -> Database | None:
    """Find the database by the record's folder; the catalog completes its header.

    Headers of svdb lack the gain; the patients of incartdb are in the headers. Which records it
    has is only known if its description lists them.
    """
    for entry in known:
        if (
            entry.name in resolved(stem).parts
            and (entry.records is None or stem.name in entry.records)
            and fs_hz == entry.fs_hz
        ):
            return entry
    return None


def _synthetic(stem: Path, line: RecordLine, unknown: Database) -> Database | None:
    """Return the database of virtual patients if the header states the patient and the seed."""
    if not any(comment.startswith(SYNTHETIC) for comment in line.comments):
        return None
    entry = replace(unknown, name="synthetic", fs_hz=line.fs_hz)
    if (stated := patient_in(line.comments)) is None:
        return entry
    patient_id, seed = stated
    return replace(entry, version=version_of(seed), same_patient={stem.name: patient_id})
