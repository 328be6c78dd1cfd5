"""What the `ecgexp-*` commands share: how they name runs, stores and outputs, ask for help, complete and refuse.

A command does its work (0), or refuses it with one line and `REFUSED` (2). `NEGATIVE` (1) is an answer: `ecgexp-doctor` found
what keeps runs from working, `ecgexp-compare` runs that cannot be compared.
"""

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ecgexp.settings.declaration import ConfigError, DataError, MachineError
from ecgexp.settings.paths import DEFAULT_STORE
from ecgexp.settings.redaction import redact, redact_tracebacks
from ecgexp.storage.scratch import use_own_scratch

NEGATIVE, REFUSED, INTERRUPTED = 1, 2, 130
_LONGEST = 40  # characters of a value, in a message
_CLOSE = 0.75  # of a misspelt option to the one that is suggested
_A_RUN = "an MLflow run id, or a run's folder under outputs/"


def run_command(prog: str, work: Callable[[], int]) -> int:
    """Does the work of a command.

    Guarantees (`tests/unit/cli/test_commands.py`): a refusal is one line on standard error, without passwords.

    Args:
      prog: the command's name.
      work: returns the exit code.

    Returns:
      The exit code of the command.
    """
    redact_tracebacks()
    use_own_scratch()
    try:
        return work()
    except (ConfigError, DataError, MachineError) as error:
        return refuse(prog, error)
    except OSError as error:  # a full disk, a read-only folder
        return refuse(prog, f"{error}; free some space, or use another folder, e.g. with --output")
    except KeyboardInterrupt:
        return INTERRUPTED


def refuse(prog: str, why: Exception | str) -> int:
    """Says in one line why nothing is done; returns `REFUSED`."""
    print(redact(f"{prog}: {' '.join(str(why).splitlines())}"), file=sys.stderr)
    return REFUSED


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that refuses in one line, takes each option once, and completes what is typed in a shell.

    Of an option that is given twice argparse takes the last one, without a word; an abbreviated option becomes another one
    when an option is added. Both are refused.

    Args:
      prog: the command's name.
      description: what it does; a text of several lines is shown as it is.
      example: a command line that works, or several of them.
    """

    def __init__(self, *, prog: str, description: str, example: str):
        shown = "\n".join(f"  {line}" for line in example.splitlines())
        super().__init__(
            prog=prog,
            description=description,
            epilog=f'examples:\n{shown}\n\ncompletion in bash and zsh:\n  eval "$(register-python-argcomplete {prog})"',
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        for name in (None, "store"):
            self.register("action", name, _StoreOnce)

    def add_run(self, name: str = "run", *, help: str = "{}", nargs: str | None = None) -> None:  # noqa: A002
        """Adds an argument that names a run; `{}` in its help becomes how runs are named."""
        self.add_argument(name, nargs=nargs, metavar=name.upper(), help=help.format(_A_RUN))

    def add_store(self) -> None:
        """Adds `--store`, where runs are looked up; None if it is not given."""
        self.add_argument(
            "--store",
            metavar="URI",
            help=f"MLflow store of the runs (MLFLOW_TRACKING_URI, else {DEFAULT_STORE})",
        )

    def add_output(self, *, metavar: str = "FILE", default: Path | None = None, help: str) -> None:  # noqa: A002
        """Adds `--output`, and `--overwrite` without which nothing is replaced."""
        self.add_argument("--output", type=Path, default=default, metavar=metavar, help=help)
        self.add_argument(
            "--overwrite", action="store_true", help="replace an earlier output of this command"
        )

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As argparse's; answers the shell that asks for a completion, and refuses an unknown option with the closest one."""
        if "_ARGCOMPLETE" in os.environ:
            import argcomplete

            argcomplete.autocomplete(self)
        options, unknown = self.parse_known_args(args, namespace)
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

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's; each call counts anew."""
        for action in self._actions:
            if isinstance(action, _StoreOnce):
                action.given = None
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Says what is wrong and what to do, and ends with `REFUSED`."""
        remedy = "" if "; " in message else f"; see {self.prog} --help"
        self.exit(REFUSED, redact(f"{self.prog}: {' '.join(message.splitlines())}{remedy}\n"))


def check_output(file: Path, *, is_ours: Callable[[], bool], kind: str, overwrite: bool) -> None:
    """Refuses to replace a file, unless it is an earlier output of the command and may be replaced.

    Args:
      file: the output.
      is_ours: whether the file that is there is a `kind`.
      kind: what the command writes, e.g. `"report"`.
      overwrite: whether it may be replaced.

    Raises:
      DataError: the file is there and stays.
    """
    if not os.path.lexists(file):
        return
    if not is_ours():
        raise DataError(
            f"--output {file}: the file is there and is no {kind}; use another --output, or remove it"
        )
    if not overwrite:
        raise DataError(
            f"--output {file}: the {kind} is there already; use --overwrite, or another --output"
        )


def whole(least: int, most: int) -> Callable[[str], int]:
    """A type of arguments: whole numbers from `least` to `most`."""

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
    """Keeps the value of an option, and refuses a second one."""

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
                    f"{option_string} {_shown(values)}: it is given twice, first as {_shown(self.given)}; give it once"
                )
            self.given = values
        setattr(namespace, self.dest, values)


def _shown(values: Any) -> str:
    return (
        " ".join(map(str, values))
        if isinstance(values, Sequence) and not isinstance(values, str)
        else str(values)
    )
