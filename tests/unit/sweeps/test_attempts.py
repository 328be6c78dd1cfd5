"""The recorded privacy loss of a sweep never decreases, whatever is written or deleted later."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from ecgexp.config.sweep_settings import SweepSettings
from ecgexp.privacy import dp_events, stored_events
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.recorded_losses import Loss, Losses
from ecgexp.privacy.search_accounting import compose_epsilon
from ecgexp.privacy.settings import PrivacySpec
from ecgexp.privacy.spent import PrivacySpent
from ecgexp.settings.declaration import ConfigError
from ecgexp.sweeps.attempts import Attempt
from ecgexp.sweeps.closing import close
from ecgexp.sweeps.spent import both_privacy_losses
from ecgexp.sweeps.sweep import Sweep
from ecgexp.tracking import MemoryTracker
from ecgexp.tracking.local.result import Result

JOB = "0" * 64


def plan(noise=0.7, **changes):
    values = {"noise_multiplier": noise, "delta": 1e-5} | changes
    return PrivacySpec(**values).plan(num_units=1000, expected_batch_size=10, iterations=1000)


def spent(noise=0.7):
    return PrivacySpent.planned(plan(noise))


def opened(folder, day="monday", *, typed=("noise=0.7,2.0",), private_dir=None, **settings):
    sweep = Sweep.open(folder / day, typed, ["noise=0.7", "noise=2.0"], SweepSettings(**settings))
    return sweep.with_parent(None, private_dir=private_dir)


def attempt(sweep, digest=JOB, *, number=0, folder=None):
    folder = folder or sweep.invocation / str(number)
    folder.mkdir(parents=True, exist_ok=True)
    return Attempt(digest=digest, name=f"job {number}", command="ecgexp", run_dir=str(folder))


def interrupt(sweep, tried, noise=0.7, *, checkpoint=True):
    """Interrupt a job during training; by default it leaves a training state."""

    def begin():
        with sweep.attempt(tried) as job:
            job.admit(Ledger(plan(noise)), "beats")
            if checkpoint:
                (Path(tried.run_dir) / "checkpoints").mkdir(exist_ok=True)
                (Path(tried.run_dir) / "checkpoints" / "step-000001-0.safetensors").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begin()


def finish(sweep, tried, noise=0.7):
    with sweep.attempt(tried) as job:
        job.admit(Ledger(plan(noise)), "beats")
        job.finish(Result(status="FINISHED", privacy={"event": spent(noise).event}))


def epsilon(sweep):
    return both_privacy_losses(sweep.home, sweep.private_dir)[0].epsilon_all


def begin_and_fail(sweep, tried, error):
    """End an attempt before its privacy loss is known, for example because beats are unreadable."""
    with pytest.raises(type(error)), sweep.attempt(tried):
        raise error


@pytest.mark.parametrize("error", [ValueError("no beats"), KeyboardInterrupt(), SystemExit(143)])
def test_attempt_resumed_and_ended_early_keeps_its_loss(tmp_path, error):
    sweep = opened(tmp_path)
    first = attempt(sweep)
    interrupt(sweep, first)
    tuesday = opened(tmp_path, "tuesday")
    begin_and_fail(tuesday, attempt(tuesday, folder=Path(first.run_dir)), error)
    assert [known.spent for known in sweep.attempts.all()] == [spent()]


def test_attempt_rejected_by_a_budget_keeps_its_loss(tmp_path):
    """Regression: the sweep reported ε = 0.62 instead of 4.67."""
    sweep = opened(tmp_path)
    first = attempt(sweep)
    interrupt(sweep, first)
    tight = opened(tmp_path, "tuesday", budget_epsilon=1.0)
    with pytest.raises(ConfigError, match=r"sweep\.budget_epsilon=1.*larger budget"):
        finish(tight, attempt(tight, folder=Path(first.run_dir)))
    with pytest.raises(ConfigError, match=r"sweep\.budget_epsilon=1: the 1 earlier runs"):
        finish(tight, attempt(tight, "1" * 64, number=1), 2.0)
    wide = opened(tmp_path, "wednesday", budget_epsilon=5.0)
    finish(wide, attempt(wide, "1" * 64, number=1), 2.0)
    assert epsilon(wide) == pytest.approx(4.671, abs=1e-3)
    assert epsilon(wide) == compose_epsilon([spent(), spent(2.0)])


def test_attempt_resumed_within_the_budget_counts_once(tmp_path):
    sweep = opened(tmp_path)
    first = attempt(sweep)
    interrupt(sweep, first)
    tuesday = opened(tmp_path, "tuesday", budget_epsilon=5.0)
    finish(tuesday, attempt(tuesday, folder=Path(first.run_dir)))
    assert epsilon(tuesday) == compose_epsilon([spent()])


def test_attempt_restarted_in_its_folder_counts_again(tmp_path):
    sweep = opened(tmp_path)
    first = attempt(sweep)
    interrupt(sweep, first, checkpoint=False)
    finish(sweep, attempt(sweep, folder=Path(first.run_dir)))
    assert epsilon(sweep) == compose_epsilon([spent()] * 2)


def kill(sweep, tried, *, host=None, noise=None):
    """Record an attempt whose process has ended; with a noise, after it was admitted."""
    process = {**tried.process, "process.started": "1.0"}
    process |= {} if host is None else {"process.host": host}
    lost = None if noise is None else spent(noise)
    return sweep.attempts.write(replace(tried, process=process, spent=lost))


@pytest.mark.parametrize("noise", [None, 0.7])
def test_killed_attempt_is_closed_and_keeps_its_loss(tmp_path, noise):
    """Without a training state, so the next start is another attempt, and both losses count."""
    sweep = opened(tmp_path)
    killed, other = (kill(sweep, attempt(sweep, job * 64), noise=noise) for job in "01")
    finish(sweep, attempt(sweep, number=1), 2.0)
    closed, untouched, finished = sweep.attempts.all()
    assert (closed.status, closed.spent) == ("KILLED", killed.spent)
    assert "without reporting a status" in closed.reason
    assert untouched == other, "another job has not started again"
    assert finished.status == "FINISHED"
    assert epsilon(sweep) == compose_epsilon(
        [known.spent for known in (killed, other, finished) if known.spent is not None]
    )


def test_attempt_of_another_machine_is_not_closed(tmp_path):
    sweep = opened(tmp_path)
    elsewhere = kill(sweep, attempt(sweep), host="elsewhere")
    finish(sweep, attempt(sweep, number=1))
    assert sweep.attempts.all()[0] == elsewhere


def test_attempt_rerun_in_a_finished_folder_counts_again(tmp_path):
    sweep = opened(tmp_path, rerun=True)
    for _ in range(2):
        finish(sweep, attempt(sweep))
    assert epsilon(sweep) == compose_epsilon([spent()] * 2)


def test_attempt_written_concurrently_keeps_largest_loss(tmp_path):
    sweep = opened(tmp_path)
    known = sweep.attempts.write(replace(attempt(sweep), spent=spent()))

    def write(number):
        lost = None if number % 3 == 0 else PrivacySpent.planned(plan(), discarded_steps=number)
        sweep.attempts.write(replace(known, spent=lost, start=str(number), status="FINISHED"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, [*range(40), *range(40, 0, -1)]))
    (kept,) = sweep.attempts.all()
    (_, steps) = next(iter(dp_events.leaves(stored_events.from_json(kept.spent.event)).values()))
    assert steps == 1040


def test_attempt_without_digest_keeps_the_recorded_digest(tmp_path):
    sweep = opened(tmp_path)
    known = sweep.attempts.write(replace(attempt(sweep), data_digest="beats"))
    assert sweep.attempts.write(replace(known, data_digest=None)).data_digest == "beats"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"digest": 1}'])
def test_damaged_attempt_makes_the_loss_unknown_not_zero(tmp_path, content):
    sweep = opened(tmp_path)
    finish(sweep, attempt(sweep))
    finish(sweep, attempt(sweep, "1" * 64, number=1), 2.0)
    next(iter((sweep.home / "attempts").glob("00001-*.json"))).write_text(content)
    search_loss, _ = both_privacy_losses(sweep.home, None)
    assert search_loss.epsilon_all is None
    assert search_loss.text.startswith("At least")
    strict = opened(tmp_path, "tuesday", budget_epsilon=100.0)
    with pytest.raises(ConfigError, match=r"sweep\.budget_epsilon=100.*restore the file"):
        finish(strict, attempt(strict, "2" * 64, number=2))


def test_foreign_file_among_the_attempts_is_ignored(tmp_path):
    sweep = opened(tmp_path)
    (sweep.home / "attempts").mkdir(parents=True)
    (sweep.home / "attempts" / "notes.json").write_text("{}")
    finish(sweep, attempt(sweep))
    assert len(sweep.attempts.all()) == 1


def recorded(
    private_dir,
    run_dir,
    *,
    sweep=None,
    lost=None,
    resumes=False,
    done=None,
    training_population=("database mitdb",),
):
    started = Losses(private_dir).begin(
        Loss(
            run_dir=str(run_dir),
            name="run",
            sweep=sweep,
            training_population=frozenset(training_population),
            spent=lost or spent(),
        ),
        resumes=resumes,
    )
    if done is not None:
        started.finish(done.event)


def test_removed_attempts_are_counted_from_the_store(tmp_path):
    sweep = opened(tmp_path, private_dir=tmp_path / "private")
    tried = attempt(sweep)
    finish(sweep, tried)
    recorded(tmp_path / "private", tried.run_dir, sweep=sweep.home.name, done=spent())
    before = epsilon(sweep)
    shutil.rmtree(sweep.home / "attempts")
    assert epsilon(sweep) == before == compose_epsilon([spent()])


def test_job_resumed_alone_adds_its_discarded_steps(tmp_path):
    """A job resumed outside of its sweep is recorded in the store only; a budget counts it too."""
    sweep = opened(tmp_path, private_dir=tmp_path / "private")
    first, more = attempt(sweep), PrivacySpent.planned(plan(), discarded_steps=400)
    interrupt(sweep, first)
    recorded(tmp_path / "private", first.run_dir, sweep=sweep.home.name)
    recorded(tmp_path / "private", first.run_dir, lost=more, resumes=True, done=more)
    assert epsilon(sweep) == compose_epsilon([more])
    bound = (compose_epsilon([spent(), spent(2.0)]) + compose_epsilon([more, spent(2.0)])) / 2
    tight = opened(tmp_path, "tuesday", private_dir=tmp_path / "private", budget_epsilon=bound)
    with pytest.raises(ConfigError, match="larger budget"):
        finish(tight, attempt(tight, "1" * 64, number=1), 2.0)


def test_two_sweeps_on_the_same_beats_are_composed(tmp_path):
    """Each sweep states its own privacy loss, and its parent run that of the whole store."""
    private = tmp_path / "private"
    sweeps = [
        opened(tmp_path, day, typed=("noise=0.7", day), private_dir=private)
        for day in ("one", "two")
    ]
    for sweep in sweeps:
        for number in (0, 1):
            tried = attempt(sweep, str(number) * 64, number=number)
            finish(sweep, tried)
            recorded(private, tried.run_dir, sweep=sweep.home.name, done=spent())
    recorded(private, tmp_path / "single", done=spent())
    recorded(private, tmp_path / "others", done=spent(), training_population=("database svdb",))
    own, store = both_privacy_losses(sweeps[0].home, private)
    assert own.epsilon_all == compose_epsilon([spent()] * 2)
    assert "This covers this sweep only" in own.text
    assert store.epsilon_all == compose_epsilon([spent()] * 5)
    assert "2 sweeps and 1 single run" in store.text


def test_two_sweeps_without_a_store_record_are_composed(tmp_path):
    sweeps = [opened(tmp_path, day, typed=("noise=0.7", day)) for day in ("one", "two")]
    for sweep in sweeps:
        finish(sweep, attempt(sweep))
    _, store = both_privacy_losses(sweeps[0].home, None)
    assert store.epsilon_all == compose_epsilon([spent()] * 2)


def test_job_adopted_from_another_sweep_counts_once(tmp_path):
    private = tmp_path / "private"
    one = opened(tmp_path, "one", private_dir=private)
    tried = attempt(one)
    finish(one, tried)
    Result(status="FINISHED").write(Path(tried.run_dir))
    two = opened(tmp_path, "two", typed=("noise=0.7,2.0,3.0",), private_dir=private)
    assert two.kept(JOB, lambda: "beats") is not None
    own, store = both_privacy_losses(two.home, private)
    assert own.epsilon_all == store.epsilon_all == compose_epsilon([spent()])


def test_parent_run_has_both_losses_as_text_and_metrics(tmp_path):
    private = tmp_path / "private"
    sweep = opened(tmp_path, private_dir=private)
    finish(sweep, attempt(sweep))
    recorded(private, tmp_path / "single", done=spent())
    parent = MemoryTracker()
    closed = close(sweep, parent, interrupted=False)
    assert (closed.search_loss.epsilon_all, closed.store.epsilon_all) == (
        compose_epsilon([spent()]),
        compose_epsilon([spent()] * 2),
    )
    assert parent.metrics["sweep/epsilon_all"] == [(1, closed.search_loss.epsilon_all)]
    assert parent.metrics["sweep/epsilon_store"] == [(1, closed.store.epsilon_all)]
    assert parent.artifacts["sweep_privacy.txt"] == closed.privacy
    assert "this sweep only" in closed.privacy
    assert "every recorded run of this store" in closed.privacy
