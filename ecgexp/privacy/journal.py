"""Steps that are about to run, on disk before they do: what a crash undid is still charged.

A checkpoint holds the bill up to its step. Steps after it may have shown something before they were lost (a curve, a score),
so a run that goes on pays for them too. Steps are written down in blocks, an epoch at a time, because each writing waits
for the disk: a crash within a block charges all of it, more than was taken and never less.
"""

import json
import os
from pathlib import Path
from typing import Any


class Journal:
    """The steps that a run may have taken, event by event.

    Args:
      path: one line a block; what lies there is continued.
      block: steps that are written down at a time.
    """

    def __init__(self, path: Path, *, block: int):
        self._path, self._block = path, block
        self._reserved = read_journal(path)

    def cover(self, key: str, total: int) -> None:
        """Returns when the disk knows that `total` steps of the event `key` may have been taken, of this run in all."""
        if total <= self._reserved.get(key, 0):
            return
        self._reserved[key] = total + self._block - 1
        line = json.dumps({"event": json.loads(key), "steps": self._reserved[key]})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())


def read_journal(path: Path) -> dict[str, int]:
    """Event, as the ledger keys it -> steps that may have been taken; empty where there is no journal.

    A last line that a crash cut off was not yet waited for: its steps had not begun.
    """
    reserved: dict[str, int] = {}
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else ():
        if line.endswith("\n"):
            entry: dict[str, Any] = json.loads(line)
            key = json.dumps(entry["event"], sort_keys=True)
            reserved[key] = max(reserved.get(key, 0), entry["steps"])
    return reserved
