"""What a command writes to its terminal, file or pipe: no stream that fails, and no locale, ends it with a traceback.

Files are written as UTF-8 by whoever opens them. Libraries read and write theirs in the encoding of the locale, so a command
that is started under another one starts itself again in Python's UTF-8 mode; what it prints keeps the encoding of the locale.
"""

import codecs
import errno
import functools
import io
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FAILED_OUTPUT = 1
READER_LEFT = 128 + 13
"""What a shell says of a command that ended because nobody read its output: 128 and the number of SIGPIPE."""

_NAMES = ("stdout", "stderr")
_SPELLED_OUT = "ecgexp.spelled_out"
_SPELLINGS = {
    "ε": "eps", "δ": "delta", "σ": "sigma", "κ": "kappa", "µ": "u", "μ": "u", "α": "alpha", "√": "sqrt", "Δ": "delta",
    "·": "|", "—": "-", "–": "-", "−": "-", "…": "...", "≤": "<=", "≥": ">=", "≈": "~", "±": "+-", "×": "x", "→": "->",
    "✓": "+", "✗": "x", "‘": "'", "’": "'", "“": '"', "”": '"', "∞": "inf", "█": "#", "━": "-", "─": "-", "│": "|",
}  # fmt: skip


def command(
    main: Callable[..., int | None], *, answers: Callable[[], bool] = lambda: True
) -> Callable[..., int]:
    """Makes `main` an entry point whose output may go anywhere.

    Guarantees (`tests/unit/cli/test_streams.py`): a stream that cannot be written to ends no work: the rest of what it would show is
    dropped, and the exit code says so where the output is what was asked for. A character that a stream cannot encode is
    spelled out.

    Args:
      main: returns the exit code; None counts as 0.
      answers: whether what is printed is what was asked for; a run's result is in its folder, whoever reads its progress.

    Returns:
      `main`, which returns 1 where its answer could not be written and 141 where nobody read it to the end, unless it failed
      by itself.
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
                f"{name}: its output could not be written: {why}; write it elsewhere",
                file=sys.stderr,
            )
            return FAILED_OUTPUT

    return run


def _failed_to_answer(failures: dict[str, OSError], answers: Callable[[], bool]) -> bool:
    _flush()
    return "stdout" in failures and answers()


@contextmanager
def softened() -> Iterator[dict[str, OSError]]:
    """Within the block standard output and error swallow what they cannot write; yields what failed, by stream."""
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


def soften() -> None:
    """`softened` for the rest of a process that a launcher started for a job."""
    if not isinstance(sys.stdout, _Soft):
        _open_closed()
        softened().__enter__()


class _Soft(io.TextIOBase):
    """A text stream in front of another, which drops what that cannot take from its first failure on."""

    def __init__(self, stream: Any, name: str, failures: dict[str, OSError]):
        self._stream, self._name, self._failures = stream, name, failures
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_SPELLED_OUT)

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    # `TextIOBase` has these itself, so they are not looked for in the stream by `__getattr__`.
    encoding = property(lambda self: self._stream.encoding)
    errors = property(lambda self: self._stream.errors)

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        """Left to whoever owns the stream."""

    def _try(self, write: Callable[[], Any]) -> None:
        if self._name in self._failures:
            return
        try:
            write()
        except OSError as error:
            self._failures[self._name] = error
            _forget(self._stream)


def _forget(stream: Any) -> None:
    """What the stream still holds must go somewhere, or Python would fail to write it when the process ends."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


def _open_closed() -> None:
    """Gives a stream that the caller has closed a place: the next file that is opened would be taken for it."""
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
    """Starts this command again in UTF-8 mode, unless files and their names are UTF-8 already."""
    if sys.flags.utf8_mode or (
        sys.getfilesystemencoding() == "utf-8" and _locale_encoding() == "utf-8"
    ):
        return
    os.environ.setdefault("PYTHONIOENCODING", sys.stdout.encoding)
    os.environ["PYTHONUTF8"] = "1"  # of the processes of a launcher
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _locale_encoding() -> str:
    import locale

    return codecs.lookup(locale.getencoding()).name


def _flush() -> None:
    for name in _NAMES:
        getattr(sys, name).flush()


def _spell_out(error: UnicodeError) -> tuple[str, int]:
    """Of a character that a stream cannot encode: a spelling in ASCII that says the same, or a question mark."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_spelling, error.object[error.start : error.end])), error.end


def _spelling(character: str) -> str:
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode("ascii")
    return _SPELLINGS.get(character) or plain or "?"


codecs.register_error(_SPELLED_OUT, _spell_out)
