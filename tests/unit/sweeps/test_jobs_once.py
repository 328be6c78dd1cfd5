"""A sweep that contains a run twice is rejected before any run starts."""

import subprocess
import sys
from pathlib import Path

import pytest
from start_line import after_start

COMMAND = str(Path(sys.executable).parent / "ecgexp")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["seed=0,1,0"], ["seed=0 (job 0)", "seed=0 (job 2) are the same run"]),
        (
            ["trainer.learning_rate=1,1.0"],
            ["trainer.learning_rate=1 (job 0)", "trainer.learning_rate=1.0 (job 1)"],
        ),
    ],
)
def test_sweep_with_a_job_twice_is_rejected(tmp_path, words, named):
    done = subprocess.run(
        [COMMAND, "-m", "tracking=none", *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 2
    for text in named:
        assert text in done.stderr
    assert "use each value once" in done.stderr
    assert after_start(done.stderr).count("\n") == 1
    assert not list(tmp_path.rglob("attempts"))
