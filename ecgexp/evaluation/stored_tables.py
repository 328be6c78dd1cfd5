"""Read the tables of a stored run: predictions of beats, and scores of clients."""

import io
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ecgexp.storage.json_text import quoted
from ecgexp.storage.reading import error_text, read_bytes, read_text, refusal

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

_PROBABILITY = "probability/"
_TEXTS, _SAMPLE = ("record", "patient", "class", "predicted"), "sample"
_MOST_BYTES, _MOST_ROWS = 1 << 30, 50_000_000
_DAMAGED = (OSError, ValueError, LookupError, TypeError, MemoryError, OverflowError)
_MOST_STRIP_BYTES, _MOST_STRIP_ROWS = 1 << 24, 1_000_000
_MOST_THRIFT = 1 << 24  # of a text or list in the metadata of a Parquet file


@dataclass(frozen=True, kw_only=True)
class StoredPredictions:
    """Predictions of a run for the beats of one split, as stored in its run folder.

    Attributes:
      records: (num_beats,) str, the record of each beat.
      patients: (num_beats,) str, the patient of each beat.
      samples: (num_beats,) int64, the annotated sample.
      classes: (num_beats,) str, the true class, one of `class_names`.
      predicted: (num_beats,) str, the predicted class, one of `class_names`.
      class_names: The classes, in the order of the columns of `probabilities`.
      probabilities: (num_beats, num_classes) float64.
    """

    records: np.ndarray
    patients: np.ndarray
    samples: np.ndarray
    classes: np.ndarray
    predicted: np.ndarray
    class_names: tuple[str, ...]
    probabilities: np.ndarray


@dataclass(frozen=True, kw_only=True)
class StoredCounts:
    """Beats of one split of a run by patient, true class and predicted class.

    Attributes:
      patients: In ascending order.
      class_names: The classes, in the order of the columns of probabilities.
      by_patient: (patients, classes, classes) int64; rows are true classes.
    """

    patients: tuple[str, ...]
    class_names: tuple[str, ...]
    by_patient: np.ndarray


