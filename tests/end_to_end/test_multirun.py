"""Sweeps as a person types them.

One parent run, jobs that are not done twice, and faults that stay in their job.
"""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from preloaded import Command, run
from waiting import wait_for

COMMAND = str(Path(sys.executable).parent / "ecgexp")
SMALL = (
    "model=cnn1d_small",
    "dataset.num_patients=6",
    "dataset.minutes=3",
    "trainer.epochs=1",
    "num_resamples=0",
    "evaluate_on=[validation]",
)

pytestmark = pytest.mark.slow


def ecgexp(*words, cwd):
    return run("-m", *SMALL, *words, cwd=cwd)


def attempts(cwd):
    """Of all sweeps, by name."""
    found = [
        json.loads(path.read_text())
        for path in sorted(cwd.glob("outputs/ecgexp/sweeps/*/attempts/*.json"))
    ]
    return {attempt["name"]: attempt for attempt in found}


@pytest.fixture(scope="module")
def interrupted_and_resumed(tmp_path_factory):
    """A sweep of three, stopped by Ctrl-C in its second job, then typed again."""
    cwd = tmp_path_factory.mktemp("sweep")
    words = ["-m", *SMALL, "trainer=dp", "privacy.noise_multiplier=1.0,2.0,3.0"]
    with (cwd / "first.log").open("w") as log:
        first = Command(*words, stdout=log, stderr=log, cwd=cwd)
        try:
            wait_for(lambda: attempts(cwd).get("noise_multiplier=2.0", {}).get("spent"), first)
            first.send_signal(signal.SIGINT)
            code = first.wait(timeout=60)
        finally:
            first.kill()
    between = attempts(cwd)
    # With a budget, which the first time did not have: it is no parameter of the runs, and counts
    # what the first time lost.
    second = ecgexp(
        "trainer=dp", "privacy.noise_multiplier=1.0,2.0,3.0", "sweep.budget_epsilon=1000", cwd=cwd
    )
    return cwd, code, between, second


def test_an_interrupted_sweep_says_so(interrupted_and_resumed):
    cwd, code, between, _ = interrupted_and_resumed
    assert code == 130
    assert {name: attempt["status"] for name, attempt in between.items()} == {
        "noise_multiplier=1.0": "FINISHED",
        "noise_multiplier=2.0": "KILLED",
    }
    log = (cwd / "first.log").read_text()
    for word in ("finished", "interrupted", "not started", "2 of 3 jobs have no result"):
        assert word in log


def test_the_same_command_runs_only_what_is_missing(interrupted_and_resumed):
    cwd, _, between, second = interrupted_and_resumed
    assert second.returncode == 0, second.stderr
    after = attempts(cwd)
    assert {attempt["status"] for attempt in after.values()} == {"FINISHED"}
    assert after["noise_multiplier=1.0"] == between["noise_multiplier=1.0"], "it was left as it was"
    assert "done before" in second.stderr
    folders = [
        path
        for path in cwd.glob("outputs/ecgexp/*_sweep/*")
        if path.is_dir() and path.name.isdigit()
    ]
    assert len(folders) == 4, "a job that is done leaves no empty folder"


