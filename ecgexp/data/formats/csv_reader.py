"""Read the layout of mondejar/mitbih-database on Kaggle.

`100.csv` has raw units, `100annotations.txt` the output of rdann.
"""

import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats.annotation_order import in_time_order
from ecgexp.data.formats.integrity import check_millivolts, is_inside
from ecgexp.data.formats.record import Record, split_outside
from ecgexp.data.formats.untrusted import damaged, quoted, read_file
from ecgexp.data.formats.wfdb_annotations import SYMBOLS
from ecgexp.settings.declaration import DataError

_IN_NUMBERS = b"-0123456789., \t\n"  # numpy would also accept nan, 1e308 and comments
_ANNOTATION = re.compile(
    r"\s*(?:(?P<hours>\d{1,3}):)?(?P<minutes>\d{1,4}):(?P<seconds>\d{1,2}\.\d{1,6})"
    r"\s+(?P<sample>\d{1,12})\s+(?P<symbol>\S)"
    r"\s+-?\d{1,4}\s+-?\d{1,4}\s+-?\d{1,4}(?:\s.*)?",
    re.ASCII,
)
_TIME_TOLERANCE_S = 0.002  # times are written to the millisecond


def files_of(folder: Path, record_id: str) -> tuple[Path, ...]:
    """Return the files that a record is read from: signals, annotations."""
    return folder / f"{record_id}.csv", folder / f"{record_id}annotations.txt"


def signals_among(files: Sequence[Path]) -> list[Path]:
    """Return those of `files_of` that contain signals."""
    return [files[0]]


def read_record(
    folder: Path, record_id: str, database: Database, leads: Sequence[str] = ()
) -> Record:
    """Read one record with all its leads.

    The layout has no gain, so the gain of the catalog is used.

    Args:
      folder: Folder of its files.
      record_id: Its name, validated by the caller.
      database: Its database.
      leads: Not used, because all leads have the same sampling frequency in this layout.

    Returns:
      The record. A lead that cannot be used is in `Record.unusable`.

    Raises:
      DataError: A file is damaged, or no lead can be used; the message names the file and the
        remedy.
    """
    csv_path, text_path = files_of(folder, record_id)
    if database.adc_gain is None:
        raise damaged(csv_path, f"has raw units, but {database} has no common gain", database)
    try:
        lead_names, digital = _read_signals(csv_path, database)
    except MemoryError as error:
        raise damaged(csv_path, "does not fit into memory", database) from error
    signals_mv = (digital - database.adc_zero) / database.adc_gain
    unusable: dict[str, str] = {}
    for column, name in enumerate(lead_names):
        try:
            if (first := lead_names.index(name)) != column:
                raise damaged(
                    csv_path,
                    f"names lead {name} twice, in columns {first + 2} and {column + 2}",
                    database,
                )
            check_millivolts(csv_path, signals_mv[:, [column]], [name], database)
        except DataError as error:
            unusable[name] = str(error)
    usable = [column for column, name in enumerate(lead_names) if name not in unusable]
    if not usable:
        raise DataError(next(iter(unusable.values())))
    samples, symbols, seconds = _read_annotations(text_path, database)
    _check_times(text_path, samples, seconds, database)
    notes: Counter[str] = Counter()
    samples, symbols, _ = in_time_order(samples, symbols, notes)
    return Record(
        record_id=record_id,
        patient_id=database.patient_of(record_id),
        fs_hz=database.fs_hz,
        lead_names=tuple(lead_names[column] for column in usable),
        signals_mv=signals_mv[:, usable],
        unusable=unusable,
        notes=dict(+notes),
        **split_outside(samples, symbols, is_inside(samples, len(digital))),
    )


