"""Stores that are cut, locked or never there, and full disks, under real runs: nothing is lost,
kept twice or given away.

The server is MLflow's own, started as `ecgexp-ui` starts it, and killed.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import preloaded
import psutil
import pytest
from loopback_server import free_port, mlflow_server
from preloaded import Command, unreaped
from waiting import wait_for

from ecgexp.cli import sync, ui
from ecgexp.cli.doctor_checks import Settings, check_store
from ecgexp.tracking import mirrored
from ecgexp.tracking.local.run_json import not_whole, read_run
from ecgexp.tracking.local.tracker import read_entries
from ecgexp.tracking.mlflow.headline import headline
from ecgexp.tracking.settings import MlflowTracking
from ecgexp.training.checkpointing.store import Checkpoints

pytestmark = pytest.mark.slow

SMALL = (
    "model=cnn1d_small",
    "dataset.num_patients=6",
    "num_resamples=0",
    "evaluate_on=[test]",
    "selection.weights=last",
    "hydra.run.dir=run",
)
RUN = Path("run")
SECRETS = ("hunter2", "letmein", "opensesame")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """A folder of the test's own, and a secret in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv(
        "PYTEST_CURRENT_TEST", raising=False
    )  # a server that sees it checks more than it does elsewhere
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "letmein")
    monkeypatch.setattr(ui, "_START_S", 240.0)  # a busy machine


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A SQLite store without runs; making one costs seconds."""
    from ecgexp.tracking.mlflow.quiet import quieten

    quieten()
    from ecgexp.tracking.mlflow.store import open_store

    base = tmp_path_factory.mktemp("empty")
    open_store("sqlite:///store.db", artifact_root=base, experiment_name="Default", base_dir=base)
    return (base / "store.db").read_bytes()


@pytest.fixture
def store(empty, tmp_path):
    """Asks the store, whether or not a server is before it."""
    from mlflow import MlflowClient

    Path("store.db").write_bytes(empty)
    return MlflowClient(
        f"sqlite:///{tmp_path}/store.db"
    )  # MLflow keeps what it once opened under an address


@contextmanager
def held(process):
    """The run stands still, or it would end before the server is up or down."""
    process.send_signal(signal.SIGSTOP)
    yield
    process.send_signal(signal.SIGCONT)


@contextmanager
def running(*words, log="run.log"):
    """A run in the background, killed at the end if it still lives; its words are in `log`."""
    with (
        Path(log).open("w") as out,
        Command(*words, stdout=out, stderr=out, cwd=Path().absolute()) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def last_step():
    return max((entry["step"] or 0 for entry in read_entries(RUN / "metrics.jsonl")), default=0)


def said(log, words):
    return Path(log).read_text().replace("\n", " ").count(words)


def wait_for_step(step, process):
    """Until the run has written the metrics of that epoch."""
    until = time.monotonic() + 400
    while last_step() < step:
        assert process.poll() is None, f"the run ended before epoch {step}"
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def check_equal(address):
    """The run in the store is the one in the folder: all main metrics, once, at the same times."""
    from mlflow import MlflowClient

    client = MlflowClient(address)
    values = read_run(RUN)
    run = client.get_run(values["run_id"])
    points = [
        (name, entry["step"] or 0, value, round(entry["time"] * 1000))
        for entry in read_entries(RUN / "metrics.jsonl")
        for name, value in headline(entry["metrics"]).items()
        if value is not None
    ]
    histories = [client.get_metric_history(values["run_id"], name) for name in run.data.metrics]
    kept = [
        (point.key, point.step, point.value, point.timestamp)
        for history in histories
        for point in history
    ]
    assert len({point[:2] for point in kept}) == len(kept), "a point was kept twice"
    assert sorted(kept) == sorted(points)
    assert run.data.params == {name: str(value) for name, value in values["params"].items()}
    assert values["tags"].items() <= run.data.tags.items()
    kept_files = {
        entry.path: entry.file_size
        for folder in {path.rpartition("/")[0] for path in values["artifacts"]}
        for entry in client.list_artifacts(values["run_id"], folder or None)
    }
    for path in values["artifacts"]:
        assert kept_files[path] == (RUN / path).stat().st_size
    assert [entry.dataset.name for entry in run.inputs.dataset_inputs] == [
        values["datasets"][0]["name"]
    ] * 3
    assert run.info.status == values["status"]
    assert run.data.tags.get("status.reason") == values["reason"]
    assert run.info.end_time == round(values["ended"] * 1000)
    assert len(client.search_runs([run.info.experiment_id])) == 1


def files_with_secrets():
    """Files with a secret in them.

    Not among Hydra's notes, which say what was typed, addresses without passwords.
    """
    files = [path for path in Path().rglob("*") if path.is_file()]
    notes = "".join(path.read_text() for path in files if path.parent.name == ".hydra")
    assert not [secret for secret in SECRETS[:2] if secret in notes]
    files = [path for path in files if path.parent.name != ".hydra"]
    return [
        str(path) for path in files for secret in SECRETS if secret.encode() in path.read_bytes()
    ]


def test_missing_server_is_reported_before_training():
    done = preloaded.run(
        "tracking.uri=http://me:hunter2@127.0.0.1:9", *SMALL, cwd=Path().absolute()
    )
    assert done.returncode == 2
    assert done.stderr.endswith(  # after a warning about the data, which are read first
        "ecgexp: tracking.uri=http://***@127.0.0.1:9: the store cannot be used: "
        "Connection refused; "
        "start the server, or use another tracking.uri=, or tracking=none\n"
    )
    assert "Traceback" not in done.stderr
    assert not (RUN / "run.json").exists()
    assert files_with_secrets() == []


@pytest.mark.tf
def test_run_loses_nothing_if_its_server_is_restarted(store, tmp_path, capfd):
    """Twice: the run is killed while the server is away, brought in by the command and resumed.

    Then it delivers by itself.
    """
    port = free_port()
    address = f"http://me:hunter2@{ui.HOST}:{port}"
    words = (
        *SMALL,
        f"tracking.uri={address}",
        "trainer.epochs=60",
        "+tracking.tags.api_token=opensesame",
    )
    with ExitStack() as stack:
        with ExitStack() as up:
            up.enter_context(mlflow_server("sqlite:///store.db", port, tmp_path))
            run = stack.enter_context(running(*words))
            wait_for_step(2, run)
            with held(run):
                up.close()
        wait_for_step(last_step() + 2, run)
        with unreaped():  # it has ended, and nobody has taken note of it yet
            os.kill(run.pid, signal.SIGKILL)
            wait_for(lambda: psutil.Process(run.pid).status() == psutil.STATUS_ZOMBIE, run)
            assert not_whole(Path()) == ([RUN], [])
            run_id = read_run(RUN)["run_id"]
            assert store.get_run(run_id).info.status == "RUNNING"
            asked = Settings(
                data_root=Path(),
                store="sqlite:///store.db",
                runs_dir=Path("outputs"),
                close_stale=True,
            )
            assert "1 marked as KILLED" in list(check_store(asked))[-1].found
            assert store.get_run(run_id).info.status == "KILLED"
    assert said("run.log", "does not answer; the run continues") == 1

    with ExitStack() as stack:
        with ExitStack() as up:
            up.enter_context(mlflow_server("sqlite:///store.db", port, tmp_path))
            assert sync.main(["run", "--store", address]) == 0
            assert " points" in capfd.readouterr().out
            check_equal(address)
            assert not_whole(Path()) == ([], [])
            run = stack.enter_context(
                running("resume=run", f"tracking.uri={address}", log="resumed.log")
            )
            wait_for_step(last_step() + 2, run)
            with held(run):
                up.close()
        wait_for_step(last_step() + 2, run)
        with held(run):
            stack.enter_context(mlflow_server("sqlite:///store.db", port, tmp_path))
        assert run.wait(timeout=400) == 0
        check_equal(address)
    assert said("resumed.log", "does not answer; the run continues") == 1
    assert said("resumed.log", "did not reach") == 0
    assert read_run(RUN)["status"] == "FINISHED"
    assert read_run(RUN)["store"]["whole"]
    assert len(store.get_run(run_id).outputs.model_outputs) == 1
    assert files_with_secrets() == []


def fill(path):
    with path.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


@pytest.mark.tf
def test_full_disk_ends_a_run_and_keeps_its_checkpoint(mount, store):
    RUN.mkdir()
    mount(RUN, "24m")
    with running(*SMALL, "tracking.uri=sqlite:///store.db", "trainer.epochs=10000") as run:
        wait_for_step(3, run)
        with pytest.raises(OSError, match="No space left"):
            fill(RUN / "filler")
        assert run.wait(timeout=120) == 1
    (line,) = [
        line for line in Path("run.log").read_text().splitlines() if line.startswith("ecgexp:")
    ]
    assert "No space left on device" in line
    assert "free some space" in line
    assert "Traceback" not in Path("run.log").read_text()
    checkpoint = Checkpoints(RUN / "checkpoints").newest()
    steps = [entry["step"] for entry in read_entries(RUN / "metrics.jsonl")]
    assert checkpoint.step in (steps[-1], steps[-1] - 1)
    stored = store.get_run(read_run(RUN)["run_id"])
    assert stored.info.status == "FAILED"
    assert "No space left on device" in stored.data.tags["status.reason"]


LOCK = """
import sqlite3, sys
connection = sqlite3.connect("store.db", isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
connection.execute("ROLLBACK")
"""


def test_locked_store_is_retried_without_loss(store, monkeypatch, caplog):
    """SQLite itself waits for a lock, in the midst of a call: 20 s, here 1 s.

    What outlasts that is tried again.
    """
    from mlflow.store.db import utils

    waits_ms, plain = [20_000], utils.sql.text
    monkeypatch.setattr(
        utils.sql, "text", lambda words: plain(words.replace("20000", str(waits_ms[0])))
    )
    monkeypatch.setattr(mirrored, "RETRY_AFTER_S", 0.5)
    tracker = MlflowTracking(uri="sqlite:///store.db").start(run_name="fake", run_dir=RUN)
    tracker.log_params({"seed": 1})
    holder = subprocess.Popen(
        [sys.executable, "-c", LOCK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "locked\n"
    waits_ms[0] = 1000
    started = time.monotonic()
    for step in range(1, 6):
        tracker.log_metrics({"curve/validation/loss": 1 / step}, step=step)
    assert time.monotonic() - started > 0.75
    waits_ms[0] = 20_000  # the end waits longer than the lock is held
    threading.Timer(0.5, holder.stdin.close).start()
    tracker.finish("FINISHED")
    assert holder.wait(timeout=60) == 0
    holder.stdout.close()
    assert json.dumps(caplog.messages).count("does not answer; the run continues") == 1
    history = store.get_metric_history(tracker.run_id, "curve/validation/loss")
    assert [(point.step, point.value) for point in history] == [
        (step, 1 / step) for step in range(1, 6)
    ]
    assert read_run(RUN)["store"]["whole"]
