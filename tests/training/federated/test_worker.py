"""The leash: it starts, watches and ends a program, TFF's or a stand-in, and lets nobody else at it."""

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest

from ecgexp._validate import ConfigError
from ecgexp.training.federated import leash
from ecgexp.training.federated import worker as module
from ecgexp.training.federated.worker import EXPOSED, Worker, WorkerError

sys.path.insert(0, str(Path(__file__).parent))  # for what the tests share; tests are not a package
from processes import is_gone, is_running, kill

ECHO = """
import json, os, socket, sys
print(json.dumps({"arguments": sys.argv[1:], "environment": dict(os.environ)}), flush=True)
port = int(sys.argv[-1].removeprefix("--port="))
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as gRPC does
listener.bind(("", port))
listener.listen()
while True:
    connection, _ = listener.accept()
    while piece := connection.recv(65536):
        connection.sendall(piece)
    connection.close()
"""


@pytest.fixture
def program(tmp_path):
    """Writes an executable script."""

    def write(text: str, interpreter: str = sys.executable) -> Path:
        path = tmp_path / "program"
        path.write_text(f"#!{interpreter}\n{text}")
        path.chmod(0o755)
        return path

    return write


@pytest.fixture
def start():
    """Makes workers and sees to it that none is left."""
    started = []

    def make(**options) -> Worker:
        started.append(Worker(**options))
        return started[-1]

    yield make
    for worker in started:
        worker.close()
        kill(worker.pid, worker.leash_pid)


