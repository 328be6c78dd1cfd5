"""TFF's C++ worker, started on a leash: it ends with our process, stays off the network, and fails with words.

TFF starts the worker by itself too, but that one outlives its parent, writes to the parent's pipes, is waited for without
an end and is reachable from the network (see `leash.py`). So TFF is only given a connection to a worker that was started here.
"""

import functools
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import weakref
from pathlib import Path
from typing import Any

from ecgexp._validate import ConfigError, MachineError

EXPOSED = (
    "TFF's worker listens on all network interfaces of this machine, without a password, and whoever reaches it can read and "
    "write your files: this system lets a user make no network namespace, in which the worker would be out of reach. "
    "Run it on a trusted network or behind a firewall only, allow user namespaces "
    "(`sysctl kernel.apparmor_restrict_unprivileged_userns=0` on Ubuntu, `--cap-add SYS_ADMIN` in Docker), or use the runtime "
    "that needs no worker."
)

_LEASH = Path(__file__).with_name("leash.py")
_LONGEST_ADDRESS = 107  # of a Unix socket, in bytes
# What the worker may see of our environment: no password of a tracking server, no key of a cloud.
_PASSED_ON = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS",
)  # fmt: skip


class WorkerError(MachineError):
    """TFF's worker could not be started, or ended before its work was done; the message says why and names its log."""


class WorkerLost(WorkerError):
    """Its process ended while it had work to do."""


