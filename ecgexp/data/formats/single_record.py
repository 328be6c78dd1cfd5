"""Read a single WFDB or EDF record by its path: signals and, if it has some, annotations."""

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ecgexp.data.datasets.catalog import Database, published_databases
from ecgexp.data.formats import edf_reader
from ecgexp.data.formats.discovery import find_records
from ecgexp.data.formats.record import Record
from ecgexp.data.formats.untrusted import check_record_name, damaged, printable
from ecgexp.data.formats.wfdb_header import RecordLine, read_record_line
from ecgexp.data.formats.wfdb_reader import files_of, read_record, signals_among
from ecgexp.data.synthetic.database import SYNTHETIC, patient_in, version_of
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.storage.atomic import resolved
from ecgexp.storage.digests import file_sha256

_SUFFIX = re.compile(r"[A-Za-z0-9]{1,16}")
_LOWEST_HZ, _HIGHEST_HZ = 10.0, 100_000.0


def locate(name: str) -> Path:
    """Return the path of a record without suffix.

    Args:
      name: The path, with or without `.hea`, `.edf` or `.bdf`.

    Returns:
      The path without suffix.

    Raises:
      DataError: There is no such record, there are two, or its name is refused.
    """
    is_edf = _is_edf(name)
    stem = Path(name).with_suffix("") if is_edf else Path(name.removesuffix(".hea"))
    check_record_name(stem.name)
    has_header = _is_there(stem.with_suffix(".hea"))
    if is_edf and has_header:
        raise DataError(
            f"record {printable(name)}: {stem.name}.hea beside it is a record of the same name; "
            "rename or move one of them"
        )
    if not has_header and edf_file(stem) is None:
        raise DataError(
            f"record {printable(name)} was not found: there is no {stem.name}.hea, .edf or .bdf in "
            f"{printable(stem.parent)}; use the path of a WFDB or EDF record, e.g. "
            "data/mitdb/1.0.0/100"
        )
    return stem


def edf_file(stem: Path) -> Path | None:
    """Return the EDF or BDF file of a record; None for a WFDB record, which has a header.

    Args:
      stem: Path of the record without suffix.
    """
    if _is_there(stem.with_name(f"{stem.name}.hea")):
        return None
    paths = (
        stem.with_name(stem.name + spelled)
        for suffix in edf_reader.SUFFIXES
        for spelled in (suffix, suffix.upper())
    )
    return next(filter(_is_there, paths), None)


def signal_files(stem: Path) -> tuple[Path, ...]:
    """Return the files with the signals of a record, of which some may be missing.

    Args:
      stem: Path of the record without suffix.
    """
    if (edf := edf_file(stem)) is not None:
        return (edf,)
    return tuple(signals_among(files_of(stem.parent, stem.name)))


def _is_edf(name: str) -> bool:
    return Path(name).suffix.lower() in edf_reader.SUFFIXES


def locate_all(names: Sequence[str], *, skip: bool) -> list[Path]:
    """Return the paths, without suffix, of all records that names stand for.

    Args:
      names: Records as for `locate`, folders, `RECORDS` files, and glob patterns.
      skip: Leave out what has a refused name, instead of raising.

    Returns:
      The paths without suffix.

    Raises:
      DataError: There is no record, or one cannot be used.
    """
    stems: list[Path] = []
    for name in names:
        is_file = os.path.isfile(name) and not (name.endswith(".hea") or _is_edf(name))
        if not (os.path.isdir(name) or is_file or set(name) & set("*?[")):
            stems.append(locate(name))
            continue
        shown = f"RECORD {printable(name)}"
        found = find_records(Path(name), setting=shown)
        if found.refused and not skip:
            raise DataError(f"{shown}: {next(iter(found.refused.values()))}")
        stems += [path.with_suffix("") for path in found.files.values()]
    if not stems:
        raise DataError(
            f"RECORD {printable(names[0])}: there is no record; use a folder of .hea or .edf files"
        )
    return stems


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # the name is longer than the file system allows
        return False


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
) -> tuple[Record, Database]:
    """Read a record with the reader of datasets, and with the same checks.

    Args:
      stem: Its path without suffix, as returned by `locate`.
      annotator: Suffix of its annotation file; None: the record has no annotations. An EDF file may
        have annotations of its own, or a CSV beside it, instead.
      leads: Leads that are needed, as in `wfdb_reader.read_record`.
      database: As returned by `database_of`; None: determined here.

    Returns:
      record: The record; `samples` and `symbols` are empty without an annotator.
      database: See `database_of`.

    Raises:
      DataError: A file is missing or damaged.
    """
    database = database or database_of(stem)
    if (edf := edf_file(stem)) is not None:
        record = edf_reader.read_record(edf, database, leads, annotator=annotator)
        check_frequency(edf, record.signal_hz, database)
        return record, database
    if annotator is not None and not annotation_file(stem, annotator).is_file():
        raise damaged(annotation_file(stem, annotator), "is missing", database)
    return read_record(stem.parent, stem.name, database, leads, annotator=annotator), database


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
    if edf_file(stem) is not None:
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
    published = None if edf_file(stem) else _published(stem, None)
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
