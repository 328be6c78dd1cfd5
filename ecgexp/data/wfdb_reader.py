"""Reads a WFDB record (`.hea`, its signal files, `.atr`) and trusts none of the three until they agree."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ecgexp.data.catalog import Database
from ecgexp.data.integrity import check_annotation_file, check_annotations, check_signal_files, check_signals, damaged
from ecgexp.data.records import BEAT_SYMBOLS, Record

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

    stem = folder / record_id
    header_path = stem.with_suffix(".hea")
    with _header_errors(header_path, database):
        header = wfdb.rdheader(str(stem))
        check_signal_files(header_path, header, database)
        digital = wfdb.rdrecord(str(stem), physical=False, return_res=32).d_signal
    check_signals(header_path, header, digital, database)
    samples, symbols = np.zeros(0, np.int64), np.zeros(0, np.str_)
    if annotator is not None:
        annotation_path = stem.with_suffix(f".{annotator}")
        check_annotation_file(annotation_path, database)
        samples, symbols = _read_annotations(annotation_path, database)
        check_annotations(annotation_path, samples, np.isin(symbols, BEAT_SYMBOLS), header.sig_len, database)
    return Record(
        record_id=record_id, patient_id=database.patient_of(record_id, header.comments),
        signals_mv=_millivolts(header_path, header, digital, database), lead_names=tuple(header.sig_name),
        fs_hz=float(header.fs), samples=samples, symbols=symbols,
    )  # fmt: skip


def read_header(folder: Path, record_id: str, database: Database) -> Any:
    """What `wfdb.rdheader` reads of one record, nothing of it checked.

    Args:
      folder: where its files are.
      record_id: its name, checked by the caller.
      database: for the remedy.

    Raises:
      DataError: the file is no header.
    """
    import wfdb

    with _header_errors(folder / f"{record_id}.hea", database):
        return wfdb.rdheader(str(folder / record_id))


@contextmanager
def _header_errors(path: Path, database: Database) -> Iterator[None]:
    """Says in our words what wfdb says of a header that is none."""
    import wfdb

    try:
        yield
    except (IndexError, TypeError, UnicodeDecodeError, wfdb.io._header.HeaderSyntaxError) as error:
        raise damaged(path, f"is not a WFDB header ({error})", database) from error


def _read_annotations(path: Path, database: Database) -> tuple[np.ndarray, np.ndarray]:
    import wfdb

    try:
        annotation = wfdb.rdann(str(path.with_suffix("")), path.suffix[1:])
    except (IndexError, KeyError, ValueError) as error:
        raise damaged(path, f"is not a WFDB annotation file ({error})", database) from error
    return np.asarray(annotation.sample, np.int64), np.asarray(annotation.symbol, np.str_)


def _millivolts(header_path: Path, header: object, digital: np.ndarray, database: Database) -> np.ndarray:
    units = np.asarray([_UNITS_PER_MV.get((name or "mV").lower(), np.nan) for name in header.units])
    if np.isnan(units).any():
        raise damaged(header_path, f"gives its signals in {header.units}, not in volts", database)
    signals_mv = digital - np.asarray(header.baseline, np.float64)
    signals_mv /= _gains(header_path, header, database)  # in place: at ten megabytes a record the copies are what costs
    if (units != 1).any():
        signals_mv *= units
    return signals_mv


def _gains(header_path: Path, header: object, database: Database) -> list[float]:
    """The header's gains, with the catalog's where it says 0 or nothing; wfdb puts 200 there without a word."""
    lines = [line.split() for line in header_path.read_text("latin-1").splitlines() if line.strip() and line[0] != "#"]
    gains = []
    for fields, gain in zip(lines[1 : 1 + header.n_sig], header.adc_gain, strict=True):
        written = re.match(r"[-+.\deE]+", fields[2]) if len(fields) > 2 else None
        if written is None or float(written.group()) == 0:
            if database.adc_gain is None:
                raise damaged(header_path, f"gives no gain, and {database} has none published", database)
            gain = database.adc_gain
        if not gain > 0:
            raise damaged(header_path, f"gives the gain {gain:g}", database)
        gains.append(gain)
    return gains
