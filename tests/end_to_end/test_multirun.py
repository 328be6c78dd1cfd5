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
from smallest_run import SMALLEST
from start_line import after_start
from waiting import wait_for

COMMAND = str(Path(sys.executable).parent / "ecgexp")
SMALL = (*SMALLEST, "trainer.epochs=1", "evaluate_on=[validation]")
NOISE = (
    "trainer=dp",
    "trainer.expected_batch_size=58",
    "privacy.noise_multiplier=1.0,2.0,3.0",
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
    words, losses = ["-m", *SMALL, *NOISE], cwd / "mlruns" / "mlflow.db.private" / "losses"
    with (cwd / "first.log").open("w") as log:
        first = Command(*words, stdout=log, stderr=log, cwd=cwd)
        try:
            # The second job is on record in the store, and does its first step.
            wait_for(lambda: len(list(losses.glob("*.json"))) == 2, first)
            first.send_signal(signal.SIGINT)
            code = first.wait(timeout=60)
        finally:
            first.kill()
    between = attempts(cwd)
    # With a budget, which the first time did not have: it is no parameter of the runs, and counts
    # what the first time lost.
    second = ecgexp(*NOISE, "sweep.budget_epsilon=1000", cwd=cwd)
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
    assert "done before" in second.stdout
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
    assert parent.name.startswith("noise_multiplier=1.0,2.0,3.0 num_patients=10 minutes=0.6 ")
    assert parent.name.endswith(" trainer=dp expected_batch_size=58")
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
    assert finished.tags["command"].startswith("ecgexp dataset.num_patients=10 ")


def test_a_job_that_fails_leaves_the_others_alone(tmp_path):
    """What only a run can find out; the next job trains all the same."""
    done = ecgexp("split.validation_fraction=0,0.2", "tracking=none", cwd=tmp_path)
    assert done.returncode == 1
    assert {name: attempt["status"] for name, attempt in attempts(tmp_path).items()} == {
        "validation_fraction=0": "FAILED",
        "validation_fraction=0.2": "FINISHED",
    }
    assert "1 of 2 jobs have no result" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["seed=1,-2"], "seed=-2"),
        (["device=gpu,cpu"], "device=gpu: device=gpu: CUDA_VISIBLE_DEVICES="),
    ],
)
def test_no_job_runs_if_any_could_not(tmp_path, monkeypatch, words, message):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = ecgexp(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert after_start(done.stderr).count("\n") == 1
    assert not (tmp_path / "outputs").exists()
    assert not (tmp_path / "mlruns").exists()


@pytest.fixture(scope="module")
def pruned_search(tmp_path_factory):
    """A search whose second trial cannot learn, and its command typed again."""
    cwd = tmp_path_factory.mktemp("search")
    words = (
        "hydra/sweeper=search",
        "hydra.sweeper.sampler=grid",
        "hydra.sweeper.direction=minimize",
        "hydra.sweeper.pruner=median",
        "hydra.sweeper.pruner_options={n_startup_trials: 1}",
        "selection.metric=loss",
        "selection.mode=min",
        "trainer.learning_rate=choice(0.01,1e-9)",
        "tracking=none",
    )
    words = (
        "-m",
        *(word for word in SMALL if word != "trainer.epochs=1"),
        "trainer.epochs=2",
        *words,
    )
    return cwd, run(*words, cwd=cwd), attempts(cwd), run(*words, cwd=cwd)


def test_a_search_prunes_the_trial_that_is_worse(pruned_search):
    cwd, first, tried, _ = pruned_search
    assert first.returncode == 0, first.stderr
    good, bad = tried["learning_rate=0.01"], tried["learning_rate=1e-09"]
    assert (good["status"], bad["status"]) == ("FINISHED", "PRUNED")
    assert bad["reason"] == "pruned after epoch 1 of 2"
    folder = Path(bad["run_dir"])
    assert json.loads((folder / "run.json").read_text())["status"] == "KILLED"
    assert not (folder / "checkpoints").exists()
    for found in cwd.glob("outputs/ecgexp/*_sweep/optimization_results.yaml"):
        assert "trainer.learning_rate: 0.01" in found.read_text()


def test_a_search_typed_again_trains_nothing(pruned_search):
    cwd, _, tried, second = pruned_search
    assert second.returncode == 0, second.stderr
    assert attempts(cwd) == tried
    assert second.stdout.count("done before") == second.stdout.count("  pruned") == 1


def start(*words, cwd):
    """A sweep whose launcher starts processes of its own, so that no preloaded one can serve."""
    # As the README types it: Ray looks for `uv run` among its ancestors.
    command = ["uv", "run", "--no-project", COMMAND, "-m", *SMALL, *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("hydra/launcher=slurm_here",),
        (
            "hydra/launcher=ray_jobs",
            "hydra/sweeper=search",
            "hydra.sweeper.n_trials=1",
            "hydra.sweeper.pruner=median",
        ),
    ],
    ids=["submitit", "ray"],
)
def test_a_job_of_a_launcher_belongs_to_the_sweep(tmp_path, words):
    """Without a store: what a launcher must hand to its processes is the folder of the sweep.

    `tests/faults/test_killed_jobs.py` has two processes of joblib that share a store.
    """
    start(*words, "tracking=none", "seed=choice(1)", cwd=tmp_path)
    (job,) = attempts(tmp_path).values()
    (home,) = tmp_path.glob("outputs/ecgexp/sweeps/*")
    tags, parent = (
        json.loads((Path(folder) / "run.json").read_text())["tags"]
        for folder in (job["run_dir"], home / "parent")
    )
    assert job["status"] == "FINISHED"
    assert tags["sweep"] == home.name
    assert tags["process.pid"] != parent["process.pid"]
    if "hydra/sweeper=search" in words:
        journal = (home / "search.journal").read_text()
        assert "intermediate_value" in journal, "the job reported its epoch to the search"
