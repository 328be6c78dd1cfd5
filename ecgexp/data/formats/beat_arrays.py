"""Read beats from `.npy` and `.npz` files, without pickle and within limits."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from ecgexp.data.formats.beat_file import (
    LABELS,
    MOST_BYTES,
    RR_COLUMNS,
    BeatFile,
    Wanted,
    as_texts,
    check_finite,
    check_size,
    refused,
)
from ecgexp.settings.declaration import DataError
from ecgexp.storage.reading import error_text, read_text

_MOST_LEADS = 64
_MOST_ARRAYS = 1000
_DAMAGE = (OSError, ValueError, EOFError, zipfile.BadZipFile, RuntimeError, MemoryError, KeyError)


def read_npz(path: Path, wanted: Wanted) -> BeatFile:
    """Read beats from an `.npz` file.

    Args:
      path: The file.
      wanted: The names of its arrays.

    Returns:
      The beats.

    Raises:
      DataError: The file is damaged or holds pickled objects, an array is missing, or the arrays do
        not fit together.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            shapes = _shapes(path, archive)
            signals = wanted.signals or _only_beats(path, shapes, wanted)
            labels = wanted.labels or next(
                (name for name in shapes if name.lower() in LABELS), None
            )
            names = [signals, labels, wanted.patients, "rr" if wanted.rr else None]
            for name in names:
                if name is not None and name not in shapes:
                    raise refused(
                        path,
                        f"has no array {name!r} but {', '.join(sorted(shapes))}",
                        "use dataset.signals=, dataset.labels= and dataset.patients= with names of "
                        "its arrays",
                    )
            if labels is None and wanted.needs_labels:
                raise refused(
                    path,
                    f"has the arrays {', '.join(sorted(shapes))}",
                    "use dataset.labels= with that of the labels",
                )
            found = [None if name is None else _member(path, archive, name) for name in names]
    except DataError:
        raise
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    return assembled(path, found[0], labels=found[1], patients=found[2], rr=found[3])


def read_npy(path: Path) -> np.ndarray:
    """Read the array of an `.npy` file.

    Args:
      path: The file.

    Returns:
      The array, in memory.

    Raises:
      DataError: The file is damaged or holds pickled objects.
    """
    try:
        with path.open("rb") as file:
            _check_header(path, path.name, file, path.stat().st_size)
            file.seek(0)
            return np.lib.format.read_array(file, allow_pickle=False)
    except DataError:
        raise
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def read_values(path: Path) -> np.ndarray:
    """Read one value for each beat from an `.npy` file, or from a text file with a value a line.

    Args:
      path: The file.

    Returns:
      (num_beats,) or, one-hot, (num_beats, classes).

    Raises:
      DataError: The file is damaged.
    """
    if path.suffix == ".npy":
        return read_npy(path)
    return np.asarray(read_text(path, fix="use a text file with one value a line").split())


def assembled(
    path: Path,
    signals: np.ndarray | None,
    *,
    labels: np.ndarray | None,
    patients: np.ndarray | None,
    rr: np.ndarray | None,
) -> BeatFile:
    """Check that arrays fit together.

    Args:
      path: The file, for messages.
      signals: (num_beats, window) or (num_beats, window, leads), numbers.
      labels: Of the beats.
      patients: Of the beats.
      rr: (num_beats, 4).

    Returns:
      The beats.

    Raises:
      DataError: They do not.
    """
    if signals is None or signals.dtype.kind not in "fiub" or signals.ndim not in (2, 3):
        raise refused(
            path,
            "has no array of numbers with two or three dimensions",
            "use an array of (beats, samples) or (beats, samples, leads)",
        )
    if signals.ndim == 3 and signals.shape[2] > min(_MOST_LEADS, signals.shape[1]):
        raise refused(
            path,
            f"has beats of the shape {signals.shape[1:]}",
            "use (beats, samples, leads), e.g. array.transpose(0, 2, 1)",
        )
    check_size(path, len(signals), int(np.prod(signals.shape[1:])))
    with np.errstate(over="ignore"):
        signals = signals.astype(np.float32, copy=False).reshape(*signals.shape[:2], -1)
    check_finite(path, signals)
    for name, values in (("labels", labels), ("patients", patients), ("rr", rr)):
        if values is not None and (values.ndim < 1 or len(values) != len(signals)):
            raise refused(
                path,
                f"has {len(signals)} beats, and dataset.{name} has {len(np.atleast_1d(values))}",
                "use one value for each beat",
            )
    if rr is not None and (rr.shape[1:] != (len(RR_COLUMNS),) or rr.dtype.kind not in "fiu"):
        raise refused(
            path, f"has an array rr of shape {rr.shape}", f"use the columns {', '.join(RR_COLUMNS)}"
        )
    return BeatFile(
        signals=signals,
        labels=labels,
        patients=None if patients is None else as_texts(path, patients.ravel(), "patients"),
        rr=None if rr is None else rr.astype(np.float32),
    )


def _shapes(path: Path, archive: zipfile.ZipFile) -> Mapping[str, tuple[int, ...]]:
    infos = archive.infolist()
    if len(infos) > _MOST_ARRAYS:
        raise refused(path, f"has {len(infos)} arrays", "use a file with the beats alone")
    shapes = {}
    for info in infos:
        if info.filename.endswith(".npy"):
            with archive.open(info) as file:
                name = info.filename.removesuffix(".npy")
                shapes[name] = _check_header(path, name, file, info.file_size)
    return shapes


def _check_header(path: Path, name: str, file: IO[Any], size: int) -> tuple[int, ...]:
    """Check type and size of an array by its header, before any of it is read."""
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ValueError(f"array {name} is of version {version} of numpy's format")
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise refused(
            path,
            f"has pickled objects in {name!r}, which could execute code and are never read",
            "save numbers or texts: np.save(file, np.asarray(values, dtype=float))",
        )
    claimed = int(np.prod([int(number) for number in shape], dtype=object)) * dtype.itemsize
    if claimed > min(MOST_BYTES, size):
        raise ValueError(f"array {name} of {claimed} bytes is not in it")
    return shape


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _only_beats(path: Path, shapes: Mapping[str, tuple[int, ...]], wanted: Wanted) -> str:
    """Return the name of the array that can only be the beats."""
    others = (wanted.labels, wanted.patients, "rr", *LABELS)
    found = [name for name, shape in shapes.items() if len(shape) in (2, 3) and name not in others]
    if len(found) != 1:
        raise refused(
            path,
            f"has the arrays {', '.join(sorted(shapes)) or 'none'}",
            "use dataset.signals= with the name of that of the beats",
        )
    return found[0]


def _damaged(path: Path, error: BaseException) -> DataError:
    return refused(
        path, f"is damaged: {error_text(error)}", "save it again with np.save or np.savez"
    )