def test_one_parent_holds_the_runs_and_what_they_cost_together(interrupted_and_resumed):
    from ecgexp.analysis.find_runs import children_of, search_runs

    cwd, *_ = interrupted_and_resumed
    uri = f"sqlite:///{cwd}/mlruns/mlflow.db"
    (parent,) = search_runs(filter_string="tags.`sweep.role` = 'parent'", uri=uri)
    assert parent.status == "FINISHED"
    assert parent.name.startswith(
        "noise_multiplier=1.0,2.0,3.0 model=cnn1d_small num_patients=6 minutes=3 epochs=1 "
    )
    assert parent.name.endswith(" trainer=dp")
    assert parent.tags["sweep.override.privacy.noise_multiplier"] == "1.0,2.0,3.0"
    children = children_of(parent, uri=uri)
    assert sorted((run.name, run.status) for run in children) == [
        ("noise_multiplier=1.0", "FINISHED"),
        ("noise_multiplier=2.0", "FINISHED"),
        ("noise_multiplier=2.0", "KILLED"),
        ("noise_multiplier=3.0", "FINISHED"),
    ]
    alone = {
        run.name: run.metrics["privacy/epsilon"] for run in children if run.status == "FINISHED"
    }
    assert parent.metrics["sweep/epsilon_all"] > max(alone.values())
    assert "all 4 private runs" in parent.artifact("sweep_privacy.txt").read_text(), (
        "the killed one looked at the data too"
    )
    assert "every recorded run of this store" in parent.artifact("sweep_privacy.txt").read_text()
    assert parent.metrics["sweep/epsilon_store"] == parent.metrics["sweep/epsilon_all"]
    assert not [name for name in children[0].params if name.startswith(("sweep.", "tracking."))]
    finished = next(run for run in children if run.status == "FINISHED")
    assert finished.tags["command"].startswith("ecgexp model=cnn1d_small ")


def test_a_job_that_fails_leaves_the_others_alone(tmp_path):
    """What only a run can find out; the next job trains all the same."""
    done = ecgexp("selection.metric=nonsense,macro_f1", "tracking=none", cwd=tmp_path)
    assert done.returncode == 1
    assert {name: attempt["status"] for name, attempt in attempts(tmp_path).items()} == {
        "metric=nonsense": "FAILED",
        "metric=macro_f1": "FINISHED",
    }
    assert "1 of 2 jobs have no result" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_no_job_runs_if_any_could_not(tmp_path):
    done = ecgexp("seed=1,-2", cwd=tmp_path)
    assert done.returncode == 2
    assert "seed=-2" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "outputs").exists()
    assert not (tmp_path / "mlruns").exists()


def test_optuna_is_not_sent_after_the_worst_model(tmp_path):
    """The plugin's own direction is to minimize."""
    done = ecgexp(
        "hydra/sweeper=optuna", "trainer.learning_rate=interval(0.001, 0.1)", cwd=tmp_path
    )
    assert done.returncode == 2
    assert "worst validation/macro_f1; use hydra.sweeper.direction=maximize" in done.stderr


@pytest.mark.parametrize(
    "launcher",
    [
        ("hydra/launcher=processes", "hydra.launcher.n_jobs=2"),
        ("hydra/launcher=slurm_here",),
        ("hydra/launcher=ray_jobs",),
    ],
    ids=["joblib", "submitit", "ray"],
)
def test_jobs_in_other_processes_belong_to_the_same_parent(tmp_path, launcher):
    # As the README types it: Ray looks for `uv run` among its ancestors.
    done = subprocess.run(
        ["uv", "run", "--no-project", COMMAND, "-m", *SMALL, *launcher, "seed=1,2"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    from ecgexp.analysis.find_runs import children_of, search_runs

    uri = f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    (parent,) = search_runs(filter_string="tags.`sweep.role` = 'parent'", uri=uri)
    children = children_of(parent, uri=uri)
    assert sorted((run.name, run.status) for run in children) == [
        ("seed=1", "FINISHED"),
        ("seed=2", "FINISHED"),
    ]
    assert len({run.tags["process.pid"] for run in children} | {parent.tags["process.pid"]}) == 3
    assert parent.status == "FINISHED"


def test_optuna_finds_its_way_along_both_objectives_and_finds_it_again(tmp_path):
    words = (
        "hydra/sweeper=pareto",
        "hydra.sweeper.n_trials=2",
        "trainer=dp",
        "privacy.noise_multiplier=interval(0.7, 3)",
        "tracking=none",
    )
    first = ecgexp(*words, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "Pareto solutions" in first.stdout
    assert len(attempts(tmp_path)) == 2
    second = ecgexp(*words, cwd=tmp_path)
    assert second.stderr.count("done before") == 2
