"""Runs without a terminal or open files, in a folder that is in use, or in a read-only folder."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from preloaded import run
from start_line import after_start

from ecgexp.settings.declaration import ConfigError
from ecgexp.tracking.local.lock import hold

COMMAND = str(Path(sys.executable).parent / "ecgexp")
SMALL = (
    "model=cnn1d_small",
    "dataset.num_patients=4",
    "trainer.epochs=1",
    "num_resamples=0",
    "tracking=none",
)

HOLDS = """
import sys, time
from pathlib import Path
from ecgexp.tracking.local.lock import hold
with hold(Path(sys.argv[1]), new=True):
    print("held", flush=True)
    time.sleep(100)
"""


@pytest.mark.tf
@pytest.mark.slow
def test_run_without_standard_streams_finishes(tmp_path):
    line = f"exec {COMMAND} {' '.join(SMALL)} hydra.run.dir=run <&- >&- 2>&-"
    assert subprocess.run(["bash", "-c", line], cwd=tmp_path, check=False).returncode == 0
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "FINISHED"


def test_run_folder_is_locked_until_its_process_ends(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(ConfigError, match="another process is using the folder"),
            hold(tmp_path, new=True),
        ):
            pass
        holder.send_signal(signal.SIGKILL)
    with hold(tmp_path, new=True):
        pass


@pytest.mark.parametrize(
    ("folder", "said"), [("/proc/no/such/run", "/proc/no"), ("/dev/null/run", "/dev/null")]
)
def test_folder_that_cannot_be_made_is_one_line(tmp_path, folder, said):
    done = subprocess.run(
        [COMMAND, *SMALL, f"hydra.run.dir={folder}"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 2
    (line,) = after_start(done.stderr).splitlines()
    assert said in line
    assert "hydra.run.dir=" in line


@pytest.mark.tf
@pytest.mark.slow
def test_run_that_changes_folder_writes_where_it_started(tmp_path):
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    (here / "part").mkdir()
    (here / "part" / "100.hea").touch()  # with a part of its files, the database is found
    done = run(
        "dataset=mitdb", "data.root=part", "hydra.job.chdir=true", "hydra.run.dir=run", cwd=here
    )
    assert done.returncode == 1
    assert f"{here}/part" in done.stderr
    assert (here / "mlruns" / "mlflow.db").is_file()
    assert not {"mlruns", ".cache", "data"} & {path.name for path in (here / "run").rglob("*")}
    again = run(f"resume={here}/run", cwd=elsewhere)
    assert f"{here}/part" in again.stderr
    assert not {"mlruns", ".cache", "data"} & {path.name for path in elsewhere.iterdir()}