class Worker:
    """A running worker; it ends with `close`, with the last reference to it, and with this process.

    Attributes:
      target: its address for gRPC, a Unix socket that only this user can reach.
      pid: its process.
      leash_pid: the process that holds it.
      isolated: whether it has a network of its own; else it listens on every interface of the machine.
      log_file: what it writes.
    """

    def __init__(
        self, *, log_file: Path | None = None, max_workers: int | None = None, start_timeout_s: float = 60.0,
        binary: Path | None = None, own_network: bool = True,
    ):  # fmt: skip
        """Starts it and waits until it answers.

        Args:
          log_file: appended to; `None` takes a temporary one, which is kept only if the worker fails.
          max_workers: clients computed at once; `None` means one for each core that this process may use.
          start_timeout_s: how long it may take to answer.
          binary: the program; `None` takes TFF's.
          own_network: try to give it a network namespace.

        Raises:
          WorkerError: it cannot be started, or does not answer in time.
          ConfigError: a value is out of bounds.
        """
        if max_workers is not None and max_workers < 1:
            raise ConfigError(f"max_workers={max_workers} must be at least 1, or null for one on each core")
        if not start_timeout_s > 0:
            raise ConfigError(f"start_timeout_s={start_timeout_s:g} must be above 0; try start_timeout_s=60")
        program = _checked_program(binary or _find_binary())
        folder = _private_folder()
        self.log_file = Path(log_file) if log_file is not None else folder / "worker.log"
        self.pid: int | None = None
        self.isolated = False
        self.target = f"unix:{folder / 'socket'}"
        self._heard = b""
        self._code: int | None = None
        self._failed = threading.Event()
        self._control, theirs = socket.socketpair()
        cores = len(os.sched_getaffinity(0))
        command = [str(program), f"--max_concurrent_computation_calls={max_workers or cores}"]
        network = "own" if own_network else "shared"
        try:
            with theirs:
                self._leash = _start_leash(
                    theirs, self.log_file, [str(folder / "socket"), network, *command],
                    _environment(cores, threads=max(1, cores // (max_workers or cores))),
                )  # fmt: skip
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise WorkerError(f"TFF's worker could not be started with the log {self.log_file}: {error}") from error
        self.leash_pid = self._leash.pid
        # Runs once: at `close`, when nobody refers to this object any more, or at the interpreter's exit.
        self._end = weakref.finalize(self, _end, os.getpid(), self._leash, self._control, folder, self._failed)
        try:
            self._await_start(start_timeout_s)
        except BaseException:  # Ctrl-C too
            self._failed.set()
            self.close()
            raise
        if not self.isolated:
            _warn_exposed()

    @property
    def alive(self) -> bool:
        """Whether it runs, as far as is known yet."""
        return self._end.alive and self._leash.poll() is None

    def close(self) -> None:
        """Ends it; when this returns, no process is left. May be called again."""
        self._end()

    def failure(self, details: str) -> WorkerError:
        """The error for a call that the worker did not answer, after a look at what became of it.

        Args:
          details: what gRPC said.
        """
        if not self._end.alive:
            return WorkerError(f"TFF's worker (process {self.pid}) has been closed; make a new one")
        self._failed.set()
        if (code := self._exit_code(wait_s=2.0)) is not None:
            what = f"TFF's worker (process {self.pid}) {_ending(code)} before it had answered"
            hint = "; if the machine ran out of memory, compute fewer clients at once: max_workers=1"
            return WorkerLost(what + (hint if code == -signal.SIGKILL else "") + self._log_tail())
        return WorkerError(f"TFF's worker (process {self.pid}) gave up a computation: {details}{self._log_tail()}")

    def _await_start(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            message = self._hear(deadline)
            if message is None:
                raise WorkerError(
                    f"TFF's worker did not answer within start_timeout_s={timeout_s:g} of its start; on a busy machine "
                    f"try start_timeout_s={4 * timeout_s:g}{self._log_tail()}"
                )
            if "ready" in message:
                return
            if "worker" in message:
                self.pid, self.isolated = message["worker"], message["isolated"]
                continue
            reason = message.get("failed") or _ending(message.get("exited"))
            raise WorkerError(f"TFF's worker could not be started: {reason}{self._log_tail()}")

    def _hear(self, deadline: float) -> dict[str, Any] | None:
        """The leash's next message, an empty one if it is gone, or None at the deadline."""
        while b"\n" not in self._heard:
            try:
                self._control.settimeout(max(1e-3, deadline - time.monotonic()))
                piece = self._control.recv(4096)
            except TimeoutError:
                return None
            except OSError:
                piece = b""
            if not piece:
                return {}
            self._heard += piece
        line, self._heard = self._heard.split(b"\n", 1)
        return json.loads(line)

    def _exit_code(self, wait_s: float) -> int | None:
        """How it ended, or None if it has not by then; without its leash the kernel has killed it."""
        if self._code is None and (message := self._hear(time.monotonic() + wait_s)) is not None:
            self._code = message.get("exited", -signal.SIGKILL)
        return self._code

    def _log_tail(self) -> str:
        try:
            lines = self.log_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return f". Its log is {self.log_file}" + (f", which ends: {' | '.join(lines[-3:])}" if lines else "")


def _find_binary() -> Path:
    """Where TFF keeps its worker: a place that it does not publish, found without the seconds that its import takes."""
    spec = importlib.util.find_spec("tensorflow_federated")
    if spec is None or spec.origin is None:
        raise WorkerError(
            "tensorflow-federated is not installed; type `uv sync --group federated` (Linux on x86-64 only)"
        )
    return Path(spec.origin).parent / "data" / "worker_binary"


def _checked_program(path: Path) -> Path:
    if not path.is_file():
        raise WorkerError(
            f"TFF's worker is not at {path}; type `uv sync --reinstall-package tensorflow-federated`, or use the runtime "
            "that needs no worker"
        )
    if not os.access(path, os.X_OK):
        raise WorkerError(f"TFF's worker {path} may not be executed; type `chmod +x {path}`")
    return path.absolute()


def _private_folder() -> Path:
    """A new folder that only this user can enter, with a path short enough for a Unix socket."""
    folder = Path(tempfile.mkdtemp(prefix="ecgexp-worker-"))
    if len(os.fsencode(folder / "socket")) > _LONGEST_ADDRESS:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="ecgexp-worker-", dir="/tmp"))
    return folder


def _start_leash(control: socket.socket, log_file: Path, arguments: list[str], environment: dict[str, str]) -> Any:
    """Starts `leash.py`, which has none of our pipes, and no part in what a terminal sends to us, like Ctrl-C."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", str(_LEASH), str(os.getpid()), *arguments],
            stdin=control, stdout=log, stderr=log, env=environment, cwd="/", start_new_session=True,
        )  # fmt: skip


def _environment(cores: int, threads: int) -> dict[str, str]:
    """For the worker: no GPU, and no more threads in one client's computation than its share of the cores."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | {
        "CUDA_VISIBLE_DEVICES": "",
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_NUM_INTEROP_THREADS": str(cores),
        "OMP_NUM_THREADS": str(threads),
    }


def _end(owner: int, leash: subprocess.Popen, control: socket.socket, folder: Path, failed: threading.Event) -> None:
    if os.getpid() != owner:  # a fork of our process that comes to its end must not take our worker with it
        return
    try:
        with control:
            control.sendall(b".")  # a farewell: the leash kills the worker and ends; without one it tidies up too
    except OSError:  # the leash is gone already
        pass
    try:
        leash.wait(5)
    except subprocess.TimeoutExpired:
        leash.kill()  # and the kernel kills the worker
        leash.wait()
    if failed.is_set() and (folder / "worker.log").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)


def _ending(code: int | None) -> str:
    if code is None:
        return "its leash ended without a word"
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


@functools.cache
def _warn_exposed() -> None:
    warnings.warn(EXPOSED, RuntimeWarning, stacklevel=3)
