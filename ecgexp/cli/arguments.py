"""The common parser, options, exit codes and error messages of the `ecgexp-*` commands.

Exit codes, the same as those of `ecgexp`: 0, the command has done its work; `REFUSED` (2), it could
not begin, for which one line gives the reason (an option, settings or data that cannot be used);
`NEGATIVE` (1), it began and the answer is negative: `ecgexp-doctor` found a problem that prevents
runs, `ecgexp-inspect` found something wrong, or `ecgexp-compare` got runs that cannot be compared;
`INTERRUPTED` (130), Ctrl-C.
"""

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ecgexp.cli.streams import starting
from ecgexp.settings.declaration import ConfigError, DataError, MachineError
from ecgexp.settings.installation import to_type
from ecgexp.settings.paths import DEFAULT_STORE
from ecgexp.settings.redaction import redact, redact_tracebacks
from ecgexp.storage.scratch import use_own_scratch

NEGATIVE, REFUSED, INTERRUPTED = 1, 2, 130
_LONGEST = 40  # characters of a value that are shown in a message
_CLOSE = 0.75  # smallest similarity of a misspelled option and a suggested one
_A_RUN = "a run's folder, an MLflow run id or the beginning of one, or latest"


def run_command(prog: str, work: Callable[[], int]) -> int:
    """Runs a command and turns expected exceptions into messages.

    **Guarantees** (`tests/unit/cli/test_commands.py`): an error is one line on standard error and
    holds no password. If the command was silent for a second, the line of `starting` is before it.

    Args:
      prog: name of the command.
      work: does the work and returns the exit code.

    Returns:
      The exit code of the command.
    """
    from ecgexp.console import show_log  # here, so that --help is fast

    redact_tracebacks()
    use_own_scratch()
    show_log()
    try:
        with starting(prog):
            return work()
    except (ConfigError, DataError, MachineError) as error:
        return refuse(prog, error)
    except OSError as error:  # a full disk, a read-only folder
        return refuse(prog, f"{error}; free some space, or use another folder, e.g. with --output")
    except KeyboardInterrupt:
        return INTERRUPTED


def refuse(prog: str, why: Exception | str) -> int:
    """Prints an error as one line on standard error; returns `REFUSED`."""
    print(redact(f"{prog}: {' '.join(str(why).splitlines())}"), file=sys.stderr)
    return REFUSED


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` with one-line errors, examples and shell completion.

    Repeated options are errors, because argparse would silently use the last one. Abbreviated
    options are errors, because a new option could change what an abbreviation means.

    Args:
      prog: name of the command.
      description: what the command does; line breaks are kept.
      example: command lines that work, one per line.
    """

    def __init__(self, *, prog: str, description: str | None, example: str):
        shown = "\n".join(f"  {line}" for line in example.splitlines())
        super().__init__(
            prog=prog,
            description=description,
            epilog=f"examples:\n{shown}\n\ncompletion in bash and zsh:\n"
            f'  eval "$(register-python-argcomplete {prog})"\n\ncompletion in fish:\n'
            f"  register-python-argcomplete --shell fish {prog} | source",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self._settings_anywhere = False
        for name in (None, "store"):
            self.register("action", name, _StoreOnce)

    def add_run(self, name: str = "run", *, help: str = "{}", nargs: str | None = None) -> None:  # noqa: A002
        """Adds an argument that names a run; `{}` in its help is replaced by how to name one."""
        self.add_argument(name, nargs=nargs, metavar=name.upper(), help=help.format(_A_RUN))

    def add_store(self) -> None:
        """Adds `--store`, the MLflow store in which runs are looked up; None if it is not given."""
        self.add_argument(
            "--store",
            metavar="URI",
            help=f"MLflow store of the runs (MLFLOW_TRACKING_URI, else {DEFAULT_STORE})",
        )

    def add_settings(self) -> None:
        """Adds the settings of a run as arguments, which may also stand after options."""
        self.add_argument(
            "overrides",
            nargs="*",
            metavar="SETTING=VALUE",
            help="the settings of the run, as for ecgexp",
        )
        self._settings_anywhere = True

    def add_output(self, *, metavar: str = "FILE", default: Path | None = None, help: str) -> None:  # noqa: A002
        """Adds `--output`, and `--overwrite`, which allows replacing an existing output."""
        self.add_argument("--output", type=Path, default=default, metavar=metavar, help=help)
        self.add_argument(
            "--overwrite", action="store_true", help="replace an earlier output of this command"
        )

    def parse_args(self, args: Iterable[str] | None = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]  # one signature for argparse's three overloads
        """As argparse's; answers shell completion, and suggests an option for an unknown one.

        Args:
          args: the arguments; None: those of the process.
          namespace: see argparse.

        Returns:
          The parsed options.
        """
        if "_ARGCOMPLETE" in os.environ:
            import argcomplete

            argcomplete.autocomplete(self)
        parse = self.parse_known_args
        if self._settings_anywhere:
            parse = self.parse_known_intermixed_args
        options, unknown = parse(args, namespace)
        if unknown:
            known = [name for action in self._actions for name in action.option_strings]
            option = unknown[0].partition("=")[0]
            close = (
                difflib.get_close_matches(option, known, n=1, cutoff=_CLOSE)
                if option.startswith("-")
                else []
            )
            self.error(
                f"unrecognized arguments: {' '.join(unknown)}"
                + (f"; did you mean {close[0]}?" if close else "")
            )
        return options

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]  # one signature for argparse's three overloads
        """As argparse's; repeated options are detected within one call only."""
        for action in self._actions:
            if isinstance(action, _StoreOnce):
                action.given = None
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Prints an error with its remedy as one line and exits with `REFUSED`."""
        remedy = "" if "; " in message else f"; see {to_type(f'{self.prog} --help')}"
        self.exit(REFUSED, redact(f"{self.prog}: {' '.join(message.splitlines())}{remedy}\n"))


def check_output(file: Path, *, is_ours: Callable[[], bool], kind: str, overwrite: bool) -> None:
    """Raises if an output exists, unless the command wrote it and may overwrite it.

    Args:
      file: the output.
      is_ours: whether the existing file is a `kind`.
      kind: what the command writes, e.g. `"report"`.
      overwrite: whether an existing `kind` may be replaced.

    Raises:
      DataError: the file exists and must not be replaced.
    """
    if not os.path.lexists(file):
        return
    if not is_ours():
        raise DataError(
            f"--output {file}: the file exists and is not a {kind}; use another --output, or "
            "remove the file"
        )
    if not overwrite:
        raise DataError(
            f"--output {file}: the {kind} exists already; use --overwrite, or another --output"
        )


def whole(least: int, most: int) -> Callable[[str], int]:
    """Returns an argument type: a parser of whole numbers from `least` to `most`."""

    def parse(text: str) -> int:
        shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
        number = int(text) if text.isdecimal() and len(text) <= _LONGEST else -1
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(
                f"{shown!r} is not a whole number from {least} to {most}"
            )
        return number

    return parse


class _StoreOnce(argparse.Action):
    """Stores the value of an option; a second value is an error."""

    given: Any = None

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if option_string is not None:
            if self.given is not None:
                parser.error(
                    f"{option_string} {_shown(values)}: it is given twice, first as "
                    f"{_shown(self.given)}; use it once"
                )
            self.given = values
        setattr(namespace, self.dest, values)


def _shown(values: Any) -> str:
    return (
        " ".join(map(str, values))
        if isinstance(values, Sequence) and not isinstance(values, str)
        else str(values)
    )
