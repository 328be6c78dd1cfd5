"""The C++ executor: it computes what it should, says when it is lost, and is gone whichever way we end."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for what the tests share; tests are not a package
from processes import is_gone, is_running, kill

pytestmark = [pytest.mark.tf, pytest.mark.slow]
pytest.importorskip("tensorflow_federated", reason="TFF is there on Linux on x86-64 only")

HERE = Path(__file__).parent
START = [np.array([[1.0], [-1.0]], np.float32), np.array([0.5], np.float32)]


@pytest.fixture(scope="module")
def process():
    from linear_process import build_process

    return build_process()


@pytest.fixture(scope="module")
def runtime(process):
    from ecgexp.training.federated.local import Local

    runtime = Local(process)
    yield runtime
    runtime.close()


def one_step(x, y, weights=START, rate=0.1):
    """Gradient descent on the mean squared error, by hand."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    residual = x @ weights[0][:, 0] + weights[1][0] - y
    return [weights[0] - rate * 2 / len(y) * (x.T @ residual)[:, None], weights[1] - rate * 2 * residual.mean()]


A, B = ([[1, 2], [3, -1]], [0.5, 2]), ([[0, 1]], [-1])


def test_a_round_of_one_client_is_its_gradient_step(runtime):
    from linear_process import client

    state, metrics = runtime.next(runtime.initialize(START), [client(*A)])
    for got, expected in zip(runtime.weights(state), one_step(*A), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert metrics["client_work"]["train"]["num_examples"] == 2


def test_clients_count_by_their_examples(runtime):
    from linear_process import client

    state, _ = runtime.next(runtime.initialize(START), [client(*A), client(*B)])
    for got, a, b in zip(runtime.weights(state), one_step(*A), one_step(*B), strict=True):
        np.testing.assert_allclose(got, (2 * a + b) / 3, rtol=1e-5)


def test_a_round_without_clients_changes_no_weight(runtime):
    state, metrics = runtime.next(runtime.initialize(START), [])
    assert metrics["client_work"]["train"]["num_examples"] == 0
    for got, expected in zip(runtime.weights(state), START, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_weights_that_do_not_fit_are_refused(runtime):
    with pytest.raises(ValueError, match="1 arrays do not fit a model of 2 trainable and 0 others"):
        runtime.initialize(START[:1])
    with pytest.raises(ValueError, match=r"array 0 has the shape \(3, 1\); the model's has \(2, 1\)"):
        runtime.initialize([np.zeros((3, 1), np.float32), START[1]])


def test_without_weights_the_process_starts_from_its_own(runtime):
    kernel, bias = runtime.weights(runtime.initialize())
    assert kernel.shape == (2, 1)
    np.testing.assert_array_equal(bias, [0])


def test_the_context_of_the_notebook_is_left_alone(runtime):
    import tensorflow_federated as tff

    before = tff.framework.get_context_stack().current
    runtime.initialize()
    assert tff.framework.get_context_stack().current is before


def kill_worker_of(runtime, *others):
    """A thread that ends the worker that the runtime uses next, half a second after it came; the others are none."""

    def kill_it():
        while (worker := runtime.worker) is None or worker.pid in others:
            time.sleep(0.02)
        time.sleep(0.5)
        os.kill(worker.pid, signal.SIGKILL)

    thread = threading.Thread(target=kill_it, daemon=True)
    thread.start()
    return thread


def test_a_round_whose_worker_is_killed_is_repeated_with_another(runtime, caplog):
    from linear_process import slow_client

    state = runtime.initialize(START)
    lost = runtime.worker
    kill_worker_of(runtime)
    again, _ = runtime.next(state, [slow_client(*A)])
    assert runtime.worker.pid != lost.pid
    assert f"process {lost.pid}) was killed by SIGKILL" in caplog.text
    assert "The round is repeated" in caplog.text
    np.testing.assert_allclose(runtime.weights(again)[0], one_step(*A)[0], rtol=1e-5)
    lost.log_file.unlink()
    lost.log_file.parent.rmdir()


def test_a_worker_killed_twice_in_a_round_is_said_at_once_and_the_round_can_be_repeated(runtime):
    from linear_process import client, endless_client

    from ecgexp.training.federated.worker import WorkerError

    state = runtime.initialize(START)
    first = runtime.worker
    kill_worker_of(runtime)
    kill_worker_of(runtime, first.pid)
    started = time.monotonic()
    with pytest.raises(WorkerError, match=r"was killed by SIGKILL.*max_workers=1.*Its log is") as told:
        runtime.next(state, [endless_client()])
    assert f"process {first.pid})" not in str(told.value)
    assert time.monotonic() - started < 20
    assert runtime.worker is None
    assert is_gone(first.leash_pid)
    again, _ = runtime.next(state, [client(*A)])
    np.testing.assert_allclose(runtime.weights(again)[0], one_step(*A)[0], rtol=1e-5)


def test_a_wrong_dataset_is_the_callers_error_and_the_next_round_works(runtime):
    import tensorflow as tf
    from linear_process import client

    state = runtime.initialize(START)
    with pytest.raises(TypeError, match="dataset"):
        runtime.next(state, [tf.data.Dataset.range(3)])
    runtime.next(state, [client(*B)])


def test_a_closed_runtime_says_so_and_still_knows_the_weights(process):
    from ecgexp.training.federated.local import Local
    from ecgexp.training.federated.worker import WorkerError

    runtime = Local(process, max_workers=1)
    worker = runtime.worker
    state = runtime.initialize(START)
    runtime.close()
    runtime.close()
    assert not is_running(worker.pid)
    np.testing.assert_array_equal(runtime.weights(state)[1], START[1])
    with pytest.raises(WorkerError, match="closed"):
        runtime.next(state, [])


class Endings:
    """Talks with `endings.py`."""

    def __init__(self):
        self.control, theirs = socket.socketpair()
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(HERE.parents[2])}
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "endings.py")], stdin=theirs, env=environment, stderr=subprocess.DEVNULL
            )
        self.answers = self.control.makefile("r")

    def start(self, ending: str) -> tuple[int, int]:
        """The new process and the pipe with all that it prints."""
        ours, theirs = os.pipe()
        socket.send_fds(self.control, [ending.encode()], [theirs])
        os.close(theirs)
        return int(self.answers.readline()), ours

    def close(self):
        self.control.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module", autouse=True)  # so that it imports TFF while the first tests do
