"""Jobs in processes of their own: one parent, and a killed process ends the sweep resumably."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import preloaded
import psutil
import pytest
from smallest_run import SMALLEST
from waiting import wait_for

COMMAND = str(Path(sys.executable).parent / "ecgexp")
SWEEP = ("-m", *SMALLEST, "evaluate_on=[]", "trainer.epochs=1,60")
IN_PROCESSES = ("hydra/launcher=processes", "hydra.launcher.n_jobs=2")
SHORT, LONG = "epochs=1", "epochs=60"

pytestmark = [pytest.mark.tf, pytest.mark.slow]


def attempts(cwd):
    """The values of every attempt."""
    return [
        json.loads(path.read_text()) for path in cwd.glob("outputs/ecgexp/sweeps/*/attempts/*.json")
    ]


def statuses(cwd):
    return sorted((attempt["name"], attempt["status"]) for attempt in attempts(cwd))


def has_first_epoch(attempt):
    """Whether it has a checkpoint, and the scores of an epoch, which are written after it."""
    folder = Path(attempt["run_dir"])
    return any(folder.glob("checkpoints/step-*")) and (folder / "metrics.jsonl").is_file()


def is_locked(store):
    try:
        with contextlib.closing(sqlite3.connect(store, timeout=0)) as connection:
            connection.execute("BEGIN EXCLUSIVE")  # also where it only reads, which stops writers
            return False
    except sqlite3.OperationalError:
        return True


def stop_training(cwd, store):
    """Stops the process of the long job, if it has an epoch and lets others use the store."""
    for attempt in attempts(cwd):
        if attempt["name"] == LONG and has_first_epoch(attempt):
            number = int(attempt["process"]["process.pid"])
            os.kill(number, signal.SIGSTOP)
            if not is_locked(store):
                return True
            os.kill(number, signal.SIGCONT)
    return False


def kill_workers(sweep):
    for child in psutil.Process(sweep.pid).children(recursive=True):
        if "popen_loky" in " ".join(child.cmdline()):
            child.send_signal(signal.SIGKILL)


def first_epoch(cwd):
    """The line of the long job's first epoch, with its time."""
    (folder,) = (Path(attempt["run_dir"]) for attempt in attempts(cwd) if attempt["name"] == LONG)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return next(line for line in lines if json.loads(line)["step"] == 1)


def process_of(folder):
    return json.loads((folder / "run.json").read_text())["tags"]["process.pid"]


def test_killed_workers_are_reported_and_jobs_resumed(tmp_path, empty_store):
    """One of two jobs has finished when the processes are killed, the other has a checkpoint."""
    store = tmp_path / "mlruns" / "mlflow.db"
    store.parent.mkdir()
    shutil.copy(empty_store, store)
    log = tmp_path / "log"
    with log.open("w") as out:
        command = [COMMAND, *SWEEP, *IN_PROCESSES]
        sweep = subprocess.Popen(command, stdout=out, stderr=out, cwd=tmp_path)
        try:
            wait_for(lambda: stop_training(tmp_path, store), sweep)
            wait_for(lambda: (SHORT, "FINISHED") in statuses(tmp_path), sweep)
            kill_workers(sweep)
            code = sweep.wait(timeout=400)
        finally:
            sweep.kill()
    assert code == 1, log.read_text()
    assert (
        "1 of 2 jobs have no result; use the same command again to run only these"
        in log.read_text()
    )
    assert "Traceback" not in log.read_text()
    (parent,) = tmp_path.glob("outputs/ecgexp/sweeps/*/parent")
    folders = [parent, *(Path(attempt["run_dir"]) for attempt in attempts(tmp_path))]
    assert len({process_of(folder) for folder in folders}) == 3
    before = first_epoch(tmp_path)
    # Without the launcher, which is no part of a sweep's identity: no process imports TensorFlow.
    done = preloaded.run(*SWEEP, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert statuses(tmp_path) == [(SHORT, "FINISHED"), (LONG, "FINISHED")]
    assert first_epoch(tmp_path) == before, "it was not trained again"
    assert f"{SHORT} · done before" in done.stderr
    check_one_parent(f"sqlite:///{store}")


def check_one_parent(uri):
    """The jobs belong to the parent run of the sweep, each once."""
    from ecgexp.analysis.find_runs import children_of, search_runs

    (parent,) = search_runs(filter_string="tags.`sweep.role` = 'parent'", uri=uri)
    children = children_of(parent, uri=uri)
    assert sorted((run.name, run.status) for run in children) == [
        (SHORT, "FINISHED"),
        (LONG, "FINISHED"),
    ]
    assert parent.status == "FINISHED"
