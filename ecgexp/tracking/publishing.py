"""How a run publishes its outputs: all of them, or those that its privacy guarantee allows.

What a run with a privacy guarantee withholds is stored in `private/` of its folder only.
"""

import logging
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path

from ecgexp.console import NOTE
from ecgexp.privacy import publication
from ecgexp.settings.redaction import redact
from ecgexp.tracking.base import ReadableTracker
from ecgexp.tracking.local.result import Result
from ecgexp.tracking.private_folder import PrivateFolder
from ecgexp.tracking.withholding_tracker import WithholdingTracker

_WARNED_AT = re.compile(r"(ecgexp/[\w/]+\.py):\d+: ")
_WITH_HANDLERS_OF_THEIR_OWN = ("tensorflow", "absl")  # added at import, which may be within a run
_LINE = logging.Formatter("[%(asctime)s][%(name)s][%(levelname)s] %(message)s")


class Publishing:
    """Publishes all outputs of a run unchanged; `Withholding` is the alternative."""

    withholds = False

    def tracker(self, tracker: ReadableTracker) -> ReadableTracker:
        """Return the tracker that the run uses."""
        return tracker

    def result(self, result: Result) -> Result:
        """Return the result as it is published."""
        return result

    def error(self, error: BaseException) -> BaseException:
        """Return the error as it is published."""
        return error

    def tells(self, name: str) -> bool:
        """Return whether the console shows the line of that name."""
        return True

    @contextmanager
    def logging(self) -> Iterator[None]:
        """Leave the log unchanged within the block."""
        yield


class Withholding(Publishing):
    """Divides the outputs of a run with a privacy guarantee: published, or written to `private/`.

    Args:
      run_dir: the run's folder.
    """

    withholds = True

    def __init__(self, run_dir: Path):
        self._private = PrivateFolder(run_dir)

    def tracker(self, tracker: ReadableTracker) -> ReadableTracker:
        """See `WithholdingTracker`."""
        return WithholdingTracker(tracker, self._private)

    def result(self, result: Result) -> Result:
        """Return the published part of the result.

        The withheld part is written to `private/values.json`.
        """
        published, withheld = publication.divide(
            {item.name: getattr(result, item.name) for item in fields(result)}
        )
        self._private.add_values(withheld)
        return Result(**published)

    def error(self, error: BaseException) -> BaseException:
        """Return the error if its message may be published.

        Else one of the same type that says where it is.

        The message and the traceback are written to `private/error.txt`.
        """
        where = f"{_raised_in(error)}:{type(error).__name__}"
        if not isinstance(error, Exception) or publication.is_published("error", where):
            return error
        with suppress(OSError):  # a full disk; the published message reports it
            self._private.append(
                "error.txt", redact("".join(traceback.format_exception(error))) + "\n"
            )
        if isinstance(error, OSError):  # the name of the file may be that of a record
            return type(error)(error.errno, error.strerror)
        file = self._private.path / "error.txt"
        text = f"the message of the error may quote training beats; read it in {file}"
        try:
            return type(error)(text)
        except TypeError:
            return RuntimeError(text)

    def tells(self, name: str) -> bool:
        """See `Publishing.tells`; schedulers and terminals store what is printed."""
        return publication.is_published("console line", name)

    @contextmanager
    def logging(self) -> Iterator[None]:
        """Write log lines that may reveal training beats to `private/ecgexp.log` only."""
        loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
        handlers = {handler for logger in loggers for handler in getattr(logger, "handlers", ())}
        collector = _Collector(self._private)
        for handler in handlers:
            handler.addFilter(_is_public)
        logging.getLogger().addHandler(collector)
        late = [logging.getLogger(name) for name in _WITH_HANDLERS_OF_THEIR_OWN]
        for logger in late:
            logger.addFilter(collector.instead)
        try:
            yield
        finally:
            for logger in late:
                logger.removeFilter(collector.instead)
            logging.getLogger().removeHandler(collector)
            for handler in handlers:
                handler.removeFilter(_is_public)


def publishing_of(run_dir: Path, *, withholds: bool) -> Publishing:
    """Return how a run in `run_dir` publishes its outputs; see `Experiment.withholds`."""
    return Withholding(run_dir) if withholds else Publishing()


class _Collector(logging.Handler):
    """Writes the log records that other handlers must not receive."""

    def __init__(self, private: PrivateFolder):
        super().__init__(NOTE)
        self._private = private

    def instead(self, record: logging.LogRecord) -> bool:
        """Filter a logger.

        A withheld record is written here and reaches no handler, whenever that was added.
        """
        if not _is_public(record) and record.levelno >= self.level:
            self.emit(record)
        return _is_public(record)

    def emit(self, record: logging.LogRecord) -> None:
        if not _is_public(record):
            with suppress(OSError):
                self._private.append("ecgexp.log", redact(_LINE.format(record)) + "\n")


def _is_public(record: logging.LogRecord) -> bool:
    name = record.name
    if name == "py.warnings":  # the name is extended by the file that warns
        found = _WARNED_AT.search(record.getMessage().partition("\n")[0])
        name = f"{name}/{found[1]}" if found else name
    return publication.is_published("log line", name)


def _raised_in(error: BaseException) -> str:
    """Return the innermost module that raised the error."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return frames[-1][0].f_globals.get("__name__", "") if frames else ""
