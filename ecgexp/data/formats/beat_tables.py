"""Read beats from CSV and Parquet files, block by block, in the memory of the beats alone."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgexp.data.formats.beat_file import (
    LABELS,
    RR_COLUMNS,
    BeatFile,
    Wanted,
    as_texts,
    check_finite,
    check_size,
    refused,
)
from ecgexp.storage.reading import error_text

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK = 8 << 20  # bytes of CSV text parsed at once
_ROWS = 4096  # of a Parquet file read at once
_LONGEST_LINE = 1 << 22
_NUMBERED = re.compile(r"(.*?)(\d+)")
_FIX = "use dataset.ignore=[…] for columns that are no samples of the beat"


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """The columns of a table: names of samples or of leads, of labels, patients and intervals."""

    signals: tuple[str, ...]
    labels: str | None
    patients: str | None
    rr: tuple[str, ...]


def first_line(path: Path) -> tuple[list[str], bool]:
    """Return the cells of the first line of a CSV file, and whether they are names of columns.

    Raises:
      DataError: The file is missing, or is no text.
    """
    try:
        with path.open("rb") as file:
            line = file.readline(_LONGEST_LINE)
    except OSError as error:
        raise refused(path, f"cannot be read ({error.strerror})", "use another file") from error
    try:
        text = line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise refused(path, "is not UTF-8 text", "use a CSV file in UTF-8") from error
    if "\0" in text or len(line) == _LONGEST_LINE or not text.strip():
        raise refused(path, "does not begin with a line of a CSV file", "use a CSV file in UTF-8")
    cells = [cell.strip() for cell in next(csv.reader([text]))]
    return cells, not all(map(_is_number, cells[:-1] or cells))


def read_csv(path: Path, wanted: Wanted, *, first_block: bool = False) -> BeatFile:
    """Read beats from a CSV file.

    A row is a beat. Without a header the last column is the label. With one, the samples are the
    columns whose names end in a number, e.g. `0`, `1`, … or `x1`, `x2`, ….

    Args:
      path: The file.
      wanted: The columns.
      first_block: Read only the first rows.

    Returns:
      The beats.

    Raises:
      DataError: The file is damaged, ragged, or has columns that are neither samples nor named in
        the settings.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    cells, has_header = first_line(path)
    names = cells if has_header else [str(place) for place in range(len(cells))]
    if not has_header:
        if wanted.patients is not None or wanted.rr or wanted.labels is not None:
            raise refused(
                path, "has no header that names its columns", "add a line of names at its top"
            )
        has_labels = wanted.needs_labels or len(names) != wanted.samples
        samples = names[: len(names) - has_labels]
        last = names[-1] if has_labels else None
        layout = _Layout(signals=tuple(samples), labels=last, patients=None, rr=())
    else:
        layout = _layout(path, names, wanted)
    texts = [name for name in (layout.labels, layout.patients) if name is not None]
    types: dict[str, Any] = dict.fromkeys([*layout.signals, *layout.rr], pa.float32())
    try:
        reader = arrow_csv.open_csv(
            path,
            read_options=arrow_csv.ReadOptions(
                block_size=_BLOCK, column_names=names, skip_rows=int(has_header)
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=types | dict.fromkeys(texts, pa.string()),
                include_columns=[*types, *texts],
                strings_can_be_null=True,
                null_values=[""],
            ),
        )
        found = _collected(path, reader, layout, first_block=first_block)
        return replace(found, has_header=has_header)
    except (pa.ArrowException, OSError) as error:
        raise refused(
            path,
            f"is damaged: {error_text(error)}",
            "every row needs the same number of columns, and samples are numbers",
        ) from error


