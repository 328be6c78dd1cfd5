"""Hypothetical-population ε: ε of a plan's steps for a larger population; not a guarantee of a run.

With a few dozen patients, noise that gives a small ε prevents useful learning. This module computes
the ε of the same method for more patients. As in McMahan et al. 2018 (arXiv:1710.06963), the cohort
grows with the population: the same fraction q of it joins each round. Either the noise multiplier
stays the same, and only δ changes; or the noise *on the mean update* stays the same, at which
utility was measured: a larger cohort divides the noise on the sum by a larger number, so the noise
multiplier can be larger.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

from ecgexp.formatting import count_text, epsilon_text
from ecgexp.privacy import accounting
from ecgexp.privacy.accounting import AccountantName
from ecgexp.privacy.plan import PrivacyPlan, default_delta, safe_capacity
from ecgexp.privacy.plan_checks import check_population
from ecgexp.settings.declaration import ConfigError

LABEL = "hypothetical population, not a guarantee of this run"

_GRID = 5e-4  # grid divided by ε
_GRID_OF_A_STEP = 1e-3  # square of the grid divided by ε, times the steps
_FINEST_INTERVAL = 1e-7


@dataclass(frozen=True, kw_only=True)
class PlanEpsilon:
    """ε of a whole plan, before or without running it; the ledger has the ε of what ran.

    Attributes:
      plan: the plan.
      epsilon_pld: ε by PLD; None where PLD has no bound.
      epsilon_rdp: ε by RDP; None where RDP has no bound.
    """

    plan: PrivacyPlan
    epsilon_pld: float | None
    epsilon_rdp: float | None

    @property
    def epsilon(self) -> float | None:
        """The smaller of both bounds; the RDP bound if the accountant is RDP."""
        known = (
            (self.epsilon_rdp,)
            if self.plan.accountant == "rdp"
            else (self.epsilon_pld, self.epsilon_rdp)
        )
        return min((bound for bound in known if bound is not None), default=None)


@dataclass(frozen=True, kw_only=True)
class HypotheticalPopulation:
    """ε for a larger population at the same sampling probability and number of steps, in two ways.

    Attributes:
      same_noise: with the noise multiplier of the run.
      same_utility: with the noise on the mean update of the run.
    """

    same_noise: PlanEpsilon
    same_utility: PlanEpsilon

    @property
    def population(self) -> int:
        """Units in the hypothetical population."""
        return self.same_noise.plan.num_units

    def text(self) -> str:
        """Return one paragraph for the statement."""
        plan, utility = self.same_noise.plan, self.same_utility
        return (
            f"{LABEL.capitalize()}: in a population of {count_text(self.population)} "
            f"{plan.unit}s of "
            f"whom {count_text(plan.expected_batch_size)} are expected in each step "
            "(the same q and "
            f"number of steps), with δ {plan.delta:g}, the noise multiplier of this run "
            f"({plan.noise_multiplier:.4g}) would give ε {epsilon_text(self.same_noise.epsilon)}. "
            f"A noise multiplier of {utility.plan.noise_multiplier:.4g}, with which the noise on "
            f"the mean update is that of this run, would give ε {epsilon_text(utility.epsilon)}. "
            "The scores of a model for such a population were not measured."
        )

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-serializable values; the key `epsilon` is reserved for guarantees."""
        plan = self.same_noise.plan
        values = {
            "label": LABEL,
            "population": self.population,
            "expected_batch_size": plan.expected_batch_size,
            "sampling_probability": plan.sampling_probability,
            "steps": plan.iterations,
            "delta": plan.delta,
        }
        for name, plan_epsilon in (
            ("same_noise", self.same_noise),
            ("same_noise_on_mean", self.same_utility),
        ):
            values[name] = {
                "noise_multiplier": plan_epsilon.plan.noise_multiplier,
                "projected_epsilon_pld": plan_epsilon.epsilon_pld,
                "projected_epsilon_rdp": plan_epsilon.epsilon_rdp,
            }
        return values


