import json
import math
from dataclasses import replace

import pytest

from ecgexp.privacy import accounting, dp_events
from ecgexp.privacy.journal import Journal
from ecgexp.privacy.ledger import Ledger, PrivacyViolation
from ecgexp.privacy.settings import NotPrivate, PrivacySpec


def plan(iterations=200, **spec):
    spec = {"noise_multiplier": 1.0} | spec
    return PrivacySpec(**spec).plan(num_units=1000, expected_batch_size=50, iterations=iterations)


def run(ledger, steps):
    for step in range(steps):
        event = ledger.plan.event_at(ledger.steps)
        if ledger.would_exceed(event):
            return step
        ledger.record(event)
    return steps


@pytest.mark.parametrize("sampling", ["poisson", "shuffle"])
@pytest.mark.parametrize("accountant", ["rdp", "pld"])
def test_a_finished_run_costs_what_its_plan_says(sampling, accountant):
    made = plan(sampling=sampling)
    ledger = Ledger(made)
    assert ledger.epsilon_spent() == 0.0
    run(ledger, made.iterations)
    assert ledger.epsilon_spent(accountant) == pytest.approx(
        accounting.epsilon(made.dp_event, made.delta, accountant)
    )
    ledger.verify_complete(made.iterations)


def test_unplanned_events_are_accounted_as_they_are():
    ledger = Ledger(plan())
    ledger.record(dp_events.poisson_gaussian(0.05, 1.0), 100)
    quiet = ledger.epsilon_spent()
    ledger.record(dp_events.gaussian(5.0))
    assert ledger.epsilon_spent() > quiet
    ledger.record(dp_events.not_private())
    assert ledger.epsilon_spent() == math.inf


@pytest.mark.parametrize("accountant", ["rdp", "pld"])
def test_training_stops_before_the_budget_is_exceeded(accountant):
    made = plan(iterations=400, max_epsilon=2.0, accountant=accountant)
    ledger = Ledger(made)
    steps = run(ledger, 400)
    assert 0 < steps < 400
    assert ledger.epsilon_spent() <= 2.0
    one_more = dp_events.repeated(made.step_event, steps + 1)
    assert accounting.epsilon(one_more, made.delta, accountant) > 2.0
    assert ledger.stopped_by_budget
    ledger.verify_complete(steps)
    with pytest.raises(
        PrivacyViolation, match=f"step {steps + 1} would exceed privacy.max_epsilon=2"
    ):
        ledger.record(made.step_event)


def test_the_budget_also_binds_when_events_differ():
    made = plan(max_epsilon=2.0, accountant="rdp")
    ledger = Ledger(made)
    costly, cheap = dp_events.poisson_gaussian(0.05, 0.7), dp_events.poisson_gaussian(0.05, 2.0)
    for step in range(400):
        event = costly if step % 2 else cheap
        if ledger.would_exceed(event):
            break
        ledger.record(event)
    assert ledger.epsilon_spent() <= 2.0
    assert ledger.stopped_by_budget


def test_discarded_steps_beyond_the_cap_stop_the_run_at_once(tmp_path):
    """A journal may hold more than a cap that is smaller now affords.

    Nothing more is taken then.
    """
    made = plan(accountant="rdp")
    Journal.create(tmp_path / "journal")
    first = Ledger(made, journal=Journal(tmp_path / "journal", block=1))
    for _ in range(50):
        first.record(made.step_event)
    journal = Journal(tmp_path / "journal", block=1)
    capped = replace(made, max_epsilon=first.epsilon_spent() / 2)
    ledger = Ledger.from_dict(capped, Ledger(capped, journal=journal).to_dict(), journal=journal)
    assert ledger.discarded_steps == 50
    assert ledger.would_exceed(made.step_event)
    assert ledger.stopped_by_budget


def test_a_calibrated_run_is_not_stopped():
    made = plan(noise_multiplier=None, target_epsilon=2.0)
    ledger = Ledger(made)
    assert run(ledger, made.iterations) == made.iterations
    assert ledger.would_exceed(made.step_event, 50)


def test_resumed_run_ends_with_the_same_events():
    made = plan()
    uninterrupted, killed = Ledger(made), Ledger(made)
    run(uninterrupted, made.iterations)
    run(killed, 77)
    resumed = Ledger.from_dict(made, json.loads(json.dumps(killed.to_dict())))
    run(resumed, made.iterations - 77)
    for accountant in ("rdp", "pld"):
        assert resumed.epsilon_spent(accountant) == uninterrupted.epsilon_spent(accountant)
    assert resumed.to_dict() == uninterrupted.to_dict()
    resumed.verify_complete(made.iterations)


def test_resumed_run_may_name_another_hypothetical_population():
    state = json.loads(json.dumps(Ledger(plan()).to_dict()))
    assert (
        Ledger.from_dict(plan(hypothetical_population=10_000), state).plan.hypothetical_population
        == 10_000
    )


def test_a_checkpoint_of_another_plan_is_refused():
    made = plan()
    with pytest.raises(PrivacyViolation, match="another plan: noise_multiplier differ"):
        Ledger.from_dict(replace(made, noise_multiplier=0.5), Ledger(made).to_dict())


@pytest.mark.parametrize(
    ("recorded", "executed", "message"),
    [
        (200, 0, "0 steps were clipped and noised, but 200 were recorded"),
        (200, 199, "199 steps were clipped and noised, but 200 were recorded"),
        (150, 150, "150 steps ran where the plan has 200"),
        (210, 210, "210 steps ran where the plan has 200"),
    ],
)
def test_run_that_differs_from_its_record_has_no_guarantee(recorded, executed, message):
    ledger = Ledger(plan())
    ledger.record(ledger.plan.step_event, recorded)
    with pytest.raises(PrivacyViolation, match=message):
        ledger.verify_complete(executed)


def test_early_stopping_records_what_ran():
    ledger = Ledger(plan())
    ledger.record(ledger.plan.step_event, 150)
    ledger.verify_complete(150, stopped_early=True)
    assert ledger.epsilon_spent() < accounting.epsilon(ledger.plan.dp_event, ledger.plan.delta)


def test_run_without_privacy_uses_the_same_code():
    made = NotPrivate().plan(num_units=100, expected_batch_size=10, epochs=2)
    ledger = Ledger(made)
    assert run(ledger, made.iterations) == 20
    ledger.verify_complete(20)
    assert ledger.epsilon_spent() == math.inf
