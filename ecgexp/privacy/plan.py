"""The privacy plan: one frozen object from which sampling, noise and accounting take their numbers.

Sampler, noise, divisor and accountant take their numbers from it. The trainers have some of them as
settings too, and an adaptive clip has noise of its own; so checks at run time (`Ledger`,
`ledger_checks`, `noise_checks`) compare what was executed with the plan.
"""

import logging
import math
import warnings
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, cast

from pydantic import BeforeValidator, Field

from ecgexp.privacy import accounting
from ecgexp.privacy.accounting import SMALLEST_DELTA, AccountantName, NeighboringRelation
from ecgexp.privacy.overlap import Overlap
from ecgexp.settings.declaration import (
    ConfigError,
    Count,
    NonNegative,
    Number,
    Positive,
    Seed,
    Whole,
    no_bool,
    settings,
)

if TYPE_CHECKING:
    from dp_accounting import DpEvent

Unit = Literal["beat", "record", "patient"]
Sampling = Literal["poisson", "shuffle", "fixed"]
Group = Literal["overlap"]

LEAST_NOISE = 1e-6
"""Noise multiplier below which a run counts as one without noise.

Sums of contributions in float32 round smaller noise away.
"""

_LARGEST_N_DELTA = Decimal("0.01")
_log = logging.getLogger(__name__)


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
        overlap: Overlap | None = None,
        sampling: Sampling | None = None,
    ) -> "PrivacyPlan":
        """Make the plan for a training set of `num_units`; see `PrivacySpec.plan`."""
        ...


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
            return accounting.not_private()
        if self.sampling == "shuffle":
            return accounting.gaussian(z)
        if self.sampling == "fixed":
            return accounting.fixed_cohort_gaussian(self.num_units, self.expected_batch_size, z)
        if self.can_overflow:
            return accounting.truncated_gaussian(self.num_units, q, self.batch_capacity, z)
        if self.rows_per_unit > 1:
            return accounting.copies_gaussian(q, z, self.rows_per_unit)
        return accounting.poisson_gaussian(q, z)

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
            return accounting.nothing()
        return self.step_event

    def num_events(self, steps: int) -> int:
        """Number of events `step_event` in the first `steps` steps."""
        return math.ceil(steps / self.steps_per_epoch) if self.epoch_is_one_event else steps

    @property
    def dp_event(self) -> "DpEvent":
        """The event of the whole planned run."""
        return accounting.repeated(self.step_event, self.num_events(self.iterations))

    def as_dict(self) -> dict[str, Any]:
        """The plan as JSON-serializable values, for the log and for comparing plans.

        Contains no key of a random stream.
        """
        return asdict(self) | {name: str(v) for name, v in asdict(self).items() if v == math.inf}


