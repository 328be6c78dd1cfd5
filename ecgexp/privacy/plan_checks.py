"""Checks of the numbers of a plan: its δ, steps and batches, for a training set of some size."""

import math
import warnings
from decimal import Decimal

from ecgexp.privacy.accounting import SMALLEST_DELTA
from ecgexp.privacy.plan import Unit, default_delta
from ecgexp.settings.declaration import ConfigError

_LARGEST_N_DELTA = Decimal("0.01")


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


def planned_steps(
    num_units: int, batch: int, epochs: int | None, iterations: int | None, batch_setting: str
) -> int:
    """Return the number of steps of a run, and check its batch size.

    Args:
      num_units: units in the training set.
      batch: mean number of units in a batch or cohort.
      epochs: passes; exclusive with `iterations`.
      iterations: steps or rounds.
      batch_setting: the setting of `batch`, as the user writes it, for messages.

    Raises:
      ConfigError: the batch is larger than the training set.
    """
    given = epochs if iterations is None else iterations
    if given is None or (epochs is not None and iterations is not None):
        raise ValueError("give exactly one of epochs and iterations")
    if num_units < 1 or not 1 <= batch <= num_units:
        raise ConfigError(
            f"{batch_setting}={batch} must be between 1 and the {num_units} units of the training "
            f"set; use {batch_setting}={max(1, num_units // 4)}."
        )
    return given if epochs is None else given * math.ceil(num_units / batch)


def check_resolved(delta: float) -> None:
    """Check that δ is large enough to be accounted for.

    Raises:
      ConfigError: it is not.
    """
    if delta < SMALLEST_DELTA:
        raise ConfigError(
            f"privacy.delta={delta:g} is too small for the accountants, which count the tails that "
            f"they cut off as δ; use privacy.delta={SMALLEST_DELTA:g}, the smallest that can be "
            "accounted for, or a larger one."
        )


def check_delta(delta: float, num_units: int, unit: Unit) -> None:
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
    check_resolved(delta)
    if exact * num_units > _LARGEST_N_DELTA:
        product = f"privacy.delta={delta:g} times {num_units} units is {num_units * delta:.2g}"
        warnings.warn(
            f"{product}, above 0.01: a mechanism that publishes a whole {unit} with that "
            f"probability would satisfy the guarantee. A smaller δ is a stronger one; {advice}",
            stacklevel=2,  # attributed to the caller, in this package: `outputs.TABLE` publishes it
        )


def checked_capacity(
    capacity: int, num_units: int, expected_batch_size: int, batch_setting: str
) -> int:
    """Return the size to which batches are truncated, and check that few are.

    Args:
      capacity: `privacy.batch_capacity`.
      num_units: units in the training set.
      expected_batch_size: mean number of units in a batch.
      batch_setting: the setting of `expected_batch_size`, as the user writes it, for messages.

    Returns:
      The capacity, at most `num_units`.

    Raises:
      ConfigError: it is below the mean.
    """
    if capacity < expected_batch_size:
        raise ConfigError(
            f"privacy.batch_capacity={capacity} is below {batch_setting}={expected_batch_size}, so "
            "half of the batches would be truncated; use "
            f"privacy.batch_capacity={math.ceil(1.5 * expected_batch_size)}."
        )
    return min(capacity, num_units)
