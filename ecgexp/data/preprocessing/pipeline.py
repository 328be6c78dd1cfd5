"""Records in, beats out: the one path of every database, recorded or generated."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import scipy

from ecgexp.data.beats import RR_FEATURES, BeatSet
from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats import csv_reader, wfdb_reader
from ecgexp.data.formats.integrity import check_published
from ecgexp.data.formats.record import Record
from ecgexp.data.formats.untrusted import check_record_name
from ecgexp.data.identity import check_no_copies, check_signals_once
from ecgexp.data.preprocessing.baseline import (
    bandpass,
    remove_median_baseline,
    resample,
    resampling_ratio,
)
from ecgexp.data.preprocessing.cache import FORMAT_VERSION, CachedBeats, load_or_preprocess
from ecgexp.data.preprocessing.settings import Layout, OnProgress, Preprocessing, Verify
from ecgexp.data.preprocessing.windows import cut_windows, relocate, rr_features, template
from ecgexp.settings.declaration import DataError, check_named_once, placed
from ecgexp.storage.digests import digest
from ecgexp.storage.file_digests import FileDigests

LEFT_RECORD = "window leaves the record"
OUTSIDE_RECORD = "annotated outside the record"
_READERS = {"wfdb": wfdb_reader, "kaggle_csv": csv_reader}
_LARGEST_TERM = 1_000_000
_log = logging.getLogger(__name__)


def preprocess_records(
    preprocessing: Preprocessing, *, database: Database, folder: Path, records: Sequence[str], layout: Layout = "wfdb",
    verify: Verify = "published", strict: bool = False, on_progress: OnProgress | None = None, path: str = "dataset",
) -> BeatSet:  # fmt: skip
    """Reads, checks and prepares records, or takes them from the cache.

    Args:
      preprocessing: what is done to each.
      database: the entry they belong to; a generated one brings its own `Database`.
      folder: where their files are, no subfolders.
      records: their names, in the order in which the beats shall stand; each once.
      layout: WFDB files, or the Kaggle CSVs.
      verify: `published`: compare every file with PhysioNet's SHA-256, where the package has them; `header`: only
        sizes, checksums and order, which are checked anyway.
      strict: refuse a record that has annotations outside its signal, which are otherwise left out and counted.
      on_progress: told about progress, unless the cache answers.
      path: where the settings stand in the configuration, for what is said of them.

    Returns:
      All beats, without labels. `dropped` counts the beats of records left out, those annotated outside their record, and those
      whose window leaves the record. The RR features of a record's only beat are NaN: it has no interval.

    Raises:
      DataError: a file is missing or damaged, a record is named twice or holds the signal of another one, or no beat is left.
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
            "format": FORMAT_VERSION, "database": str(database), "layout": layout, "records": list(records),
            "preparation": preprocessing.parameters(), "files": found,
        }
    )  # fmt: skip

    def preprocess() -> CachedBeats:
        cached = _preprocess(
            preprocessing, database, folder, records, layout, strict, content, on_progress
        )
        digests.check_unchanged()
        return cached

    # What the catalog says of a database decides its beats as well, and so do the libraries.
    key = digest(
        {
            "content": content,
            "catalog": _said_of(database),
            "libraries": [np.__version__, scipy.__version__],
        }
        | ({"strict": True} if strict else {})
    )
    cached = load_or_preprocess(preprocessing.cache_dir, key, preprocess)
    for line in cached.warnings:
        _log.warning("%s", placed(line, path, type(preprocessing)))
    return cached.beats


def _said_of(database: Database) -> dict[str, str]:
    return {field.name: str(getattr(database, field.name)) for field in fields(database)}


def _check_all_there(files: Sequence[Path], folder: Path, database: Database) -> None:
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise DataError(
            f"{database}: {', '.join(missing[:5])}{more} missing in {folder}; get them: {database.fix}, or name the "
            "records that are there with dataset.records="
        )


