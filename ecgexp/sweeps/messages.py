"""Notes and warnings of the jobs of a sweep: collected from all processes, shown once each."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ecgexp.console import NOTE, LogHandler, log_text

_FOLDER = "messages"


@contextmanager
def collected(invocation: Path, number: int) -> Iterator[None]:
    """Write the notes and warnings of a job to a file within the block, instead of to the console.

    The main process of the sweep shows them, each text once (`Messages`). The log of the run has
    all of them.

    Args:
      invocation: folder of the invocation.
      number: number of the job.
    """
    root = logging.getLogger()
    before = [handler for handler in root.handlers if isinstance(handler, LogHandler)]
    collector = _Collector(invocation / _FOLDER / f"{number}.jsonl")
    for handler in before:
        collector.setFormatter(handler.formatter)
        root.removeHandler(handler)
    if before:
        root.addHandler(collector)
    try:
        yield
    finally:
        root.removeHandler(collector)
        for handler in before:
            root.addHandler(handler)


class Messages:
    """The notes and warnings of all jobs of an invocation.

    Args:
      invocation: its folder.
    """

    def __init__(self, invocation: Path):
        self._folder = invocation / _FOLDER
        self._read: dict[Path, int] = {}
        self._seen: set[str] = set()

    def new(self) -> list[str]:
        """Return the texts that no earlier call has returned, each once."""
        found = []
        for path in sorted(self._folder.glob("*.jsonl")):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                lines = file.read()
            whole = lines[: lines.rfind(b"\n") + 1]  # the last line may be incomplete
            self._read[path] = self._read.get(path, 0) + len(whole)
            for text in filter(None, map(_text, whole.splitlines())):
                if text not in self._seen:
                    self._seen.add(text)
                    found.append(text)
        return found


def _text(line: bytes) -> str | None:
    try:
        text = json.loads(line)
    except ValueError:  # two processes wrote at the same time
        return None
    return text if isinstance(text, str) else None


class _Collector(logging.Handler):
    """Appends them to a file; a file that cannot be written loses them, as a console would."""

    def __init__(self, path: Path):
        super().__init__(NOTE)
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:  # the line of the job says why it failed, the log has the traceback
            return
        try:
            line = json.dumps(log_text(self, record)) + "\n"
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line)
        except Exception:  # noqa: BLE001 - as the handlers of `logging` do
            self.handleError(record)
