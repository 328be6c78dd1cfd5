"""Prepared beats on disk: read back in a blink, never half-written, never trusted when damaged."""

import json
import logging
import lzma
import os
import struct
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgexp.beats import COLUMNS, BeatSet

FORMAT_VERSION = 5
"""Raise it whenever preparation comes to give other numbers for the same settings; it is part of every key."""

_DAMAGE = (  # what zipfile, numpy and json make of bytes that are none of theirs
    OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error,
    lzma.LZMAError, struct.error,
)  # fmt: skip
_PREFIX, _PART = "beats-", ".part"
_DAY_S = 24 * 3600.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Beats and what has to be said about them, each time they are used.

    Attributes:
      beats: without labels; a grouping comes later.
      warnings: one line each.
    """

    beats: BeatSet
    warnings: tuple[str, ...] = ()


def load_or_prepare(cache_dir: Path | None, key: str, prepare: Callable[[], Prepared]) -> Prepared:
    """The beats under `key`, or what `prepare` makes, kept for the next time.

    Jobs may do this at once: each writes a file of its own and renames it into place, so the last one wins with the
    same content. A cache that cannot be written costs time and is no reason to stop. Prepared beats are never deleted
    here, only what a writer that died a day ago or more left half-written; the folder may be, whenever no run is on.

    Args:
      cache_dir: the folder; None: no cache.
      key: hexadecimal digest of everything the beats depend on.
      prepare: makes them.
    """
    if cache_dir is None:
        return prepare()
    path = cache_dir / f"{_PREFIX}{key[:32]}.npz"
    if path.is_file():
        try:
            return _read(path)
        except _DAMAGE as error:
            _log.warning("The cache file %s is damaged (%s); the beats are prepared again.", path, error)
    prepared = prepare()
    try:
        _write(path, prepared)
    except OSError as error:
        _log.warning("Prepared beats could not be kept in %s (%s); they will be prepared again next time, "
                     "or set dataset.cache_dir to a folder with room.", cache_dir, error)  # fmt: skip
    return prepared


def _read(path: Path) -> Prepared:
    with np.load(path, allow_pickle=False) as file:
        # Zip keeps a checksum of every member, but numpy has it compared only if an array's header asks for all bytes.
        if (damaged := file.zip.testzip()) is not None:
            raise zipfile.BadZipFile(f"the checksum of {damaged} is another")
        meta = json.loads(str(file["meta"]))
        columns = {name: file[name] for name in COLUMNS}
        usual_mv = dict(zip(meta.pop("usual_records"), file["usual_mv"], strict=True))
        ends = np.cumsum(meta.pop("num_annotated"), dtype=int)
        annotated = dict(zip(usual_mv, np.split(file["annotated"], ends, axis=1)[:-1], strict=True))
    warnings = tuple(meta.pop("warnings"))
    meta["lead_names"] = tuple(meta["lead_names"])
    return Prepared(beats=BeatSet(**columns, usual_mv=usual_mv, annotated=annotated, **meta), warnings=warnings)


def _write(path: Path, prepared: Prepared) -> None:
    beats = prepared.beats
    meta = {
        "fs_hz": beats.fs_hz, "lead_names": beats.lead_names, "database": beats.database, "digest": beats.digest,
        "dropped": dict(beats.dropped), "warnings": prepared.warnings, "usual_records": list(beats.usual_mv),
        "num_annotated": [beats.annotated[record].shape[1] for record in beats.usual_mv],
    }  # fmt: skip
    columns = {"meta": np.asarray(json.dumps(meta))} | {name: getattr(beats, name) for name in COLUMNS}
    columns["usual_mv"] = np.asarray([*beats.usual_mv.values()], np.float32)
    places = [beats.annotated[record] for record in beats.usual_mv]
    columns["annotated"] = np.concatenate([np.zeros((2, 0), np.int64), *places], axis=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_strays(path.parent)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=_PART)
    try:
        with os.fdopen(handle, "wb") as file:
            with zipfile.ZipFile(
                file, "w"
            ) as archive:  # np.savez leaves it open when the disk is full, and it complains
                for name, array in columns.items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def _remove_strays(folder: Path) -> None:
    """Removes what dead writers left; only their age tells, since another machine's writers may share the folder."""
    for partial in folder.glob(f".{_PREFIX}*{_PART}"):
        with suppress(OSError):  # another run was faster, or it is not ours to remove
            if time.time() - partial.lstat().st_mtime > _DAY_S:
                partial.unlink()