@pytest.fixture
def quiet():
    """Where the system lets us make no network namespace, the warning is not what the test is about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def connect(worker: Worker) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(worker.target.removeprefix("unix:"))
    connection.settimeout(5)
    return connection


def test_a_program_that_never_answers_is_given_up_with_the_name_of_its_log(program, tmp_path):
    log = tmp_path / "logs" / "worker.log"
    sleeper = program("echo $$; echo still thinking; exec sleep 600", "/bin/sh")
    with pytest.raises(WorkerError, match=rf"within start_timeout_s=0\.7 .* {log}, which ends: .*still thinking"):
        Worker(binary=sleeper, log_file=log, start_timeout_s=0.7)
    pid = int(log.read_text().split()[0])
    try:
        assert is_gone(pid)
    finally:
        kill(pid)


def test_a_program_that_ends_at_once_is_said_with_its_code_and_last_words(program):
    with pytest.raises(WorkerError, match=r"ended with exit code 3\. Its log is .*no such graph") as caught:
        Worker(binary=program("echo no such graph; exit 3", "/bin/sh"))
    log = Path(str(caught.value).split("Its log is ")[1].split(",")[0])
    assert "no such graph" in log.read_text()  # kept, for it is asked for
    log.unlink()
    log.parent.rmdir()


def test_a_missing_program_is_named(tmp_path):
    with pytest.raises(WorkerError, match=f"not at {tmp_path / 'nothing'}; type `uv sync"):
        Worker(binary=tmp_path / "nothing")


@pytest.mark.skipif(not os.access("/bin/sh", os.X_OK), reason="needs a shell")
def test_a_program_that_may_not_run_is_named(program):
    path = program("exit", "/bin/sh")
    path.chmod(0o644)
    with pytest.raises(WorkerError, match=f"may not be executed; type `chmod .x {path}`"):
        Worker(binary=path)


def test_a_file_that_is_no_program_is_said(tmp_path):
    path = tmp_path / "garbage"
    path.write_bytes(b"\x7fELF but cut")
    path.chmod(0o755)
    with pytest.raises(WorkerError, match="could not be started: .*Exec format error"):
        Worker(binary=path, log_file=tmp_path / "log")


@pytest.mark.parametrize("options", [{"max_workers": 0}, {"start_timeout_s": 0}, {"start_timeout_s": float("nan")}])
def test_values_out_of_bounds_are_refused(options):
    name, value = next(iter(options.items()))
    with pytest.raises(ConfigError, match=f"{name}={value:g}"):
        Worker(**options)


def test_a_log_that_cannot_be_written_is_named(tmp_path, program):
    (tmp_path / "file").touch()
    with pytest.raises(WorkerError, match=f"with the log {tmp_path / 'file' / 'log'}"):
        Worker(binary=program(ECHO), log_file=tmp_path / "file" / "log")


@pytest.mark.usefixtures("quiet")
def test_the_worker_sees_no_secret_no_gpu_and_its_share_of_the_cores(program, start, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    start(binary=program(ECHO), log_file=tmp_path / "log", max_workers=3)
    said = json.loads((tmp_path / "log").read_text())
    assert "hunter2" not in json.dumps(said)
    assert said["environment"]["CUDA_VISIBLE_DEVICES"] == ""
    assert said["environment"]["TF_NUM_INTRAOP_THREADS"] == "2"
    assert "--max_concurrent_computation_calls=3" in said["arguments"]


@pytest.mark.usefixtures("quiet")
def test_as_many_clients_at_once_as_cores_unless_told(program, start, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(5)))
    start(binary=program(ECHO), log_file=tmp_path / "log")
    assert "--max_concurrent_computation_calls=5" in json.loads((tmp_path / "log").read_text())["arguments"]


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("own_network", [True, False])
def test_bytes_pass_both_ways_unchanged(program, start, own_network):
    worker = start(binary=program(ECHO), own_network=own_network)
    sent = os.urandom(5_000_003)
    with connect(worker) as one, connect(worker) as other:
        threading.Thread(target=lambda: (one.sendall(sent), one.shutdown(socket.SHUT_WR))).start()
        got = b"".join(iter(lambda: one.recv(1 << 16), b""))
        assert got == sent
        one.close()
        other.sendall(b"and the next")
        assert other.recv(100) == b"and the next"


@pytest.mark.usefixtures("quiet")
def test_only_its_user_can_reach_the_socket(program, start):
    worker = start(binary=program(ECHO))
    assert Path(worker.target.removeprefix("unix:")).parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("quiet")
def test_a_long_path_of_temporary_files_is_avoided(program, start, tmp_path, monkeypatch):
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path / ("long" * 30)))
    (tmp_path / ("long" * 30)).mkdir()
    with connect(start(binary=program(ECHO))) as connection:
        connection.sendall(b"?")
        assert connection.recv(1) == b"?"


@pytest.mark.usefixtures("quiet")
def test_what_a_terminal_sends_to_us_does_not_reach_the_worker(program, start):
    worker = start(binary=program(ECHO))
    assert os.getsid(worker.leash_pid) == os.getsid(worker.pid) == worker.leash_pid


@pytest.mark.usefixtures("quiet")
def test_close_leaves_no_process_and_no_file(program, start):
    worker = start(binary=program(ECHO))
    folder = Path(worker.target.removeprefix("unix:")).parent
    assert worker.alive
    worker.close()
    worker.close()
    assert not worker.alive
    assert not is_running(worker.pid)
    assert not is_running(worker.leash_pid)
    assert not folder.exists()


@pytest.mark.usefixtures("quiet")
def test_a_worker_that_nobody_holds_any_more_ends(program):
    worker = Worker(binary=program(ECHO))
    pids = [worker.pid, worker.leash_pid]
    try:
        del worker
        assert all(is_gone(pid) for pid in pids)
    finally:
        kill(*pids)


@pytest.mark.usefixtures("quiet")
def test_a_killed_leash_takes_the_worker_along(program, start, tmp_path):
    worker = start(binary=program(ECHO), log_file=tmp_path / "log")
    os.kill(worker.leash_pid, signal.SIGKILL)
    assert is_gone(worker.pid)
    assert "was killed by SIGKILL" in str(worker.failure("gone"))


@pytest.mark.usefixtures("quiet")
def test_a_failure_says_how_the_worker_ended_each_time_it_is_asked(program, start, tmp_path):
    worker = start(binary=program(ECHO), log_file=tmp_path / "log")
    os.kill(worker.pid, signal.SIGSEGV)
    for _ in range(2):
        assert "was killed by SIGSEGV before it had answered. Its log is" in str(worker.failure("gone"))


@pytest.mark.usefixtures("quiet")
def test_connections_break_when_the_worker_dies(program, start, tmp_path):
    worker = start(binary=program(ECHO), log_file=tmp_path / "log")
    with connect(worker) as connection:
        connection.sendall(b"?")
        assert connection.recv(1) == b"?"
        os.kill(worker.pid, signal.SIGKILL)
        started = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
        assert time.monotonic() - started < 3


@pytest.mark.usefixtures("quiet")
def test_it_outlives_the_thread_that_started_it(program, start):
    made = []
    thread = threading.Thread(target=lambda: made.append(start(binary=program(ECHO))))
    thread.start()
    thread.join()
    time.sleep(1)
    assert made[0].alive
    assert is_running(made[0].pid)


@pytest.mark.usefixtures("quiet")
def test_a_fork_of_our_process_does_not_end_our_worker(program, start):
    worker = start(binary=program(ECHO))
    fork = os.fork()
    if fork == 0:
        try:
            worker.close()
        finally:
            os._exit(0)
    os.waitpid(fork, 0)
    time.sleep(0.5)
    assert worker.alive
    assert is_running(worker.pid)


CHILD = """
import os, sys, time, warnings
warnings.simplefilter("ignore", RuntimeWarning)
from pathlib import Path
from ecgexp.training.federated.worker import Worker
worker = Worker(binary=Path(sys.argv[1]))
fork = os.fork()
if fork == 0:  # holds a copy of the leash's socket, and outlives its parent
    time.sleep(600)
