"""One WFDB record named by its path, wherever it lies: its signals, and its annotations where it has some."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ecgexp._validate import ConfigError, DataError
from ecgexp.data.catalog import DATABASES, Database
from ecgexp.data.header import read_header
from ecgexp.data.records import Record
from ecgexp.data.untrusted import check_record_name, damaged, printable
from ecgexp.data.wfdb_reader import read_record

_SUFFIX = re.compile(r"[A-Za-z0-9]{1,16}")
_LOWEST_HZ, _HIGHEST_HZ = 10.0, 100_000.0


def locate(name: str) -> Path:
    """The path of a record without its `.hea`.

    Args:
      name: the same, with or without `.hea`.

    Raises:
      DataError: there is no such record, or its name is refused.
    """
    stem = Path(name.removesuffix(".hea"))
    check_record_name(stem.name)
    if not _is_there(stem.with_suffix(".hea")):
        raise DataError(
            f"record {printable(name)} was not found: there is no {stem.name}.hea in {printable(stem.parent)}; type the path of "
            "a WFDB record, e.g. data/mitdb/1.0.0/100"
        )
    return stem


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than the system allows
        return False


def annotation_file(stem: Path, annotator: str) -> Path:
    """Where the annotations of a record would be.

    Raises:
      ConfigError: the annotator's name cannot be a suffix.
    """
    if not _SUFFIX.fullmatch(annotator):
        raise ConfigError(f"the annotator {annotator!r} is refused: it is a suffix, of letters and digits; try atr")
    return stem.with_suffix(f".{annotator}")


def read_single(stem: Path, *, annotator: str | None) -> tuple[Record, Database]:
    """Reads a record by the reader that every dataset is read by, with the same checks.

    Args:
      stem: its path without suffix, as `locate` gives it.
      annotator: suffix of its annotation file; None: the record comes without annotations.

    Returns:
      record: its `samples` and `symbols` are empty without an annotator.
      database: the one of the catalog where the record lies in a folder of that name; `synthetic` where its header says so;
        else an entry of its own.

    Raises:
      DataError: a file is missing or damaged.
    """
    unknown = Database(
        name="record", version=stem.name, title="A record of its own", fs_hz=0.0, records=(stem.name,), lead_names=(),
        remedy="copy the record's files anew",
    )  # fmt: skip
    header_path = stem.with_suffix(".hea")
    header = read_header(header_path, unknown)
    if not _LOWEST_HZ <= header.fs <= _HIGHEST_HZ:
        raise damaged(header_path, f"says {header.fs:g} Hz, at which no ECG is recorded", unknown)
    name = "synthetic" if _is_synthetic(header.comments) else unknown.name
    database = _catalogued(stem, header) or replace(unknown, name=name, fs_hz=float(header.fs))
    if annotator is not None and not annotation_file(stem, annotator).is_file():
        raise damaged(annotation_file(stem, annotator), "is missing", database)
    return read_record(stem.parent, stem.name, database, annotator=annotator), database


def _catalogued(stem: Path, header: Any) -> Database | None:
    """The catalog knows what a header may leave out: the gain of svdb, the patients of incartdb."""
    for entry in DATABASES.values():
        if entry.name in stem.resolve().parts and stem.name in entry.records and header.fs == entry.fs_hz:
            return entry
    return None


def _is_synthetic(comments: Sequence[str]) -> bool:
    return any(comment.startswith("SYNTHETIC") for comment in comments)