def _preprocess(
    preprocessing: Preprocessing, database: Database, folder: Path, records: Sequence[str], layout: Layout, strict: bool,
    content: str, on_progress: OnProgress | None,
) -> CachedBeats:  # fmt: skip
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
        record = _READERS[layout].read_record(folder, record_id, database, preprocessing.leads)
        if strict:
            check_nothing_outside(record)
        columns, wanting = choose_leads(record, preprocessing)
        if columns is None:
            dropped[f"record {record_id} has no lead {wanting}"] = len(record.beat_samples)
            without_lead.append(record_id)
            continue
        if wanting:
            substitutes.append(
                f"{record_id} ({wanting} <- {', '.join(record.lead_names[column] for column in columns)})"
            )
        part, lost, annotated[record_id] = preprocess_record(record, columns, preprocessing)
        parts.append(part)
        templates_mv[record_id] = template(part["signals_mv"])
        dropped.update(lost)
        if record.outside:
            outside[record_id] = sum(record.outside.values())
            dropped.update(
                {OUTSIDE_RECORD: record.num_beats_outside} if record.num_beats_outside else {}
            )
    if on_progress is not None:
        on_progress(len(records), len(records), "")
    if not sum(len(part["r_samples"]) for part in parts):
        raise DataError(
            f"no beat is left of {len(records)} records of {database} ({dict(dropped)}); ask for other leads or records"
        )
    columns_of = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    check_no_copies(columns_of["record_ids"], columns_of["signals_mv"])
    beats = BeatSet(
        **columns_of, fs_hz=preprocessing.fs_hz, lead_names=preprocessing.leads, database=str(database), digest=content,
        dropped=dict(dropped), templates_mv=templates_mv, annotated=annotated,
    )  # fmt: skip
    return CachedBeats(
        beats=beats, warnings=_warnings(database, without_lead, substitutes, outside)
    )


def _warnings(
    database: Database,
    without_lead: Sequence[str],
    substitutes: Sequence[str],
    outside: Mapping[str, int],
) -> tuple[str, ...]:
    lines = []
    if without_lead:
        lines.append(
            f"{database}: records {', '.join(without_lead)} lack a lead that was asked for and are left out "
            "(dataset.missing_lead=first takes another lead of theirs, =error stops)"
        )
    if substitutes:
        lines.append(
            f"{database}: another lead stands in for a missing one in {'; '.join(substitutes)}"
        )
    if outside:
        told = ", ".join(f"{record_id} {count}" for record_id, count in outside.items())
        lines.append(
            f"{database}: annotations outside the record are left out, {sum(outside.values())} in all: {told} "
            "(dataset.strict=true refuses such records)"
        )
    return tuple(lines)


def check_nothing_outside(record: Record) -> None:
    """Every annotation stands at a sample that the record has.

    Raises:
      DataError: one does not.
    """
    if record.outside:
        told = ", ".join(f"{symbol} {count}" for symbol, count in record.outside.items())
        raise DataError(
            f"dataset.strict=true: record {record.record_id} has {sum(record.outside.values())} annotations outside its signal "
            f"({told}); correct its annotation file, or use dataset.strict=false, which leaves them out and counts them"
        )


def choose_leads(record: Record, preprocessing: Preprocessing) -> tuple[list[int] | None, str]:
    """Which columns of a record to use, by name, and which names it lacks.

    Returns:
      columns: one per wanted lead; None if the record is to be left out.
      wanting: the missing names, joined; empty if there are none.

    Raises:
      DataError: a lead is missing and that is not allowed, or is there and cannot be used, as for a gap in it.
    """
    for name in preprocessing.leads:
        if name in record.unusable:
            raise DataError(record.unusable[name])
    missing = [name for name in preprocessing.leads if name not in record.lead_names]
    spare = [
        column for column, name in enumerate(record.lead_names) if name not in preprocessing.leads
    ]
    if missing and preprocessing.missing_lead == "error":
        raise DataError(
            f"record {record.record_id} has the leads {', '.join(record.lead_names)} but not {', '.join(missing)}; try "
            "dataset.missing_lead=skip, or another dataset.leads"
        )
    if missing and (preprocessing.missing_lead == "skip" or len(spare) < len(missing)):
        return None, ", ".join(missing)
    wanted = [
        record.lead_names.index(name) if name not in missing else spare.pop(0)
        for name in preprocessing.leads
    ]
    return wanted, ", ".join(missing)