print(worker.pid, worker.leash_pid, fork, worker.log_file.parent, flush=True)
time.sleep(600)
"""


def test_a_fork_that_outlives_us_does_not_keep_the_worker(program):
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(program(ECHO))], stdout=subprocess.PIPE, text=True)
    *pids, folder = child.stdout.readline().split()
    worker, its_leash, fork = map(int, pids)
    try:
        child.kill()
        child.wait()
        assert is_running(fork)
        assert is_gone(worker)
        assert is_gone(its_leash)
        assert not Path(folder).exists()
    finally:
        kill(worker, its_leash, fork)
        child.stdout.close()


def test_a_reserved_port_goes_to_the_one_that_it_is_reserved_for():
    with leash.reserve_port() as one, leash.reserve_port() as other:
        port = one.getsockname()[1]
        assert port != other.getsockname()[1]
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(("", port))
        with socket.socket() as worker:
            worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            worker.bind(("", port))
            worker.listen()
            with socket.create_connection(("127.0.0.1", port)) as client:
                peer, address = worker.accept()
                peer.close()
                assert address == client.getsockname()


def in_a_fork(question) -> bool:
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if question() else 1)
        finally:
            os._exit(2)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 1)
    return code == 0


def test_a_network_of_its_own_has_a_loopback_or_nothing_has_changed():
    def network() -> str:
        return os.readlink("/proc/self/ns/net")

    def as_promised() -> bool:
        before, user = network(), os.geteuid()
        if not leash.enter_own_network():
            return network() == before and os.geteuid() == user
        with leash.reserve_port() as reserved:
            reserved.listen()
            socket.create_connection(reserved.getsockname(), timeout=1).close()
        return network() != before and os.geteuid() == user and len(socket.if_nameindex()) == 1

    assert in_a_fork(as_promised)


def test_a_system_without_namespaces_is_taken_as_it_is(monkeypatch):
    class Refuses:
        def unshare(self, flags: int) -> int:
            return -1

    monkeypatch.setattr(leash, "_LIBC", Refuses())
    assert in_a_fork(lambda: not leash.enter_own_network())


def test_a_worker_on_our_network_is_warned_of_once(program, start):
    module._warn_exposed.cache_clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert not start(binary=program(ECHO), own_network=False).isolated
        start(binary=program(ECHO), own_network=False)
    assert [str(warning.message) for warning in caught] == [EXPOSED]


def listening_ports() -> set[int]:
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A"}


@pytest.mark.skipif(not importlib.util.find_spec("tensorflow_federated"), reason="TFF is there on Linux on x86-64 only")
@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("own_network", [True, False])
def test_tffs_worker_listens_where_nobody_else_is(start, tmp_path, own_network):
    worker = start(log_file=tmp_path / "log", own_network=own_network)
    port = int(Path(f"/proc/{worker.pid}/cmdline").read_text().rpartition("--port=")[2].rstrip("\0"))
    if own_network and not worker.isolated:
        pytest.skip("this system lets a user make no network namespace")
    assert (port in listening_ports()) is not own_network
    assert (os.readlink(f"/proc/{worker.pid}/ns/net") == os.readlink("/proc/self/ns/net")) is not own_network
