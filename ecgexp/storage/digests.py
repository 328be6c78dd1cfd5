"""Digests of files and of settings."""

import hashlib
import json
from pathlib import Path
from typing import Any


def file_sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file.

    A `.hea` file is hashed with CRLF line endings, as PhysioNet publishes it; git may have
    converted them.
    """
    if path.suffix == ".hea":
        lines = path.read_bytes().replace(b"\r\n", b"\n")
        return hashlib.sha256(lines.replace(b"\n", b"\r\n")).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value: Any) -> str:
    """Return the hexadecimal SHA-256 of a value that can be converted to JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
