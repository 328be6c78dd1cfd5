"""Read annotations from a CSV file beside a recording: samples or seconds, and symbols."""

import csv
import io
import re
from pathlib import Path

import numpy as np

from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats.untrusted import damaged, quoted, read_file

LABELS = ("symbol", "label", "annotation", "type")
"""Columns that have symbols."""

_LARGEST = 1 << 28  # bytes
_TIMES = {"sample": None, "seconds": 1.0, "time_s": 1.0, "milliseconds": 1e-3, "time_ms": 1e-3}
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{0,15})?", re.ASCII)
_LONGEST_SYMBOL = 64


def read_annotation_table(
    path: Path, fs_hz: float, database: Database
) -> tuple[np.ndarray, np.ndarray]:
    """Read the samples and symbols of a table.

    The first line names the columns: `sample`, counted from 0, or `seconds` (`time_s`) or
    `milliseconds` (`time_ms`) from the first sample; and `symbol` (`label`, `annotation`, `type`).
    Other columns are ignored. Columns are separated by commas, semicolons or tabs; decimal commas
    are read if columns are separated otherwise.

    Args:
      path: The file.
      fs_hz: Frequency at which samples are counted.
      database: Gives the remedy.

    Returns:
      samples: (num_annotations,) int64, in the order of the file.
      symbols: (num_annotations,) str.

    Raises:
      DataError: The file is missing, has no such columns, or a value is not a number.
    """
    rows = read_rows(path, database, largest=_LARGEST)
    heading = [name.strip().lower() for name in rows[0]]
    times = [name for name in _TIMES if name in heading]
    labels = [name for name in LABELS if name in heading]
    if len(times) != 1 or not labels or len(set(heading)) < len(heading):
        raise damaged(
            path,
            f"has the columns {quoted(', '.join(rows[0]))}, but needs one of {', '.join(_TIMES)} "
            f"and one of {', '.join(LABELS)}",
            database,
        )
    time, label = heading.index(times[0]), heading.index(labels[0])
    unit_s = _TIMES[times[0]]
    samples, symbols = [], []
    for number, row in enumerate(rows[1:], start=2):
        value = row[time].strip().replace(",", ".") if len(row) == len(heading) else ""
        if not _NUMBER.fullmatch(value) or (unit_s is None and float(value) % 1):
            raise damaged(
                path,
                f"has no {times[0]} and {labels[0]} in line {number}: {quoted(str(row))}",
                database,
            )
        symbol = row[label].strip()
        if not symbol or not symbol.isprintable() or len(symbol) > _LONGEST_SYMBOL:
            raise damaged(path, f"has the symbol {quoted(symbol)} in line {number}", database)
        at = float(value) if unit_s is None else np.floor(float(value) * unit_s * fs_hz + 0.5)
        samples.append(int(at))
        symbols.append(symbol)
    return np.asarray(samples, np.int64), np.asarray(symbols, np.str_)


def read_rows(path: Path, database: Database, *, largest: int) -> list[list[str]]:
    """Read the rows of a CSV file; empty lines are left out.

    Args:
      path: The file, in UTF-8.
      database: Gives the remedy.
      largest: Maximum size in bytes.

    Returns:
      The fields of each row, at least one row. Which of comma, semicolon and tab separates them is
      that which the first line has.

    Raises:
      DataError: The file is missing, empty, not text, or its first line has several separators.
    """
    content = read_file(path, database, largest=largest)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise damaged(
            path, f"is not text in UTF-8 ({error.reason} at byte {error.start})", database
        ) from error
    head = text.lstrip().partition("\n")[0]
    separator = separator_of(path, head, database)
    try:
        rows = [
            row
            for row in csv.reader(io.StringIO(text), delimiter=separator, strict=True)
            if any(field.strip() for field in row)
        ]
    except csv.Error as error:
        raise damaged(path, f"is not a CSV file ({error})", database) from error
    if not rows:
        raise damaged(path, "is empty", database)
    return rows


def separator_of(path: Path, head: str, database: Database) -> str:
    """Return the separator of columns that a heading has; a comma if it has none."""
    found = [each for each in ",;\t" if each in head]
    if len(found) > 1:
        raise damaged(
            path,
            f"separates its columns by several characters: {quoted(head.strip())}",
            database,
        )
    return found[0] if found else ","
