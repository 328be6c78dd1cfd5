"""The installed command, as a person types it."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = str(Path(sys.executable).parent / "ecgexp")


def ecgexp(*words, cwd):
    """The answer, and the processor seconds it took: other work on the machine must not fail a test of our own.

    Of three tries, the quickest is taken while they take more than two seconds: who shares a core also shares its caches.
    """
    tries = [_timed(words, cwd)]
    while tries[-1][1] > 2 and len(tries) < 3:
        tries.append(_timed(words, cwd))
    return min(tries, key=lambda one: one[1])


def _timed(words, cwd):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([COMMAND, *words], capture_output=True, text=True, cwd=cwd, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_lists_groups_and_options_within_two_seconds(tmp_path):
    done, seconds = ecgexp("--help", cwd=tmp_path)
    assert done.returncode == 0
    for line in ("model: cnn1d, cnn1d_small, cnn2d, resnet1d", "ecgexp-ui"):
        assert line in done.stdout
    assert seconds < 2


@pytest.mark.parametrize(
    "override", ["trainer.epcohs=3", "trainer.epochs=-2", "model=cnn2d", "model._target_=os.system"]
)
def test_a_wrong_configuration_ends_within_three_seconds_with_one_line_and_code_2(tmp_path, override):
    done, seconds = ecgexp(override, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("ecgexp: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr + done.stdout
    assert seconds < 3
    assert not list(tmp_path.rglob("*ecgexp.log")), "a refused configuration leaves no run folder behind"


def test_data_that_is_not_there_says_how_to_get_it(tmp_path):
    done, _ = ecgexp("dataset=mitdb", "data.root=nowhere", "tracking=none", cwd=tmp_path)
    assert done.returncode == 1
    assert "scripts/fetch_data.py mitdb" in done.stderr
    assert "Traceback" not in done.stderr