def project(plan: PrivacyPlan, population: int) -> HypotheticalPopulation:
    """Compute ε of `plan` for a larger population, in both ways.

    Args:
      plan: plan of a run.
      population: units of the hypothetical population.

    Returns:
      Both values of ε with their plans.

    Raises:
      ConfigError: `population` is below the units of the plan.

    Example:
      >>> from ecgexp.privacy.settings import PrivacySpec
      >>> spec = PrivacySpec(noise_multiplier=1.0, accountant="rdp")
      >>> plan = spec.plan(num_units=10_000, expected_batch_size=100, epochs=1)
      >>> found = project(plan, 100_000)
      >>> found.population, found.same_noise.plan.expected_batch_size
      (100000, 1000)
    """
    return HypotheticalPopulation(
        same_noise=plan_epsilon(at_same_noise(plan, population)),
        same_utility=plan_epsilon(at_same_utility(plan, population)),
    )


def at_same_noise(plan: PrivacyPlan, population: int) -> PrivacyPlan:
    """Change `plan` to a larger population at the same sampling probability and noise multiplier.

    At a fixed δ, ε would be the same; it is larger because δ decreases with the population.

    Args:
      plan: plan of a run.
      population: units of the hypothetical population.

    Raises:
      ConfigError: `population` is below the units of the plan.
    """
    check_population(population, plan.num_units, plan.unit)
    return resized(plan, population)


def at_same_utility(plan: PrivacyPlan, population: int) -> PrivacyPlan:
    """Change `plan` to a larger population at the same noise on the mean update, z C / cohort.

    The noise multiplier grows in proportion to the cohort, that is by population / units.

    Args:
      plan: plan of a run.
      population: units of the hypothetical population.

    Raises:
      ConfigError: `population` is below the units of the plan.
    """
    larger = at_same_noise(plan, population)
    growth = larger.expected_batch_size / plan.expected_batch_size
    return replace(larger, noise_multiplier=plan.noise_multiplier * growth)


def resized(plan: PrivacyPlan, num_units: int) -> PrivacyPlan:
    """Change `plan` to another number of units, at the same sampling probability, noise and steps.

    The cohort is rounded up, which never decreases ε. δ is the default for `num_units`, or the
    plan's if that is smaller.

    Args:
      plan: plan of a run.
      num_units: more or fewer units.
    """
    if num_units == plan.num_units:
        return replace(plan, hypothetical_population=None)
    cohort = _scaled(plan.expected_batch_size, plan, num_units)
    capacity = safe_capacity(num_units, cohort)
    if plan.sampling == "fixed":
        capacity = cohort
    elif plan.can_overflow:
        # Truncated about as often as in the plan; otherwise ε would leave out the truncation.
        capacity = min(capacity, _scaled(plan.batch_capacity, plan, num_units))
    return replace(
        plan,
        num_units=num_units,
        expected_batch_size=cohort,
        batch_capacity=capacity,
        hypothetical_population=None,
        delta=min(plan.delta, default_delta(num_units)),
    )


def plan_epsilon(plan: PrivacyPlan) -> PlanEpsilon:
    """Compute ε of the whole plan under both accountants, in about half a second.

    The values are upper bounds, within about 0.1 % of the reported ones.
    """
    rdp = _or_none(plan, "rdp", None)
    return PlanEpsilon(
        plan=plan,
        epsilon_pld=_or_none(plan, "pld", _interval(rdp, plan.iterations)),
        epsilon_rdp=rdp,
    )


def _interval(rdp: float | None, steps: int) -> float | None:
    """Return a loss grid whose error, about a third of steps · grid², is below the digits shown.

    It is thirty times coarser than that of a reported value where ε is 6, and finer where ε is
    below 0.2.
    """
    if rdp is None or not math.isfinite(rdp):
        return None
    return max(min(_GRID * rdp, math.sqrt(_GRID_OF_A_STEP * rdp / steps)), _FINEST_INTERVAL)


def _scaled(count: int, plan: PrivacyPlan, num_units: int) -> int:
    return -(-count * num_units // plan.num_units)  # rounded up, in exact integers


def _or_none(plan: PrivacyPlan, accountant: AccountantName, interval: float | None) -> float | None:
    try:
        return accounting.epsilon(
            plan.dp_event, plan.delta, accountant, plan.neighboring_relation, interval=interval
        )
    except ConfigError:  # this accountant has no valid bound for such steps
        return None
