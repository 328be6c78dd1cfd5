"""One frozen plan from which the sampler, the noise and the price follow; nothing else may hold their numbers."""

import logging
import math
import warnings
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
"""Noise over clip below which a run counts as one without noise: float32 sums of contributions round it away."""

_LARGEST_N_DELTA = Decimal("0.01")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PrivacyPlan:
    """Everything that decides what a run does to one unit of privacy.

    A run without privacy is the same plan with an infinite clip, no noise and an event of infinite price.

    Attributes:
      num_units: units in the training set, held to be public.
      expected_batch_size: mean number of units in a batch or cohort; the constant divisor of every sum.
      batch_capacity: most units a batch can hold if `can_overflow`; else nothing is ever cut; see `safe_capacity`.
      iterations: noisy steps.
      noise_multiplier: standard deviation of the noise on the sum, over the clip.
      l2_norm_clip: largest norm of one unit's contribution.
      delta: the δ of the promise.
      unit: what one unit is.
      sampling: `poisson`: each unit enters each batch on its own; `shuffle`: each unit enters exactly one batch of each
        epoch, priced without amplification; `fixed`: cohorts of constant size without replacement, neighbours by
        replacement.
      accountant: whose ε is the promise.
      max_epsilon: training stops before the step that would exceed it; infinite: no cap.
      noise_seed: None: noise and samples from the operating system's entropy. A number makes the run a simulation.
      hypothetical_population: units of a hypothetical population that the statement projects to; decides nothing that runs.
      rows_per_unit: rows that one heartbeat is accounted for, each sampled and clipped on its own; 1 without `privacy.group`.
      overlapping_rows: the most rows that share samples with one heartbeat's window, for the ε beside that of a row; decides
        nothing that runs.
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
        """Whether the mechanism has a finite price at all."""
        return self.noise_multiplier >= LEAST_NOISE and math.isfinite(self.l2_norm_clip)

    @property
    def is_simulation(self) -> bool:
        """Whether the noise can be recomputed from a seed, so that the mechanism hides nothing."""
        return self.is_private and self.noise_seed is not None

    @property
    def has_privacy_guarantee(self) -> bool:
        """Whether the run may state an ε as a promise."""
        return self.is_private and not self.is_simulation

    @property
    def sampling_probability(self) -> float:
        """Chance that a given unit enters a given batch."""
        return self.expected_batch_size / self.num_units

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which a unit is expected about once."""
        return math.ceil(self.num_units / self.expected_batch_size)

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise on each coordinate of the *sum* of clipped contributions."""
        return self.noise_multiplier * self.l2_norm_clip if self.is_private else 0.0

    @property
    def divisor(self) -> float:
        """What the noised sum is divided by: constant, never the number of units drawn."""
        return float(self.expected_batch_size)

    @property
    def neighboring_relation(self) -> NeighboringRelation:
        """Which data sets the promise compares."""
        return "replace_one" if self.sampling == "fixed" else "add_or_remove_one"

    @property
    def can_overflow(self) -> bool:
        """Whether a Poisson batch is cut to its capacity often enough to be priced."""
        return self.sampling == "poisson" and self.batch_capacity < safe_capacity(
            self.num_units, self.expected_batch_size
        )

    @property
    def step_event(self) -> "DpEvent":
        """What one step does to one unit; under `shuffle`, what the steps of one epoch do together."""
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
        """Whether the steps of an epoch are one event, because they share one secret order of the units.

        Then the epoch is the unit of resuming too: who resumes within it draws another order, by which a unit may enter twice.
        """
        return self.sampling == "shuffle" and self.is_private

    def event_at(self, step: int) -> "DpEvent":
        """What the 0-based `step` adds to the bill. A shuffled epoch is paid for by its first step."""
        if self.epoch_is_one_event and step % self.steps_per_epoch:
            return accounting.nothing()
        return self.step_event

    def num_events(self, steps: int) -> int:
        """Events `step_event` that the first `steps` steps add to the bill."""
        return math.ceil(steps / self.steps_per_epoch) if self.epoch_is_one_event else steps

    @property
    def dp_event(self) -> "DpEvent":
        """What the whole planned run does to one unit."""
        return accounting.repeated(self.step_event, self.num_events(self.iterations))

    def as_dict(self) -> dict[str, Any]:
        """The plan as JSON-able values, for the log and for telling plans apart. Holds no key of any random stream."""
        return asdict(self) | {name: str(v) for name, v in asdict(self).items() if v == math.inf}


@settings
class PrivacySpec:
    """The promise as it is typed; becomes a plan when the training set is known.

    Attributes:
      noise_multiplier: noise over clip; 0 clips without noise and promises nothing. Exclusive with `target_epsilon`.
      target_epsilon: the noise is calibrated to at most this ε, and training never exceeds it.
      l2_norm_clip: largest norm of one unit's contribution.
      delta: δ; None takes `default_delta`, the largest power of ten that is at most 0.01 / units.
      unit: `beat` (all its augmented views included), `record` or `patient`.
      group: None: the unit `beat` is one row, and is refused where a row holds the R peak of another beat. `overlap`: all rows
        that hold one R peak are one unit, accounted for as a mixture of Gaussians.
      accountant: `pld`: the smaller of the bounds by PLD (tight) and RDP; `rdp`: that of RDP. Both are logged.
      max_epsilon: training stops before the step that would exceed it; None: `target_epsilon` if there is one.
      noise_seed: makes the noise repeatable, hence removable: the run is a simulation and claims nothing.
      sampling: see `PrivacyPlan`.
      batch_capacity: None takes `safe_capacity`. A smaller one cuts large batches, and is priced as such.
      hypothetical_population: units of a larger, hypothetical population for which ε is projected beside the promise; see
        `privacy.hypothetical_population`.
      publish: `covered`: what tells of training beats and is not covered by ε is kept in the run's folder `private/` (see
        `privacy.outputs`); `all` publishes it too, for research on public data, and the statement says so first.
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
    def may_have_privacy_guarantee(self) -> bool:
        """Whether a run with these settings may state an ε: there is noise, and it cannot be recomputed from a seed."""
        is_noisy = self.noise_multiplier is None or self.noise_multiplier >= LEAST_NOISE
        return is_noisy and self.noise_seed is None

    def __post_init__(self):
        if self.group is not None:
            self._check_group()
        if self.delta is not None:
            _check_resolved(self.delta)
        if self.noise_multiplier is None and self.target_epsilon is None:
            raise ConfigError(
                "privacy needs a noise or a budget: type privacy.noise_multiplier=1.1 or privacy.target_epsilon=3."
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
                f"privacy.max_epsilon={self.max_epsilon:g} is below privacy.target_epsilon={self.target_epsilon:g}, so "
                f"training would stop early; type privacy.target_epsilon={self.max_epsilon:g}."
            )
        if self.sampling == "fixed" and self.accountant == "pld":
            raise ConfigError(
                "privacy.sampling=fixed has no PLD price; type privacy.accountant=rdp, or privacy.sampling=poisson."
            )
        if self.batch_capacity is not None and self.sampling != "poisson":
            raise ConfigError(
                f"privacy.batch_capacity={self.batch_capacity} is for privacy.sampling=poisson; with "
                f"privacy.sampling={self.sampling} type privacy.batch_capacity=null."
            )

    def _check_group(self) -> None:
        """A group is of beats' rows, each sampled on its own and never cut, and only PLD knows its event."""
        wrong = {
            f"privacy.unit={self.unit}": (self.unit != "beat", "privacy.group=null, since all rows of the unit count as one"),
            f"privacy.accountant={self.accountant}": (self.accountant != "pld", "privacy.accountant=pld"),
            f"privacy.sampling={self.sampling}": (self.sampling != "poisson", "privacy.sampling=poisson"),
            f"privacy.batch_capacity={self.batch_capacity}": (self.batch_capacity is not None, "privacy.batch_capacity=null"),
        }  # fmt: skip
        for setting, (is_wrong, remedy) in wrong.items():
            if is_wrong:
                raise ConfigError(
                    f"privacy.group={self.group}: the rows of a heartbeat are not accounted for with {setting}; use {remedy}."
                )

    def plan(
        self, *, num_units: int, expected_batch_size: int, epochs: int | None = None, iterations: int | None = None,
        batch_setting: str = "trainer.expected_batch_size", overlap: Overlap | None = None,
    ) -> PrivacyPlan:  # fmt: skip
        """The plan for a training set of `num_units`.

        Args:
          num_units: beats, records or patients, by `unit`.
          expected_batch_size: units in a batch or cohort, on average.
          epochs: passes; each has ceil(num_units / expected_batch_size) steps. Or:
          iterations: steps or rounds.
          batch_setting: what the user types to set `expected_batch_size`, for the words of a refusal.
          overlap: of the windows of the training rows, where the unit is the beat; None: they do not overlap.

        Raises:
          ConfigError: δ is not below 1 / num_units or too small to be accounted for, the batch does not fit, the population is
            smaller than the training set, one heartbeat is in several rows, or the target cannot be reached.
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
                num_units=num_units, expected_batch_size=expected_batch_size, batch_capacity=capacity, iterations=steps,
                noise_multiplier=noise_multiplier, l2_norm_clip=self.l2_norm_clip, delta=delta, unit=self.unit,
                sampling=self.sampling, accountant=self.accountant, max_epsilon=math.inf if cap is None else cap,
                noise_seed=self.noise_seed, hypothetical_population=self.hypothetical_population,
                rows_per_unit=1 if self.group is None else overlap.rows_per_peak, overlapping_rows=overlap.rows_per_beat,
            )  # fmt: skip

        if self.group is None and (
            self.noise_multiplier is None or with_noise(self.noise_multiplier).is_private
        ):
            _check_overlap(overlap)
        if self.noise_multiplier is not None:
            return with_noise(self.noise_multiplier)
        from ecgexp.privacy.calibration import calibrate_noise

        noise = calibrate_noise(
            lambda z: with_noise(z).dp_event,
            self.target_epsilon,
            delta,
            self.accountant,
            with_noise(1.0).neighboring_relation,
        )
        return with_noise(noise)


@settings
class NotPrivate:
    """No promise: the same plan with an infinite clip and no noise."""

    def plan(
        self, *, num_units: int, expected_batch_size: int, epochs: int | None = None, iterations: int | None = None,
        batch_setting: str = "trainer.expected_batch_size", sampling: Sampling = "poisson", unit: Unit = "beat",
    ) -> PrivacyPlan:  # fmt: skip
        """See `PrivacySpec.plan`; batches are drawn from the run's seed.

        Args:
          num_units: see `PrivacySpec.plan`, as for the three that follow.
          expected_batch_size: units in a batch or cohort, on average.
          epochs: passes, or:
          iterations: steps or rounds.
          batch_setting: what the user types to set `expected_batch_size`.
          sampling: how the trainer draws its batches or cohorts; nothing is promised of it.
          unit: what is drawn.
        """
        steps = _iterations(num_units, expected_batch_size, epochs, iterations, batch_setting)
        fixed = sampling == "fixed"
        return PrivacyPlan(
            num_units=num_units, expected_batch_size=expected_batch_size,
            batch_capacity=expected_batch_size if fixed else safe_capacity(num_units, expected_batch_size),
            iterations=steps, noise_multiplier=0.0, l2_norm_clip=math.inf, delta=default_delta(num_units), unit=unit,
            sampling=sampling, accountant="rdp" if fixed else "pld", max_epsilon=math.inf, noise_seed=None,
        )  # fmt: skip


def default_delta(num_units: int) -> float:
    """The largest power of ten that is at most 0.01 / num_units, found in exact integers.

    A mechanism that publishes each unit as it is with probability δ is (0, δ)-private, and publishes num_units · δ of them on
    average: by default at most a hundredth of one.
    """
    return float(f"1e-{len(str(100 * num_units - 1))}")


def safe_capacity(num_units: int, expected_batch_size: int) -> int:
    """Rows that a Poisson batch of this mean fills with a chance below 1e-15: max(1.5 B, B + 10 √B + 10), at most all.

    From here on nothing is cut, so that every batch is the plain event's and δ has nothing to cover. A smaller capacity cuts
    batches, in which a beat that entered pushes another out: that is another event, `accounting.truncated_gaussian`.
    """
    mean = expected_batch_size
    return min(num_units, math.ceil(max(1.5 * mean, mean + 10 * math.sqrt(mean) + 10)))


def check_population(population: int, num_units: int, unit: Unit) -> None:
    """Refuses a population that the training set is larger than, or whose δ would be too small to be accounted for.

    Raises:
      ConfigError: saying what to type instead.
    """
    if population < num_units:
        raise ConfigError(
            f"privacy.hypothetical_population={population} is below the {num_units} {unit}s of the training set, and ε is projected "
            "to larger populations only; type privacy.hypothetical_population=10000, or privacy.hypothetical_population=null."
        )
    if default_delta(population) < SMALLEST_DELTA:
        raise ConfigError(
            f"privacy.hypothetical_population={population} takes a δ of {default_delta(population):g}, and none below {SMALLEST_DELTA:g} can "
            "be accounted for; use privacy.hypothetical_population=10000000000 at most, or privacy.hypothetical_population=null."
        )


def _iterations(
    num_units: int, batch: int, epochs: int | None, iterations: int | None, batch_setting: str
) -> int:
    if (epochs is None) == (iterations is None):
        raise ValueError("give exactly one of epochs and iterations")
    if num_units < 1 or not 1 <= batch <= num_units:
        raise ConfigError(
            f"{batch_setting}={batch} must be between 1 and the {num_units} units of the training set; try "
            f"{batch_setting}={max(1, num_units // 4)}."
        )
    return iterations if iterations is not None else epochs * math.ceil(num_units / batch)


def _check_resolved(delta: float) -> None:
    if delta < SMALLEST_DELTA:
        raise ConfigError(
            f"privacy.delta={delta:g} is smaller than the accountants resolve, whose own tails are counted as δ; use "
            f"privacy.delta={SMALLEST_DELTA:g}, the smallest that can be accounted for, or a larger one."
        )


def _check_delta(delta: float, num_units: int, unit: Unit) -> None:
    """The one rule of δ: below 1 / units, large enough to be accounted for, and a warning above 0.01 / units.

    The default keeps all three for up to 10^10 units.
    """
    advice = f"try privacy.delta={max(default_delta(num_units), SMALLEST_DELTA):g}."
    exact = Decimal(repr(delta))
    if exact * num_units >= 1:
        raise ConfigError(
            f"privacy.delta={delta:g} must be below 1/{num_units} because the unit of privacy is the {unit}; {advice}"
        )
    _check_resolved(delta)
    if exact * num_units > _LARGEST_N_DELTA:
        message = f"privacy.delta={delta:g} times {num_units} units is {num_units * delta:.2g}, above 0.01: a mechanism "
        warnings.warn(
            message
            + f"that publishes a whole {unit} with that chance would pass. A smaller δ promises more; {advice}",
            stacklevel=2,  # named by this file, whose warnings the table of outputs publishes
        )


def _check_overlap(overlap: Overlap) -> None:
    """Refuses rows of which several show one heartbeat, where the guarantee is one to a row.

    The refusal is published, so it tells of the rows only what is held to be public; the log, which is withheld, tells the rest.
    """
    if overlap.rows_with_other_peak:
        longest = max(1, math.floor(overlap.nearest_ms))
        _log.warning(
            "%d of %d training rows hold the R peak of another beat (%s); windows of dataset.window_ms=[%d,%d] hold none",
            overlap.rows_with_other_peak, overlap.rows, overlap.where, longest, longest,
        )  # fmt: skip
        raise ConfigError(
            "privacy.unit=beat protects one row, and training rows hold the R peaks of other beats, so that one heartbeat is in "
            f"up to {overlap.rows_per_peak} rows (the log says which: private/ecgexp.log of the run's folder); use a "
            "dataset.window_ms that is shorter than every RR interval, privacy.group=overlap, which accounts for these rows "
            "together, or privacy.unit=patient."
        )


def _checked_capacity(
    capacity: int, num_units: int, expected_batch_size: int, batch_setting: str
) -> int:
    if capacity < expected_batch_size:
        raise ConfigError(
            f"privacy.batch_capacity={capacity} is below {batch_setting}={expected_batch_size}, so half of the "
            f"batches would be cut; try privacy.batch_capacity={math.ceil(1.5 * expected_batch_size)}."
        )
    return min(capacity, num_units)
