"""Commands in processes of their own that need not import TensorFlow and MLflow first, which takes
most of a small run's time.

A server imports the libraries once, and no thread of Python runs in it (those of OpenBLAS and
jemalloc survive a fork). Each command is a fork of it with its own arguments, folder, environment
and streams, and is killed, stopped and waited for like any process. Modules of ecgexp are imported
by the command itself, as in a new interpreter.

Figures are placeholders, and values of ε that are stored are not computed. Not for tests of
streams, of imports, or of launchers.
"""

import contextlib
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

_LIBRARIES = (
    "hydra",
    "pandas",
    "sklearn.metrics",
    "fastapi",
    "flask",
    "graphene",
    "matplotlib.pyplot",
    "mlflow",
    "mlflow.pyfunc",
    "mlflow.tracking",
    "mlflow.store.tracking.sqlalchemy_store",
    "dp_accounting",
    "tensorflow",
    "tensorflow.keras",
)
_COMMAND = str(Path(sys.executable).parent / "ecgexp")
_REQUEST = 1 << 20  # bytes


class Command:
    """A running `ecgexp …`: what `subprocess.Popen` would be for the same words."""

    def __init__(self, *words, cwd, stdout=None, stderr=None, env=None, code=None):
        """Starts it.

        Args:
          words: arguments, as typed after `ecgexp`.
          cwd: its working folder.
          stdout: an open file; None discards.
          stderr: the same.
          env: its environment; None: that of this process.
          code: Python source that is run in place of the command, with `words` as its arguments.
        """
        self.args, self.returncode = [_COMMAND, *map(str, words)], None
        request = {"argv": self.args, "cwd": str(cwd), "env": dict(env or os.environ), "code": code}
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _REQUEST)
        self._connection.connect(_server().address)
        with open(os.devnull, "r+b") as null:
            streams = [null.fileno(), *((each or null).fileno() for each in (stdout, stderr))]
            socket.send_fds(self._connection, [json.dumps(request).encode()], streams)
        self.pid = json.loads(self._connection.recv(_REQUEST))

    def poll(self):
        """The exit code, negative for a signal; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(timeout=0)
        return self.returncode

    def wait(self, timeout=None):
        """The exit code, when it has ended."""
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout)
            status = json.loads(self._connection.recv(_REQUEST))
            self.returncode = os.waitstatus_to_exitcode(status)
            self._connection.close()
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.wait()


def run(*words, cwd, env=None, code=None, timeout=None):
    """What `subprocess.run([command, *words], capture_output=True, text=True)` returns."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        done = Command(*words, cwd=cwd, stdout=out, stderr=err, env=env, code=code)
        try:
            done.wait(timeout)
        finally:
            done.kill()
        texts = [
            Path(f"/proc/self/fd/{file.fileno()}").read_text(encoding="utf-8")
            for file in (out, err)
        ]
    return subprocess.CompletedProcess(done.args, done.returncode, *texts)


@contextlib.contextmanager
def unreaped():
    """Within the block, a command that ends stays a zombie, as if its parent were busy."""
    _server().send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        _server().send_signal(signal.SIGCONT)


class _Server:
    """The process that forks; it ends with the one that started it."""

    def __init__(self):
        # Not in `tempfile.tempdir`, which tests and runs set to folders that they remove.
        place = os.environ.get("TMPDIR", "/tmp")
        self._folder = tempfile.TemporaryDirectory(prefix="ecgexp-commands-", dir=place)
        self.address = str(Path(self._folder.name) / "socket")
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
        self._process = subprocess.Popen(
            [sys.executable, __file__, self.address], stdin=subprocess.PIPE, env=environment
        )
        until = time.monotonic() + 400
        while not Path(self.address).exists():
            assert self._process.poll() is None, "the server of commands ended"
            assert time.monotonic() < until, "the server of commands did not start"
            time.sleep(0.02)

    def send_signal(self, number):
        self._process.send_signal(number)


_STARTED = []


def _server():
    if not _STARTED:
        _STARTED.append(_Server())
    return _STARTED[0]


def _import_libraries():
    from ecgexp.tracking.mlflow.quiet import ENVIRONMENT

    for name in [name for name in sys.modules if name.partition(".")[0] == "ecgexp"]:
        del sys.modules[name]
    with_mlflow = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    import importlib

    import accounting_memory
    import matplotlib
    import placeholder_figures

    matplotlib.use("agg")
    for name in _LIBRARIES:
        importlib.import_module(name)
    placeholder_figures.install()
    accounting_memory.install()
    for name, value in with_mlflow.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


def _serve(address):
    """Returns in each child that it forks, with what that is to do."""
    _import_libraries()
    assert threading.active_count() == 1, "a fork would lack what other threads do"
    gc.freeze()  # a fork neither examines nor copies the objects of the libraries
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(address + ".new")
    listener.listen(64)
    os.rename(address + ".new", address)
    woken, wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    waiting = {}
    while True:
        ready = select.select([0, listener, woken], [], [])[0]
        if 0 in ready:
            os._exit(0)
        if woken in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(woken, 1024)
            _tell_ends(waiting)
        if listener in ready:
            connection, _ = listener.accept()
            request, streams, *_ = socket.recv_fds(connection, _REQUEST, 3)
            pid = os.fork()
            if pid == 0:
                for each in (listener, connection, *waiting.values()):
                    each.close()
                signal.set_wakeup_fd(-1)
                os.close(woken)
                os.close(wakes)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                return json.loads(request), streams
            for each in streams:
                os.close(each)
            waiting[pid] = connection
            with contextlib.suppress(OSError):
                connection.send(json.dumps(pid).encode())


def _tell_ends(waiting):
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            with contextlib.suppress(OSError), waiting.pop(pid) as connection:
                connection.send(json.dumps(status).encode())


def _become(request, streams):
    for number, each in enumerate(streams):
        os.dup2(each, number)
        os.close(each)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(
        2, "w", encoding="utf-8", buffering=1, errors="backslashreplace", closefd=False
    )
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.argv = request["argv"]
    sys.path[0] = str(Path(_COMMAND).parent)


if __name__ == "__main__":
    _request, _streams = _serve(sys.argv[1])
    _become(_request, _streams)
    if _request["code"] is not None:
        exec(_request["code"], {"__name__": "__main__"})
    else:
        from ecgexp.cli.run import main

        sys.exit(main())
