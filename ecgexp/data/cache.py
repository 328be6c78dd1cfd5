"""Prepared beats on disk: read back in a blink, never half-written, never trusted when damaged."""

import json
import logging
import os
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgexp.beats import BeatSet

FORMAT_VERSION = 1
"""Raise it whenever preparation comes to give other numbers for the same settings; it is part of every key."""

_COLUMNS = ("signals_mv", "rr", "symbols", "record_ids", "patient_ids", "r_samples")
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
    same content. A cache that cannot be written costs time and is no reason to stop. Nothing is ever deleted here; the
    folder may be, whenever no run is on.

    Args:
      cache_dir: the folder; None: no cache.
      key: hexadecimal digest of everything the beats depend on.
      prepare: makes them.
    """
    if cache_dir is None:
        return prepare()
    path = cache_dir / f"beats-{key[:32]}.npz"
    if path.is_file():
        try:
            return _read(path)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            _log.warning("The cache file %s is damaged (%s); the beats are prepared again.", path, error)
    prepared = prepare()
    try:
        _write(path, prepared)
    except OSError as error:
        _log.warning("Prepared beats could not be kept in %s (%s); they will be prepared again next time, "
                     "or set dataset.cache_dir to a folder with room.", cache_dir, error)  # fmt: skip
    return prepared


def _read(path: Path) -> Prepared:
    with np.load(path, allow_pickle=False) as file:  # zip keeps a checksum of every array, and numpy has it checked
        meta = json.loads(str(file["meta"]))
        columns = {name: file[name] for name in _COLUMNS}
    warnings = tuple(meta.pop("warnings"))
    meta["lead_names"] = tuple(meta["lead_names"])
    return Prepared(beats=BeatSet(**columns, **meta), warnings=warnings)


def _write(path: Path, prepared: Prepared) -> None:
    beats = prepared.beats
    meta = {
        "fs_hz": beats.fs_hz, "lead_names": beats.lead_names, "database": beats.database, "digest": beats.digest,
        "dropped": dict(beats.dropped), "warnings": prepared.warnings,
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, meta=np.asarray(json.dumps(meta)), **{name: getattr(beats, name) for name in _COLUMNS})
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
