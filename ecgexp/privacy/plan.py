"""The privacy plan: one frozen object from which sampling, noise and accounting take their numbers.

Sampler, noise, divisor and accountant take their numbers from it. The trainers have some of them as
settings too, and an adaptive clip has noise of its own; so checks at run time (`Ledger`,
`ledger_checks`, `noise_checks`) compare what was executed with the plan. A plan is made by the
privacy settings of a run (`Privacy`, whose classes are in `settings`).
"""

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ecgexp.privacy import dp_events
from ecgexp.privacy.accounting import AccountantName, NeighboringRelation

if TYPE_CHECKING:
    from dp_accounting import DpEvent

    from ecgexp.privacy.unit_checks import Overlap

Unit = Literal["beat", "record", "patient"]
Sampling = Literal["poisson", "shuffle", "fixed"]

LEAST_NOISE = 1e-6
"""Noise multiplier below which a run counts as one without noise.

Sums of contributions in float32 round smaller noise away.
"""


@dataclass(frozen=True, kw_only=True)
class PrivacyPlan:
    """Everything that determines the privacy loss of one unit in a run.

    A run without privacy has the same plan with an infinite clip, no noise and an event of
    infinite ε.

    Attributes:
      num_units: units in the training set; assumed to be public.
      expected_batch_size: mean number of units in a batch or cohort (slightly smaller where
        batches are truncated, or under `shuffle` if it does not divide `num_units`); the constant
        divisor of every sum.
      batch_capacity: most units that a batch can hold if `can_overflow`. Otherwise no batch is
        truncated; see `safe_capacity`.
      iterations: noisy steps.
      noise_multiplier: standard deviation of the noise on the sum, divided by the clip.
      l2_norm_clip: largest L2 norm of one unit's contribution.
      delta: δ of the guarantee.
      unit: unit of privacy.
      sampling: `poisson`: each unit enters each batch independently. `shuffle`: each unit enters
        exactly one batch of each epoch, chosen uniformly and independently of all others
        (balls-and-bins sampling, Chua et al. 2024; batches have random sizes); the epoch is
        accounted for as one Gaussian, without amplification by sampling. `fixed`: cohorts of
        constant size drawn without replacement; neighboring data sets differ by replacing one
        unit, which changes a sum by up to twice the clip, so ε is not comparable with that of the
        others.
      accountant: the accountant whose ε is reported.
      max_epsilon: the privacy budget: training stops before the step that would exceed it;
        infinite: no budget.
      noise_seed: None: noise and samples come from the operating system's entropy. A number makes
        the run a simulation without a privacy guarantee.
      hypothetical_population: units of a larger, hypothetical population, for which the statement
        reports ε beside the guarantee. Does not affect what runs.
      rows_per_unit: rows that are accounted for as one heartbeat, each sampled and clipped
        separately; 1 unless `privacy.group` is set.
      overlapping_rows: largest number of rows that share samples with one heartbeat's window, for
        the ε that is reported beside that of one row. Does not affect what runs.
      overlap_is_known: whether `overlapping_rows` was counted; False for rows that somebody else
        cut, of which the statement says so. Does not affect what runs.
    """

    num_units: int
    expected_batch_size: int
    batch_capacity: int
    iterations: int
    noise_multiplier: float
    l2_norm_clip: float
    delta: float
    unit: Unit
    sampling: Sampling
    accountant: AccountantName
    max_epsilon: float
    noise_seed: int | None
    hypothetical_population: int | None = None
    rows_per_unit: int = 1
    overlapping_rows: int = 1
    overlap_is_known: bool = True

    @property
    def is_private(self) -> bool:
        """Whether the mechanism has a finite ε: there is noise and a finite clip."""
        return self.noise_multiplier >= LEAST_NOISE and math.isfinite(self.l2_norm_clip)

    @property
    def is_simulation(self) -> bool:
        """Whether the noise can be recomputed from a seed, so that the run protects nothing."""
        return self.is_private and self.noise_seed is not None

    @property
    def has_privacy_guarantee(self) -> bool:
        """Whether the run may state its ε as a privacy guarantee: private and not a simulation."""
        return self.is_private and not self.is_simulation

    @property
    def sampling_probability(self) -> float:
        """Probability q that a unit enters a given batch: expected_batch_size / num_units.

        Under `shuffle`, which does not use q, the probability is 1 / steps_per_epoch.
        """
        return self.expected_batch_size / self.num_units

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which a unit is drawn about once on average."""
        return math.ceil(self.num_units / self.expected_batch_size)

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise on each coordinate of the *sum* of contributions."""
        return self.noise_multiplier * self.l2_norm_clip if self.is_private else 0.0

    @property
    def divisor(self) -> float:
        """What the noisy sum is divided by: a constant, never the number of units drawn."""
        return float(self.expected_batch_size)

    @property
    def neighboring_relation(self) -> NeighboringRelation:
        """Which data sets the guarantee compares."""
        return "replace_one" if self.sampling == "fixed" else "add_or_remove_one"

    @property
    def can_overflow(self) -> bool:
        """Whether Poisson batches are truncated often enough that the event must account for it."""
        return self.sampling == "poisson" and self.batch_capacity < safe_capacity(
            self.num_units, self.expected_batch_size
        )

    @property
    def step_event(self) -> "DpEvent":
        """The event of one step; under `shuffle`, of all steps of one epoch together."""
        q, z = self.sampling_probability, self.noise_multiplier
        if not self.is_private:
            return dp_events.not_private()
        if self.sampling == "shuffle":
            return dp_events.gaussian(z)
        if self.sampling == "fixed":
            return dp_events.fixed_cohort_gaussian(self.num_units, self.expected_batch_size, z)
        if self.can_overflow:
            return dp_events.truncated_gaussian(self.num_units, q, self.batch_capacity, z)
        if self.rows_per_unit > 1:
            return dp_events.copies_gaussian(q, z, self.rows_per_unit)
        return dp_events.poisson_gaussian(q, z)

    @property
    def epoch_is_one_event(self) -> bool:
        """Whether the steps of an epoch are one event: they share one secret order of the units.

        Such a run can only be resumed between epochs: within one, a new order would be drawn, and
        a unit could enter the epoch twice.
        """
        return self.sampling == "shuffle" and self.is_private

    def event_at(self, step: int) -> "DpEvent":
        """The event of the 0-based `step`; with `shuffle`, the first step has that of the epoch."""
        if self.epoch_is_one_event and step % self.steps_per_epoch:
            return dp_events.nothing()
        return self.step_event

    def num_events(self, steps: int) -> int:
        """Number of events `step_event` in the first `steps` steps."""
        return math.ceil(steps / self.steps_per_epoch) if self.epoch_is_one_event else steps

    @property
    def dp_event(self) -> "DpEvent":
        """The event of the whole planned run."""
        return dp_events.repeated(self.step_event, self.num_events(self.iterations))

    def as_dict(self) -> dict[str, Any]:
        """The plan as JSON-serializable values, for the log and for comparing plans.

        Contains no key of a random stream.
        """
        return asdict(self) | {name: str(v) for name, v in asdict(self).items() if v == math.inf}


