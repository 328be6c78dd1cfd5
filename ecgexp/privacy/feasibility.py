"""Feasibility, before training: which ε are achievable, and the noise-to-signal ratio of each."""

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
)
from ecgexp.privacy.plan import PrivacyPlan
from ecgexp.settings.declaration import ConfigError

PATIENTS = (22, 44, 47)  # records of DS1; of DS1 and DS2 (43 patients); patients of MIT-BIH
POPULATIONS = (1_000, 10_000)
TARGETS = (1.0, 2.0, 4.0, 8.0)

_FEW = 100  # with fewer units, a caution is printed

T = TypeVar("T")
OnProgress = Callable[[float, float, str], None]


@dataclass(frozen=True, kw_only=True)
class NoiseNeeded:
    """The noise that one ε requires, compared to the signal.

    Attributes:
      target_epsilon: the ε.
      noise_multiplier: smallest that achieves it; None: the accountant cannot certify so small an
        ε.
      noise_norm: root mean square L2 norm of the noise on the mean update of a model,
        z · C · √d / cohort; None where there is no noise multiplier.
      signal_norm: largest expected norm of the mean of clipped updates: C, if all updates agree.
    """

    target_epsilon: float
    noise_multiplier: float | None
    noise_norm: float | None
    signal_norm: float

    @property
    def noise_to_signal(self) -> float | None:
        """Norm of the noise divided by that of the longest possible mean update."""
        return None if self.noise_norm is None else self.noise_norm / self.signal_norm


@dataclass(frozen=True, kw_only=True)
class Feasibility:
    """The privacy of a plan, as far as it is known before training.

    Attributes:
      base: the plan.
      num_parameters: number of weights of the model.
      epsilons: ε of plans for several numbers of units, including `base`.
      hypothetical_populations: ε of `base` for larger populations; not guarantees.
      needed: the noise for each of `TARGETS` under `base`.
    """

    base: PrivacyPlan
    num_parameters: int
    epsilons: tuple[PlanEpsilon, ...]
    hypothetical_populations: tuple[HypotheticalPopulation, ...]
    needed: tuple[NoiseNeeded, ...]

    def caution(self) -> str:
        """Return a caution for data sets with few units; empty for larger ones.

        Example:
          >>> from ecgexp.privacy.settings import PrivacySpec
          >>> spec = PrivacySpec(noise_multiplier=1.0, accountant="rdp")
          >>> plan = spec.plan(num_units=20, expected_batch_size=5, epochs=1)
          >>> few = Feasibility(
          ...     base=plan, num_parameters=100, epsilons=(), hypothetical_populations=(), needed=()
          ... )
          >>> few.caution().startswith("With 20 beats")
          True
        """
        if self.base.num_units >= _FEW:
            return ""
        return (
            f"With {self.base.num_units} {self.base.unit}s a small ε requires noise that prevents "
            "most learning, and a large ε protects little."
        )


def feasibility_of(
    base: PrivacyPlan,
    plans: Sequence[PrivacyPlan],
    *,
    num_parameters: int,
    populations: Sequence[int] = (),
    on_progress: OnProgress | None = None,
) -> Feasibility:
    """Compute ε of `plans` and for `populations`, and the noise that each of `TARGETS` requires.

    Takes a few seconds.

    Args:
      base: plan of the run.
      plans: plans whose ε is computed.
      num_parameters: number of weights of the model.
      populations: units of hypothetical populations for `base`.
      on_progress: called with (done, total, what) after each part.

    Returns:
      All results.

    Raises:
      ConfigError: a population is below the units of `base`.
      ValueError: `base` has no finite clip, so that no noise would make it private.
    """
    if not math.isfinite(base.l2_norm_clip):
        raise ValueError("a plan without a clip has no privacy guarantee, whatever its noise")
    total, done = len(plans) + len(populations) + len(TARGETS), itertools.count(1)

    def reporting(results: Iterable[T], what: str) -> Iterator[T]:
        for result in results:
            if on_progress is not None:
                on_progress(next(done), total, what)
            yield result

    return Feasibility(
        base=base,
        num_parameters=num_parameters,
        hypothetical_populations=tuple(
            reporting((project(base, number) for number in populations), "hypothetical populations")
        ),
        epsilons=tuple(reporting(map(plan_epsilon, plans), "computing ε")),
        needed=tuple(reporting(noise_needed(base, num_parameters), "calibrating the noise")),
    )


def noise_needed(plan: PrivacyPlan, num_parameters: int) -> Iterator[NoiseNeeded]:
    """Yield the smallest noise for each of `TARGETS`, and its size relative to the mean update.

    Args:
      plan: plan of the run.
      num_parameters: number of weights of the model.
    """
    # The noise by advanced composition for ε 1, of which cohorts of constant size need about three
    # times as much; each result is then a good start for the next target.
    guess, last = (
        plan.sampling_probability * math.sqrt(2 * plan.iterations * math.log(1 / plan.delta)),
        1.0,
    )
    guess *= 3 if plan.sampling == "fixed" else 1
    for target in TARGETS:
        guess *= (last / target) ** 0.7
        noise = noise_for(plan, target, guess)
        norm = (
            None
            if noise is None
            else noise * plan.l2_norm_clip * math.sqrt(num_parameters) / plan.divisor
        )
        yield NoiseNeeded(
            target_epsilon=target,
            noise_multiplier=noise,
            noise_norm=norm,
            signal_norm=plan.l2_norm_clip,
        )
        guess, last = noise or guess, target


def noise_for(plan: PrivacyPlan, target: float, guess: float) -> float | None:
    """Return the smallest noise multiplier with which a plan has at most an ε, within 0.3 %.

    Args:
      plan: its noise multiplier is not used.
      target: the ε.
      guess: a noise multiplier to start from.

    Returns:
      The noise multiplier; None where the accountant cannot certify so small an ε.
    """
    try:
        return calibrate_noise(
            lambda z: replace(plan, noise_multiplier=z).dp_event,
            target,
            plan.delta,
            plan.accountant,
            plan.neighboring_relation,
            near=min(max(guess, 0.1), 1e4),
        )
    except ConfigError:
        return None
