"""The checks of a training against its plan and its ledger."""

import pytest

from ecgexp.privacy.ledger import Ledger, PrivacyViolation
from ecgexp.privacy.settings import PrivacySpec
from ecgexp.settings.declaration import ConfigError
from ecgexp.training.ledger_checks import check_budget_sufficed, check_drawn, check_plan

TRAINING = {"num_units": 40, "expected_batch_size": 10, "iterations": 12}


@pytest.fixture(scope="module")
def plan():
    spec = PrivacySpec(noise_multiplier=1.0, l2_norm_clip=1.0, max_epsilon=100.0)
    return spec.plan(num_units=40, expected_batch_size=10, epochs=3)


def test_plan_of_the_training_is_accepted(plan):
    check_plan(plan, **TRAINING)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_units": 41}, "units 41 instead of 40"),
        ({"expected_batch_size": 20}, "expected_batch_size 20 instead of 10"),
        ({"iterations": 16}, "steps 16 instead of 12"),
    ],
)
def test_plan_of_another_training_is_refused(plan, changed, message):
    with pytest.raises(PrivacyViolation, match=message):
        check_plan(plan, **TRAINING | changed)


def test_drawn_steps_unlike_the_ledger_are_refused(plan):
    ledger = Ledger(plan)
    check_drawn(0, ledger)
    with pytest.raises(PrivacyViolation, match="1 steps were drawn, but 0 were recorded"):
        check_drawn(1, ledger)


def test_budget_spent_before_the_first_step_is_refused(plan):
    ledger = Ledger(plan)
    with pytest.raises(ConfigError, match=r"privacy\.max_epsilon=100: .*use a larger privacy\.max"):
        check_budget_sufficed(ledger)
    ledger.record(plan.step_event)
    check_budget_sufficed(ledger)