class Privacy(Protocol):
    """The privacy settings of a run: `PrivacySpec`, or `NotPrivate` where there is no guarantee."""

    @property
    def is_private(self) -> bool:
        """Whether differential privacy was requested."""
        ...

    @property
    def may_have_privacy_guarantee(self) -> bool:
        """Whether a run with these settings may state an ε."""
        ...

    @property
    def unit(self) -> Unit:
        """Unit of privacy."""
        ...

    @property
    def sampling(self) -> Sampling:
        """How batches or cohorts are drawn; see `PrivacyPlan`."""
        ...

    @property
    def publish(self) -> Literal["covered", "all"]:
        """Which outputs are published; see `PrivacySpec`."""
        ...

    def plan(
        self,
        *,
        num_units: int,
        expected_batch_size: int,
        epochs: int | None = None,
        iterations: int | None = None,
        batch_setting: str = ...,
        overlap: "Overlap | None" = None,
        sampling: Sampling | None = None,
    ) -> "PrivacyPlan":
        """Make the plan for a training set of `num_units`; see `PrivacySpec.plan`."""
        ...


def default_delta(num_units: int) -> float:
    """Return the largest power of ten that is at most 0.01 / num_units, found in exact integers.

    A mechanism that publishes each unit unchanged with probability δ is (0, δ)-private, and
    publishes num_units · δ units on average: with this default, at most a hundredth of one.

    Example:
      >>> default_delta(50_000)
      1e-07
    """
    return float(f"1e-{len(str(100 * num_units - 1))}")


def safe_capacity(num_units: int, expected_batch_size: int) -> int:
    """Return a size that a Poisson batch exceeds with a probability below 1e-15.

    It is max(1.5 B, B + 10 √B + 10) for a mean of B, and at most `num_units`. With this capacity
    no batch is truncated, whatever its size, so the plain Poisson event is exact and nothing is
    added to δ. A smaller capacity truncates batches, in which one beat can displace another; that
    is a different event, `dp_events.truncated_gaussian`.
    """
    mean = expected_batch_size
    return min(num_units, math.ceil(max(1.5 * mean, mean + 10 * math.sqrt(mean) + 10)))
