"""The noise multiplier that each ε needs, for several lengths of training and batch sizes."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from ecgexp.privacy.accounting import epsilon
from ecgexp.privacy.feasibility import OnProgress, noise_for
from ecgexp.privacy.hypothetical import plan_epsilon
from ecgexp.privacy.plan import PrivacyPlan
from ecgexp.settings.declaration import ConfigError

PRESETS = (1.0, 3.0, 8.0)
"""The ε of `privacy=eps1`, `privacy=eps3` and `privacy=eps8`."""


@dataclass(frozen=True, kw_only=True)
class NoiseRow:
    """One length of training and batch size.

    Attributes:
      settings: what differs from the run, as the user writes it; empty: nothing.
      plan: with the noise of the run.
      epsilon: ε with the noise of the run, an upper bound within 0.1 %; None without a bound.
      needed: ε -> the smallest noise multiplier for it; None: infeasible.
    """

    settings: str
    plan: PrivacyPlan
    epsilon: float | None
    needed: Mapping[float, float | None]


def noise_table(
    plans: Mapping[str, PrivacyPlan], on_progress: OnProgress | None = None
) -> list[NoiseRow]:
    """Compute the noise that each ε of `PRESETS` needs; about a second for each value.

    Args:
      plans: settings that differ from the run -> plan with the noise of the run.
      on_progress: called with (done, total, what) after each value.

    Returns:
      One row for each plan.
    """
    done, total = itertools.count(1), len(plans) * (1 + len(PRESETS))
    rows, guesses = [], {target: 4.0 / target for target in PRESETS}

    def report() -> None:
        if on_progress is not None:
            on_progress(next(done), total, "noise multipliers")

    for settings, plan in plans.items():
        needed = {}
        for target in PRESETS:
            needed[target] = noise_for(plan, target, guesses[target])
            guesses[target] = needed[target] or guesses[target]
            report()
        rows.append(NoiseRow(settings=settings, plan=plan, epsilon=_epsilon(plan), needed=needed))
        report()
    return rows


def _epsilon(plan: PrivacyPlan) -> float | None:
    if plan.accountant == "pld":
        return plan_epsilon(plan).epsilon
    try:
        return epsilon(plan.dp_event, plan.delta, "rdp", plan.neighboring_relation)
    except ConfigError:
        return None
