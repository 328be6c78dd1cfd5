"""Find a single record by its path, and the files that it is read from."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from ecgexp.data.formats import csv_signals_reader, edf_reader
from ecgexp.data.formats.csv_layout import CsvLayout
from ecgexp.data.formats.discovery import find_records
from ecgexp.data.formats.untrusted import check_record_name, printable
from ecgexp.data.formats.wanted_files import SUFFIXES_OF, Wanted, format_of
from ecgexp.data.formats.wfdb_reader import files_of, signals_among
from ecgexp.settings.declaration import ConfigError, DataError

_CSV = CsvLayout()
_SUFFIXES = tuple(suffix for each in SUFFIXES_OF.values() for suffix in each)
_SUFFIX = re.compile(r"[A-Za-z0-9]{1,16}")


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
