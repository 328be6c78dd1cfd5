"""`private/` of a run's folder: the outputs that the run does not publish.

private/metrics.jsonl  one line per call, as in the run's own metrics.jsonl
private/values.json    tags and result keys that were withheld
private/error.txt      the message of the error that ended the run, with its traceback
private/ecgexp.log     log lines that may reveal training beats
private/…              figures, tables and files, under the paths that they would have
                       without a guarantee
"""

import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ecgexp.privacy import outputs
from ecgexp.storage.atomic import replacing
from ecgexp.storage.handles import NO_LINK
from ecgexp.storage.reading import MissingFileError, cut_torn_line, read_json, refusal
from ecgexp.tracking.checks import Points, check_path
from ecgexp.tracking.local.artifact_files import FileArtifacts, plain
from ecgexp.tracking.local.tracker import now, read_entries, read_metrics

FOLDER = outputs.PRIVATE_FOLDER
_OWNER_ONLY, _OWNER_FOLDER = 0o600, 0o700


class PrivateFolder(FileArtifacts):
    """`private/` of a run's folder; an existing one is continued.

    **Guarantees**: only the owner can enter its folders and read its files, whatever the umask
    (`tests/unit/tracking/test_withholding.py`).

    Args:
      run_dir: the run's folder; `private/` is created with the first entry.
    """

    def __init__(self, run_dir: Path):
        self.path = run_dir / FOLDER
        self._metrics = self.path / "metrics.jsonl"
        for name in ("metrics.jsonl", "values.json", "error.txt", "ecgexp.log"):
            _check_plain(self.path / name)  # before training, not after it
        cut_torn_line(self._metrics)
        self._known_values()
        self._points = Points(
            (name, step) for step, metrics in read_metrics(self._metrics) for name in metrics
        )

    def log_file(self, path: Path, folder: str = "") -> None:
        """Store a copy of the file `path`, under its own name, in `folder`."""
        target = self._made(check_path(f"{folder}/{path.name}" if folder else path.name))
        with _opened(target, os.O_TRUNC) as file, path.open("rb") as source:
            shutil.copyfileobj(source, file)

    def add_metrics(self, metrics: Mapping[str, float], step: int | None) -> None:
        """Append a line to `metrics.jsonl`; points of an earlier session are skipped."""
        fresh = self._points.check(metrics, step)
        if fresh:
            line = json.dumps({"time": now(), "step": step, "metrics": fresh}, allow_nan=False)
            self.append("metrics.jsonl", line + "\n")
        self._points.keep(metrics, step)

    def discard_points(self, *, after: int) -> None:
        """See `Tracker.discard_points`."""
        entries = list(read_entries(self._metrics))
        left = [entry for entry in entries if entry["step"] is None or entry["step"] <= after]
        if len(left) < len(entries):
            with _replaced(self._metrics) as part:
                part.write_text(
                    "".join(f"{json.dumps(entry)}\n" for entry in left), encoding="utf-8"
                )
        self._points.discard(after=after)

    def add_values(self, values: Mapping[str, Any]) -> None:
        """Add to `values.json`; nested mappings are merged."""
        target = self._made("values.json")
        merged = _merged(self._known_values(), plain(values))
        with _replaced(target) as part:  # an incomplete file would be refused on resume
            part.write_text(json.dumps(merged, indent=2, ensure_ascii=False), encoding="utf-8")

    def _known_values(self) -> dict[str, Any]:
        """Return the content of `values.json`.

        Raises:
          DataError: the file is damaged.
        """
        try:
            fix = "restore the file from a copy, or remove it, which loses its content"
            return read_json(self.path / "values.json", dict[str, Any], fix=fix)
        except MissingFileError:
            return {}

    def append(self, path: str, text: str) -> None:
        """Append text to a file."""
        with _opened(self._made(path), os.O_APPEND) as file:
            file.write(text.encode("utf-8", "replace"))

    def _made(self, path: str) -> Path:
        target = self.path / path
        for folder in [*reversed(target.relative_to(self.path).parents)]:
            (self.path / folder).mkdir(mode=_OWNER_FOLDER, exist_ok=True)
            (self.path / folder).chmod(_OWNER_FOLDER)
        return target


def _check_plain(path: Path) -> None:
    """Check that `path` is not a link, which leads elsewhere, or a pipe, which would block.

    Raises:
      DataError: it exists and is not a regular file.
    """
    if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
        raise refusal(
            path, "is not a regular file", fix="remove it, or restore the file from a copy"
        )


@contextmanager
def _opened(path: Path, how: int) -> Iterator[Any]:
    """Open a file for writing that only its owner can read, and that is not a link."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | NO_LINK | how, _OWNER_ONLY)
    with os.fdopen(handle, "wb") as file:
        os.chmod(handle if os.chmod in os.supports_fd else path, _OWNER_ONLY)
        yield file


@contextmanager
def _replaced(path: Path) -> Iterator[Path]:
    """Yield a file that replaces `path` atomically, and that only its owner can read."""
    with replacing(path) as part:
        part.chmod(_OWNER_ONLY)  # while it is empty
        yield part


def _merged(known: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(known[key], value)
        for key, value in more.items()
        if isinstance(value, dict) and isinstance(known.get(key), dict)
    }
    return {**known, **more, **both}
