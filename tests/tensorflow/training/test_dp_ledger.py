"""The privacy loss of a training is that of its steps: events, budget, resume and refusals."""

import json

import numpy as np
import pytest
from linear import Training, canaries, linear_data, sgd

from ecgexp.privacy import accounting, dp_events
from ecgexp.privacy.ledger import Ledger, PrivacyViolation
from ecgexp.privacy.settings import PrivacySpec
from ecgexp.settings.declaration import ConfigError

DATA = linear_data(canaries(40, 60))
TRAINER = sgd(expected_batch_size=10, epochs=3, physical_batch_size=16)


def epsilon(event, plan):
    return accounting.epsilon(event, plan.delta, plan.accountant)


@pytest.mark.parametrize("sampling", ["poisson", "shuffle", "fixed"])
def test_the_events_of_all_epochs_compose_to_the_plan(sampling):
    accountant = "rdp" if sampling == "fixed" else "pld"
    run = Training(
        DATA, TRAINER, PrivacySpec(noise_multiplier=2, sampling=sampling, accountant=accountant)
    )
    plan = run.ledger.plan
    assert run.ledger.steps == plan.iterations == 12
    assert [epoch_result.step for epoch_result in run.epoch_results] == [1, 2, 3]
    per_epoch = dp_events.composed([epoch_result.dp_event for epoch_result in run.epoch_results])
    relation = plan.neighboring_relation
    planned = accounting.epsilon(plan.dp_event, plan.delta, accountant, relation)
    assert accounting.epsilon(per_epoch, plan.delta, accountant, relation) == pytest.approx(
        planned, rel=1e-6
    )
    assert run.ledger.epsilon_spent() == pytest.approx(planned, rel=1e-6)


