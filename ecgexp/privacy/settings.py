"""The privacy settings: a privacy guarantee, or none; both make the plan for a training set."""

import math
from typing import Annotated, Literal, cast

from pydantic import BeforeValidator, Field

from ecgexp.privacy.accounting import AccountantName
from ecgexp.privacy.calibration import calibrate_noise, check_target
from ecgexp.privacy.plan import (
    LEAST_NOISE,
    PrivacyPlan,
    Sampling,
    Unit,
    default_delta,
    safe_capacity,
)
from ecgexp.privacy.plan_checks import (
    check_delta,
    check_population,
    check_resolved,
    checked_capacity,
    planned_steps,
)
from ecgexp.privacy.unit_checks import Overlap, check_overlap
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

Group = Literal["overlap"]


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

    Example:
      >>> spec = PrivacySpec(noise_multiplier=1.1)
      >>> plan = spec.plan(num_units=50_000, expected_batch_size=500, epochs=2)
      >>> plan.iterations, plan.delta, plan.unit, plan.has_privacy_guarantee
      (200, 1e-07, 'beat', True)
      >>> PrivacySpec(noise_multiplier=1.1, noise_seed=0).may_have_privacy_guarantee  # a simulation
      False
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
            check_resolved(self.delta)
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
        if self.target_epsilon is not None:
            check_target(self.target_epsilon)
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
        steps = planned_steps(num_units, expected_batch_size, epochs, iterations, batch_setting)
        delta = self.delta if self.delta is not None else default_delta(num_units)
        check_delta(delta, num_units, self.unit)
        overlap = (
            overlap if overlap is not None and self.unit == "beat" else Overlap(rows=num_units)
        )
        if self.hypothetical_population is not None:
            check_population(self.hypothetical_population, num_units, self.unit)
        capacity = safe_capacity(num_units, expected_batch_size)
        if self.batch_capacity is not None:
            capacity = checked_capacity(
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
                overlap_is_known=overlap.is_known,
            )

        if self.group is not None and not overlap.is_known:
            raise ConfigError(
                f"privacy.group={self.group}: which rows have a heartbeat in common is unknown, "
                "since they were not cut here; use privacy.group=null, for one row."
            )
        if self.group is None and (
            self.noise_multiplier is None or with_noise(self.noise_multiplier).is_private
        ):
            check_overlap(overlap)
        if self.noise_multiplier is not None:
            return with_noise(self.noise_multiplier)
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
    """No privacy guarantee: a plan with an infinite clip and no noise.

    Example:
      >>> NotPrivate().plan(num_units=1000, expected_batch_size=50, epochs=1).has_privacy_guarantee
      False
    """

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
        steps = planned_steps(num_units, expected_batch_size, epochs, iterations, batch_setting)
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
