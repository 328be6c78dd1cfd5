"""What the steps of a plan would cost a larger population. Nothing here is a promise of any run.

With a few dozen patients no noise that leaves anything to learn gives a small ε. What can be said is what the same method
would promise with more of them. As in McMahan et al. 2018 (arXiv:1710.06963), the cohort grows with the population: the
same share q of it joins each round. Then either the noise multiplier is kept, and only δ changes; or the noise *on the mean
update* is, which is what utility was measured with: the larger cohort divides the noise on the sum by more, so that there
may be more of it.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

from ecgexp.formatting import epsilon_text
from ecgexp.privacy import accounting
from ecgexp.privacy.accounting import AccountantName
from ecgexp.privacy.plan import PrivacyPlan, check_population, default_delta, safe_capacity
from ecgexp.settings.declaration import ConfigError

LABEL = "projection, not a promise of this run"

_GRID = 5e-4  # over ε
_GRID_OF_A_STEP = 1e-3  # square of the grid over ε, times the steps
_FINEST_INTERVAL = 1e-7


@dataclass(frozen=True, kw_only=True)
class PlanEpsilon:
    """ε of a whole plan, before it runs or for who will never run it; the ledger prices what ran.

    Attributes:
      plan: what is priced.
      epsilon_pld: ε by PLD; None where PLD has no price.
      epsilon_rdp: ε by RDP; None likewise.
    """

    plan: PrivacyPlan
    epsilon_pld: float | None
    epsilon_rdp: float | None

    @property
    def epsilon(self) -> float | None:
        """The smaller of both bounds; that of RDP where it is asked for."""
        known = (
            (self.epsilon_rdp,)
            if self.plan.accountant == "rdp"
            else (self.epsilon_pld, self.epsilon_rdp)
        )
        return min((bound for bound in known if bound is not None), default=None)


@dataclass(frozen=True, kw_only=True)
class HypotheticalPopulation:
    """The two things to say about a larger population at the same sampling probability and number of steps.

    Attributes:
      same_noise: the noise multiplier is that of the run.
      same_utility: the noise on the mean update is that of the run.
    """

    same_noise: PlanEpsilon
    same_utility: PlanEpsilon

    @property
    def population(self) -> int:
        """Units in it."""
        return self.same_noise.plan.num_units

    def text(self) -> str:
        """One paragraph."""
        plan, noise_to_signal = self.same_noise.plan, self.same_utility
        return (
            f"{LABEL.capitalize()}: in a population of {spaced(self.population)} {plan.unit}s of whom "
            f"{spaced(plan.expected_batch_size)} are expected in each of as many steps (the same q), with δ {plan.delta:g}, "
            f"the noise multiplier of this run ({plan.noise_multiplier:.4g}) would give ε "
            f"{epsilon_text(self.same_noise.epsilon)}. A noise multiplier of {noise_to_signal.plan.noise_multiplier:.4g}, which leaves as "
            "much noise on the mean update as there was here, would give ε "
            f"{epsilon_text(noise_to_signal.epsilon)}. Whether a model would learn as much there was not tried."
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-able values. No key is called `epsilon`, which names promises only."""
        plan = self.same_noise.plan
        values = {
            "label": LABEL, "population": self.population, "expected_batch_size": plan.expected_batch_size,
            "sampling_probability": plan.sampling_probability, "steps": plan.iterations, "delta": plan.delta,
        }  # fmt: skip
        for name, plan_epsilon in (
            ("same_noise", self.same_noise),
            ("same_noise_on_mean", self.same_utility),
        ):
            values[name] = {
                "noise_multiplier": plan_epsilon.plan.noise_multiplier,
                "projected_epsilon_pld": plan_epsilon.epsilon_pld, "projected_epsilon_rdp": plan_epsilon.epsilon_rdp,
            }  # fmt: skip
        return values


