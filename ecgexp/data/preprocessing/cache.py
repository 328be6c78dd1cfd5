"""Cache of preprocessed beats: memory-mapped arrays that are verified before each use.

`beats-KEY-VERSION.json` is the index of one entry: its metadata, and the SHA-256 of each of its
arrays. `arrays/SHA256.npy` is an array, named by the digest of the file; entries with equal arrays
share it. `digests-FOLDER.json` has the digests of the source files of a folder
(`digests.FileDigests`).
"""

import hashlib
import json
import logging
import mmap
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import TypedDict

from ecgexp.data.beats import COLUMNS, BeatSet
from ecgexp.storage.atomic import claimed_file, remove_litter
from ecgexp.storage.digests import digest
from ecgexp.storage.handles import replace_open
from ecgexp.storage.reading import open_plain, read_json

FORMAT_VERSION = 6
"""Part of every key. Increase it when preprocessing gives other values for the same settings."""

STORAGE_VERSION = 3
"""Increase it when the layout of an entry changes; entries of other versions are ignored."""

_DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    EOFError,
    RuntimeError,
    MemoryError,
    ArithmeticError,
)
_KINDS = {
    "signals_mv": "f",
    "rr": "f",
    "symbols": "U",
    "record_ids": "U",
    "patient_ids": "U",
    "r_samples": "i",
    "templates_mv": "f",
    "annotated": "i",
    "quality": "i",
}
_PREFIX, _PART, _ARRAYS = "beats-", ".part", "arrays"
_log = logging.getLogger(__name__)


class _Index(TypedDict):
    storage: int
    key: str
    beats: dict[str, Any]
    arrays: dict[str, str]
    sha256: str


@dataclass(frozen=True, kw_only=True)
class CachedBeats:
    """Beats, and what is logged each time they are used.

    Attributes:
      beats: Beats without labels; the label grouping is applied later.
      notes: One line each: how the records are used, as the settings say.
      warnings: One line each: what is unusual in the records.
    """

    beats: BeatSet
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def load_or_preprocess(
    cache_dir: Path | None, key: str, preprocess: Callable[[], CachedBeats]
) -> CachedBeats:
    """Return the beats under `key`; if they are not cached, preprocess them and store them.

    Several jobs may call this at the same time: each writes its own files and renames them, so that
    the last one replaces files of the same content. A cache that is not writable is reported by a
    warning. Complete entries are never deleted here, only incomplete files of writers that were
    killed; the folder can be deleted while no run is active.

    **Guarantees**: The arrays of an entry have the SHA-256 of its index, and the index has the
    SHA-256 that it states; an entry that was truncated, changed, mixed with another one or written
    incompletely is preprocessed again. Reading an entry executes no code from it. The arrays are
    mapped from the files that were verified, and are read-only
    (`tests/faults/test_cache_writers.py`).

    Args:
      cache_dir: The folder; None: no cache.
      key: Hexadecimal digest of everything that the beats depend on.
      preprocess: Creates them.

    Returns:
      The beats, and what to log.
    """
    if cache_dir is None:
        return preprocess()
    for folder in (cache_dir, cache_dir / _ARRAYS):
        remove_litter(folder, of=_PREFIX)
    path = cache_dir / f"{_PREFIX}{key[:32]}-{STORAGE_VERSION}.json"
    if path.is_file():
        try:
            return _read(path, key)
        except _DAMAGE as error:
            _log.warning(
                "The cache file %s is damaged (%s); the beats are preprocessed again.", path, error
            )
    cached = preprocess()
    try:
        _write(path, key, cached)
    except OSError as error:
        _log.warning(
            "dataset.cache_dir=%s: the preprocessed beats could not be cached (%s), so that the "
            "next run preprocesses them again; use a writable folder with free space.",
            cache_dir,
            error,
        )
    return cached


