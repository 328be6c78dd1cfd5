"""A killed run resumes and ends like an uninterrupted one."""

import json
import re
import shutil
import signal
import time

import pytest
from killing.checks import points, result, weights
from preloaded import Command, run
from start_line import after_start
from waiting import wait_for

from ecgexp.tracking.mlflow.headline import headline

SMALL = (
    "model=cnn1d_small",
    "dataset.num_patients=6",
    "dataset.minutes=3",
    "num_resamples=0",
    "device.deterministic=true",
)
EPOCHS = 4
OFTEN = "checkpoints.minutes=0.0001"  # within an epoch too, after every step
TRAINERS = {
    "centralized": (
        f"trainer.epochs={EPOCHS}",
        "trainer.batch_size=32",
        "augmentation=signal",
        OFTEN,
    ),
    "dp": (
        "trainer=dp",
        f"trainer.epochs={EPOCHS}",
        "privacy.noise_multiplier=1.5",
        "privacy.noise_seed=7",
        OFTEN,
    ),
    "federated": (
        "trainer=federated",
        f"trainer.num_rounds={EPOCHS}",
        "selection.weights=last",
        "privacy=patient",
        "privacy.noise_multiplier=1.0",
        "privacy.noise_seed=7",
    ),
}
TWICE = "dp"  # its ledger counts what each kill lost

pytestmark = [pytest.mark.tf, pytest.mark.slow]


def with_store(cwd, empty_store):
    """A default store is there: making one takes longer than a run."""
    (cwd / "mlruns").mkdir()
    shutil.copy(empty_store, cwd / "mlruns" / "mlflow.db")


def start(*words, cwd, log):
    with (cwd / log).open("w") as out:
        return Command(*words, stdout=out, stderr=out, cwd=cwd)


def killed_after(step, *words, cwd, with_signal=signal.SIGKILL):
    """The exit code of a run in `cwd/run` that was sent the signal when it had written the
    checkpoint of `step`.
    """
    process = start(*words, "hydra.run.dir=run", cwd=cwd, log="killed.log")
    try:
        wait_for(lambda: list((cwd / "run" / "checkpoints").glob(f"step-{step:06d}-*")), process)
        process.send_signal(with_signal)
        return process.wait(timeout=60)
    finally:
        process.kill()


@pytest.fixture(scope="module", params=TRAINERS)
def both(request, tmp_path_factory, empty_store):
    """The folders of an uninterrupted run and of a killed one; trainer `TWICE` is killed twice."""
    cwd = tmp_path_factory.mktemp(request.param)
    with_store(cwd, empty_store)
    words = [*SMALL, *TRAINERS[request.param]]
    whole = run(*words, "tracking=none", "hydra.run.dir=whole", cwd=cwd)
    assert whole.returncode == 0, whole.stderr
    assert killed_after(1, *words, cwd=cwd) == -signal.SIGKILL
    if request.param == TWICE:
        again = start("resume=run", cwd=cwd, log="again.log")
        try:
            wait_for(lambda: list((cwd / "run" / "checkpoints").glob("step-000003-*")), again)
        finally:
            again.kill()
            again.wait()
    last = run("resume=run", cwd=cwd)
    assert last.returncode == 0, last.stderr
    return cwd / "whole", cwd / "run", last


def test_resumed_run_is_equal_bit_for_bit(both):
    whole, resumed, last = both
    assert weights(resumed) == weights(whole)
    for key in ("metrics", "undefined", "selection", "privacy"):
        assert result(resumed)[key] == result(whole)[key]
    ends, expected = (result(folder)["data"] for folder in (resumed, whole))
    assert ends | {"digest": None} == expected | {
        "digest": None
    }  # keyed: the two runs are of two stores
    assert "resumes after" in last.stderr


def test_resumed_run_has_each_point_once(both):
    whole, resumed, _ = both
    assert points(resumed) == points(whole)


def test_resumed_run_is_one_run_in_mlflow(both):
    from ecgexp.analysis.find_runs import search_runs

    whole, resumed, _ = both
    (found,) = search_runs(uri=f"sqlite:///{resumed.parent}/mlruns/mlflow.db")
    assert found.status == "FINISHED"
    assert found.metrics["test/accuracy"] == result(whole)["metrics"]["test/accuracy"]
    assert found.run_id == result(resumed)["run_id"]


def test_finished_run_has_no_checkpoints_and_is_not_resumed(both):
    _, resumed, _ = both
    assert not (resumed / "checkpoints").exists()
    if resumed.parent.name.startswith(TWICE):  # the answer comes before the trainer is asked
        refused = run("resume=run", cwd=resumed.parent)
        assert refused.returncode == 2
        assert "has finished" in refused.stderr