def _open_parquet(data: bytes, *, as_codes: Sequence[str] = ()) -> "ParquetFile":
    """Open a Parquet file of a run, with its checksums verified and bounds on its metadata.

    Args:
      data: The file.
      as_codes: Columns to read as dictionaries, with an index for each row.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.ParquetFile(
        pa.BufferReader(data),
        read_dictionary=list(as_codes) or None,
        page_checksum_verification=True,
        thrift_string_size_limit=_MOST_THRIFT,
        thrift_container_size_limit=_MOST_THRIFT,
    )


def read_counts(path: Path, *, fix: str) -> StoredCounts:
    """Count the beats of `predictions/SPLIT.parquet`, many times faster than `read_predictions`.

    Args:
      path: The file.
      fix: The remedy, for the message.

    Returns:
      The counts.

    Raises:
      DataError: It cannot be read, or is not such a table.
    """
    data = read_bytes(path, fix=fix, most=_MOST_BYTES)
    import pyarrow as pa

    columns = ["patient", "class", "predicted"]
    try:
        file = _open_parquet(data, as_codes=columns)
        schema = file.schema_arrow
        _check_columns(schema, file.metadata.num_rows)
        class_names = _class_names(schema)
        table = file.read(columns=columns, use_threads=False)
        table.validate(full=True)
        owners, true, predicted = (_codes(table[name]) for name in columns)
        _check_classes({*true[0], *predicted[0]}, class_names)
        patients = sorted(set(owners[0]))
        rows = _places(owners, patients)
        for codes in (true, predicted):
            rows = rows * len(class_names) + _places(codes, class_names)
        shape = (len(patients), len(class_names), len(class_names))
        by_patient = np.bincount(rows, minlength=math.prod(shape)).reshape(shape)
    except (pa.ArrowException, *_DAMAGED) as error:
        why = f"is not a table of predictions: {error_text(error)}"
        raise refusal(path, why, fix=fix) from error
    return StoredCounts(patients=tuple(patients), class_names=class_names, by_patient=by_patient)


def read_predictions(path: Path, *, fix: str) -> StoredPredictions:
    """Read `predictions/SPLIT.parquet`.

    Args:
      path: The file.
      fix: The remedy, for the message.

    Returns:
      The predictions.

    Raises:
      DataError: It cannot be read, or is not such a table.
    """
    data = read_bytes(path, fix=fix, most=_MOST_BYTES)
    import pyarrow as pa

    try:
        file = _open_parquet(data)
        schema = file.schema_arrow
        _check_columns(schema, file.metadata.num_rows)
        names = [name for name in schema.names if name.startswith(_PROBABILITY)]
        table = file.read(columns=[*_TEXTS, _SAMPLE, *names], use_threads=False)
        table.validate(full=True)
        if any(column.null_count for column in table.columns):
            raise ValueError("it has empty cells")
        texts = {name: np.asarray(table[name].to_pylist(), dtype=np.str_) for name in _TEXTS}
        samples = table[_SAMPLE].to_numpy().astype(np.int64)
        probabilities = np.stack(
            [table[name].to_numpy().astype(np.float64) for name in names], axis=1
        )
        class_names = _class_names(schema)
        _check_classes({*texts["class"], *texts["predicted"]}, class_names)
        if len(samples) and samples.min() < 0:
            raise ValueError("a beat is before the first sample of its record")
    except (pa.ArrowException, *_DAMAGED) as error:
        why = f"is not a table of predictions: {error_text(error)}"
        raise refusal(path, why, fix=fix) from error
    return StoredPredictions(
        records=texts["record"],
        patients=texts["patient"],
        samples=samples,
        classes=texts["class"],
        predicted=texts["predicted"],
        class_names=class_names,
        probabilities=probabilities,
    )


def _codes(column: Any) -> tuple[list[str], np.ndarray]:
    """Return the values that occur in a column of texts, and the place of each row's among them."""
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    column = column.unify_dictionaries()
    dictionary = column.chunk(0).dictionary if column.num_chunks else pa.array([], pa.string())
    if column.null_count or dictionary.null_count:
        raise ValueError("it has empty cells")
    chunks = [chunk.indices.to_numpy() for chunk in column.chunks]
    codes = np.concatenate(chunks) if chunks else np.zeros(0, np.int64)
    used = np.flatnonzero(np.bincount(codes, minlength=len(dictionary)))
    new = np.zeros(len(dictionary), np.int64)
    new[used] = np.arange(len(used))
    names = dictionary.to_pylist()
    return [names[code] for code in used], new[codes]


def _places(codes: tuple[list[str], np.ndarray], names: Sequence[str]) -> np.ndarray:
    """Return the place of each row's value in `names`."""
    place = {name: number for number, name in enumerate(names)}
    return np.asarray([place[name] for name in codes[0]], np.int64)[codes[1]]


def _class_names(schema: Any) -> tuple[str, ...]:
    return tuple(
        name.removeprefix(_PROBABILITY) for name in schema.names if name.startswith(_PROBABILITY)
    )


def _check_classes(found: set[str], class_names: Sequence[str]) -> None:
    if strange := found - {*class_names}:
        raise ValueError(
            f"the class {quoted(str(min(strange)))} is not among {quoted(tuple(class_names))}"
        )


def _check_columns(schema: Any, num_rows: int) -> None:
    import pyarrow as pa

    if len(set(schema.names)) < len(schema.names):
        raise ValueError("it has a column twice")
    if missing := [name for name in (*_TEXTS, _SAMPLE) if name not in schema.names]:
        raise ValueError(f"the column {missing[0]} is missing")
    if not any(name.startswith(_PROBABILITY) for name in schema.names):
        raise ValueError("it has no class")
    if not 0 <= num_rows <= _MOST_ROWS:
        raise ValueError(f"it has {num_rows} rows, and at most {_MOST_ROWS} are read")
    for name in schema.names:
        kind = schema.field(name).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if name in _TEXTS:
            fits = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        elif name == _SAMPLE:
            fits = pa.types.is_integer(kind)
        else:
            fits = not name.startswith(_PROBABILITY) or pa.types.is_floating(kind)
        if not fits:
            raise ValueError(f"the column {name} is of {kind}")


