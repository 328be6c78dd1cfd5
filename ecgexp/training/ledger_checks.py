"""The checks of a training against its plan and its ledger that all private trainers share."""

from ecgexp.privacy.ledger import Ledger, PrivacyViolation
from ecgexp.privacy.plan import PrivacyPlan
from ecgexp.settings.declaration import ConfigError


def check_plan(
    plan: PrivacyPlan, *, num_units: int, expected_batch_size: int, iterations: int
) -> None:
    """Check that the ledger's plan is that of this training: ε is computed from that plan.

    Args:
      plan: the plan of the ledger.
      num_units: units of privacy in the training data.
      expected_batch_size: expected units in a step; in federated training, clients in a round.
      iterations: steps or rounds of the whole training.

    Raises:
      PrivacyViolation: it is another plan.
    """
    planned = (plan.num_units, plan.expected_batch_size, plan.iterations)
    actual = (num_units, expected_batch_size, iterations)
    names = ("units", "expected_batch_size", "steps")
    differ = [
        f"{n} {a} instead of {p}" for n, p, a in zip(names, planned, actual, strict=True) if p != a
    ]
    if differ:
        raise PrivacyViolation(
            f"this training is not the one that was planned ({', '.join(differ)}); make a new plan "
            "for it"
        )


def check_drawn(drawn: int, ledger: Ledger) -> None:
    """Check that the sampler drew as many steps as the ledger recorded.

    Args:
      drawn: steps or rounds that the sampler drew.
      ledger: the ledger of the run.

    Raises:
      PrivacyViolation: the two numbers differ.
    """
    if drawn != ledger.steps:
        raise PrivacyViolation(
            f"{drawn} steps were drawn, but {ledger.steps} were recorded: the run has no privacy "
            "guarantee"
        )


def check_budget_sufficed(ledger: Ledger) -> None:
    """Check, after a training, that the privacy budget sufficed for one step at least.

    Args:
      ledger: the ledger of the run.

    Raises:
      ConfigError: no step was recorded, because the first would have exceeded the budget.
    """
    if not ledger.steps:
        raise ConfigError(
            f"privacy.max_epsilon={ledger.plan.max_epsilon:g}: spent before the first step; use a "
            "larger privacy.max_epsilon, or a larger privacy.noise_multiplier."
        )