def test_discarded_steps_are_recorded_and_signals_answered(tmp_path):
    """With secret noise.

    SIGTERM in the second epoch, so that at most one epoch's steps were begun and lost.
    """
    words = (
        *SMALL,
        "trainer=dp",
        "trainer.epochs=3",
        "privacy.noise_multiplier=1.5",
        "tracking=none",
    )
    whole = run(*words, "hydra.run.dir=whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    began = time.monotonic()
    assert killed_after(1, *words, cwd=tmp_path, with_signal=signal.SIGTERM) == 143
    stopped = json.loads((tmp_path / "run" / "result.json").read_text())
    assert stopped["status"] == "KILLED", time.monotonic() - began
    done = run("resume=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    protected, resumed = (
        json.loads((tmp_path / name / "privacy.json").read_text()) for name in ("whole", "run")
    )
    assert resumed["steps"] == protected["steps"]
    epoch = protected["steps"] // 3
    assert resumed["discarded_steps"] in (0, epoch)
    assert (resumed["epsilon"] > protected["epsilon"]) == (resumed["discarded_steps"] > 0)


def test_shuffled_run_that_was_killed_counts_the_epochs_begun(tmp_path, empty_store):
    """With secret noise and order.

    No checkpoint within an epoch, no resume without the journal, no point rolled back.
    """
    from ecgexp.tracking.mlflow.existing_store import open_existing

    shuffled = (
        "trainer=dp",
        "trainer.epochs=3",
        "privacy.noise_multiplier=1.5",
        "privacy.sampling=shuffle",
        OFTEN,
    )
    with_store(tmp_path, empty_store)
    assert killed_after(1, *SMALL, *shuffled, cwd=tmp_path) == -signal.SIGKILL
    assert not list((tmp_path / "run" / "checkpoints").glob("step-000000-*"))
    journal = tmp_path / "run" / "privacy_journal.jsonl"
    journal.rename(tmp_path / "aside")
    refused = run("resume=run", cwd=tmp_path)
    assert refused.returncode == 2
    assert re.search(
        r"resume=\S*run: privacy_journal\.jsonl is missing.*without resume=", refused.stderr
    )
    assert "Traceback" not in refused.stderr
    (tmp_path / "aside").rename(journal)
    done = run("resume=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    counts = [json.loads(line)["count"] for line in journal.read_text().splitlines()[1:]]
    discarded_steps = json.loads((tmp_path / "run" / "privacy.json").read_text())["discarded_steps"]
    assert counts == list(range(1, 3 + discarded_steps + 1)), (
        "one event for each time an epoch was begun"
    )
    assert discarded_steps <= 1
    lines = [
        json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    curve = [
        (name, line["step"], value)
        for line in lines
        if line["step"]
        for name, value in headline(line["metrics"]).items()
    ]
    assert {step for _, step, _ in curve} == {1, 2, 3}
    client = open_existing(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    run_id = json.loads((tmp_path / "run" / "run.json").read_text())["run_id"]
    names = {name for name, _, _ in curve}
    kept = [
        (name, point.step, point.value)
        for name in names
        for point in client.get_metric_history(run_id, name)
    ]
    assert sorted(kept) == sorted(point for point in curve if point[2] is not None)


def test_run_resumes_with_its_own_configuration_only(tmp_path):
    words = (*SMALL, "trainer.epochs=3", "tracking=none")
    killed_after(1, *words, cwd=tmp_path)
    refused = run("resume=run", "trainer.epochs=9", cwd=tmp_path)
    assert refused.returncode == 2
    assert "trainer.epochs is 9 and was 3" in refused.stderr
    newest = max((tmp_path / "run" / "checkpoints").glob("step-*"))
    newest.write_bytes(newest.read_bytes()[:-100])
    left = len(list((tmp_path / "run" / "checkpoints").glob("step-*")))
    damaged = run("resume=run", cwd=tmp_path)
    assert damaged.returncode == (0 if left > 1 else 1), damaged.stderr
    assert (
        newest.name
        in damaged.stderr + damaged.stdout + (tmp_path / "run" / "ecgexp.log").read_text()
    )
    assert not list((tmp_path / "outputs").glob("*/*")), (
        "the resuming command leaves no folder of its own"
    )


@pytest.mark.parametrize(
    ("what", "message"), [("nowhere", "neither the folder"), ("empty", "it has no run.json")]
)
def test_folder_that_is_not_a_run_cannot_resume(tmp_path, what, message):
    (tmp_path / "empty").mkdir()
    refused = run(f"resume={what}", "tracking=none", cwd=tmp_path)
    assert refused.returncode == 2
    assert message in refused.stderr or "there are no runs" in refused.stderr
    assert after_start(refused.stderr).count("\n") == 1
