"""Progress bars and messages: bars on a terminal, occasional lines elsewhere."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import rich.console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_SECONDS_BETWEEN_LINES = 30.0


@dataclass
class Console:
    """Prints messages and the progress of long tasks.

    On a terminal, progress is shown as a bar with the estimated remaining time; elsewhere as a line
    at most every 30 s.

    Attributes:
      console: The rich console to write to; `console.is_terminal` decides between bar and lines.
    """

    console: rich.console.Console = field(default_factory=lambda: rich.console.Console(stderr=True))

    def print(self, text: Any) -> None:
        """Print one line or one rich object."""
        self.console.print(text, markup=False)  # a path may hold [brackets]

    @contextmanager
    def progress_bar(self, what: str) -> Iterator["ProgressBar"]:
        """Show a progress bar for the duration of the block."""
        if not self.console.is_terminal:
            yield ProgressBar(what, None, TaskID(0), self)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            yield ProgressBar(what, progress, progress.add_task(what, total=None, note=""), self)


@dataclass
class ProgressBar:
    """The progress of one task."""

    what: str
    progress: Progress | None
    task: TaskID
    console: Console
    _last_line: float = field(default_factory=time.monotonic)

    def __call__(self, done: float, total: float, note: str = "") -> None:
        """Show that `done` of `total` units are complete; `note` names the item or metrics."""
        if self.progress is not None:
            self.progress.update(self.task, completed=done, total=total, note=note)
        elif time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self.console.print(f"{self.what}: {done:g} of {total:g} {note}".rstrip())

    def without_notes(self) -> Callable[..., None]:
        """Return a callback that omits notes, which may name records of a private training set."""
        return lambda done, total, note="": self(done, total)


@dataclass
class StepBar:
    """Shows the steps within all epochs or rounds as one progress bar over the whole training."""

    progress_bar: ProgressBar
    num_steps: int
    step_name: str
    step: int = 1

    def __call__(
        self, *, done: int, total: int, metrics: Mapping[str, float], state: object = None
    ) -> None:
        """Update the bar; see `training.base.OnProgress`. `state` is not used."""
        note = " ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        self.progress_bar(
            (self.step - 1) * total + done,
            self.num_steps * total,
            f"{self.step_name} {self.step} {note}",
        )
        self.step += done == total