@dataclass(frozen=True, kw_only=True)
class StoredStrip:
    """Some seconds of a record around a misclassified beat, as stored in a run folder.

    Attributes:
      record: The record.
      sample: The annotated sample of the beat, at `record_hz`.
      record_hz: Sampling frequency of the record's annotations.
      lead: Name of the lead.
      seconds: (num_samples,) float64, from the beat on, negative before it.
      mv: (num_samples,) float64, millivolts.
    """

    record: str
    sample: int
    record_hz: float
    lead: str
    seconds: np.ndarray
    mv: np.ndarray


def read_strips(path: Path, *, fix: str) -> list[StoredStrip]:
    """Read `tables/SPLIT_strips.parquet`.

    Args:
      path: The file.
      fix: The remedy, for the message.

    Returns:
      The strips, in their order.

    Raises:
      DataError: It cannot be read, or is not such a table.
    """
    data = read_bytes(path, fix=fix, most=_MOST_STRIP_BYTES)
    import pyarrow as pa

    texts, numbers = ("record", "lead"), ("strip", "sample", "record_hz", "second", "mv")
    try:
        file = _open_parquet(data)
        if not 0 <= file.metadata.num_rows <= _MOST_STRIP_ROWS:
            raise ValueError(f"it has {file.metadata.num_rows} rows")
        table = file.read(columns=[*texts, *numbers], use_threads=False)
        table.validate(full=True)
        words = {name: np.asarray(table[name].to_pylist(), dtype=np.str_) for name in texts}
        values = {name: table[name].to_numpy().astype(np.float64) for name in numbers}
        if not all(np.isfinite(column).all() for column in values.values()):
            raise ValueError("a number is NaN or infinite")
        if (values["record_hz"] <= 0).any() or (values["sample"] < 0).any():
            raise ValueError("a frequency or a sample is negative")
        strips = []
        for number in np.unique(values["strip"]):
            rows = np.flatnonzero(values["strip"] == number)
            strips.append(
                StoredStrip(
                    record=str(words["record"][rows[0]]),
                    sample=int(values["sample"][rows[0]]),
                    record_hz=float(values["record_hz"][rows[0]]),
                    lead=str(words["lead"][rows[0]]),
                    seconds=values["second"][rows],
                    mv=values["mv"][rows],
                )
            )
    except (pa.ArrowException, *_DAMAGED) as error:
        why = f"is not a table of strips: {error_text(error)}"
        raise refusal(path, why, fix=fix) from error
    return strips


def read_clients(path: Path, *, fix: str) -> list[dict[str, Any]]:
    """Read `tables/test_per_client.csv`.

    Args:
      path: The file.
      fix: The remedy, for the message.

    Returns:
      For each client: client, beats, accuracy, macro_f1 and majority_accuracy.

    Raises:
      DataError: It cannot be read, or is not such a table.
    """
    text = read_text(path, fix=fix)
    import pandas as pd

    shares = ("accuracy", "macro_f1", "majority_accuracy")
    try:
        kinds: dict[Hashable, Any] = {
            "client": str,
            "beats": np.int64,
            **dict.fromkeys(shares, np.float64),
        }
        table = pd.read_csv(io.StringIO(text), dtype=kinds, keep_default_na=True)
        _check_shares(table, shares)
        columns = cast(pd.DataFrame, table[["client", "beats", *shares]])
        return columns.to_dict("records")
    except (ValueError, LookupError, TypeError, OverflowError, MemoryError) as error:
        why = f"is not a table of clients: {error_text(error)}"
        raise refusal(path, why, fix=fix) from error


def _check_shares(table: Any, shares: Sequence[str]) -> None:
    if table["client"].isna().any() or (table["beats"] < 0).any():
        raise ValueError("a client has no name, or a negative number of beats")
    for name in shares:
        known = table[name].dropna()
        if not known.between(0, 1).all():
            raise ValueError(f"{name} is not between 0 and 1")
