"""What ε is within reach before anything is trained, and how loud the noise would be beside what is learned."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from ecgexp.privacy.calibration import calibrate_noise
from ecgexp.privacy.hypothetical import (
    HypotheticalPopulation,
    PlanEpsilon,
    plan_epsilon,
    project,
    resized,
)
from ecgexp.privacy.plan import PrivacyPlan
from ecgexp.settings.declaration import ConfigError

PATIENTS = (22, 44, 47)  # of MIT-BIH: one side of the inter-patient split, both sides, all
POPULATIONS = (1_000, 10_000)
TARGETS = (1.0, 2.0, 4.0, 8.0)

_FEW = 100  # units below which a guarantee is called formal

T = TypeVar("T")
OnProgress = Callable[[float, float, str], None]


@dataclass(frozen=True, kw_only=True)
class NoiseNeeded:
    """The noise that one promise takes, beside the signal.

    Attributes:
      target_epsilon: the promise.
      noise_multiplier: the least that keeps it; None: the accountant cannot certify so small an ε.
      noise_norm: root mean square L2 norm of the noise on the mean update of a model, z · C · √d / cohort; None likewise.
      signal_norm: the largest norm that the mean of clipped updates is expected to have: C, and only if all units agree.
    """

    target_epsilon: float
    noise_multiplier: float | None
    noise_norm: float | None
    signal_norm: float

    @property
    def noise_to_signal(self) -> float | None:
        """How many times the noise is longer than the longest possible mean update."""
        return None if self.noise_norm is None else self.noise_norm / self.signal_norm


@dataclass(frozen=True, kw_only=True)
class Feasibility:
    """Everything that is known before training.

    Attributes:
      base: the plan that is projected and calibrated.
      num_parameters: of the model.
      epsilons: ε of plans for several numbers of units; those of `base` among them.
      hypothetical_populations: of `base`, to populations; not promises.
      needed: the noise for each of `TARGETS` under `base`.
    """

    base: PrivacyPlan
    num_parameters: int
    epsilons: tuple[PlanEpsilon, ...]
    hypothetical_populations: tuple[HypotheticalPopulation, ...]
    needed: tuple[NoiseNeeded, ...]

    def caution(self) -> str:
        """What the figures mean to a patient of so small a data set; empty where there are many."""
        if self.base.num_units >= _FEW:
            return ""
        return (
            f"With {self.base.num_units} {self.base.unit}s the guarantee is formal: a small ε takes noise that drowns most "
            "of what is learned, and a large ε promises little."
        )


def feasibility_of(
    base: PrivacyPlan, plans: Sequence[PrivacyPlan], *, num_parameters: int, populations: Sequence[int] = (),
    on_progress: OnProgress | None = None,
) -> Feasibility:  # fmt: skip
    """Prices `plans`, projects `base` to `populations`, and finds the noise that `base` would need for each of `TARGETS`.

    A few seconds; `report(done, total, what)` is called after each piece.

    Raises:
      ConfigError: a population is below the units of `base`.
      ValueError: `base` has no finite clip, so that no noise would make it private.
    """
    if not math.isfinite(base.l2_norm_clip):
        raise ValueError("a plan without a clip can promise nothing, whatever its noise")
    total, done = len(plans) + len(populations) + len(TARGETS), itertools.count(1)

    def watched(results: Iterable[T], what: str) -> Iterator[T]:
        for result in results:
            if on_progress is not None:
                on_progress(next(done), total, what)
            yield result

    return Feasibility(
        base=base, num_parameters=num_parameters,
        hypothetical_populations=tuple(watched((project(base, number) for number in populations), "projecting")),
        epsilons=tuple(watched(map(plan_epsilon, plans), "pricing")),
        needed=tuple(watched(noise_needed(base, num_parameters), "seeking the noise")),
    )  # fmt: skip


def plans_beside(plan: PrivacyPlan) -> list[PrivacyPlan]:
    """`plan` and, if its unit is the patient, what it would be with each of `PATIENTS` at the same cohort fraction."""
    others = (
        {} if plan.unit != "patient" else {number: resized(plan, number) for number in PATIENTS}
    )
    return [made for _, made in sorted((others | {plan.num_units: plan}).items())]


def noise_needed(plan: PrivacyPlan, num_parameters: int) -> Iterator[NoiseNeeded]:
    """The least noise under which `plan` costs at most each of `TARGETS`, and what it does to the mean update."""
    # What advanced composition would take for ε 1, which cohorts of constant size need about three times; then each answer
    # is a good guess for the next.
    guess, last = (
        plan.sampling_probability * math.sqrt(2 * plan.iterations * math.log(1 / plan.delta)),
        1.0,
    )
    guess *= 3 if plan.sampling == "fixed" else 1
    for target in TARGETS:
        guess *= (last / target) ** 0.7
        noise = _noise_for(plan, target, guess)
        norm = (
            None
            if noise is None
            else noise * plan.l2_norm_clip * math.sqrt(num_parameters) / plan.divisor
        )
        yield NoiseNeeded(
            target_epsilon=target, noise_multiplier=noise, noise_norm=norm, signal_norm=plan.l2_norm_clip
        )  # fmt: skip
        guess, last = noise or guess, target


def _noise_for(plan: PrivacyPlan, target: float, guess: float) -> float | None:
    try:
        return calibrate_noise(
            lambda z: replace(plan, noise_multiplier=z).dp_event, target, plan.delta, plan.accountant, plan.neighboring_relation,
            near=min(max(guess, 0.1), 1e4),
        )  # fmt: skip
    except ConfigError:
        return None