def project(plan: PrivacyPlan, population: int) -> HypotheticalPopulation:
    """Both projections of `plan` to a population, priced.

    Raises:
      ConfigError: `population` is below the units of the plan.
    """
    return HypotheticalPopulation(
        same_noise=plan_epsilon(at_same_noise(plan, population)),
        same_utility=plan_epsilon(at_same_utility(plan, population)),
    )


def at_same_noise(plan: PrivacyPlan, population: int) -> PrivacyPlan:
    """`plan` for a population at the same sampling probability and noise multiplier.

    ε at a fixed δ would be the same; it grows because δ shrinks with the population.

    Raises:
      ConfigError: `population` is below the units of the plan.
    """
    check_population(population, plan.num_units, plan.unit)
    return resized(plan, population)


def at_same_utility(plan: PrivacyPlan, population: int) -> PrivacyPlan:
    """`at_same_noise` with as much more noise on the sum as leaves the noise on the mean, z C / cohort, unchanged.

    The noise multiplier grows as the cohort does, that is by population / units.

    Raises:
      ConfigError: `population` is below the units of the plan.
    """
    larger = at_same_noise(plan, population)
    growth = larger.expected_batch_size / plan.expected_batch_size
    return replace(larger, noise_multiplier=plan.noise_multiplier * growth)


def resized(plan: PrivacyPlan, num_units: int) -> PrivacyPlan:
    """`plan` for another number of units, more or fewer, at the same sampling probability, noise and number of steps.

    The cohort is rounded up, which never makes ε smaller. δ is the default of `num_units`, or the plan's if that is smaller.
    """
    if num_units == plan.num_units:
        return replace(plan, hypothetical_population=None)
    cohort = _scaled(plan.expected_batch_size, plan, num_units)
    capacity = safe_capacity(num_units, cohort)
    if plan.sampling == "fixed":
        capacity = cohort
    elif (
        plan.can_overflow
    ):  # cut as often as in the plan, nearly; else the projection would hide that price
        capacity = min(capacity, _scaled(plan.batch_capacity, plan, num_units))
    return replace(
        plan, num_units=num_units, expected_batch_size=cohort, batch_capacity=capacity, hypothetical_population=None,
        delta=min(plan.delta, default_delta(num_units)),
    )  # fmt: skip


def plan_epsilon(plan: PrivacyPlan) -> PlanEpsilon:
    """ε of the whole plan under both accountants, in about half a second: an upper bound, within about 0.1 % of the reported."""
    rdp = _or_none(plan, "rdp", None)
    return PlanEpsilon(
        plan=plan,
        epsilon_pld=_or_none(plan, "pld", _interval(rdp, plan.iterations)),
        epsilon_rdp=rdp,
    )


def _interval(rdp: float | None, steps: int) -> float | None:
    """A loss grid whose error, about a third of steps · grid², stays below the figures that are shown.

    Thirty times coarser than that of a reported value where ε is 6, and finer where it is below 0.2.
    """
    if rdp is None or not math.isfinite(rdp):
        return None
    return max(min(_GRID * rdp, math.sqrt(_GRID_OF_A_STEP * rdp / steps)), _FINEST_INTERVAL)


def figure(value: float | None) -> str:
    """Three digits of a number, for a person: `1.08`, `0.740`, `12 500`, `∞`, and `–` where there is none."""
    if value is None:
        return "–"
    if math.isinf(value):
        return "∞"
    return f"{value:#.3g}".rstrip(".") if value < 999.5 else spaced(round(value))


def spaced(number: int) -> str:
    """`10 000`."""
    return f"{number:,}".replace(",", " ")


def _scaled(count: int, plan: PrivacyPlan, num_units: int) -> int:
    return -(-count * num_units // plan.num_units)  # rounded up, in exact integers


def _or_none(plan: PrivacyPlan, accountant: AccountantName, interval: float | None) -> float | None:
    try:
        return accounting.epsilon(
            plan.dp_event, plan.delta, accountant, plan.neighboring_relation, interval=interval
        )
    except ConfigError:  # this accountant has no sound price for such steps
        return None