def test_training_stops_before_the_step_that_would_exceed_the_budget():
    run = Training(
        DATA, TRAINER, PrivacySpec(noise_multiplier=2, max_epsilon=1.2, accountant="rdp")
    )
    plan, steps = run.ledger.plan, run.ledger.steps
    assert 0 < steps < plan.iterations
    assert run.ledger.stopped_by_budget
    assert epsilon(dp_events.repeated(plan.step_event, steps), plan) <= 1.2
    assert epsilon(dp_events.repeated(plan.step_event, steps + 1), plan) > 1.2
    assert run.epoch_results[-1].step == -(-steps // plan.steps_per_epoch)
    assert run.epoch_results[-1].checkpoint().meta["executed"] == steps


def test_a_budget_below_one_step_is_refused_with_what_to_type():
    with pytest.raises(
        ConfigError, match=r"privacy\.max_epsilon=0\.01: spent before the first step"
    ):
        Training(DATA, TRAINER, PrivacySpec(noise_multiplier=2, max_epsilon=0.01, accountant="rdp"))


def test_a_calibrated_training_never_exceeds_its_target_and_is_not_stopped():
    run = Training(DATA, TRAINER, PrivacySpec(target_epsilon=3))
    assert not run.ledger.stopped_by_budget
    assert 2.97 <= run.ledger.epsilon_spent() <= 3.0


def resumed(privacy, *, seed=0, after=1):
    """An uninterrupted training, and one that was stored after an epoch, through JSON, and taken up
    in another process' stead.
    """
    whole = Training(DATA, TRAINER, privacy, seed=seed)
    ledger = Ledger(TRAINER.plan(privacy, DATA))
    states = []

    def store(epoch_result):
        states.append(epoch_result.checkpoint())

    Training(DATA, TRAINER, privacy, seed=seed, ledger=ledger, stop_after=after, on_epoch=store)
    state = states[-1]
    meta = json.loads(json.dumps(state.meta))
    rest = Training(
        DATA,
        TRAINER,
        privacy,
        seed=seed,
        ledger=Ledger.from_dict(ledger.plan, meta["ledger"]),
        resume_from=type(state)(arrays=state.arrays, meta=meta),
    )
    return whole, rest


def test_a_resumed_simulation_ends_with_the_same_bits():
    whole, rest = resumed(PrivacySpec(noise_multiplier=2, noise_seed=7))
    assert [epoch_result.step for epoch_result in rest.epoch_results] == [2, 3]
    np.testing.assert_array_equal(rest.weights, whole.weights)
    assert rest.ledger.epsilon_spent() == whole.ledger.epsilon_spent()


def test_resumed_run_ends_with_the_same_epsilon_other_noise():
    whole, rest = resumed(PrivacySpec(noise_multiplier=2), after=2)
    assert rest.ledger.steps == whole.ledger.steps == 12
    assert rest.ledger.epsilon_spent() == whole.ledger.epsilon_spent()
    assert not np.isclose(rest.weights, whole.weights).any()


def test_a_checkpoint_holds_no_key():
    states = []
    Training(
        DATA,
        TRAINER,
        PrivacySpec(noise_multiplier=2),
        on_epoch=lambda p: states.append(p.checkpoint()),
    )
    meta = states[-1].meta
    assert set(meta) == {"epoch", "begun", "executed", "sampler", "noise", "ledger"}
    assert meta["begun"] == [0, 0, 0]
    assert meta["sampler"] == {"drawn": 12}
    assert meta["noise"] == {"calls": 12}


@pytest.mark.parametrize(
    ("privacy", "within"),
    [
        (PrivacySpec(noise_multiplier=2, sampling="shuffle"), False),
        (PrivacySpec(noise_multiplier=2, sampling="shuffle", noise_seed=7), True),
        (PrivacySpec(noise_multiplier=2), True),
    ],
    ids=["shuffle", "shuffle simulation", "poisson"],
)
def test_checkpoints_within_an_epoch_need_its_order(privacy, within):
    """A shuffled epoch is one event.

    Resumed within it under a new order, it would use units twice and count once.
    """
    states = []

    def note(*, state, **_):
        states.append(state)

    ledger = Ledger(TRAINER.plan(privacy, DATA))
    Training(DATA, TRAINER, privacy, ledger=ledger, on_progress=note)
    assert [state is not None for state in states] == [within] * 12


def test_sampler_ahead_of_the_ledger_is_refused():
    """A checkpoint edited so that the next steps seem to belong to an epoch that was recorded
    already.
    """
    states = []
    privacy = PrivacySpec(noise_multiplier=2, sampling="shuffle", noise_seed=7)
    Training(DATA, TRAINER, privacy, stop_after=1, on_epoch=lambda p: states.append(p.checkpoint()))
    state = states[-1]
    state.meta["sampler"]["drawn"] = 5
    ledger = Ledger.from_dict(TRAINER.plan(privacy, DATA), state.meta["ledger"])
    with pytest.raises(PrivacyViolation, match="5 steps were drawn, but 4 were recorded"):
        Training(DATA, TRAINER, ledger=ledger, resume_from=state)


def test_steps_before_a_resume_cannot_be_left_out():
    states = []
    Training(
        DATA,
        TRAINER,
        PrivacySpec(noise_multiplier=2),
        stop_after=1,
        on_epoch=lambda p: states.append(p.checkpoint()),
    )
    with pytest.raises(
        PrivacyViolation, match="4 steps were clipped and noised, but 0 were recorded"
    ):
        Training(DATA, TRAINER, PrivacySpec(noise_multiplier=2), resume_from=states[-1])


def test_ledger_cannot_record_two_trainings():
    run = Training(DATA, TRAINER, PrivacySpec(noise_multiplier=2))
    with pytest.raises(
        PrivacyViolation, match="4 steps were clipped and noised, but 16 were recorded"
    ):
        Training(DATA, TRAINER, ledger=run.ledger)


@pytest.mark.parametrize(
    ("trainer", "data", "message"),
    [
        (sgd(expected_batch_size=20, epochs=3), DATA, "expected_batch_size 20 instead of 10"),
        (sgd(expected_batch_size=10, epochs=4), DATA, "steps 16 instead of 12"),
        (TRAINER, linear_data(canaries(41, 60)), "units 41 instead of 40"),
        (TRAINER, linear_data(canaries(39, 60)), "units 39 instead of 40"),
    ],
)
def test_a_training_that_is_not_the_planned_one_is_refused(trainer, data, message):
    ledger = Ledger(TRAINER.plan(PrivacySpec(noise_multiplier=2), DATA))
    with pytest.raises(PrivacyViolation, match=message):
        Training(data, trainer, ledger=ledger)


def test_a_plan_changed_under_way_is_refused():
    privacy = PrivacySpec(noise_multiplier=2)

    def mutate(epoch_result):
        object.__setattr__(ledger.plan, "expected_batch_size", 20)

    ledger = Ledger(TRAINER.plan(privacy, DATA))
    with pytest.raises(ValueError, match="made for another plan"):
        Training(DATA, TRAINER, ledger=ledger, on_epoch=mutate)


def test_early_stopping_records_what_ran():
    run = Training(DATA, TRAINER, PrivacySpec(noise_multiplier=2), stop_after=2)
    assert run.ledger.steps == 8
    assert run.ledger.epsilon_spent() < epsilon(run.ledger.plan.dp_event, run.ledger.plan)


def test_every_epoch_tells_the_measured_noise_beside_the_planned():
    run = Training(
        linear_data(canaries(40, 10_000)),
        TRAINER,
        PrivacySpec(noise_multiplier=2, l2_norm_clip=0.5),
    )
    for epoch_result in run.epoch_results:
        assert epoch_result.train_metrics["noise_std_planned"] == 1.0
        assert epoch_result.train_metrics["noise_std"] == pytest.approx(1.0, rel=0.03)
        assert 2 <= epoch_result.train_metrics["batch_size"] <= 25


def test_more_than_one_device_is_refused(monkeypatch):
    """Each would draw, clip and noise a part, which nothing here accounts for."""
    import tensorflow as tf

    class TwoDevices:
        num_replicas_in_sync = 2

    monkeypatch.setattr(tf.distribute, "get_strategy", TwoDevices)
    with pytest.raises(ConfigError, match="trainer=dp: it computes on one device, and 2"):
        Training(DATA, TRAINER, PrivacySpec(noise_multiplier=2))
