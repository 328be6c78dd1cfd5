"""Files that are whole or as they were before, whenever the process that writes them dies.

After a power failure they may still be either: what must outlive that too is synced (`checkpoints`, `privacy.journal`).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden file beside `path` to be written in the block, which takes its place unless an error ends it."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