@settings
class PrivacySpec:
    """The settings of a privacy guarantee; `plan` makes a plan of them for a training set.

    Attributes:
      noise_multiplier: noise divided by clip; 0 clips without noise and gives no guarantee.
        Exclusive with `target_epsilon`.
      target_epsilon: the noise is calibrated to at most this ε, and training never exceeds it.
      l2_norm_clip: largest L2 norm of one unit's contribution.
      delta: δ; None uses `default_delta`, the largest power of ten that is at most 0.01 / units.
      unit: `beat` (including all its augmented views), `record` or `patient`.
      group: None: the unit `beat` is one row, and rows that contain the R peak of another beat
        are refused. `overlap`: all rows that contain one R peak are one unit, accounted for as a
        mixture of Gaussians.
      accountant: `pld`: the smaller of the PLD (near-tight) and RDP bounds; `rdp`: the RDP bound.
        Both are logged.
      max_epsilon: the privacy budget: training stops before the step that would exceed it; None:
        `target_epsilon` if it is set.
      noise_seed: makes the noise repeatable, hence removable: the run is a simulation and has no
        privacy guarantee.
      sampling: see `PrivacyPlan`.
      batch_capacity: None uses `safe_capacity`. A smaller one truncates large batches, and the
        accounting includes this.
      hypothetical_population: units of a larger, hypothetical population for which ε is reported
        beside the guarantee; see `privacy.hypothetical`.
      publish: `covered`: outputs that depend on training beats and are not covered by ε are kept
        in the run's folder `private/` (see `privacy.outputs`). `all` publishes them too, for
        research on public data, and the statement says so first.
    """

    noise_multiplier: NonNegative | None = Field(default=None, examples=[1.1])
    target_epsilon: Positive | None = Field(default=None, examples=[3.0])
    l2_norm_clip: Annotated[Number, Field(ge=1e-12, le=1e9)] = 1.0
    delta: Annotated[float, BeforeValidator(no_bool), Field(gt=0, lt=1)] | None = None
    unit: Unit = "beat"
    accountant: AccountantName = "pld"
    max_epsilon: Positive | None = None
    noise_seed: Seed | None = None
    sampling: Sampling = "poisson"
    batch_capacity: Count | None = None
    hypothetical_population: Annotated[Whole, Field(ge=1, le=10**12)] | None = None
    publish: Literal["covered", "all"] = "covered"
    group: Group | None = None

    @property
    def is_private(self) -> bool:
        """See `Privacy`."""
        return True

    @property
    def may_have_privacy_guarantee(self) -> bool:
        """Whether a run with these settings may state an ε: it has noise without a seed."""
        is_noisy = self.noise_multiplier is None or self.noise_multiplier >= LEAST_NOISE
        return is_noisy and self.noise_seed is None

    def __post_init__(self):
        if self.group is not None:
            self._check_group()
        if self.delta is not None:
            _check_resolved(self.delta)
        if self.noise_multiplier is None and self.target_epsilon is None:
            raise ConfigError(
                "privacy.noise_multiplier=null and privacy.target_epsilon=null: one of them must "
                "be set; use privacy.noise_multiplier=1.1 or privacy.target_epsilon=3."
            )
        if self.noise_multiplier is not None and self.target_epsilon is not None:
            raise ConfigError(
                f"privacy.noise_multiplier={self.noise_multiplier:g} and "
                f"privacy.target_epsilon={self.target_epsilon:g} "
                "contradict each other; set one of them to null, e.g. privacy.target_epsilon=null."
            )
        if (
            self.target_epsilon is not None
            and self.max_epsilon is not None
            and self.max_epsilon < self.target_epsilon
        ):
            raise ConfigError(
                f"privacy.max_epsilon={self.max_epsilon:g} is below privacy.target_epsilon="
                f"{self.target_epsilon:g}, so training would stop early; use "
                f"privacy.target_epsilon={self.max_epsilon:g}."
            )
        if self.sampling == "fixed" and self.accountant == "pld":
            raise ConfigError(
                "privacy.sampling=fixed has no PLD bound; use privacy.accountant=rdp, or "
                "privacy.sampling=poisson."
            )
        if self.batch_capacity is not None and self.sampling != "poisson":
            raise ConfigError(
                f"privacy.batch_capacity={self.batch_capacity} requires privacy.sampling=poisson; "
                f"with privacy.sampling={self.sampling} use privacy.batch_capacity=null."
            )

    def _check_group(self) -> None:
        """Check that a group has the unit beat, Poisson batches without truncation, and PLD."""
        wrong = {
            f"privacy.unit={self.unit}": (
                self.unit != "beat",
                "privacy.group=null, since all rows of the unit count as one",
            ),
            f"privacy.accountant={self.accountant}": (
                self.accountant != "pld",
                "privacy.accountant=pld",
            ),
            f"privacy.sampling={self.sampling}": (
                self.sampling != "poisson",
                "privacy.sampling=poisson",
            ),
            f"privacy.batch_capacity={self.batch_capacity}": (
                self.batch_capacity is not None,
                "privacy.batch_capacity=null",
            ),
        }
        for setting, (is_wrong, remedy) in wrong.items():
            if is_wrong:
                raise ConfigError(
                    f"privacy.group={self.group}: the rows of a heartbeat cannot be accounted for "
                    f"with {setting}; use {remedy}."
                )

    def plan(
        self,
        *,
        num_units: int,
        expected_batch_size: int,
        epochs: int | None = None,
        iterations: int | None = None,
        batch_setting: str = "trainer.expected_batch_size",
        overlap: Overlap | None = None,
        sampling: Sampling | None = None,
    ) -> PrivacyPlan:
        """Make the plan for a training set of `num_units`.

        Exactly one of `epochs` and `iterations` is given.

        Args:
          num_units: beats, records or patients, depending on `unit`.
          expected_batch_size: mean number of units in a batch or cohort.
          epochs: passes; each has ceil(num_units / expected_batch_size) steps.
          iterations: steps or rounds.
          batch_setting: the setting of `expected_batch_size`, as the user writes it, for messages.
          overlap: overlap of the windows of the training rows, if the unit is the beat; None:
            they do not overlap.
          sampling: how the trainer draws; not used, because `self.sampling` decides and the trainer
            has checked that it is the same.

        Returns:
          The plan, with calibrated noise if `target_epsilon` is set.

        Raises:
          ConfigError: δ is not below 1 / num_units or too small to be accounted for, the batch is
            larger than the training set, the hypothetical population is smaller than it, one
            heartbeat is in several rows, or no noise achieves the target.
        """
        steps = _iterations(num_units, expected_batch_size, epochs, iterations, batch_setting)
        delta = self.delta if self.delta is not None else default_delta(num_units)
        _check_delta(delta, num_units, self.unit)
        overlap = (
            overlap if overlap is not None and self.unit == "beat" else Overlap(rows=num_units)
        )
        if self.hypothetical_population is not None:
            check_population(self.hypothetical_population, num_units, self.unit)
        capacity = safe_capacity(num_units, expected_batch_size)
        if self.batch_capacity is not None:
            capacity = _checked_capacity(
                self.batch_capacity, num_units, expected_batch_size, batch_setting
            )
        if self.sampling == "fixed":
            capacity = expected_batch_size
        cap = self.max_epsilon if self.max_epsilon is not None else self.target_epsilon

        def with_noise(noise_multiplier: float) -> PrivacyPlan:
            return PrivacyPlan(
                num_units=num_units,
                expected_batch_size=expected_batch_size,
                batch_capacity=capacity,
                iterations=steps,
                noise_multiplier=noise_multiplier,
                l2_norm_clip=self.l2_norm_clip,
                delta=delta,
                unit=self.unit,
                sampling=self.sampling,
                accountant=self.accountant,
                max_epsilon=math.inf if cap is None else cap,
                noise_seed=self.noise_seed,
                hypothetical_population=self.hypothetical_population,
                rows_per_unit=1 if self.group is None else overlap.rows_per_peak,
                overlapping_rows=overlap.rows_per_beat,
            )

        if self.group is None and (
            self.noise_multiplier is None or with_noise(self.noise_multiplier).is_private
        ):
            _check_overlap(overlap)
        if self.noise_multiplier is not None:
            return with_noise(self.noise_multiplier)
        from ecgexp.privacy.calibration import calibrate_noise

        noise = calibrate_noise(
            lambda z: with_noise(z).dp_event,
            cast(float, self.target_epsilon),  # set where `noise_multiplier` is not
            delta,
            self.accountant,
            with_noise(1.0).neighboring_relation,
        )
        return with_noise(noise)


