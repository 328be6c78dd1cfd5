"""Jobs in processes of their own: one parent, and a killed process ends the sweep resumably."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from smallest_run import SMALLEST
from waiting import wait_for

COMMAND = str(Path(sys.executable).parent / "ecgexp")
SWEEP = (
    "-m",
    *SMALLEST,
    "evaluate_on=[]",
    "trainer.epochs=60",
    "seed=1,2",
    "hydra/launcher=processes",
    "hydra.launcher.n_jobs=2",
)

pytestmark = [pytest.mark.tf, pytest.mark.slow]


def finished(cwd):
    """Names of the jobs with a finished attempt; a job that was killed early has another one."""
    found = [
        json.loads(path.read_text()) for path in cwd.glob("outputs/ecgexp/sweeps/*/attempts/*.json")
    ]
    return {attempt["name"] for attempt in found if attempt["status"] == "FINISHED"}


def kill_workers(sweep):
    for child in psutil.Process(sweep.pid).children(recursive=True):
        if "popen_loky" in " ".join(child.cmdline()):
            child.send_signal(signal.SIGKILL)


def test_killed_workers_are_reported_and_jobs_resumed(tmp_path, empty_store):
    (tmp_path / "mlruns").mkdir()
    shutil.copy(empty_store, tmp_path / "mlruns" / "mlflow.db")
    log = tmp_path / "log"
    with log.open("w") as out:
        sweep = subprocess.Popen([COMMAND, *SWEEP], stdout=out, stderr=out, cwd=tmp_path)
        try:
            checkpoint = "outputs/ecgexp/*_sweep/*/checkpoints/step-*"
            wait_for(lambda: list(tmp_path.glob(checkpoint)), sweep)
            kill_workers(sweep)
            code = sweep.wait(timeout=60)
        finally:
            sweep.kill()
    assert code == 1, log.read_text()
    assert (
        "2 of 2 jobs have no result; use the same command again to run only these"
        in log.read_text()
    )
    assert "Traceback" not in log.read_text()
    done = subprocess.run(
        [COMMAND, *SWEEP], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert finished(tmp_path) == {"seed=1", "seed=2"}
    assert (done.stderr + done.stdout).count("resumes after epoch ") in (1, 2)
    check_one_parent(f"sqlite:///{tmp_path}/mlruns/mlflow.db")


def check_one_parent(uri):
    """The jobs, each in a process of its own, belong to the parent run of the sweep."""
    from ecgexp.analysis.find_runs import children_of, search_runs

    (parent,) = search_runs(filter_string="tags.`sweep.role` = 'parent'", uri=uri)
    children = children_of(parent, uri=uri)
    assert sorted((run.name, run.status) for run in children if run.status == "FINISHED") == [
        ("seed=1", "FINISHED"),
        ("seed=2", "FINISHED"),
    ]
    assert len({run.tags["process.pid"] for run in [parent, *children]}) >= 3
    assert parent.status == "FINISHED"