def _read(path: Path, key: str) -> CachedBeats:
    index: dict[str, Any] = dict(read_json(path, _Index, fix="remove it"))
    sha256 = index.pop("sha256")
    if sha256 != digest(index):
        raise ValueError("its index does not have the digest that it states")
    if (index["storage"], index["key"]) != (STORAGE_VERSION, key):
        raise ValueError("it is the entry of another key or version")
    arrays = {
        name: _mapped(path.parent / _ARRAYS, index["arrays"][name], kind)
        for name, kind in _KINDS.items()
    }
    meta = index["beats"]
    templates_mv = dict(zip(meta.pop("template_records"), arrays.pop("templates_mv"), strict=True))
    ends = np.cumsum(meta.pop("num_annotated"), dtype=int)
    annotated = dict(
        zip(templates_mv, np.split(arrays.pop("annotated"), ends, axis=1)[:-1], strict=True)
    )
    notes, warnings = (tuple(meta.pop(name)) for name in ("notes", "warnings"))
    meta["lead_names"] = tuple(meta["lead_names"])
    return CachedBeats(
        beats=BeatSet(**arrays, templates_mv=templates_mv, annotated=annotated, **meta),
        notes=notes,
        warnings=warnings,
    )


def _mapped(folder: Path, sha256: str, kind: str) -> np.ndarray:
    """Map the array of the file with this digest, read-only."""
    path = folder / f"{sha256}.npy"
    with open_plain(path, fix="remove it") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    # The digest is computed from the mapping, because the path may have another file by now.
    if hashlib.sha256(mapped).hexdigest() != sha256:
        raise ValueError(f"{path.name} does not have the digest that its name states")
    if (version := np.lib.format.read_magic(mapped)) != (1, 0):
        raise ValueError(f"{path.name} is written in version {version} of numpy's format")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(mapped)
    if dtype.kind != kind:
        raise ValueError(f"{path.name} has values of type {dtype}")
    return np.ndarray(
        shape, dtype, buffer=mapped, offset=mapped.tell(), order="F" if fortran_order else "C"
    )


def _write(path: Path, key: str, cached: CachedBeats) -> None:
    beats, folder = cached.beats, path.parent / _ARRAYS
    meta = {
        "fs_hz": beats.fs_hz,
        "lead_names": list(beats.lead_names),
        "database": beats.database,
        "digest": beats.digest,
        "dropped": dict(beats.dropped),
        "skipped": dict(beats.skipped),
        "patients_are": beats.patients_are,
        "notes": list(cached.notes),
        "warnings": list(cached.warnings),
        "template_records": list(beats.templates_mv),
        "num_annotated": [beats.annotated[record].shape[1] for record in beats.templates_mv],
    }
    arrays = {name: getattr(beats, name) for name in COLUMNS}
    arrays["quality"] = beats.quality
    arrays["templates_mv"] = np.asarray([*beats.templates_mv.values()], np.float32)
    places = [beats.annotated[record] for record in beats.templates_mv]
    arrays["annotated"] = np.concatenate([np.zeros((2, 0), np.int64), *places], axis=1)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    try:
        digests = {name: _write_array(folder, array, written) for name, array in arrays.items()}
        index = {"storage": STORAGE_VERSION, "key": key, "beats": meta, "arrays": digests}
        text = json.dumps(index | {"sha256": digest(index)}, indent=1).encode()
        with _hidden(path.parent) as file:
            file.write(text)
            replace_open(file, file.name, path)
    except BaseException:
        for array in written:  # arrays that no index names would fill the disk further
            array.unlink(missing_ok=True)
        raise


def _write_array(folder: Path, array: np.ndarray, written: list[Path]) -> str:
    """Write an array under its digest and return the digest; append a new path to `written`."""
    with _hidden(folder) as file:
        np.lib.format.write_array(
            file, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False
        )
        file.flush()
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        path = folder / f"{sha256}.npy"
        is_new = not path.exists()
        # Replaces an existing file, which may be damaged; mappings of it stay valid.
        replace_open(file, file.name, path)
    if is_new:
        written.append(path)
    return sha256


@contextmanager
def _hidden(folder: Path) -> Iterator[Any]:
    """Open a locked file of this writer alone, and delete it at the end unless it was published."""
    path = folder / f".{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}{_PART}"
    try:
        with claimed_file(path), path.open("w+b") as file:
            yield file
    finally:
        path.unlink(missing_ok=True)
