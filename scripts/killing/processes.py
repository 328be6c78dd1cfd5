"""Runs of `ecgexp` that a signal ends at a chosen file operation or call of MLflow's store.

TensorFlow and MLflow are imported once (`preload`); each run is a fork of that process, which takes
one second instead of ten. A run counts its events by stage and sends itself the signal right before
the chosen event, or some milliseconds later by a timer of the kernel. So the seed determines a
campaign, also on a busy machine.
"""

import contextlib
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

STAGES = (
    "startup",
    "store",
    "preprocessing",
    "training",
    "checkpoint",
    "artifacts",
    "delivery",
    "end",
)
_WATCHED = {
    "open",
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.truncate",
    "shutil.rmtree",
    "shutil.copyfile",
    "sqlite3.connect",
}
_CALLS = (
    "create_run",
    "log_batch",
    "update_run_info",
    "set_tag",
    "delete_tag",
    "log_inputs",
    "log_outputs",
    "create_logged_model",
    "finalize_logged_model",
    "create_experiment",
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_LONGEST_S = 900.0


@dataclass(frozen=True, kw_only=True)
class Kill:
    """When and how a run is killed.

    Attributes:
      stage: one of `STAGES`.
      number: number of the event within the stage, from 1.
      delay_ms: delay after the event; 0: right before it.
      with_signal: SIGKILL, SIGTERM or SIGINT.
    """

    stage: str
    number: int
    delay_ms: float = 0.0
    with_signal: int = signal.SIGKILL


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a run ended.

    Attributes:
      code: exit code; negative: the signal that ended it.
      seconds: duration.
      events: stage -> number of events; empty after a SIGKILL.
    """

    code: int
    seconds: float
    events: dict[str, int]


class _Watch:
    """Counts the events of this process, a fork, and kills it at the chosen one."""

    def __init__(self, root: Path, kill: Kill | None):
        self.root, self.kill = str(root), kill
        self.counts = dict.fromkeys(STAGES, 0)
        self.trained = self.has_result = False

    def see(self, event: str, path: str) -> None:
        stage = self._stage(event, path)
        self.counts[stage] += 1
        kill = self.kill
        if kill is None or (kill.stage, kill.number) != (stage, self.counts[stage]):
            return
        if kill.delay_ms:
            if kill.with_signal == signal.SIGKILL:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, kill.delay_ms / 1000)
        else:
            os.kill(os.getpid(), kill.with_signal)

    def _stage(self, event: str, path: str) -> str:
        if "/checkpoints" in path and not self.has_result:
            self.trained = True
            return "checkpoint"
        if "result.json" in path and "/run" in path:
            self.has_result = True
        if event == "mlflow" or "/mlruns/" in path:
            return "delivery" if self.trained else "store"
        if self.has_result:
            return "end"
        if "/cache" in path or path.startswith("cache"):
            return "preprocessing"
        if path.endswith(("metrics.jsonl", "privacy_journal.jsonl")):
            return "training"
        return "artifacts" if self.trained else "startup"


_watch: _Watch | None = None


def preload(*, federated: bool) -> None:
    """Imports the modules that runs need, and starts to observe files and MLflow's store.

    Args:
      federated: also import TensorFlow Federated, where it is installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import matplotlib
    import tensorflow  # noqa: F401

    matplotlib.use("Agg")
    from ecgexp.tracking.mlflow.quiet import quieten

    quieten()
    import dp_accounting  # noqa: F401
    import mlflow.pyfunc  # noqa: F401
    import pandas  # noqa: F401
    import sklearn.metrics  # noqa: F401
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    import ecgexp.cli.multirun
    import ecgexp.cli.run
    import ecgexp.evaluation.figures
    import ecgexp.experiment.training_loop
    import ecgexp.tracking.mlflow.model  # noqa: F401
    import ecgexp.tracking.mlflow.tracker

    if federated:
        with contextlib.suppress(ImportError):
            import tensorflow_federated  # noqa: F401

            import ecgexp.training.federated.settings  # noqa: F401
    for name in _CALLS:
        if hasattr(SqlAlchemyStore, name):
            setattr(SqlAlchemyStore, name, _observed(getattr(SqlAlchemyStore, name)))
    sys.addaudithook(_audit)


def _observed(inner):
    def method(self, *args, **kwargs):
        if _watch is not None:
            _watch.see("mlflow", "")
        found = inner(self, *args, **kwargs)
        if _watch is not None:
            _watch.see("mlflow", "")
        return found

    return method


def _audit(event: str, args: tuple) -> None:
    if _watch is None or event not in _WATCHED:
        return
    paths = [os.fsdecode(item) for item in args[:2] if isinstance(item, str | bytes | os.PathLike)]
    if event == "open" and not (isinstance(args[2], int) and args[2] & _WRITES):
        return
    for path in paths[:1] if event != "os.rename" else paths[1:]:
        if path.removeprefix("file:").startswith(_watch.root) or not path.startswith("/"):
            _watch.see(event, path)


def run(words: Sequence[str], home: Path, *, kill: Kill | None = None) -> Ended:
    """Runs `ecgexp WORDS` in a fork.

    Args:
      words: arguments of the command.
      home: its working folder; output is appended to `home/log`, temporary files are in `home/tmp`.
      kill: when to kill it; None: not at all.

    Returns:
      How it ended.
    """
    began = time.monotonic()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        code = 98
        try:
            code = _child(words, home, kill)
            os.write(writing, json.dumps(_watch.counts if _watch else {}).encode())
        except BaseException:  # noqa: BLE001 - a fork must never return to the campaign
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    status = _wait(child, began + _LONGEST_S)
    with os.fdopen(reading, "rb") as pipe:
        counts = json.loads(pipe.read() or b"{}")
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    return Ended(code=code, seconds=time.monotonic() - began, events=counts)


def _wait(child: int, until: float) -> int:
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise SystemExit("a run did not end in time; see its log")
        time.sleep(0.02)


def _child(words: Sequence[str], home: Path, kill: Kill | None) -> int:
    global _watch
    os.setsid()
    os.chdir(home)
    (home / "tmp").mkdir(exist_ok=True)
    os.environ["TMPDIR"], tempfile.tempdir = str(home / "tmp"), None
    log = os.open(home / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number in (1, 2):
        os.dup2(log, number)
    sys.stdout, sys.stderr = (
        os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2)
    )
    sys.argv = ["ecgexp", *words]
    _watch = _Watch(home, kill)
    try:
        from ecgexp.cli import run

        code = run.main() or 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - as Python itself would
        traceback.print_exc()
        code = 1
    import atexit

    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code
