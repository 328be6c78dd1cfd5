"""The end of a command: what an interruption kept, and the line of `console.json=true`."""

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ecgexp.settings.declaration import ConfigError, DataError, OutOfTime
from ecgexp.settings.installation import to_type
from ecgexp.settings.redaction import redact

if TYPE_CHECKING:
    from ecgexp.experiment.experiment import Experiment

OUT_OF_TIME = "OUT_OF_TIME"
"""Status of a run that `max_minutes` ended, in the line of `console.json=true`."""

_JSON = re.compile(r"\+{0,2}console\.json=(true|yes|on|y|1)", re.IGNORECASE)
_PLAIN = re.compile(r"[\w/.\-]+", re.ASCII)


@dataclass
class Ending:
    """What is known of this command for its end.

    Attributes:
      run_dir: folder of the run that it makes or resumes; None before that, and in a sweep.
      step_name: `epoch` or `round`.
      num_steps: epochs or rounds of the run.
      signal: name of the signal that ended the command; None if there was none.
      error: message of the error that ended it.
      limit: message of `max_minutes`, if that ended it.
      values: what `console.json=true` prints; None: read from the folder of the run.
      recorded: bytes of the run's `metrics.jsonl` when the run was accepted; None: it was not.
    """

    run_dir: Path | None = None
    step_name: str = "epoch"
    num_steps: int = 0
    signal: str | None = None
    error: str | None = None
    limit: str | None = None
    values: Mapping[str, Any] | None = None
    recorded: int | None = None
    _stdout: int | None = None

    @property
    def is_json(self) -> bool:
        """Whether the answer is one line of JSON."""
        return self._stdout is not None

    @property
    def has_begun(self) -> bool:
        """Whether the run, or the sweep, has begun.

        It has a result, of whatever status, or recorded a metric, after which a full disk may have
        prevented the result.
        """
        if self.values is not None or self.run_dir is None:
            return self.values is not None
        if (self.run_dir / "result.json").is_file():
            return True
        return self.recorded is not None and _num_bytes(self.run_dir) > self.recorded

    def note_signal(self, name: str) -> None:
        """Note the signal that ends the command."""
        self.signal = name

    def use_json(self) -> None:
        """Send everything that is written to standard output to standard error, until `answer`."""
        if self._stdout is None:
            sys.stdout.flush()
            self._stdout = os.dup(1)
            os.dup2(2, 1)

    def answer(self) -> None:
        """Print the line of `console.json=true` if it was asked for."""
        if self._stdout is None:
            return
        sys.stdout.flush()
        os.dup2(self._stdout, 1)
        os.close(self._stdout)
        self._stdout = None
        print(redact(json.dumps(self.values or self._of_run(), allow_nan=False)), flush=True)

    def _of_run(self) -> dict[str, Any]:
        from ecgexp.tracking.local.headline import headline
        from ecgexp.tracking.local.result import Result, read_result

        result, folder = Result(status="FAILED", reason=self.error), None
        if self.run_dir is not None and self.has_begun:
            folder = self.run_dir
            try:
                result = read_result(folder)
            except DataError as error:
                result = Result(status="FAILED", reason=self.error or str(error))
        values = headline(result, folder)
        if folder is None:
            values["status"] = "REFUSED"
        elif self.limit is not None:
            values["status"] = OUT_OF_TIME
        values["resume"] = None if folder is None else resume_command(folder)
        return values


current = Ending()
"""The end of the command of this process."""


def _num_bytes(run_dir: Path) -> int:
    file = run_dir / "metrics.jsonl"
    return file.stat().st_size if file.is_file() else 0


def remember(experiment: "Experiment", run_dir: Path) -> None:
    """Note the run of this command, for its end."""
    current.run_dir = run_dir.absolute()
    current.step_name = experiment.trainer.step_name
    current.num_steps = experiment.trainer.num_steps
    current.recorded = _num_bytes(current.run_dir)


@contextmanager
def ending(words: Sequence[str]) -> Iterator[Ending]:
    """Print what an interruption kept, and the line of `console.json=true`, after the block.

    Args:
      words: arguments of the command.
    """
    if any(_JSON.fullmatch(word) for word in words):
        current.use_json()
    try:
        yield current
    except BaseException as error:
        current.limit = str(error) if isinstance(error, OutOfTime) else None
        why = current.signal or current.limit
        if why is not None and current.run_dir is not None:
            print(f"ecgexp: {why}: {kept(current)}", file=sys.stderr)
        raise
    finally:
        current.answer()


def kept(known: Ending) -> str:
    """Return what is kept of an interrupted run, and the command that resumes it."""
    from ecgexp.tracking.local.checkpoint_folder import kept_steps

    folder = known.run_dir
    command = None if folder is None else resume_command(folder)
    if folder is None or command is None:
        again = "" if known.limit is None else " with a larger max_minutes"
        return f"nothing was trained that could be kept; use the same command again{again}"
    steps = kept_steps(folder)
    counted = f"{steps} of {known.num_steps} {known.step_name}s are kept"
    if not steps:
        counted = f"a part of {known.step_name} 1 is kept"
    return f"{counted} in {folder}; resume with\n{command}"


def resume_command(run_dir: Path) -> str | None:
    """Return the command that resumes a run, as typed in a shell; None if nothing was kept."""
    from ecgexp.tracking.local.checkpoint_folder import kept_steps

    if kept_steps(run_dir) is None:
        return None
    return to_type(["ecgexp", f"resume={_value(str(run_dir))}"])


def _value(text: str) -> str:
    """Return a text as the value of an override."""
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def fail(error: Exception) -> NoReturn:
    """Print the error in one line and exit: with 2 if nothing was started, else with 1."""
    current.error = redact(str(error))
    print(redact(f"ecgexp: {error}"), file=sys.stderr)
    sys.exit(1 if current.has_begun and not isinstance(error, ConfigError) else 2)
