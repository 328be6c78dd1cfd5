"""Reads a WFDB record (`.hea`, its signal files, `.atr`) and trusts none of the three until they agree."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ecgexp.data.annotation_reader import read_annotations
from ecgexp.data.catalog import Database
from ecgexp.data.header import read_header
from ecgexp.data.integrity import check_annotations, check_millivolts, check_signal_files, check_signals
from ecgexp.data.records import BEAT_SYMBOLS, Record
from ecgexp.data.untrusted import damaged, quoted

SUFFIXES = (".hea", ".dat", ".atr")
_UNITS_PER_MV = {"mv": 1.0, "uv": 1e-3, "v": 1e3}


def files_of(folder: Path, record_id: str) -> tuple[Path, ...]:
    """The files a record is read from."""
    return tuple(folder / f"{record_id}{suffix}" for suffix in SUFFIXES)


def read_record(folder: Path, record_id: str, database: Database, *, annotator: str | None = "atr") -> Record:
    """Reads one record with all its leads.

    Args:
      folder: where its files are.
      record_id: its name, checked by the caller.
      database: the entry it belongs to.
      annotator: suffix of the annotation file; None leaves it unread, and the record without annotations.

    Raises:
      DataError: a file is damaged; the message names it and the remedy.
    """
    import wfdb

    header_path = folder / f"{record_id}.hea"
    header = read_header(header_path, database)
    check_signal_files(header_path, header, database)
    with _enough_memory(header_path, database):
        digital = wfdb.rdrecord(str(folder / record_id), physical=False, return_res=32).d_signal
        check_signals(header_path, header, digital, database)
        signals_mv = _millivolts(header_path, header, digital, database)
    check_millivolts(header_path, signals_mv, header.sig_name, database)
    samples, symbols = np.zeros(0, np.int64), np.zeros(0, np.str_)
    if annotator is not None:
        annotation_path = folder / f"{record_id}.{annotator}"
        with _enough_memory(annotation_path, database):
            samples, symbols = read_annotations(annotation_path, float(header.fs), database)
        check_annotations(annotation_path, samples, np.isin(symbols, BEAT_SYMBOLS), header.sig_len, database)
    return Record(
        record_id=record_id, patient_id=database.patient_of(record_id, header.comments), signals_mv=signals_mv,
        lead_names=tuple(header.sig_name), fs_hz=float(header.fs), samples=samples, symbols=symbols,
    )  # fmt: skip


@contextmanager
def _enough_memory(path: Path, database: Database) -> Iterator[None]:
    """A header may truly claim more than fits, with a file to match that takes no room on the disk."""
    try:
        yield
    except MemoryError as error:
        raise damaged(path, "speaks of more than fits into memory", database) from error


def _millivolts(header_path: Path, header: Any, digital: np.ndarray, database: Database) -> np.ndarray:
    units = np.asarray([_UNITS_PER_MV.get(name.lower(), np.nan) for name in header.units])
    if np.isnan(units).any():
        raise damaged(header_path, f"gives its signals in {quoted(str(header.units))}, not in volts", database)
    gains = [database.adc_gain if gain is None else gain for gain in header.adc_gain]
    if None in gains:
        raise damaged(header_path, f"gives no gain, and {database} has none published", database)
    signals_mv = digital - np.asarray(header.baseline, np.float64)
    with np.errstate(over="ignore"):  # what overflows is refused afterwards
        signals_mv /= gains  # in place: at ten megabytes a record the copies are what costs
        if (units != 1).any():
            signals_mv *= units
    return signals_mv