@settings
class NotPrivate:
    """No privacy guarantee: a plan with an infinite clip and no noise."""

    @property
    def is_private(self) -> bool:
        """See `Privacy`."""
        return False

    @property
    def may_have_privacy_guarantee(self) -> bool:
        """See `Privacy`."""
        return False

    @property
    def unit(self) -> Unit:
        """The beat, which is what a trainer without privacy draws."""
        return "beat"

    @property
    def sampling(self) -> Sampling:
        """The default of `plan`."""
        return "poisson"

    @property
    def publish(self) -> Literal["covered", "all"]:
        """Nothing is withheld."""
        return "all"

    def plan(
        self,
        *,
        num_units: int,
        expected_batch_size: int,
        epochs: int | None = None,
        iterations: int | None = None,
        batch_setting: str = "trainer.expected_batch_size",
        overlap: Overlap | None = None,
        sampling: Sampling | None = None,
        unit: Unit = "beat",
    ) -> PrivacyPlan:
        """Make the plan of a run without privacy; its batches are drawn from the run's seed.

        Args:
          num_units: units in the training set.
          expected_batch_size: mean number of units in a batch or cohort.
          epochs: passes; exclusive with `iterations`.
          iterations: steps or rounds.
          batch_setting: the setting of `expected_batch_size`, as the user writes it, for messages.
          overlap: not used.
          sampling: how the trainer draws its batches or cohorts; None: `self.sampling`.
          unit: what is drawn.

        Returns:
          The plan.

        Raises:
          ConfigError: the batch is larger than the training set.
        """
        steps = _iterations(num_units, expected_batch_size, epochs, iterations, batch_setting)
        sampling = self.sampling if sampling is None else sampling
        fixed = sampling == "fixed"
        return PrivacyPlan(
            num_units=num_units,
            expected_batch_size=expected_batch_size,
            batch_capacity=expected_batch_size
            if fixed
            else safe_capacity(num_units, expected_batch_size),
            iterations=steps,
            noise_multiplier=0.0,
            l2_norm_clip=math.inf,
            delta=default_delta(num_units),
            unit=unit,
            sampling=sampling,
            accountant="rdp" if fixed else "pld",
            max_epsilon=math.inf,
            noise_seed=None,
        )


def default_delta(num_units: int) -> float:
    """Return the largest power of ten that is at most 0.01 / num_units, found in exact integers.

    A mechanism that publishes each unit unchanged with probability δ is (0, δ)-private, and
    publishes num_units · δ units on average: with this default, at most a hundredth of one.
    """
    return float(f"1e-{len(str(100 * num_units - 1))}")


