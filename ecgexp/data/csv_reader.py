"""Reads the Kaggle layout (mondejar/mitbih-database): `100.csv` in raw units, `100annotations.txt` as of rdann."""

from pathlib import Path

import numpy as np

from ecgexp.data.catalog import Database
from ecgexp.data.integrity import check_annotations, damaged
from ecgexp.data.records import BEAT_SYMBOLS, Record


def files_of(folder: Path, record_id: str) -> tuple[Path, ...]:
    """The files a record is read from."""
    return folder / f"{record_id}.csv", folder / f"{record_id}annotations.txt"


def read_record(folder: Path, record_id: str, database: Database) -> Record:
    """Reads one record with all its leads; the layout carries no gain, so that comes from the catalog.

    Args:
      folder: where its files are.
      record_id: its name, checked by the caller.
      database: the entry it belongs to.

    Raises:
      DataError: a file is damaged; the message names it and the remedy.
    """
    csv_path, text_path = files_of(folder, record_id)
    if database.adc_gain is None:
        raise damaged(csv_path, f"holds raw units, and {database} has no single gain", database)
    lead_names, digital = _read_signals(csv_path, database)
    samples, symbols = _read_annotations(text_path, database)
    check_annotations(text_path, samples, np.isin(symbols, BEAT_SYMBOLS), len(digital), database)
    return Record(
        record_id=record_id, patient_id=database.patient_of(record_id), lead_names=lead_names, fs_hz=database.fs_hz,
        signals_mv=(digital - database.adc_zero) / database.adc_gain, samples=samples, symbols=symbols,
    )  # fmt: skip


def _read_signals(path: Path, database: Database) -> tuple[tuple[str, ...], np.ndarray]:
    """Lead names and (num_samples, leads) float64, whole numbers; header with or without quotes, either line end."""
    with path.open(encoding="utf-8-sig") as file:
        names = [name.strip().strip("'\"").strip() for name in file.readline().split(",")]
        try:
            table = np.loadtxt(file, delimiter=",", ndmin=2)  # as floats: an integer dtype would take NaN for a number
        except ValueError as error:
            raise damaged(path, f"has a line that is not whole numbers ({error})", database) from error
    odd = np.flatnonzero(~(table == np.rint(table)).all(axis=1) | np.isinf(table).any(axis=1))
    if len(odd):
        raise damaged(path, f"has a line that is not whole numbers, {odd[0] + 2} (NaN?)", database)
    if len(names) < 2 or table.shape[1] != len(names):
        raise damaged(path, f"names {len(names)} columns and holds {table.shape[1]}", database)
    if not np.array_equal(table[:, 0], np.arange(len(table))):
        raise damaged(path, "does not number its samples 0, 1, 2, …: a line is missing or out of place", database)
    if database.num_samples is not None and len(table) != database.num_samples:
        raise damaged(path, f"has {len(table)} samples where {database} has {database.num_samples}", database)
    return tuple(names[1:]), table[:, 1:]


def _read_annotations(path: Path, database: Database) -> tuple[np.ndarray, np.ndarray]:
    """Samples and symbols; the heading differs between copies, so it is skipped without being looked at."""
    lines = path.read_text("utf-8-sig").splitlines()[1:]
    try:
        fields = [line.split()[1:3] for line in lines if line.strip()]
        samples = np.asarray([int(sample) for sample, _ in fields], np.int64)
    except ValueError as error:
        raise damaged(path, f"has a line without time, sample and type ({error})", database) from error
    return samples, np.asarray([symbol for _, symbol in fields], np.str_)
