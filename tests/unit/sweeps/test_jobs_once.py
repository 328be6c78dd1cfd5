"""A sweep in which a run would be there twice is refused before any begins."""

import subprocess
import sys
from pathlib import Path

import pytest

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
def test_sweep_with_a_job_twice_is_refused(tmp_path, words, named):
    done = subprocess.run(
        [COMMAND, "-m", "tracking=none", *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 2
    for words_of_it in named:
        assert words_of_it in done.stderr
    assert "list each value once" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.rglob("attempts"))
