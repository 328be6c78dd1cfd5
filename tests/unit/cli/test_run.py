"""The installed command, as a person types it."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from start_line import after_start

COMMAND = str(Path(sys.executable).parent / "ecgexp")


def ecgexp(*words, cwd):
    return _timed([COMMAND, *words], cwd)[1]


@pytest.fixture(scope="module")
def import_seconds(tmp_path_factory):
    """Processor time of an import of Hydra."""
    return _timed([sys.executable, "-c", "import hydra"], tmp_path_factory.mktemp("import"))[0]


@pytest.fixture
def timed(import_seconds):
    """`ecgexp` and how long it took, in seconds of a machine that imports Hydra in half a second of
    processor time.

    So neither a slow machine nor a process that shares the caches of a core, fails a test of our
    own.
    """

    def run(*words, cwd):
        seconds, done = _timed([COMMAND, *words], cwd)
        return done, seconds / max(1.0, import_seconds / 0.5)

    return run


def _timed(command, cwd):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done


def test_help_lists_groups_and_options_within_two_seconds(tmp_path, timed):
    done, seconds = timed("--help", cwd=tmp_path)
    assert done.returncode == 0
    for line in ("model: cnn1d, cnn1d_small, cnn2d, extra_trees, mlp, resnet1d", "ecgexp-ui"):
        assert line in done.stdout
    assert "debug_" not in done.stdout  # groups that only debug= chooses
    assert seconds < 2


@pytest.mark.parametrize(
    "override",
    [
        "trainer.epcohs=3",
        "trainer.epochs=-2",
        "model=cnn2d",
        "model._target_=os.system",
        "--config-dir=nowhere",
    ],
)
def test_invalid_configuration_is_one_line_within_seconds(tmp_path, timed, override):
    done, seconds = timed(override, cwd=tmp_path)
    assert done.returncode == 2
    error = after_start(done.stderr)
    assert error.startswith("ecgexp: ")
    assert error.count("\n") == 1
    assert "Traceback" not in done.stderr + done.stdout
    assert seconds < 3
    assert not list(tmp_path.rglob("*ecgexp.log")), (
        "a refused configuration leaves no run folder behind"
    )


def test_missing_data_names_the_command_to_get_it(tmp_path):
    done = ecgexp("dataset=mitdb", "data.root=nowhere", "tracking=none", cwd=tmp_path)
    assert done.returncode == 2
    assert "ecgexp-fetch mitdb" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["seed=0", "model=cnn1d", "seed=1"], "seed=1 is set twice, first to 0; use seed once."),
        (
            ["trainer=dp", "+trainer=federated"],
            "trainer=federated is set twice, first to dp; use trainer once.",
        ),
        (["-m", "seed=0,1", "seed=2"], "seed=2 is set twice, first to 0,1; use seed once."),
        (
            ["hydra.run.dir=a", "hydra.run.dir=b"],
            "hydra.run.dir=b is set twice, first to a; use hydra.run.dir once.",
        ),
    ],
)
def test_setting_given_twice_is_refused(tmp_path, words, message):
    done = ecgexp(*words, cwd=tmp_path)
    assert (done.returncode, after_start(done.stderr)) == (2, f"ecgexp: {message}\n")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (
            ["hydra/sweeper=search", "selection.metric=loss", "selection.mode=min"],
            "direction=minimize",
        ),
        (["hydra/sweeper=search", "sweep.objectives=[test/loss]"], "direction=minimize"),
        (["hydra/sweeper=search", "hydra.sweeper.direction=minimize"], "direction=maximize"),
        (
            ["hydra/sweeper=pareto", "sweep.objectives=[privacy/epsilon,test/macro_f1]"],
            "direction=[minimize,maximize]",
        ),
    ],
)
def test_search_for_the_worst_model_is_refused(tmp_path, words, advice):
    done = ecgexp("-m", *words, "trainer.epochs=choice(1,2)", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.endswith(f"use hydra.sweeper.{advice}\n"), done.stderr
