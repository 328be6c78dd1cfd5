"""What beats were made from: digests of files and of settings."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def file_sha256(path: Path) -> str:
    """SHA-256 of a file; a `.hea` is taken with CRLF line ends, as PhysioNet publishes it, whatever git made of it."""
    if path.suffix == ".hea":
        lines = path.read_bytes().replace(b"\r\n", b"\n")
        return hashlib.sha256(lines.replace(b"\n", b"\r\n")).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def quick_identity(paths: Iterable[Path]) -> list[tuple[str, int, int]]:
    """Name, size and time of change of every file: enough to know that nothing was replaced since it was verified."""
    return [(path.name, stat.st_size, stat.st_mtime_ns) for path in paths if (stat := path.stat())]


def digest(value: Any) -> str:
    """SHA-256 of a JSON-able value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
