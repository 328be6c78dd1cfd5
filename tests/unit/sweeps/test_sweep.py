"""Recorded attempts, finished jobs and the budget of a sweep, without training."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest

from ecgexp.config.sweep_settings import SweepSettings
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.search_accounting import compose_epsilon
from ecgexp.privacy.settings import PrivacySpec
from ecgexp.privacy.spent import PrivacySpent
from ecgexp.settings.declaration import ConfigError, Pruned
from ecgexp.sweeps.attempts import Attempt
from ecgexp.sweeps.closing import close
from ecgexp.sweeps.spent import both_privacy_losses
from ecgexp.sweeps.sweep import Sweep
from ecgexp.tracking.local.result import Result, read_result
from ecgexp.tracking.publishing import publishing_of
from ecgexp.tracking.settings import NoTracking
from ecgexp.tracking.without_store import NullTracker

BEATS = "beats"
METRICS = {"test/accuracy": 0.9, "validation/macro_f1": 0.5}


@pytest.fixture
def sweep(tmp_path):
    return opened(tmp_path)


def opened(folder, *, name="monday", typed=("seed=1,2",), **settings):
    settings = SweepSettings(**settings)
    return Sweep.open(folder / name, typed, ["seed=1", "seed=2"], settings).with_parent(None)


def attempt(sweep, digest="d" * 64, *, number=0):
    folder = sweep.invocation / str(number)
    folder.mkdir(parents=True, exist_ok=True)
    return Attempt(digest=digest, name=f"job {number}", command="ecgexp", run_dir=str(folder))


def plan(noise=4.0, *, noise_seed=None):
    spec = PrivacySpec(noise_multiplier=noise, delta=1e-5, l2_norm_clip=1.0, noise_seed=noise_seed)
    return spec.plan(num_units=1000, expected_batch_size=10, iterations=100)


def finish(sweep, tried, *, privacy_plan=None):
    """Run a job without training."""
    with sweep.attempt(tried) as running:
        running.admit(Ledger(privacy_plan or plan(noise=0.0)), BEATS)
        result = Result(status="FINISHED", metrics=METRICS, seconds=3.0)
        result.write(Path(tried.run_dir))
        running.finish(result)


def fail(sweep, tried, error):
    """Run a job that ends with an error."""

    def begin():
        with sweep.attempt(tried) as running:
            running.admit(Ledger(plan()), BEATS)
            raise error

    with pytest.raises(type(error)):
        begin()


def test_join_in_another_process_equals_the_opened_sweep(sweep):
    assert Sweep.join(sweep.invocation) == sweep


def test_join_without_a_shared_folder_names_the_setting(tmp_path):
    with pytest.raises(ConfigError, match=r"hydra\.sweep\.dir: .*use a folder that they share"):
        Sweep.join(tmp_path / "elsewhere")


def test_finished_job_is_found_by_a_later_invocation(sweep, tmp_path):
    finish(sweep, attempt(sweep))
    tuesday = opened(tmp_path, name="tuesday")
    assert tuesday.home == sweep.home
    kept = tuesday.kept("d" * 64, lambda: BEATS)
    assert kept.metrics == METRICS
    assert tuesday.kept("e" * 64, lambda: BEATS) is None


def test_finished_job_with_other_beats_is_not_reused(sweep):
    finish(sweep, attempt(sweep))
    assert sweep.kept("d" * 64, lambda: "other beats") is None


def test_finished_job_with_rerun_is_not_reused(sweep, tmp_path):
    finish(sweep, attempt(sweep))
    assert opened(tmp_path, rerun=True).kept("d" * 64, lambda: BEATS) is None


def test_finished_job_without_result_is_not_reused(sweep):
    tried = attempt(sweep)
    finish(sweep, tried)
    (Path(tried.run_dir) / "result.json").unlink()
    assert sweep.kept("d" * 64, lambda: BEATS) is None


def test_job_of_another_sweep_is_adopted_with_its_loss(sweep, tmp_path):
    finish(sweep, attempt(sweep), privacy_plan=plan())
    wider = opened(tmp_path, name="tuesday", typed=("seed=1,2,3",))
    assert wider.home != sweep.home
    for _ in range(2):
        kept = wider.kept("d" * 64, lambda: BEATS)
        assert kept.first is not None
    assert [known.spent for known in wider.attempts.all()] == [sweep.attempts.all()[0].spent]


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ValueError("no"), "FAILED", "ValueError: no"),
        (KeyboardInterrupt(), "KILLED", "SIGINT (Ctrl-C)"),
        (SystemExit(143), "KILLED", "SIGTERM"),
    ],
)
def test_failed_attempt_records_its_status_and_reason(sweep, error, status, reason):
    with pytest.raises(type(error)), sweep.attempt(attempt(sweep)):
        raise error
    (tried,) = sweep.attempts.all()
    assert tried.status == status
    assert tried.reason == reason
    assert sweep.kept("d" * 64, lambda: BEATS) is None


def test_failed_run_records_its_largest_possible_loss(sweep):
    fail(sweep, attempt(sweep), ValueError("late"))
    (tried,) = sweep.attempts.all()
    assert tried.spent.event["count"] == 100


def test_finished_run_records_the_executed_event(sweep):
    from ecgexp.privacy import dp_events, stored_events

    did = stored_events.to_json(dp_events.repeated(dp_events.poisson_gaussian(0.01, 4.0), 60))
    with sweep.attempt(attempt(sweep)) as running:
        running.admit(Ledger(plan()), BEATS)
        assert sweep.attempts.all()[0].spent.event["count"] == 100, "written before the first step"
        running.finish(Result(status="FINISHED", privacy={"event": did}))
    assert sweep.attempts.all()[0].spent.event["count"] == 60


def test_running_job_is_rejected_interrupted_one_restarts(sweep):
    tried = attempt(sweep)
    sweep.attempts.write(tried)
    with (
        pytest.raises(
            ConfigError, match=f"process {os.getpid()} is running this job.*use the same command"
        ),
        sweep.attempt(attempt(sweep, number=1)),
    ):
        pass
    sweep.attempts.write(replace(tried, process={**tried.process, "process.started": "1.0"}))
    assert sweep.attempts.all()[0].interrupted
    finish(sweep, attempt(sweep, number=1))
    assert [known.status for known in sweep.attempts.all()] == ["KILLED", "FINISHED"]


def test_interrupted_job_resumes_in_its_folder_and_counts_once(sweep):
    tried = attempt(sweep)
    fail(sweep, tried, KeyboardInterrupt())
    assert sweep.unfinished("d" * 64) is None, "there is no training state"
    (Path(tried.run_dir) / "checkpoints").mkdir()
    (Path(tried.run_dir) / "checkpoints" / "step-000001-0.safetensors").touch()
    assert sweep.unfinished("d" * 64).run_dir == tried.run_dir
    finish(sweep, tried, privacy_plan=plan())
    assert [known.status for known in sweep.attempts.all()] == ["FINISHED"]
    assert sweep.unfinished("d" * 64) is None


def end_killed(sweep, tried, *, status="FINISHED"):
    """Record an attempt whose process was killed when `run.json` had the given status."""
    event = {"class": "gaussian"}
    sweep.attempts.write(replace(tried, process={**tried.process, "process.started": "1.0"}))
    result = Result(
        status="FINISHED", metrics=METRICS, seconds=3.0, run_id="a", privacy={"event": event}
    )
    result.write(Path(tried.run_dir))
    NoTracking().start(run_name="a run", run_dir=Path(tried.run_dir)).finish(status)


def test_job_killed_after_its_run_finished_is_adopted(sweep):
    tried = attempt(sweep)
    end_killed(sweep, tried)
    (ended,) = sweep.attempts.ended("d" * 64)
    sweep.adopt(ended, read_result(Path(ended.run_dir)))
    (kept,) = sweep.attempts.all()
    assert (kept.status, kept.metrics, kept.run_id, kept.id) == ("FINISHED", METRICS, "a", tried.id)
    assert sweep.attempts.ended("d" * 64) == []
    assert sweep.attempts.replaced("d" * 64) == []


def test_job_killed_before_its_run_finished_is_replaced(sweep):
    tried = attempt(sweep)
    end_killed(sweep, tried, status="KILLED")
    assert sweep.attempts.ended("d" * 64) == []
    assert [one.id for one in sweep.attempts.replaced("d" * 64)] == [tried.id]


def test_running_job_is_neither_ended_nor_replaced(sweep):
    tried = attempt(sweep)
    end_killed(sweep, tried)
    sweep.attempts.write(tried)
    assert sweep.attempts.ended("d" * 64) == sweep.attempts.replaced("d" * 64) == []


def test_adopted_job_records_the_executed_event(sweep):
    from ecgexp.privacy import dp_events, stored_events

    did = stored_events.to_json(dp_events.repeated(dp_events.poisson_gaussian(0.01, 4.0), 60))
    tried = attempt(sweep)
    fail(sweep, tried, RuntimeError("killed"))
    NoTracking().start(run_name="a run", run_dir=Path(tried.run_dir)).finish("FINISHED")
    (ended,) = sweep.attempts.ended("d" * 64)
    sweep.adopt(ended, Result(status="FINISHED", privacy={"event": did}))
    assert sweep.attempts.all()[0].spent.event["count"] == 60


def test_budget_rejects_the_job_that_would_exceed_it(tmp_path):
    one, two = (compose_epsilon([PrivacySpent.planned(plan())] * count) for count in (1, 2))
    assert one < two
    sweep = opened(tmp_path, budget_epsilon=(one + two) / 2)
    finish(sweep, attempt(sweep, "a" * 64), privacy_plan=plan())
    with (
        pytest.raises(
            ConfigError, match=r"sweep\.budget_epsilon=.*earlier runs.*use more noise"
        ) as error,
        sweep.attempt(attempt(sweep, "b" * 64, number=1)) as job,
    ):
        job.admit(Ledger(plan()), BEATS)
    assert publishing_of(tmp_path, withholds=True).error(error.value) is error.value
    refused = sweep.attempts.all()[-1]
    assert (refused.status, refused.spent) == ("REFUSED", None)
    with sweep.attempt(attempt(sweep, "c" * 64, number=2)) as job:
        job.admit(Ledger(plan(noise=400.0)), BEATS)  # a small loss is still within the budget


@pytest.mark.parametrize("without_guarantee", [plan(noise=0.0), plan(noise_seed=1)])
def test_budget_rejects_runs_without_a_guarantee(tmp_path, without_guarantee):
    sweep = opened(tmp_path, budget_epsilon=100.0)
    with (
        pytest.raises(ConfigError, match=r"sweep\.budget_epsilon=100: .*no privacy guarantee.*use"),
        sweep.attempt(attempt(sweep)) as job,
    ):
        job.admit(Ledger(without_guarantee), BEATS)


def test_budget_admits_one_of_two_jobs_that_start_together(tmp_path):
    one, two = (compose_epsilon([PrivacySpent.planned(plan())] * count) for count in (1, 2))
    sweep, together = opened(tmp_path, budget_epsilon=(one + two) / 2), Barrier(2)

    def begin(number):
        try:
            with sweep.attempt(attempt(sweep, str(number) * 64, number=number)) as job:
                together.wait()
                job.admit(Ledger(plan()), BEATS)
        except ConfigError:
            return "rejected"
        return "admitted"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(begin, range(2))) == ["admitted", "rejected"]


def test_interrupted_write_leaves_the_file_unchanged(sweep, monkeypatch):
    finish(sweep, attempt(sweep))
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        sweep.attempts.write(attempt(sweep, "e" * 64, number=5))
    assert len(sweep.attempts.all()) == 1
    assert all(json.loads(path.read_text()) for path in (sweep.home / "attempts").glob("*.json"))


def test_budget_of_a_single_run_is_rejected():
    with pytest.raises(ConfigError, match=r"sweep\.budget_epsilon=3 .*use ecgexp -m"):
        SweepSettings(budget_epsilon=3.0).check_single_run()
    SweepSettings().check_single_run()


def prune(sweep, tried):
    """Run a job that a search ends early."""
    fail(sweep, tried, Pruned("pruned after epoch 1 of 4"))


def test_pruned_run_records_the_loss_of_all_planned_steps(sweep):
    """The number of steps depends on validation scores, which no ε covers."""
    prune(sweep, attempt(sweep))
    (tried,) = sweep.attempts.all()
    assert (tried.status, tried.reason) == ("PRUNED", "pruned after epoch 1 of 4")
    assert tried.spent.event["count"] == 100
    search_loss, _ = both_privacy_losses(sweep.home, sweep.private_dir)
    assert search_loss.epsilon_all == compose_epsilon([PrivacySpent.planned(plan())])


def test_budget_counts_pruned_runs(tmp_path):
    one, two = (compose_epsilon([PrivacySpent.planned(plan())] * count) for count in (1, 2))
    sweep = opened(tmp_path, budget_epsilon=(one + two) / 2)
    prune(sweep, attempt(sweep, "a" * 64))
    with pytest.raises(ConfigError, match=r"sweep\.budget_epsilon=.*1 earlier runs"):
        finish(sweep, attempt(sweep, "b" * 64, number=1), privacy_plan=plan())
    assert [tried.status for tried in sweep.attempts.all()] == ["PRUNED", "REFUSED"]


def test_pruned_job_is_found_by_a_later_invocation(sweep, tmp_path):
    prune(sweep, attempt(sweep))
    tuesday = opened(tmp_path, name="tuesday")
    assert tuesday.kept("d" * 64, lambda: BEATS) is None
    assert tuesday.pruned("d" * 64, lambda: BEATS).status == "PRUNED"
    assert tuesday.pruned("d" * 64, lambda: "other beats") is None
    assert tuesday.pruned("e" * 64, lambda: BEATS) is None
    assert opened(tmp_path, rerun=True).pruned("d" * 64, lambda: BEATS) is None


def test_pruned_job_counts_as_done_in_the_table(sweep):
    sweep.note(0, "seed=1", "d" * 64, "ran")
    prune(sweep, attempt(sweep))
    sweep.note(1, "seed=2", "", "refused", "seed=2: no")
    closed = close(sweep, NullTracker(), interrupted=False)
    assert [(row.status, row.reason) for row in closed.rows] == [
        ("pruned", "pruned after epoch 1 of 4"),
        ("failed", "seed=2: no"),
    ]
    assert closed.unfinished == 1
