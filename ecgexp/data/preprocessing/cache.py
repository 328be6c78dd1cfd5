"""Prepared beats on disk: mapped into memory, never half-written, never trusted when damaged.

`beats-KEY.json` is the index of one entry: what is said of its beats, and the SHA-256 of each of its arrays.
`arrays/SHA256.npy` is an array, under the digest of the file; entries with equal arrays share it.
`digests-FOLDER.json` keeps the digests of the source files of a folder (`file_digests.FileDigests`).
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
from ecgexp.storage.reading import open_plain, read_json

FORMAT_VERSION = 6
"""Raise it whenever preparation comes to give other numbers for the same settings; it is part of every key."""

STORAGE_VERSION = 1
"""Raise it whenever an entry comes to be written otherwise; an entry of another version is no entry."""

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
_KINDS = {"signals_mv": "f", "rr": "f", "symbols": "U", "record_ids": "U", "patient_ids": "U", "r_samples": "i",
          "templates_mv": "f", "annotated": "i"}  # fmt: skip
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
    """Beats and what has to be said about them, each time they are used.

    Attributes:
      beats: without labels; a grouping comes later.
      warnings: one line each.
    """

    beats: BeatSet
    warnings: tuple[str, ...] = ()


def load_or_preprocess(
    cache_dir: Path | None, key: str, preprocess: Callable[[], CachedBeats]
) -> CachedBeats:
    """The beats under `key`, or what `preprocess` makes, kept for the next time.

    Jobs may do this at once: each writes files of its own and renames them into place, so the last one wins with the same
    content. A cache that cannot be written costs time and is no reason to stop. Prepared beats are never deleted here, only
    what writers that died left half-written; the folder may be, whenever no run is on.

    Guarantees:
      The arrays of a kept entry have the SHA-256 that its index names, and the index the one that it names of itself: an entry
      that was cut, changed, mixed with another or half-written is prepared again. Nothing that is read can run code. The
      arrays are mapped from the very files that were compared, and cannot be written to. See
      `tests/faults/test_cache_writers.py`.

    Args:
      cache_dir: the folder; None: no cache.
      key: hexadecimal digest of everything the beats depend on.
      preprocess: makes them.
    """
    if cache_dir is None:
        return preprocess()
    for folder in (cache_dir, cache_dir / _ARRAYS):
        remove_litter(folder, of=_PREFIX)
    path = cache_dir / f"{_PREFIX}{key[:32]}.json"
    if path.is_file():
        try:
            return _read(path, key)
        except _DAMAGE as error:
            _log.warning(
                "The cache file %s is damaged (%s); the beats are prepared again.", path, error
            )
    cached = preprocess()
    try:
        _write(path, key, cached)
    except OSError as error:
        _log.warning("Prepared beats could not be kept in %s (%s); they will be prepared again next time, "
                     "or set dataset.cache_dir to a folder with room.", cache_dir, error)  # fmt: skip
    return cached


def _read(path: Path, key: str) -> CachedBeats:
    index = dict(read_json(path, _Index, fix="remove it"))
    sha256 = index.pop("sha256")
    if sha256 != digest(index):
        raise ValueError("its index has another digest than it says")
    if (index["storage"], index["key"]) != (STORAGE_VERSION, key):
        raise ValueError("it is the entry of another key")
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
    warnings = tuple(meta.pop("warnings"))
    meta["lead_names"] = tuple(meta["lead_names"])
    return CachedBeats(
        beats=BeatSet(**arrays, templates_mv=templates_mv, annotated=annotated, **meta),
        warnings=warnings,
    )


def _mapped(folder: Path, sha256: str, kind: str) -> np.ndarray:
    """The array of a file with that digest, read-only and read from the disk as it is needed."""
    path = folder / f"{sha256}.npy"
    with open_plain(path, fix="remove it") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    # What is compared is what is used: under the path another file may stand by now.
    if hashlib.sha256(mapped).hexdigest() != sha256:
        raise ValueError(f"{path.name} has another digest than its name says")
    if (version := np.lib.format.read_magic(mapped)) != (1, 0):
        raise ValueError(f"{path.name} is written in version {version} of numpy's format")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(mapped)
    if dtype.kind != kind:
        raise ValueError(f"{path.name} holds {dtype}")
    return np.ndarray(
        shape, dtype, buffer=mapped, offset=mapped.tell(), order="F" if fortran_order else "C"
    )


def _write(path: Path, key: str, cached: CachedBeats) -> None:
    beats, folder = cached.beats, path.parent / _ARRAYS
    meta = {
        "fs_hz": beats.fs_hz, "lead_names": list(beats.lead_names), "database": beats.database, "digest": beats.digest,
        "dropped": dict(beats.dropped), "warnings": list(cached.warnings), "template_records": list(beats.templates_mv),
        "num_annotated": [beats.annotated[record].shape[1] for record in beats.templates_mv],
    }  # fmt: skip
    arrays = {name: getattr(beats, name) for name in COLUMNS}
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
            _publish(file, path)
    except BaseException:
        for array in written:  # a full disk is not filled further by arrays that no index names
            array.unlink(missing_ok=True)
        raise


def _write_array(folder: Path, array: np.ndarray, written: list[Path]) -> str:
    """Writes an array under its digest, which it returns; `written` gets the path if nothing stood there."""
    with _hidden(folder) as file:
        np.lib.format.write_array(
            file, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False
        )
        file.flush()
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        path = folder / f"{sha256}.npy"
        is_new = not path.exists()
        _publish(
            file, path
        )  # over one that is there too: it may be damaged, and who has mapped it keeps what he has
    if is_new:
        written.append(path)
    return sha256


@contextmanager
def _hidden(folder: Path) -> Iterator[Any]:
    """A file of this writer alone, locked while it is open; gone at the end, unless it was published by then."""
    path = folder / f".{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}{_PART}"
    try:
        with claimed_file(path), path.open("w+b") as file:
            yield file
    finally:
        path.unlink(missing_ok=True)


def _publish(file: Any, path: Path) -> None:
    """Gives a hidden file its name when it is whole on the disk."""
    file.flush()
    os.fsync(file.fileno())
    os.replace(file.name, path)
