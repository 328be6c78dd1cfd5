"""A file of beats that are cut already: what it holds, and what is asked of it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgexp.data.beats import RR_FEATURES
from ecgexp.data.formats.untrusted import printable
from ecgexp.settings.declaration import DataError

SUFFIXES = (".npz", ".npy", ".parquet", ".csv")
RR_COLUMNS = RR_FEATURES[:4]
"""The RR features that a file of beats may give: previous, next, local mean, ratio."""

MOST_BYTES = 1 << 35
"""Largest array that is read, in bytes as float32."""

LABELS = ("label", "labels", "class", "target", "symbol", "y")
"""Names of the labels in a file, if the settings name none."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is read from a file of beats.

    Attributes:
      signals: Name of the array of an `.npz` file with the beats; None: the only one with two or
        three dimensions.
      labels: Name of the column or array with the labels; None: one of `LABELS`, or the last column
        of a CSV file without a header.
      patients: Name of the column or array with the patients; None: there are none.
      rr: Whether the file has the columns `RR_COLUMNS`, or the array `rr` with these four.
      ignore: Columns that are left out.
      needs_labels: Whether a file without labels is refused.
      samples: Samples of a beat, if they are known: a CSV file without a header and with so many
        columns has no labels.
    """

    signals: str | None = None
    labels: str | None = None
    patients: str | None = None
    rr: bool = False
    ignore: tuple[str, ...] = ()
    needs_labels: bool = True
    samples: int | None = None


@dataclass(frozen=True, kw_only=True)
class BeatFile:
    """The content of a file of beats.

    Attributes:
      signals: (num_beats, window, leads) float32, finite, in the units of the file.
      labels: (num_beats,) of any type, or (num_beats, classes) one-hot; None if there are none.
      patients: (num_beats,) str; None if they were not asked for.
      rr: (num_beats, 4) float32, the columns `RR_COLUMNS`, in seconds; None likewise.
      has_header: Whether columns or arrays have names.
    """

    signals: np.ndarray
    labels: np.ndarray | None
    patients: np.ndarray | None
    rr: np.ndarray | None
    has_header: bool = True


def refused(path: Path, why: str, fix: str) -> DataError:
    """Return the one-line error for a file of beats.

    Args:
      path: The file.
      why: What is wrong, continuing a sentence that begins with its name.
      fix: The remedy.
    """
    return DataError(f"dataset.path: {printable(path.name)} {why}; {fix}")


def check_size(path: Path, beats: int, values: int) -> None:
    """Check the number of values before they are read.

    Args:
      path: The file.
      beats: Number of rows.
      values: Values in a row.

    Raises:
      DataError: The file has no beat, or would not fit into memory.
    """
    if beats < 1 or values < 2:
        raise refused(path, f"has {beats} beats of {values} values", "use a file with beats in it")
    if 4 * beats * values > MOST_BYTES:
        raise refused(
            path,
            f"has {beats} beats of {values} values, {4 * beats * values / 1e9:.0f} GB",
            f"use parts of at most {MOST_BYTES / 1e9:.0f} GB",
        )


def check_finite(path: Path, signals: np.ndarray, first_row: int = 0) -> None:
    """Check that every value is a number.

    Args:
      path: The file.
      signals: (num_beats, …) float32.
      first_row: Number of the first row, for the message.

    Raises:
      DataError: A value is missing, NaN, infinite or too large for float32.
    """
    finite = np.isfinite(signals).reshape(len(signals), -1)
    if not finite.all():
        row, column = (int(place) for place in np.argwhere(~finite)[0])
        raise refused(
            path,
            f"has no finite value in row {first_row + row}, column {column} (counted from 0)",
            "fill or remove the beats that lack samples",
        )


def as_texts(path: Path, values: np.ndarray, what: str) -> np.ndarray:
    """Return patients as texts; whole numbers lose their decimals.

    Args:
      path: The file.
      values: (num_beats,) of any type.
      what: For the message.

    Raises:
      DataError: One is missing, or is no short, printable text.
    """
    if values.dtype.kind == "f":
        if not np.isfinite(values).all() or (values != np.rint(values)).any():
            raise refused(
                path, f"has {what} that are no whole numbers", "use whole numbers or texts"
            )
        values = values.astype(np.int64)
    texts = np.asarray([str(value).strip() for value in values.tolist()], np.str_)
    bad = [text for text in np.unique(texts).tolist() if not text.isprintable() or len(text) > 64]
    if bad or (texts == "").any():
        raise refused(
            path, f"has empty, long or unprintable {what}", "use up to 64 printable characters"
        )
    return texts