def endings():
    endings = Endings()
    yield endings
    endings.close()


def read(pipe: int, *, until: bytes | None, within_s: float) -> bytes:
    """What comes until a line starts with `until`, or (None) until the pipe's end."""
    text, deadline = b"", time.monotonic() + within_s
    while until is None or not any(line.startswith(until) for line in text.split(b"\n")[:-1]):
        ready, _, _ = select.select([pipe], [], [], max(0, deadline - time.monotonic()))
        assert ready, f"the pipe stays open; so far: {text.decode()}"
        piece = os.read(pipe, 4096)
        if not piece:
            assert until is None, f"ended early: {text.decode()}"
            return text
        text += piece
    return text


@pytest.mark.parametrize(
    ("ending", "code", "words"),
    [
        ("success", 0, b""),
        ("exception", 1, b"LookupError: in the middle of a run"),
        ("SIGINT", -signal.SIGINT, b"KeyboardInterrupt"),
        ("SIGTERM", -signal.SIGTERM, b""),
        ("SIGKILL", -signal.SIGKILL, b""),
    ],
)
def test_no_worker_is_left_and_our_pipe_is_closed(endings, ending, code, words):
    # None of them closes the runtime.
    parent, pipe = endings.start(ending)
    pids = []
    try:
        said = read(pipe, until=b"[", within_s=120)
        *pids, folder = json.loads(next(line for line in said.splitlines() if line.startswith(b"[")))
        if ending.startswith("SIG"):
            assert all(is_running(pid) for pid in pids)
            time.sleep(0.5)  # into the round that has no end
            os.kill(parent, signal.Signals[ending])
        said += read(pipe, until=None, within_s=20)
        assert int(endings.answers.readline()) == code, said.decode()
        assert words in said
        assert all(is_gone(pid) for pid in pids)
        assert not Path(folder).exists()
    finally:
        os.close(pipe)
        kill(parent, *pids)