def preprocess_record(
    record: Record, columns: Sequence[int], preprocessing: Preprocessing
) -> tuple[dict[str, np.ndarray], dict[str, int], np.ndarray]:
    """Baseline, sampling frequency, windows and RR intervals of one record.

    Args:
      record: the record.
      columns: the leads to use.
      preprocessing: what to do.

    Returns:
      part: the columns of `BeatSet`, rows in time order. `rr` of a record with a single beat is NaN.
      dropped: reason -> beats left out.
      annotated: see `BeatSet.annotated`.
    """
    r_samples, symbols = record.beat_samples, record.beat_symbols
    if not len(r_samples):
        return (
            _empty_part(len(columns), preprocessing),
            {LEFT_RECORD: 0},
            np.zeros((2, 0), np.int64),
        )
    _check_ratio(record, preprocessing)
    leads = [
        _clean(record.signals_mv[:, column], record.signal_hz, preprocessing) for column in columns
    ]
    signals_mv = np.stack(leads, axis=1)
    scale = preprocessing.fs_hz / record.fs_hz
    places = np.rint(r_samples * scale).astype(np.int64)
    places = relocate(
        signals_mv[:, 0], places, round(preprocessing.relocate_ms * preprocessing.fs_hz / 1000)
    )
    windows, inside = cut_windows(signals_mv, places, *preprocessing.window_samples)
    part = {
        "signals_mv": windows,
        "rr": rr_features(r_samples, record.fs_hz)[inside],
        "symbols": symbols[inside].astype("<U1"),
        "record_ids": np.full(len(windows), record.record_id),
        "patient_ids": np.full(len(windows), record.patient_id),
        "r_samples": r_samples[inside],
    }
    return part, {LEFT_RECORD: int(np.sum(~inside))}, np.stack([r_samples, places]).astype(np.int64)


def _clean(lead_mv: np.ndarray, fs_hz: float, preprocessing: Preprocessing) -> np.ndarray:
    """Baseline first, at the recorded frequency, so that its parameters mean what the paper measured."""
    if preprocessing.baseline == "median":
        lead_mv = remove_median_baseline(lead_mv, fs_hz)
    elif preprocessing.baseline == "bandpass":
        lead_mv = bandpass(lead_mv, fs_hz, preprocessing.bandpass_hz)
    return resample(lead_mv, fs_hz, preprocessing.fs_hz)


def _check_ratio(record: Record, preprocessing: Preprocessing) -> None:
    """Resampling takes time and memory by the larger term of the ratio of both frequencies."""
    ratio = resampling_ratio(record.signal_hz, preprocessing.fs_hz)
    if max(ratio.numerator, ratio.denominator) > _LARGEST_TERM:
        raise DataError(
            f"record {record.record_id} at {record.signal_hz!r} Hz cannot be brought to {preprocessing.fs_hz!r} Hz, whose ratio is "
            f"{ratio}; correct the frequency in its header, or set dataset.fs_hz to it"
        )


def _empty_part(num_leads: int, preprocessing: Preprocessing) -> dict[str, np.ndarray]:
    text = np.zeros(0, "<U1")
    return {
        "signals_mv": np.zeros((0, sum(preprocessing.window_samples), num_leads), np.float32),
        "rr": np.zeros((0, len(RR_FEATURES)), np.float32),
        "symbols": text, "record_ids": text, "patient_ids": text, "r_samples": np.zeros(0, np.int64),
    }  # fmt: skip
