"""Read continuous signals from a CSV file: columns of samples, and times or a frequency."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats.annotation_table import LABELS, read_annotation_table, separator_of
from ecgexp.data.formats.assemble import assemble
from ecgexp.data.formats.csv_columns import read_columns
from ecgexp.data.formats.csv_layout import CsvLayout, TimeUnit
from ecgexp.data.formats.gaps import bridge, find_gaps
from ecgexp.data.formats.integrity import check_millivolts
from ecgexp.data.formats.labels import Labels
from ecgexp.data.formats.leads import REPEATED_NAME, numbered
from ecgexp.data.formats.record import LONGEST_LEAD, UNITS_PER_MV, Record
from ecgexp.data.formats.untrusted import damaged, quoted, read_file
from ecgexp.settings.declaration import DataError

SUFFIX = ".csv"
ESTIMATED = "recording whose frequency is estimated from its time column"

_LABELS = Labels()
_LARGEST = 1 << 31  # bytes
_LONGEST_HEADING = 1 << 16  # bytes, of a file of which only the heading is read
_UNKNOWN = Database(name="", version="", title="", fs_hz=0.0, records=(), lead_names=())
_TIMES: dict[str, TimeUnit] = {
    "sample": "samples",
    "seconds": "seconds",
    "time_s": "seconds",
    "milliseconds": "milliseconds",
    "time_ms": "milliseconds",
}
_SECONDS = {"seconds": 1.0, "milliseconds": 1e-3}
_IN_UNITS = re.compile(r"(?P<name>.*\S)\s*[\[(](?P<units>[^\[\]()]{1,8})[\])]")
_MICRO = str.maketrans("\u00b5\u03bc", "uu")
_NEARLY = 1e-3  # an estimated frequency that is so near to an integer is that integer
_LONGEST_STEP = 1.5  # samples; longer steps of time are gaps


def files_of(path: Path, layout: CsvLayout) -> tuple[Path, ...]:
    """Return the files that a recording is read from: signals, annotations."""
    return path, path.with_name(path.stem + layout.annotations)


def read_record(
    path: Path,
    database: Database,
    layout: CsvLayout,
    *,
    has_annotations: bool = True,
    labels: Labels = _LABELS,
) -> Record:
    """Read a recording with all its leads.

    The first line names the columns. They are separated by commas, semicolons or tabs; numbers may
    have decimal commas if columns are separated otherwise. An empty cell, and a step of time that
    is missing, is a gap.

    Args:
      path: The recording.
      database: Gives the remedy; its frequency is not used.
      layout: What the columns mean.
      has_annotations: Whether to read the annotation table.
      labels: How symbols are mapped.

    Returns:
      The record, with its file's name as id and patient. A lead that cannot be used is in
      `Record.unusable`.

    Raises:
      DataError: A file is damaged, the frequency is not known or not constant, or no lead can be
        used; the message names the file and the remedy.
    """
    notes: Counter[str] = Counter()
    try:
        heading, columns = _read(path, database)
        time, unit = _time_column(path, heading, layout, database)
        steps = None if time is None else columns.pop(time)
        names = [name for place, name in enumerate(heading) if place != time]
        fs_hz, rows, num_samples = _rows(
            path, steps, unit, len(columns[0]) if columns else 0, layout, notes, database
        )
        leads, gaps, unusable = _leads(
            path, names, columns, rows, num_samples, layout, notes, database
        )
        if not leads:
            raise DataError(
                next(iter(unusable.values()), str(damaged(path, "names no leads", database)))
            )
        samples, symbols = np.zeros(0, np.int64), np.zeros(0, np.str_)
        if has_annotations:
            samples, symbols = read_annotation_table(files_of(path, layout)[1], fs_hz, database)
            # A table has no notes.
            symbols = replace(labels, symbols_from="symbol").of(symbols, symbols, notes)
        return assemble(
            path, leads, samples, symbols, fs_hz=fs_hz, unusable=unusable, gaps=gaps, notes=notes
        )
    except MemoryError as error:
        raise damaged(path, "does not fit into memory", database) from error


def is_recording(path: Path, layout: CsvLayout) -> bool:
    """Return whether a CSV file of a folder is a recording, and not another table.

    Its heading names a time column or the units of a lead, or a table of annotations is beside it.
    A file with a column of symbols or without a heading is no recording.

    Args:
      path: The file, of which the first line is read.
      layout: What the columns mean.
    """
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            line = file.readline(_LONGEST_HEADING).removeprefix(b"\xef\xbb\xbf")
        names = _heading(path, line.strip(b"\r\n"), _UNKNOWN)
    except (OSError, DataError):
        return False
    plain = {name.lower() for name in names}
    if plain & set(LABELS):
        return False
    units = (each["units"].translate(_MICRO).lower() for name in names if (each := _units(name)))
    return (
        bool(plain & set(_TIMES))
        or layout.time_column in names
        or any(each in UNITS_PER_MV for each in units)
        or files_of(path, layout)[1].is_file()
    )


def _read(path: Path, database: Database) -> tuple[list[str], list[np.ndarray]]:
    """Return the names of the columns, and their values with NaN in empty cells."""
    content = read_file(path, database, largest=_LARGEST).removeprefix(b"\xef\xbb\xbf")
    head, _, body = content.replace(b"\r\n", b"\n").partition(b"\n")
    names = _heading(path, head, database)
    separator = separator_of(path, _text(head), database)
    return names, read_columns(path, body, separator, len(names), database)


def _text(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _heading(path: Path, head: bytes, database: Database) -> list[str]:
    """Return the names of the columns."""
    line = _text(head)
    separator = separator_of(path, line, database)
    names = [name.strip().strip("'\"").strip() for name in line.split(separator)]
    if not all(name.isprintable() and name for name in names):
        raise damaged(path, f"does not name its columns: {quoted(line)}", database)
    if all(re.fullmatch(r"[-+\d.,eE]+", name) for name in names):
        raise damaged(
            path,
            f"has no heading with lead names: it begins with {quoted(line)} (dataset=arrays reads "
            "beats that are cut already)",
            database,
        )
    return names


def _units(name: str) -> re.Match[str] | None:
    return _IN_UNITS.fullmatch(name)


def _time_column(
    path: Path, heading: Sequence[str], layout: CsvLayout, database: Database
) -> tuple[int | None, TimeUnit]:
    if layout.time_column is not None:
        places = [place for place, name in enumerate(heading) if name == layout.time_column]
        if len(places) != 1:
            raise damaged(
                path,
                f"has {len(places)} columns {quoted(layout.time_column)} (dataset.time_column) in "
                f"{quoted(', '.join(heading))}",
                database,
            )
        return places[0], layout.time_unit
    places = [place for place, name in enumerate(heading) if name.lower() in _TIMES]
    if len(places) > 1:
        raise damaged(
            path,
            f"has several time columns: {', '.join(heading[place] for place in places)}; name one "
            "by dataset.time_column",
            database,
        )
    return (places[0], _TIMES[heading[places[0]].lower()]) if places else (None, "samples")


def _rows(
    path: Path,
    time: np.ndarray | None,
    unit: TimeUnit,
    num_rows: int,
    layout: CsvLayout,
    notes: Counter[str],
    database: Database,
) -> tuple[float, np.ndarray | None, int]:
    """Return the frequency, the sample of each row (None: its number), and their number."""
    fs_hz = layout.recorded_hz
    if fs_hz is None and unit == "samples":
        raise damaged(
            path, "states no times; state its frequency by dataset.recorded_hz=", database
        )
    if time is None or fs_hz is None and len(time) < 2:
        if fs_hz is None:
            raise damaged(path, "has one sample; use dataset.recorded_hz=", database)
        return fs_hz, None, num_rows
    if not np.isfinite(time).all():
        row = int(np.flatnonzero(~np.isfinite(time))[0])
        raise damaged(path, f"has no time in line {row + 2}", database)
    steps = np.diff(time)
    if len(steps) and steps.min() <= 0:
        row = int(np.argmin(steps > 0))
        raise damaged(path, f"is not in time order: line {row + 3} has {time[row + 1]:g}", database)
    if unit == "samples":
        exact, fs_hz = time - time[0], float(fs_hz or 0)
    else:
        seconds = time * _SECONDS[unit]
        if fs_hz is None:
            fs_hz = _estimated_hz(seconds)
            notes[ESTIMATED] += 1
        exact = (seconds - seconds[0]) * fs_hz
    if exact[-1] >= LONGEST_LEAD:
        raise damaged(path, f"has times from {time[0]:g} to {time[-1]:g}", database)
    rows = np.rint(exact).astype(np.int64)
    if len(uneven := _uneven(exact, rows, unit)):
        raise damaged(
            path,
            f"is not sampled at {fs_hz:g} Hz near line {uneven[0] + 3}; if this is not its "
            "frequency, use dataset.recorded_hz=",
            database,
        )
    return fs_hz, rows, int(rows[-1]) + 1


def _uneven(exact: np.ndarray, rows: np.ndarray, unit: TimeUnit) -> np.ndarray:
    """Return the steps that contradict a constant frequency; times may be rounded.

    Args:
      exact: (num_rows,) float64: time in samples.
      rows: (num_rows,) int64: the same, rounded.
      unit: Sample numbers must be integers.

    Returns:
      Numbers of the steps.
    """
    if unit == "samples":
        return np.flatnonzero(exact != rows) - 1
    steps = np.diff(exact)
    regular = steps[steps < _LONGEST_STEP]
    if len(steps) and (
        not len(regular) or abs(regular.mean() - 1) > max(_NEARLY, 1 / len(regular))
    ):
        return np.zeros(1, np.int64)
    between = (steps > _LONGEST_STEP - 0.1) & (steps < _LONGEST_STEP + 0.1)
    return np.flatnonzero(between | (np.diff(rows) < 1))


def _estimated_hz(seconds: np.ndarray) -> float:
    """Return the mean frequency of steps that are no gaps; times may be rounded."""
    steps = np.diff(seconds)
    regular = steps[steps < _LONGEST_STEP * np.median(steps)]
    fs_hz = len(regular) / float(regular.sum())
    nearest = round(fs_hz)
    if nearest and abs(fs_hz - nearest) < _NEARLY * nearest:
        return float(nearest)
    return float(f"{fs_hz:.6g}")


def _leads(
    path: Path,
    names: Sequence[str],
    columns: Sequence[np.ndarray],
    rows: np.ndarray | None,
    num_samples: int,
    layout: CsvLayout,
    notes: Counter[str],
    database: Database,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, str]]:
    """Return values, gaps and reasons of unusable leads."""
    parts = [_units(name) for name in names]
    plain = [part["name"] if part else name for part, name in zip(parts, names, strict=True)]
    leads: dict[str, np.ndarray] = {}
    gaps: dict[str, np.ndarray] = {}
    unusable: dict[str, str] = {}
    for name, original, part, column in zip(numbered(plain), plain, parts, columns, strict=True):
        units = part["units"].translate(_MICRO) if part else layout.units
        try:
            per_mv = None if layout.adc_gain is None else 1 / layout.adc_gain
            per_mv = per_mv if units is None else UNITS_PER_MV.get(units.lower())
            if per_mv is None:
                raise damaged(
                    path,
                    f"states no units of lead {name}; use dataset.units=mV or uV"
                    if units is None
                    else f"gives lead {name} in {quoted(units)}, not in volts",
                    database,
                )
            lead_mv = np.full(num_samples, np.nan)
            lead_mv[slice(None) if rows is None else rows] = column * per_mv
            missing = np.isnan(lead_mv)
            if missing.all():
                raise damaged(path, f"has no value in lead {name}: all of it is a gap", database)
            if missing.any():
                gaps[name] = find_gaps(missing)
                lead_mv = bridge(lead_mv, gaps[name])
            check_millivolts(path, lead_mv[:, None], [name], database)
        except DataError as error:
            unusable[name] = str(error)
            gaps.pop(name, None)
        else:
            leads[name] = lead_mv
            notes[REPEATED_NAME] += name != original
    return leads, gaps, unusable
