"""Preprocessing of records to beats, for recorded and generated databases."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from ecgexp.data.beats import BeatSet
from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats import csv_reader, wfdb_reader
from ecgexp.data.formats.integrity import check_published
from ecgexp.data.formats.record import Record
from ecgexp.data.formats.untrusted import check_record_name
from ecgexp.data.identity import check_no_copies, check_signals_once
from ecgexp.data.preprocessing.cache import FORMAT_VERSION, CachedBeats, load_or_preprocess
from ecgexp.data.preprocessing.one_record import (
    LEFT_RECORD,
    choose_leads,
    preprocess_record,
    substitutes_of,
)
from ecgexp.data.preprocessing.settings import Layout, OnProgress, Preprocessing, Verify
from ecgexp.data.preprocessing.windows import template
from ecgexp.settings.declaration import DataError, check_named_once, placed
from ecgexp.storage.digests import FileDigests, digest

OUTSIDE_RECORD = "annotated outside the record"
_READERS = {"wfdb": wfdb_reader, "kaggle_csv": csv_reader}
_log = logging.getLogger(__name__)


def preprocess_records(
    preprocessing: Preprocessing,
    *,
    database: Database,
    folder: Path,
    records: Sequence[str],
    layout: Layout = "wfdb",
    verify: Verify = "published",
    strict: bool = False,
    on_progress: OnProgress | None = None,
    path: str = "dataset",
) -> BeatSet:
    """Read, check and preprocess records, or load their beats from the cache.

    Args:
      preprocessing: The settings.
      database: Their database: of the catalog, or of generated records.
      folder: Folder of their files, without subfolders.
      records: Their names, each once, in the order of the beats.
      layout: WFDB files, or the CSV files of Kaggle.
      verify: `published`: compare every file with PhysioNet's SHA-256, if the package has a list of
        them; `header`: only sizes, checksums and order, which are always checked.
      strict: Refuse a record with annotations outside its signal, which are otherwise left out and
        counted.
      on_progress: Called with `(done, total, what)`, unless the beats are in the cache.
      path: Key of the settings in the configuration, for messages.

    Returns:
      All beats, without labels. `dropped` counts the beats of records left out, beats annotated
      outside their record, and beats whose window extends beyond it or depends on a gap. RR
      features of the only beat of a record are NaN, because it has no interval.

    Raises:
      DataError: A file is missing or damaged, a record is named twice or has the signal of another
        one, or no beat is left.
    """
    check_named_once(f"{path}.records", records, error=DataError)
    for record_id in records:
        check_record_name(record_id)
    reader = _READERS[layout]
    files_of = {record_id: reader.files_of(folder, record_id) for record_id in records}
    files = list(dict.fromkeys(path for paths in files_of.values() for path in paths))
    _check_all_there(files, folder, database)
    digests = FileDigests(preprocessing.cache_dir, folder)
    found = digests.of(files)
    if verify == "published":
        check_published(files, found, database)
    check_signals_once(
        {record_id: reader.signals_among(paths) for record_id, paths in files_of.items()}, found
    )
    content = digest(
        {
            "format": FORMAT_VERSION,
            "database": str(database),
            "layout": layout,
            "records": list(records),
            "preparation": preprocessing.parameters(),
            "files": found,
        }
    )

    def preprocess() -> CachedBeats:
        cached = _preprocess(
            preprocessing, database, folder, records, layout, strict, content, on_progress
        )
        digests.check_unchanged()
        return cached

    # Beats also depend on the catalog's entry and on the libraries.
    key = digest(
        {
            "content": content,
            "catalog": _entry(database),
            "libraries": [np.__version__, scipy.__version__],
        }
        | ({"strict": True} if strict else {})
    )
    cached = load_or_preprocess(preprocessing.cache_dir, key, preprocess)
    for line in cached.warnings:
        _log.warning("%s", placed(line, path, type(preprocessing)))
    return cached.beats


def reader_of(layout: Layout) -> Callable[[Path, str, Database, Sequence[str]], Record]:
    """Return the function that reads one record of a layout.

    Its arguments are the folder, the name of the record, its database and the leads that are used.
    """
    return _READERS[layout].read_record


def _entry(database: Database) -> dict[str, str]:
    return {field.name: str(getattr(database, field.name)) for field in fields(database)}


def _check_all_there(files: Sequence[Path], folder: Path, database: Database) -> None:
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise DataError(
            f"{database}: {', '.join(missing[:5])}{more} missing in {folder}; {database.fix}, or "
            "use dataset.records= with the records that are present"
        )


def _preprocess(
    preprocessing: Preprocessing,
    database: Database,
    folder: Path,
    records: Sequence[str],
    layout: Layout,
    strict: bool,
    content: str,
    on_progress: OnProgress | None,
) -> CachedBeats:
    parts: list[dict[str, np.ndarray]] = []
    dropped: Counter[str] = Counter()
    without_lead: list[str] = []
    substitutes: list[str] = []
    outside: dict[str, int] = {}
    templates_mv: dict[str, np.ndarray] = {}
    annotated: dict[str, np.ndarray] = {}
    for done, record_id in enumerate(records):
        if on_progress is not None:
            on_progress(done, len(records), record_id)
        record = _READERS[layout].read_record(
            folder, record_id, database, preprocessing.recorded_leads
        )
        if strict:
            check_nothing_outside(record)
        columns, missing = choose_leads(record, preprocessing)
        if columns is None:
            dropped[f"record {record_id} has no lead {missing}"] = len(record.beat_samples)
            without_lead.append(record_id)
            continue
        if missing:
            used = substitutes_of(record, columns, preprocessing)
            substitutes.append(f"{record_id} ({missing} <- {used})")
        part, reasons, annotated[record_id] = preprocess_record(record, columns, preprocessing)
        parts.append(part)
        templates_mv[record_id] = template(part["signals_mv"])
        dropped.update({LEFT_RECORD: 0})  # stated even if there are none
        dropped.update(reasons[reasons != ""].tolist())
        if record.outside:
            outside[record_id] = sum(record.outside.values())
            dropped.update(
                {OUTSIDE_RECORD: record.num_beats_outside} if record.num_beats_outside else {}
            )
    if on_progress is not None:
        on_progress(len(records), len(records), "")
    if not sum(len(part["r_samples"]) for part in parts):
        raise DataError(
            f"no beat is left of {len(records)} records of {database} ({dict(dropped)}); use other "
            "leads or records"
        )
    columns_of: dict[str, Any] = {
        name: np.concatenate([part[name] for part in parts]) for name in parts[0]
    }
    check_no_copies(columns_of["record_ids"], columns_of["signals_mv"])
    beats = BeatSet(
        **columns_of,
        fs_hz=preprocessing.fs_hz,
        lead_names=preprocessing.leads,
        database=str(database),
        digest=content,
        dropped=dict(dropped),
        templates_mv=templates_mv,
        annotated=annotated,
    )
    return CachedBeats(
        beats=beats,
        warnings=_warnings(
            database, preprocessing.lead_aliases, without_lead, substitutes, outside
        ),
    )


def _warnings(
    database: Database,
    lead_aliases: Mapping[str, str],
    without_lead: Sequence[str],
    substitutes: Sequence[str],
    outside: Mapping[str, int],
) -> tuple[str, ...]:
    lines = [
        f"{database}: lead {name} is lead {alias} of the records (dataset.lead_aliases)"
        for name, alias in lead_aliases.items()
    ]
    if without_lead:
        lines.append(
            f"{database}: records {', '.join(without_lead)} lack a lead of dataset.leads and are "
            "left out (dataset.missing_lead=first uses another lead, dataset.missing_lead=error "
            "stops)"
        )
    if substitutes:
        lines.append(f"{database}: another lead replaces a missing one in {'; '.join(substitutes)}")
    if outside:
        counts = ", ".join(f"{record_id} {count}" for record_id, count in outside.items())
        lines.append(
            f"{database}: annotations outside the record are left out, {sum(outside.values())} in "
            f"all: {counts} (dataset.strict=true refuses such records)"
        )
    return tuple(lines)


def check_nothing_outside(record: Record) -> None:
    """Check that every annotation is inside the record.

    Args:
      record: The record.

    Raises:
      DataError: An annotation is before the first sample or after the last one.
    """
    if record.outside:
        counts = ", ".join(f"{symbol} {count}" for symbol, count in record.outside.items())
        raise DataError(
            f"dataset.strict=true: record {record.record_id} has {sum(record.outside.values())} "
            f"annotations outside its signal ({counts}); correct its annotation file, or use "
            "dataset.strict=false, which leaves them out and counts them"
        )