def read_parquet(path: Path, wanted: Wanted, *, first_block: bool = False) -> BeatFile:
    """Read beats from a Parquet file.

    The samples are numbered columns, as in a CSV file, or columns of lists, one for each lead.

    Args:
      path: The file.
      wanted: The columns.
      first_block: Read only the first rows.

    Returns:
      The beats.

    Raises:
      DataError: As `read_csv`, or lists have different lengths.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            schema = file.schema_arrow
            leads = [
                field.name
                for field in schema
                if pa.types.is_list(field.type)
                or pa.types.is_large_list(field.type)
                or pa.types.is_fixed_size_list(field.type)
            ]
            layout = _layout(path, schema.names, wanted, leads=leads)
            columns = [*layout.signals, *layout.rr, *filter(None, (layout.labels, layout.patients))]
            batches = file.iter_batches(_ROWS, columns=columns)
            return _collected(path, batches, layout, leads, first_block=first_block)
    except (pa.ArrowException, OSError) as error:
        raise refused(
            path, f"is damaged: {error_text(error)}", "copy the file again from where it was whole"
        ) from error


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _layout(
    path: Path, names: Sequence[str], wanted: Wanted, *, leads: Sequence[str] = ()
) -> _Layout:
    """Find the columns by their names.

    Args:
      path: The file.
      names: Of its columns.
      wanted: What is wanted.
      leads: Those that are lists of samples, and not a label or patients.

    Raises:
      DataError: A column is missing, or has no known meaning.
    """
    if twice := [name for name in names if names.count(name) > 1]:
        raise refused(path, f"has two columns {twice[0]!r}", "give each column a name of its own")
    labels = wanted.labels or next((name for name in names if name.lower() in LABELS), None)
    named = [labels, wanted.patients, *(RR_COLUMNS if wanted.rr else ()), *wanted.ignore]
    if absent := [name for name in named if name is not None and name not in names]:
        raise refused(
            path,
            f"has no column {absent[0]!r} but {_listed(names)}",
            "use dataset.labels=, dataset.patients=, dataset.rr= and dataset.ignore= with names of "
            "its columns",
        )
    if labels is None and wanted.needs_labels:
        raise refused(
            path, f"has the columns {_listed(names)}", "use dataset.labels= with that of the labels"
        )
    rest = [name for name in names if name not in named]
    samples = [name for name in rest if name in leads] or _numbered(rest)
    if strange := [name for name in rest if name not in samples]:
        raise refused(
            path,
            f"has the columns {_listed(strange)}, which are not numbered as samples",
            f"use dataset.ignore=[{','.join(strange)}] to leave them out",
        )
    return _Layout(
        signals=tuple(samples),
        labels=labels,
        patients=wanted.patients,
        rr=RR_COLUMNS if wanted.rr else (),
    )


def _numbered(names: Sequence[str]) -> list[str]:
    """Return the columns of the commonest name with a number at its end, ordered by the number."""
    found: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        if match := _NUMBERED.fullmatch(name):
            found.setdefault(match[1], []).append((int(match[2]), name))
    most = max(found.values(), key=len, default=[])
    return [name for _, name in sorted(most)]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name)[1:-1] for name in names[:8])
    return f"{shown}, … ({len(names)} in all)" if len(names) > 8 else shown


def _collected(
    path: Path,
    batches: Iterable["pa.RecordBatch"],
    layout: _Layout,
    lists: Sequence[str] = (),
    *,
    first_block: bool,
) -> BeatFile:
    parts: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    patients: list[np.ndarray] = []
    rr: list[np.ndarray] = []
    total = 0
    for batch in batches:
        if not batch.num_rows:
            continue
        leads = [batch.column(batch.schema.get_field_index(name)) for name in layout.signals]
        part = (
            np.stack([_rows(path, lead) for lead in leads], axis=2)
            if set(layout.signals) <= set(lists)
            else np.stack([_floats(lead) for lead in leads], axis=1)[:, :, None]
        )
        if parts and part.shape[1:] != parts[0].shape[1:]:
            raise refused(path, "has beats of different lengths", "cut all beats to one length")
        check_finite(path, part, total)
        total += len(part)
        check_size(path, total, int(np.prod(part.shape[1:])))
        parts.append(part)
        for name, kept in ((layout.labels, labels), (layout.patients, patients)):
            if name is not None:
                kept.append(_values(path, batch, name, total - len(part)))
        if layout.rr:
            rr.append(
                np.stack(
                    [_floats(batch.column(batch.schema.get_field_index(n))) for n in layout.rr], 1
                )
            )
        if first_block:
            break
    if not parts:
        raise refused(path, "has no beats", "use a file with at least one row")
    return BeatFile(
        signals=np.concatenate(parts),
        labels=np.concatenate(labels) if labels else None,
        patients=as_texts(path, np.concatenate(patients), "patients") if patients else None,
        rr=np.concatenate(rr) if rr else None,
    )


def _floats(column: "pa.Array") -> np.ndarray:
    return column.to_numpy(zero_copy_only=False).astype(np.float32)


def _rows(path: Path, column: "pa.Array") -> np.ndarray:
    """Return the lists of a column as rows."""
    flat = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    if column.null_count or len(flat) % len(column):
        raise refused(path, "has beats of different lengths", "cut all beats to one length")
    lengths = np.diff(column.offsets.to_numpy()) if hasattr(column, "offsets") else None
    if lengths is not None and len(np.unique(lengths)) > 1:
        raise refused(path, "has beats of different lengths", "cut all beats to one length")
    return flat.reshape(len(column), -1)


def _values(path: Path, batch: "pa.RecordBatch", name: str, first_row: int) -> np.ndarray:
    column = batch.column(batch.schema.get_field_index(name))
    if column.null_count:
        row = next(i for i, value in enumerate(_python(column)) if value is None)
        raise refused(
            path, f"has no {name} in row {first_row + row}", "fill it, or remove the beat"
        )
    return np.asarray(list(_python(column)))


def _python(column: "pa.Array") -> Iterator[Any]:
    yield from column.to_pylist()
