"""What the console shows of a sweep while it runs: one line for each job, each warning once.

The main process reads the files that all jobs of the invocation write, so that every launcher is
shown alike: one after another, in processes, on a cluster.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ecgexp.console import Console, ProgressBar, Stream
from ecgexp.formatting import duration_text, number_text
from ecgexp.sweeps.messages import Messages
from ecgexp.sweeps.rows import NOT_ENDED, Row, rows
from ecgexp.sweeps.sweep import Sweep
from ecgexp.tracking.local.headline import scores_text

_SECONDS = 0.5
_LEFT = {
    "FINISHED": "finished",
    "PRUNED": "pruned",
    "KILLED": "interrupted",
    "RUNNING": "killed or still running",
}  # status of the last attempt at a job

_here: "SweepDisplay | None" = None


def job_console() -> Console:
    """Return the console of a job: quiet, but with bars if the job runs in the main process."""
    quiet, bars = Stream(quiet=True), Console().bars
    shows = _here is not None and bars.is_terminal
    return Console(messages=quiet, results=quiet, bars=bars if shows else quiet)


class SweepDisplay:
    """Shows the jobs of a sweep as they end, from a thread of its own.

    Args:
      sweep: the sweep, as opened.
      console: receives the lines.
      clock: seconds; replaced in tests.
    """

    def __init__(
        self,
        sweep: Sweep,
        console: Console,
        *,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._sweep, self._console, self._clock = sweep, console, clock
        self._began, self._ran = clock(), 0
        self._shown, self._begun = set[int](), set[int]()
        self._messages, self._changed = Messages(sweep.invocation), -1.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="sweep display", daemon=True)

    def start(self) -> None:
        """Begin to show."""
        global _here
        _here = self
        total = self._sweep.num_jobs
        counted = "a search" if total is None else number_text(total, "job")
        self._console.print(f"{counted} · {self._sweep.invocation}")
        if before := _before(self._sweep):
            self._console.print(before)
        self._thread.start()

    def stop(self) -> None:
        """Show what has not been shown, and end."""
        global _here
        _here = None
        self._stop.set()
        self._thread.join()
        self.show()

    def show(self, progress_bar: ProgressBar | None = None) -> None:
        """Show the jobs that have ended since the last call, and the new warnings.

        Args:
          progress_bar: of the sweep.
        """
        for text in self._messages.new():
            self._console.print(text, style="yellow")
        total = self._sweep.num_jobs
        for row in rows(self._sweep):
            if row.status in NOT_ENDED:
                if row.begins and row.number not in self._begun:
                    self._begun.add(row.number)
                    self._console.print(f"{row.name} · {row.begins}")
            elif row.number not in self._shown:
                self._shown.add(row.number)
                self._ran += row.status != "done before"
                self._console.print(self._line(row, total))
        if progress_bar is not None and total is not None:
            progress_bar(len(self._shown), total, self._left(total))

    def _watch(self) -> None:
        with self._console.progress_bar("jobs") as progress_bar:
            # Elsewhere the lines of the jobs say the same.
            shown = progress_bar if self._console.bars.is_terminal else None
            while not self._stop.wait(_SECONDS):
                changed = _last_change(self._sweep)
                if changed != self._changed:
                    self._changed = changed
                    self.show(shown)

    def _line(self, row: Row, total: int | None) -> str:
        left = "" if total is None else self._left(total)
        count = f"job {len(self._shown)}" + ("" if total is None else f" of {total}")
        parts = [", ".join(filter(None, (count, left))) + f": {row.name}"]
        parts += filter(None, [row.begins])
        parts.append(row.status)
        if row.status == "finished":
            parts[-1] += f" in {duration_text(row.seconds)}"
            parts += filter(None, [scores_text(row.metrics or {})])
        elif row.status == "done before" and row.run_dir:
            parts[-1] += f", in {_from_here(row.run_dir)}"
        elif row.reason:
            parts[-1] += f": {row.reason}"
        return " · ".join(parts)

    def _left(self, total: int) -> str:
        """Return the estimate of the time left; empty before a job has run, and at the end."""
        open_jobs = total - len(self._shown)
        if not self._ran or not open_jobs:
            return ""
        seconds = (self._clock() - self._began) / self._ran * open_jobs
        return f"about {duration_text(seconds)} left"


def _before(sweep: Sweep) -> str:
    """Return what earlier invocations of the sweep left; empty for a new sweep."""
    latest = {attempt.name: attempt for attempt in sweep.attempts.all()}
    words = Counter(_LEFT.get(attempt.status, "failed") for attempt in latest.values())
    if not words:
        return ""
    counted = ", ".join(f"{count} {word}" for word, count in words.items())
    record = _from_here(str(sweep.home))
    return f"this sweep was started before: of its jobs {counted}; its record: {record}"


def _from_here(folder: str) -> str:
    path, here = Path(folder), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _last_change(sweep: Sweep) -> float:
    """Return when a file of the invocation or of an attempt was last written or replaced."""
    folders = (sweep.invocation, sweep.invocation / "jobs", sweep.home / "attempts")
    written = (sweep.invocation / "messages").glob("*.jsonl")
    return max(map(_changed, (*folders, *written)), default=0.0)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
