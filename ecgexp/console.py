"""What a person sees of a run: progress bars with an estimate of the time left, and quiet lines where nobody watches."""

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
    """Shows how far a long piece of work is; on a terminal as a bar, elsewhere as a line now and then.

    Attributes:
      console: where to write; its own judgement of being a terminal decides the form.
    """

    console: rich.console.Console = field(default_factory=lambda: rich.console.Console(stderr=True))

    def print(self, text: Any) -> None:
        """One line, or one rich object."""
        self.console.print(text, markup=False)  # a path may hold [brackets]

    @contextmanager
    def progress_bar(self, what: str) -> Iterator["ProgressBar"]:
        """A bar that lives as long as the block."""
        if not self.console.is_terminal:
            yield ProgressBar(what, None, TaskID(0), self)
            return
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )  # fmt: skip
        with Progress(*columns, console=self.console, transient=True) as progress:
            yield ProgressBar(what, progress, progress.add_task(what, total=None, note=""), self)


@dataclass
class ProgressBar:
    """One piece of work under way."""

    what: str
    progress: Progress | None
    task: TaskID
    console: Console
    _last_line: float = field(default_factory=time.monotonic)

    def __call__(self, done: float, total: float, note: str = "") -> None:
        """`done` of `total` units are behind us; `note` says what is at hand, or how it goes."""
        if self.progress is not None:
            self.progress.update(self.task, completed=done, total=total, note=note)
        elif time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self.console.print(f"{self.what}: {done:g} of {total:g} {note}".rstrip())

    def without_notes(self) -> Callable[..., None]:
        """The same without the notes, where these may name records of a private training set."""
        return lambda done, total, note="": self(done, total)


@dataclass
class StepBar:
    """Turns the steps within an epoch or round into one bar over the whole training."""

    progress_bar: ProgressBar
    num_steps: int
    step_name: str
    step: int = 1

    def __call__(
        self, *, done: int, total: int, metrics: Mapping[str, float], state: object = None
    ) -> None:
        """See `training.base.OnProgress`; a bar has no use for the state."""
        note = " ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        self.progress_bar(
            (self.step - 1) * total + done,
            self.num_steps * total,
            f"{self.step_name} {self.step} {note}",
        )
        self.step += done == total
