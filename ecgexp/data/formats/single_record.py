"""One WFDB record named by its path, wherever it lies: its signals, and its annotations where it has some."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ecgexp.data.datasets.catalog import DATABASES, Database
from ecgexp.data.formats.record import Record
from ecgexp.data.formats.untrusted import check_record_name, damaged, printable
from ecgexp.data.formats.wfdb_header import RecordLine, read_record_line
from ecgexp.data.formats.wfdb_reader import files_of, read_record
from ecgexp.data.synthetic.database import SYNTHETIC, patient_in, version_of
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.storage.atomic import resolved
from ecgexp.storage.digests import file_sha256

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
        raise ConfigError(
            f"the annotator {annotator!r} is refused: it is a suffix, of letters and digits; try atr"
        )
    return stem.with_suffix(f".{annotator}")


def read_single(
    stem: Path,
    *,
    annotator: str | None,
    leads: Sequence[str] = (),
    database: Database | None = None,
) -> tuple[Record, Database]:
    """Reads a record by the reader that every dataset is read by, with the same checks.

    Args:
      stem: its path without suffix, as `locate` gives it.
      annotator: suffix of its annotation file; None: the record comes without annotations.
      leads: those that are needed, as in `wfdb_reader.read_record`.
      database: as `database_of` found it; None: found here.

    Returns:
      record: its `samples` and `symbols` are empty without an annotator.
      database: see `database_of`.

    Raises:
      DataError: a file is missing or damaged.
    """
    database = database or database_of(stem)
    if annotator is not None and not annotation_file(stem, annotator).is_file():
        raise damaged(annotation_file(stem, annotator), "is missing", database)
    return read_record(stem.parent, stem.name, database, leads, annotator=annotator), database


def database_of(stem: Path) -> Database:
    """Which database a record is of, by its content, by its header and by where it lies.

    Args:
      stem: its path without suffix, as `locate` gives it.

    Returns:
      The one of the catalog that publishes the signal, whatever the file is called, or in whose folder the record lies; the
      virtual patients of a seed where the header says so; else an entry of its own, called `record`.

    Raises:
      DataError: the header is missing or damaged.
    """
    unknown = Database(
        name="record", version=stem.name, title="A record of its own", fs_hz=0.0, records=(stem.name,), lead_names=(),
        remedy="copy the record's files anew",
    )  # fmt: skip
    header_path = stem.with_suffix(".hea")
    line = read_record_line(header_path, unknown)
    if not _LOWEST_HZ <= line.fs_hz <= _HIGHEST_HZ:
        raise damaged(header_path, f"says {line.fs_hz:g} Hz, at which no ECG is recorded", unknown)
    if published := _published(stem, line.fs_hz):
        entry, name = published
        patients = {**entry.same_patient, stem.name: entry.patient_of(name, line.comments)}
        return replace(entry, same_patient=patients, remedy=unknown.remedy)
    return (
        _catalogued(stem, line.fs_hz)
        or _synthetic(stem, line, unknown)
        or replace(unknown, fs_hz=line.fs_hz)
    )


def published_name(stem: Path) -> str:
    """What a record is called in the database that publishes its signal; its own name where none does."""
    published = _published(stem, None)
    return published[1] if published else stem.name


def _published(stem: Path, fs_hz: float | None) -> tuple[Database, str] | None:
    """A copy has the published SHA-256 under whatever name."""
    _, *signals, _ = files_of(stem.parent, stem.name)
    for entry in DATABASES.values():
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
    """The catalog knows what a header may leave out: the gain of svdb, the patients of incartdb."""
    for entry in DATABASES.values():
        if (
            entry.name in resolved(stem).parts
            and stem.name in entry.records
            and fs_hz == entry.fs_hz
        ):
            return entry
    return None


def _synthetic(stem: Path, line: RecordLine, unknown: Database) -> Database | None:
    """The virtual patients of the header's seed; each is named in the headers of all of their records."""
    if not any(comment.startswith(SYNTHETIC) for comment in line.comments):
        return None
    entry = replace(unknown, name="synthetic", fs_hz=line.fs_hz)
    if (said := patient_in(line.comments)) is None:
        return entry
    patient_id, seed = said
    return replace(entry, version=version_of(seed), same_patient={stem.name: patient_id})