def _read_signals(path: Path, database: Database) -> tuple[tuple[str, ...], np.ndarray]:
    """Read lead names and samples: (num_samples, leads) float64, integers in raw units.

    The names may be quoted, lines may end with CR LF, and columns may be separated by `;`.
    """
    head, _, body = read_file(path, database).replace(b"\r\n", b"\n").partition(b"\n")
    heading = _decoded(path, head, database)
    if b";" in head and b"," not in head:
        if b"," in body:
            raise damaged(path, "separates its columns by semicolons and also has commas", database)
        heading, body = heading.replace(";", ","), body.replace(b";", b",")
    if re.fullmatch(r"[-\d.,\s]+", heading):
        raise damaged(
            path, f"has no heading with lead names: it begins with {quoted(heading)}", database
        )
    names = [name.strip().strip("'\"").strip() for name in heading.split(",")]
    if not all(name.isprintable() and name for name in names):
        raise damaged(path, f"does not name its columns: {quoted(','.join(names))}", database)
    if odd := body.translate(None, _IN_NUMBERS):
        before = body[: body.index(odd[:1])]
        row = before.count(b"\n") + 2
        line = body[before.rfind(b"\n") + 1 :][:200].split(b"\n")[0].decode("latin-1")
        raise damaged(
            path, f"has a value that is not an integer in line {row}: {quoted(line)}", database
        )
    if not body.strip():
        raise damaged(path, "has no samples", database)
    try:
        table = np.loadtxt(io.BytesIO(body), delimiter=",", ndmin=2, comments=None)
    except ValueError as error:
        raise damaged(path, f"has a value that is not an integer ({error})", database) from error
    odd_rows = np.flatnonzero(~(table == np.rint(table)).all(axis=1))
    if len(odd_rows):
        line_number = odd_rows[0] + 2
        raise damaged(path, f"has a value that is not an integer in line {line_number}", database)
    if len(names) < 2 or table.shape[1] != len(names):
        raise damaged(path, f"names {len(names)} columns, but has {table.shape[1]}", database)
    if not np.array_equal(table[:, 0], np.arange(len(table))):
        raise damaged(
            path,
            "does not number its samples 0, 1, 2, …: a line is missing or misplaced",
            database,
        )
    if database.num_samples is not None and len(table) != database.num_samples:
        raise damaged(
            path, f"has {len(table)} samples, but {database} has {database.num_samples}", database
        )
    return tuple(names[1:]), table[:, 1:]


def _read_annotations(path: Path, database: Database) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read samples (int64), symbols (str) and times in seconds (float64) of all annotations.

    The heading differs between copies of the file, but has no digits, unlike an annotation.
    """
    text = _decoded(path, read_file(path, database).replace(b"\r\n", b"\n"), database)
    heading, *lines = text.split("\n")
    if not heading.strip() or re.search(r"\d", heading):
        raise damaged(path, f"begins with {quoted(heading)}, not with a heading", database)
    fields, known = [], frozenset(SYMBOLS.values())
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        found = _ANNOTATION.fullmatch(line)
        if found is None or found["symbol"] not in known:
            raise damaged(
                path,
                f"has no time, sample and type in line {number}: {quoted(line)}",
                database,
            )
        fields.append(found)
    seconds = [
        3600 * int(at["hours"] or 0) + 60 * int(at["minutes"]) + float(at["seconds"])
        for at in fields
    ]
    samples = np.asarray([int(at["sample"]) for at in fields], np.int64)
    return (
        samples,
        np.asarray([at["symbol"] for at in fields], np.str_),
        np.asarray(seconds, np.float64),
    )


def _check_times(path: Path, samples: np.ndarray, seconds: np.ndarray, database: Database) -> None:
    """Check that the time of every annotation agrees with its sample."""
    wrong = np.flatnonzero(np.abs(seconds - samples / database.fs_hz) > _TIME_TOLERANCE_S)
    if len(wrong):
        sample, stated = samples[wrong[0]], seconds[wrong[0]]
        raise damaged(
            path,
            f"states {stated:g} s for sample {sample}, which is at {sample / database.fs_hz:.3f} s",
            database,
        )


def _decoded(path: Path, content: bytes, database: Database) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise damaged(
            path, f"is not text in UTF-8 ({error.reason} at byte {error.start})", database
        ) from error
