"""What beats were made from, and what they are: digests of files, of settings and of beats."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ecgexp.beats import BeatSet


def file_sha256(path: Path) -> str:
    """SHA-256 of a file; a `.hea` is taken with CRLF line ends, as PhysioNet publishes it, whatever git made of it."""
    if path.suffix == ".hea":
        lines = path.read_bytes().replace(b"\r\n", b"\n")
        return hashlib.sha256(lines.replace(b"\n", b"\r\n")).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value: Any) -> str:
    """SHA-256 of a JSON-able value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def beats_sha256(beats: "BeatSet") -> str:
    """SHA-256 of beats themselves, in their order: for test beats, never for private ones (see `privacy.keyed`).

    It says the same of the same beats on every machine, whatever else their database holds.
    """
    found = hashlib.sha256()
    for name in ("signals_mv", "symbols", "record_ids", "r_samples"):
        column = getattr(beats, name)
        # NumPy pads texts to the longest one that is there, so that their bytes depend on their neighbors.
        data = (
            "\0".join(column.tolist()).encode() if column.dtype.kind == "U" else np.ascontiguousarray(column).tobytes()
        )
        found.update(f"{name} {len(data)}\n".encode() + data)
    return found.hexdigest()
