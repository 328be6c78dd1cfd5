"""Standard output and error of a command: no failing stream and no locale causes a traceback.

The project writes its files as UTF-8. Libraries read and write files in the encoding of the locale,
so a command that is started under a locale of another encoding restarts itself in Python's UTF-8
mode. Its output keeps the encoding of the locale.
"""

import codecs
import errno
import functools
import io
import os
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ecgexp import __version__

FAILED_OUTPUT = 1
READER_LEFT = 128 + 13
"""Exit code of a command whose output has no reader: 128 plus the number of SIGPIPE."""

_NAMES = ("stdout", "stderr")
_QUIET_S = 1.0
_SPELLED_OUT = "ecgexp.spelled_out"
_SPELLINGS = {
    "ε": "eps",
    "δ": "delta",
    "σ": "sigma",
    "κ": "kappa",
    "µ": "u",
    "μ": "u",
    "α": "alpha",
    "√": "sqrt",
    "Δ": "delta",
    "·": "|",
    "—": "-",
    "–": "-",
    "−": "-",
    "…": "...",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "±": "+-",
    "×": "x",
    "→": "->",
    "✓": "+",
    "✗": "x",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "∞": "inf",
    "█": "#",
    "━": "-",
    "─": "-",
    "│": "|",
}


def command(
    main: Callable[..., int | None], *, answers: Callable[[], bool] = lambda: True
) -> Callable[..., int]:
    """Makes `main` an entry point that works with any standard output.

    **Guarantees** (`tests/unit/cli/test_streams.py`): a stream that cannot be written to does not
    end the command: the rest of its output is dropped, and the exit code is nonzero if the output
    is the purpose of the command. A character that a stream cannot encode is replaced by a spelling
    in ASCII.

    Args:
      main: returns the exit code; None means 0.
      answers: whether the purpose of the command is its output. For a run it is not: the result is
        in the run's folder, and the output only shows progress.

    Returns:
      `main`; if it succeeds but its output is lost, the wrapper returns `FAILED_OUTPUT`, or
      `READER_LEFT` if a pipe was closed by its reader.
    """

    @functools.wraps(main)
    def run(*args: Any, **kwargs: Any) -> int:
        _open_closed()
        if not (args or kwargs):
            _use_utf8()
        with softened() as failures:
            try:
                code = main(*args, **kwargs) or 0
            except SystemExit as ended:
                if ended.code or not _failed_to_answer(failures, answers):
                    raise
                code = 0
            if code or not _failed_to_answer(failures, answers):
                return code
            error = failures["stdout"]
            if error.errno == errno.EPIPE:
                return READER_LEFT
            name, why = Path(sys.argv[0]).stem, error.strerror or error
            print(
                f"{name}: its output could not be written: {why}; redirect it elsewhere",
                file=sys.stderr,
            )
            return FAILED_OUTPUT

    return run


def _failed_to_answer(failures: dict[str, OSError], answers: Callable[[], bool]) -> bool:
    _flush()
    return "stdout" in failures and answers()


@contextmanager
def softened() -> Iterator[dict[str, OSError]]:
    """Drops output that cannot be written within the block; yields each stream's first error."""
    before = {name: getattr(sys, name) for name in _NAMES}
    failures: dict[str, OSError] = {}
    for name, stream in before.items():
        setattr(sys, name, _Soft(stream, name, failures))
    try:
        yield failures
    finally:
        _flush()
        for name, stream in before.items():
            setattr(sys, name, stream)


@contextmanager
def starting(name: str, *, after_s: float = _QUIET_S) -> Iterator[None]:
    """Says on standard error that a command has started, if it has written nothing for a while.

    Only the console script does so: a command that is called in-process has other streams.

    Args:
      name: of the command.
      after_s: how long it may be silent, in seconds.
    """
    if Path(sys.argv[0]).stem != name:
        yield
        return
    timer = threading.Timer(after_s, say_started, args=(name,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def say_started(name: str) -> None:
    """Writes version and process of a command, unless it has written something."""
    if any(getattr(getattr(sys, one), "is_used", True) for one in _NAMES):
        return
    print(f"{name} {__version__} · process {os.getpid()}", file=sys.stderr, flush=True)


def soften() -> None:
    """`softened` for the rest of a process that a launcher started to run a job."""
    if not isinstance(sys.stdout, _Soft):
        _open_closed()
        softened().__enter__()


class _Soft(io.TextIOBase):
    """A wrapper of a text stream that drops all output after the first failure."""

    def __init__(self, stream: Any, name: str, failures: dict[str, OSError]):
        self._stream, self._name, self._failures = stream, name, failures
        self.is_used = False
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_SPELLED_OUT)

    def write(self, text: str) -> int:
        self.is_used = self.is_used or bool(text)
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    # `TextIOBase` defines these itself, so `__getattr__` is not called for them.
    encoding = property(lambda self: self._stream.encoding)  # pyright: ignore[reportAssignmentType]  # read-only, as it is there
    errors = property(lambda self: self._stream.errors)  # pyright: ignore[reportAssignmentType]  # read-only, as it is there

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        """Does nothing: the owner of the stream closes it."""

    def _try(self, write: Callable[[], Any]) -> None:
        if self._name in self._failures:
            return
        try:
            write()
        except OSError as error:
            self._failures[self._name] = error
            _redirect_to_null(self._stream)


def _redirect_to_null(stream: Any) -> None:
    """Redirects a stream to the null device, so that Python can flush its buffer at exit."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


def _open_closed() -> None:
    """Opens the null device for each closed standard stream.

    Otherwise the next file that is opened would get the file descriptor of that stream.
    """
    for number, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, mode)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
    for name in _NAMES:
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for the whole process


def _use_utf8() -> None:
    """Restarts this command in UTF-8 mode unless files and file names are UTF-8 already."""
    if sys.flags.utf8_mode or (
        sys.getfilesystemencoding() == "utf-8" and _locale_encoding() == "utf-8"
    ):
        return
    os.environ.setdefault("PYTHONIOENCODING", sys.stdout.encoding)
    os.environ["PYTHONUTF8"] = "1"  # for the processes of a launcher
    again = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
    if os.name == "nt":  # there `execv` would end this command before the new one
        import subprocess

        sys.exit(subprocess.run(again, check=False).returncode)
    os.execv(sys.executable, again)


def _locale_encoding() -> str:
    import locale

    return codecs.lookup(locale.getencoding()).name


def _flush() -> None:
    for name in _NAMES:
        getattr(sys, name).flush()


def _spell_out(error: UnicodeError) -> tuple[str, int]:
    """Codec error handler: replaces characters by a spelling in ASCII, or by a question mark."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_spelling, error.object[error.start : error.end])), error.end


def _spelling(character: str) -> str:
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode("ascii")
    return _SPELLINGS.get(character) or plain or "?"


codecs.register_error(_SPELLED_OUT, _spell_out)
