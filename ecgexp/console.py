"""What a command prints: results on standard output, everything else on standard error.

All messages of a process, its log lines and its progress bars go through one rich console, so that
a line never breaks a bar. Text is not wrapped: a terminal does that itself, and a file or a pipe
receives each message as one line.
"""

import html
import importlib
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
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
from rich.text import Text

NOTE = 25
"""Level of log lines that state what is intended, between INFO and WARNING: `note: …`.

A warning is for what the user should change.
"""
logging.addLevelName(NOTE, "NOTE")

_PLACE = re.compile(r"^\S+:\d+: \w+: ")
_SECONDS_BETWEEN_LINES = 30.0
_SECONDS_BETWEEN_UPDATES = 0.2
_UNWRAPPED = 10_000


class Stream(rich.console.Console):
    """A rich console that neither wraps text nor, without a terminal, narrows tables."""

    @property
    def size(self) -> rich.console.ConsoleDimensions:  # pyright: ignore[reportIncompatibleMethodOverride]  # rich's setter is not used
        """Dimensions of the terminal; elsewhere lines may have any length."""
        return (
            super().size
            if self.is_terminal
            else rich.console.ConsoleDimensions(_UNWRAPPED, super().size.height)
        )

    def write(self, text: Any, *, style: str | None = None) -> None:
        """Write a line or a rich object such as a table.

        Args:
          text: A line, without markup, because a path may hold [brackets]; or a rich object.
          style: Style of a line on a terminal.
        """
        if not self.is_terminal and not isinstance(text, str):
            with self.capture() as captured:
                self.print(text)
            lines = captured.get().rstrip("\n").split("\n")
            text = "\n".join(line.rstrip() for line in lines)
        self.print(
            text,
            style=style,
            markup=False,
            highlight=False,
            emoji=False,
            soft_wrap=isinstance(text, str | Text),
        )


@cache
def stderr() -> Stream:
    """The console of all messages of this process; it writes to the current `sys.stderr`."""
    return Stream(stderr=True, force_jupyter=False)


@cache
def stdout() -> Stream:
    """The console of the results; it writes to the current `sys.stdout`."""
    return Stream(force_jupyter=False)


@dataclass
class Console:
    """Prints the messages, the progress and the results of a command.

    On a terminal, progress is shown as a bar with the estimated remaining time; elsewhere as a line
    at most every 30 s.

    Attributes:
      messages: Receives messages.
      results: Receives what the command is asked for.
      bars: Receives the progress; `bars.is_terminal` decides between bar and lines.
    """

    messages: Stream = field(default_factory=stderr)
    results: Stream = field(default_factory=stdout)
    bars: Stream = field(default_factory=stderr)

    def print(self, text: Any, *, style: str | None = None) -> None:
        """Print a message: one line, with the given style on a terminal, or one rich object."""
        self.messages.write(text, style=style)

    def print_result(self, text: Any, *, style: str | None = None) -> None:
        """Print a result: one line, with the given style on a terminal, or one rich object."""
        self.results.write(text, style=style)

    @contextmanager
    def progress_bar(self, what: str) -> Iterator["ProgressBar"]:
        """Show a progress bar for the duration of the block."""
        if in_notebook():
            with NotebookBar.shown(what) as bar:
                yield ProgressBar(what, bar, TaskID(0), self)
            return
        if not self.bars.is_terminal:
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
        with Progress(*columns, console=self.bars, transient=True) as progress:
            yield ProgressBar(what, progress, progress.add_task(what, total=None, note=""), self)


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook, which shows HTML."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


class NotebookBar:
    """A progress bar of HTML in a notebook; rich's own needs ipywidgets there.

    Args:
      what: The task.
      update: Replaces what the notebook shows by other HTML.
    """

    def __init__(self, what: str, update: Callable[[str], None]):
        self._what, self._update, self._last = what, update, 0.0

    @classmethod
    @contextmanager
    def shown(cls, what: str) -> Iterator["NotebookBar"]:
        """Show a bar in the current cell for the duration of the block."""
        # Only in a notebook, which has it; its types are not needed here.
        display = importlib.import_module("IPython.display")
        handle = display.display(display.HTML(""), display_id=True)
        try:
            yield cls(what, lambda text: handle.update(display.HTML(text)))
        finally:
            handle.update(display.HTML(""))

    def update(self, task: TaskID, *, completed: float, total: float, note: str) -> None:
        """Show that `completed` of `total` units are complete, a few times a second at most."""
        now = time.monotonic()
        if completed < total and now - self._last < _SECONDS_BETWEEN_UPDATES:
            return
        self._last = now
        text = html.escape(f"{completed:g} of {total:g} {note}".rstrip())
        bar = f'<progress max="{total:g}" value="{completed:g}"></progress>'
        self._update(f"{html.escape(self._what)} {bar} <small>{text}</small>")


@dataclass
class ProgressBar:
    """The progress of one task."""

    what: str
    progress: "Progress | NotebookBar | None"
    task: TaskID
    console: Console
    _last_line: float = field(default_factory=time.monotonic)

    def __call__(self, done: float, total: float, note: str = "") -> None:
        """Show that `done` of `total` units are complete; `note` names the item or metrics."""
        if self.progress is not None:
            self.progress.update(self.task, completed=done, total=total, note=note)
        elif time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self.console.bars.write(f"{self.what}: {done:g} of {total:g} {note}".rstrip())

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


def log_text(handler: logging.Handler, record: logging.LogRecord) -> str:
    """Return a log line with its level; of a Python warning without its place in the code.

    Args:
      handler: formats the line.
      record: the line.
    """
    text = handler.format(record)
    if record.name == "py.warnings":
        text = _PLACE.sub("", text.partition("\n")[0])
    return f"{record.levelname.lower()}: {text}"


class LogHandler(logging.Handler):
    """Prints log lines as messages, each with its level: `warning: …`; each note once."""

    def __init__(self, level: int = NOTE):
        super().__init__(level)
        self._shown: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print one log line."""
        try:
            text = log_text(self, record)
            if record.levelno == NOTE:
                if text not in self._shown:
                    self._shown.add(text)
                    stderr().write(text)
                return
            style = "bold red" if record.levelno >= logging.ERROR else "yellow"
            stderr().write(text, style=style)
        except Exception:  # noqa: BLE001 - as the handlers of `logging` do
            self.handleError(record)


def show_log() -> None:
    """Show the notes and warnings of this process on standard error, if nothing handles them."""
    root = logging.getLogger()
    if not root.handlers:
        root.setLevel(NOTE)
        root.addHandler(LogHandler())
