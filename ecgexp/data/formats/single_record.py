"""Read a single record by its path: signals and, if it has some, annotations."""

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ecgexp.data.datasets.catalog import Database, published_databases
from ecgexp.data.formats import csv_signals_reader, edf_reader
from ecgexp.data.formats.csv_layout import CsvLayout
from ecgexp.data.formats.discovery import SUFFIXES_OF, Wanted, find_records, format_of
from ecgexp.data.formats.labels import Labels
from ecgexp.data.formats.record import Record
from ecgexp.data.formats.stored_signals import OnSamples, StreamedRecord
from ecgexp.data.formats.untrusted import check_record_name, damaged, printable
from ecgexp.data.formats.wfdb_header import RecordLine, read_record_line
from ecgexp.data.formats.wfdb_reader import files_of, read_record, signals_among
from ecgexp.data.formats.wfdb_stream import store_record
from ecgexp.data.synthetic.database import SYNTHETIC, patient_in, version_of
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.storage.atomic import resolved
from ecgexp.storage.digests import file_sha256

_CSV, _LABELS = CsvLayout(), Labels()
_SUFFIXES = tuple(suffix for each in SUFFIXES_OF.values() for suffix in each)
_SUFFIX = re.compile(r"[A-Za-z0-9]{1,16}")
_LOWEST_HZ, _HIGHEST_HZ = 10.0, 100_000.0


def locate(name: str) -> Path:
    """Return the path of a record without suffix.

    Args:
      name: The path, with or without `.hea`, `.edf`, `.bdf` or `.csv`.

    Returns:
      The path without suffix.

    Raises:
      DataError: There is no such record, there are two, or its name is refused.
    """
    has_suffix = _is_file_name(name)
    stem = Path(name).with_suffix("") if has_suffix else Path(name.removesuffix(".hea"))
    check_record_name(stem.name)
    found = _file_of(stem)
    if found is None:
        raise DataError(
            f"record {printable(name)} was not found: there is no {stem.name}"
            f"{', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]} in {printable(stem.parent)}; use the "
            "path of a WFDB, EDF or CSV record, e.g. data/mitdb/1.0.0/100"
        )
    if has_suffix and found.suffix.lower() != Path(name).suffix.lower():
        raise DataError(
            f"record {printable(name)}: {found.name} beside it is a record of the same name; "
            "rename or move one of them"
        )
    return stem


def file_without_header(stem: Path) -> Path | None:
    """Return the EDF, BDF or CSV file of a record; None for a WFDB record, which has a header.

    Args:
      stem: Path of the record without suffix.
    """
    found = _file_of(stem)
    return None if found is None or format_of(found) == "wfdb" else found


def is_csv(stem: Path) -> bool:
    """Return whether a record, given by its path without suffix, is a CSV file."""
    found = file_without_header(stem)
    return found is not None and format_of(found) == "csv"


def _file_of(stem: Path) -> Path | None:
    """Return the file that a record is named after, with the first suffix of which there is one.

    A CSV file beside an EDF file is a table of its annotations.
    """
    paths = (
        stem.with_name(stem.name + spelled)
        for suffix in _SUFFIXES
        for spelled in dict.fromkeys((suffix, suffix.upper() if suffix != ".hea" else suffix))
    )
    return next(filter(_is_there, paths), None)


def signal_files(stem: Path) -> tuple[Path, ...]:
    """Return the files with the signals of a record, of which some may be missing.

    Args:
      stem: Path of the record without suffix.
    """
    if (file := file_without_header(stem)) is not None:
        return (file,)
    return tuple(signals_among(files_of(stem.parent, stem.name)))


def files_of_single(stem: Path, annotator: str, csv: CsvLayout = _CSV) -> tuple[Path, ...]:
    """Return the files that a record is read from, of which some may be missing.

    Args:
      stem: Path of the record without suffix.
      annotator: Name of the annotator of a WFDB record.
      csv: What the columns of a CSV file mean.
    """
    file = file_without_header(stem)
    if file is None:
        return files_of(stem.parent, stem.name, annotator=annotator)
    if format_of(file) == "edf":
        return edf_reader.files_of(file, annotator=annotator)
    return csv_signals_reader.files_of(file, csv)


def _is_file_name(name: str) -> bool:
    return Path(name).suffix.lower() in _SUFFIXES[1:]


def locate_all(names: Sequence[str], *, skip: bool, csv: CsvLayout = _CSV) -> list[Path]:
    """Return the paths, without suffix, of all records that names stand for.

    Args:
      names: Records as for `locate`, folders, `RECORDS` files, and glob patterns.
      skip: Leave out what has a refused name, instead of raising.
      csv: What the columns of CSV files mean.

    Returns:
      The paths without suffix.

    Raises:
      DataError: There is no record, or one cannot be used.
    """
    stems: list[Path] = []
    for name in names:
        is_file = os.path.isfile(name) and not (name.endswith(".hea") or _is_file_name(name))
        if not (os.path.isdir(name) or is_file or set(name) & set("*?[")):
            stems.append(locate(name))
            continue
        shown = f"RECORD {printable(name)}"
        found = find_records(Path(name), setting=shown, wanted=Wanted(csv=csv))
        if found.refused and not skip:
            raise DataError(f"{shown}: {next(iter(found.refused.values()))}")
        stems += [path.with_suffix("") for path in found.files.values()]
    if not stems:
        raise DataError(
            f"RECORD {printable(names[0])}: there is no record; use a folder of recordings"
        )
    return stems


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # the name is longer than the file system allows
        return False


def reference_file(stem: Path, annotator: str, csv: CsvLayout = _CSV) -> Path | None:
    """Return the annotation file of a record, which need not exist.

    Args:
      stem: Path of the record without suffix.
      annotator: Name of the annotator of a WFDB record.
      csv: What the columns of a CSV file mean.

    Returns:
      The path; None for an EDF file, which may have annotations of its own that are known when it
      is read.

    Raises:
      ConfigError: The name is not valid.
    """
    file = annotation_file(stem, annotator)
    found = file_without_header(stem)
    if found is None:
        return file
    return csv_signals_reader.files_of(found, csv)[1] if is_csv(stem) else None


def annotation_file(stem: Path, annotator: str) -> Path:
    """Return the path of an annotation file, which need not exist.

    Args:
      stem: Path of the record without suffix.
      annotator: Name of its annotator, the suffix of the file.

    Returns:
      The path.

    Raises:
      ConfigError: The name is not valid.
    """
    if not _SUFFIX.fullmatch(annotator):
        raise ConfigError(
            f"the annotator {annotator!r} is refused: a name of letters and digits is needed; "
            "use e.g. atr"
        )
    return stem.with_suffix(f".{annotator}")


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
      DataError: A file is missing or damaged.
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


def database_of(stem: Path) -> Database:
    """Determine the database of a record from its content, its header and its folder.

    Args:
      stem: Its path without suffix, as returned by `locate`.

    Returns:
      The database of the catalog that publishes the same signal file under any name, or whose
      folder contains the record; the virtual patients of a seed if the header states them; else a
      database of this record alone, with the name `record`.

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
        _catalogued(stem, line.fs_hz)
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


def _catalogued(stem: Path, fs_hz: float) -> Database | None:
    """Find the database by the record's folder; the catalog completes its header.

    Headers of svdb lack the gain; the patients of incartdb are in the headers. Which records it
    has is only known if its description lists them.
    """
    for entry in published_databases().values():
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