def safe_capacity(num_units: int, expected_batch_size: int) -> int:
    """Return a size that a Poisson batch exceeds with a probability below 1e-15.

    It is max(1.5 B, B + 10 √B + 10) for a mean of B, and at most `num_units`. With this capacity
    no batch is truncated, whatever its size, so the plain Poisson event is exact and nothing is
    added to δ. A smaller capacity truncates batches, in which one beat can displace another; that
    is a different event, `accounting.truncated_gaussian`.
    """
    mean = expected_batch_size
    return min(num_units, math.ceil(max(1.5 * mean, mean + 10 * math.sqrt(mean) + 10)))


def check_population(population: int, num_units: int, unit: Unit) -> None:
    """Check that a hypothetical population is no smaller than the training set and has a usable δ.

    Args:
      population: units of the hypothetical population.
      num_units: units of the training set.
      unit: unit of privacy, for the message.

    Raises:
      ConfigError: it is smaller, or its default δ is too small to be accounted for.
    """
    if population < num_units:
        raise ConfigError(
            f"privacy.hypothetical_population={population} is below the {num_units} {unit}s of the "
            "training set, and the hypothetical population must be larger; use "
            "privacy.hypothetical_population=10000, or privacy.hypothetical_population=null."
        )
    if default_delta(population) < SMALLEST_DELTA:
        raise ConfigError(
            f"privacy.hypothetical_population={population} has a δ of "
            f"{default_delta(population):g}, and none below {SMALLEST_DELTA:g} can be accounted "
            "for; use privacy.hypothetical_population=10000000000 at most, or "
            "privacy.hypothetical_population=null."
        )


def _iterations(
    num_units: int, batch: int, epochs: int | None, iterations: int | None, batch_setting: str
) -> int:
    given = epochs if iterations is None else iterations
    if given is None or (epochs is not None and iterations is not None):
        raise ValueError("give exactly one of epochs and iterations")
    if num_units < 1 or not 1 <= batch <= num_units:
        raise ConfigError(
            f"{batch_setting}={batch} must be between 1 and the {num_units} units of the training "
            f"set; use {batch_setting}={max(1, num_units // 4)}."
        )
    return given if epochs is None else given * math.ceil(num_units / batch)


def _check_resolved(delta: float) -> None:
    if delta < SMALLEST_DELTA:
        raise ConfigError(
            f"privacy.delta={delta:g} is too small for the accountants, which count the tails that "
            f"they cut off as δ; use privacy.delta={SMALLEST_DELTA:g}, the smallest that can be "
            "accounted for, or a larger one."
        )


def _check_delta(delta: float, num_units: int, unit: Unit) -> None:
    """Check δ: below 1 / units, and large enough to be accounted for; warn above 0.01 / units.

    The default satisfies all three for up to 10^10 units.
    """
    advice = f"use privacy.delta={max(default_delta(num_units), SMALLEST_DELTA):g}."
    exact = Decimal(repr(delta))
    if exact * num_units >= 1:
        raise ConfigError(
            f"privacy.delta={delta:g} must be below 1/{num_units} because the unit of privacy is "
            f"the {unit}; {advice}"
        )
    _check_resolved(delta)
    if exact * num_units > _LARGEST_N_DELTA:
        product = f"privacy.delta={delta:g} times {num_units} units is {num_units * delta:.2g}"
        warnings.warn(
            f"{product}, above 0.01: a mechanism that publishes a whole {unit} with that "
            f"probability would satisfy the guarantee. A smaller δ is a stronger one; {advice}",
            stacklevel=2,  # attributed to this file, whose warnings `outputs.TABLE` publishes
        )


def _check_overlap(overlap: Overlap) -> None:
    """Check that no row contains the R peak of another beat, where the unit is one row.

    The error message is published, so it contains only what is assumed to be public. The details
    are in the log, which is withheld.
    """
    if overlap.rows_with_other_peak:
        longest = max(1, math.floor(overlap.nearest_ms))
        _log.warning(
            "%d of %d training rows contain the R peak of another beat (%s); with "
            "dataset.window_ms=[%d,%d] none does",
            overlap.rows_with_other_peak,
            overlap.rows,
            overlap.where,
            longest,
            longest,
        )
        raise ConfigError(
            "privacy.unit=beat protects one row, and training rows contain the R peaks of other "
            f"beats, so that one heartbeat is in up to {overlap.rows_per_peak} rows (which ones is "
            "logged in private/ecgexp.log of the run's folder); use a dataset.window_ms that is "
            "shorter than every RR interval, privacy.group=overlap, which accounts for these rows "
            "together, or privacy.unit=patient."
        )


def _checked_capacity(
    capacity: int, num_units: int, expected_batch_size: int, batch_setting: str
) -> int:
    if capacity < expected_batch_size:
        raise ConfigError(
            f"privacy.batch_capacity={capacity} is below {batch_setting}={expected_batch_size}, so "
            "half of the batches would be truncated; use "
            f"privacy.batch_capacity={math.ceil(1.5 * expected_batch_size)}."
        )
    return min(capacity, num_units)
