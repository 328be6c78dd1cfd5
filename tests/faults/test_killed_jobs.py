"""A killed process of a job ends its sweep; finished jobs are kept."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from waiting import wait_for

COMMAND = str(Path(sys.executable).parent / "ecgexp")
SWEEP = (
    "-m",
    "model=cnn1d_small",
    "dataset.num_patients=6",
    "num_resamples=0",
    "evaluate_on=[validation]",
    "trainer.epochs=60",
    "seed=1,2",
    "hydra/launcher=processes",
    "hydra.launcher.n_jobs=2",
)

pytestmark = [pytest.mark.tf, pytest.mark.slow]


def attempts(cwd):
    found = [
        json.loads(path.read_text()) for path in cwd.glob("outputs/ecgexp/sweeps/*/attempts/*.json")
    ]
    return {attempt["name"]: attempt["status"] for attempt in found}


def test_killed_worker_is_reported_and_its_job_resumed(tmp_path):
    log = tmp_path / "log"
    with log.open("w") as out:
        sweep = subprocess.Popen([COMMAND, *SWEEP], stdout=out, stderr=out, cwd=tmp_path)
        checkpoints = [f"outputs/ecgexp/*_sweep/{job}/checkpoints/step-*" for job in (0, 1)]
        try:
            wait_for(lambda: all(list(tmp_path.glob(pattern)) for pattern in checkpoints), sweep)
            for child in psutil.Process(sweep.pid).children(recursive=True):
                if "popen_loky" in " ".join(child.cmdline()):
                    child.send_signal(signal.SIGKILL)
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
    assert attempts(tmp_path) == {"seed=1": "FINISHED", "seed=2": "FINISHED"}
    assert (done.stderr + done.stdout).count("resumes after epoch ") == 2
