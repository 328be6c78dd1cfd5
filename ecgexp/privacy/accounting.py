"""ε of privacy events, by the accountants of dp_accounting.

An accountant computes ε for a composition of the events of `dp_events`. This module does not depend
on plans, samplers or training. dp_accounting takes more than a second to import, so the functions
that need it import it.
"""

import contextlib
import logging
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from ecgexp.privacy import dp_events
from ecgexp.settings.declaration import ConfigError

if TYPE_CHECKING:
    from dp_accounting import DpEvent

AccountantName = Literal["pld", "rdp"]
NeighboringRelation = Literal["add_or_remove_one", "replace_one"]

# Loss grid of the reported PLD value. Where ε is above 10 the grid grows with it (about 1e5 points
# up to ε): the result remains an upper bound, and a large ε is computed in seconds.
INTERVAL = 1e-4
_EPSILON_AT_INTERVAL = 10.0

# A mixture takes about ten times as long as a Gaussian on the same grid, and the error is about
# twice steps · grid². Its grid is chosen so that this error is below the given fraction of ε, which
# is first estimated on a coarse grid.
_MIXTURE_ERROR, _ROUGH = 5e-4, 5e-3

SMALLEST_DELTA = 1e-12
"""The smallest δ that is accounted for.

PLD truncates tails of mass 1e-15 and counts them as δ, which is a thousandth of 1e-12. Compared to
the exact ε of one Gaussian, PLD is too large by a fraction of 2e-6 at δ 1e-12 and of 4e-4 at 1e-14,
and infinite from 1e-16 on. The rounding of many steps is subtracted from δ, see `epsilon`. A batch
is truncated only if its event accounts for it, so no overflow probability is added to δ for any
number of steps.
"""

RESOLUTION = 10 * INTERVAL
"""ε below which bounds are not distinguished.

It is a few steps of the PLD grid, and within the rounding error of RDP for many steps.
"""

# Error of the probability mass that rounding may cause in each step: half a unit in the last place
# of a probability of 1. Composing 10 000 sampled steps by Fourier transforms makes δ up to 1.3e-14
# too small, a hundredth of this allowance.
_ROUNDING = 2.0**-53

_COARSEST = 100.0  # grid for an ε of 1e7; for a larger ε only RDP gives a bound

# With less noise, squares of the loss exceed float64, and RDP would leave out orders that are NaN.
_LEAST_NOISE = 1e-9


def epsilon(
    event: "DpEvent",
    delta: float,
    accountant: AccountantName = "pld",
    neighboring_relation: NeighboringRelation = "add_or_remove_one",
    *,
    interval: float | None = None,
) -> float:
    """Compute an upper bound of the ε at which `event` is (ε, δ)-DP.

    The result is an upper bound under either accountant, up to floating-point error. PLD composes
    by Fourier transforms in float64, whose rounding may make δ too small. It is therefore evaluated
    at a δ that is smaller by 2^-53 for each step, which exceeds the largest rounding error that was
    measured (`test_pld_of_many_steps_is_not_below_the_exact_value`); no bound of that error is
    proved. Where this reduces δ to zero, PLD has
    no finite bound.

    Args:
      event: what ran, composed.
      delta: δ of the guarantee, in (0, 1).
      accountant: `pld` is near-tight and reported; `rdp` is looser and takes milliseconds.
      neighboring_relation: which data sets the guarantee compares. Under `replace_one` a clipped
        sum may change by 2 C.
      interval: grid of the PLD; coarser is faster and looser. None chooses by the size of ε.

    Returns:
      ε; infinite where the accountant has no finite bound.

    Raises:
      ConfigError: the accountant has no valid bound for this event under this relation.

    Example:
      >>> from ecgexp.privacy.dp_events import gaussian, poisson_gaussian, repeated
      >>> round(epsilon(gaussian(1.0), delta=1e-5), 2)
      4.38
      >>> steps = repeated(poisson_gaussian(0.01, 1.0), 100)  # each unit is drawn with 1 %
      >>> round(epsilon(steps, delta=1e-5), 2)
      0.72
    """
    if _least_noise(event) < _LEAST_NOISE:
        return math.inf
    if accountant == "rdp":
        return _rdp_epsilon(event, delta, neighboring_relation)
    from dp_accounting import UnsupportedEventError
    from dp_accounting.pld import PLDAccountant

    try:
        interval = interval or _interval_for(event, delta, neighboring_relation)
        if interval > _COARSEST:
            return math.inf
        resolved = delta - _ROUNDING * sum(count for _, count in _leaves(event))
        if resolved <= 0:
            return math.inf
        ledger = PLDAccountant(_relation(neighboring_relation), interval)
        return float(ledger.compose(event).get_epsilon(resolved))
    except UnsupportedEventError as error:
        raise _unsupported(event, accountant, neighboring_relation) from error


def smallest_epsilon(
    event: "DpEvent",
    delta: float,
    accountant: AccountantName = "pld",
    neighboring_relation: NeighboringRelation = "add_or_remove_one",
    *,
    interval: float | None = None,
) -> tuple[float, AccountantName]:
    """Compute the ε that is reported.

    Both accountants give valid upper bounds, so the smaller one is valid too. PLD is nearly always
    the smaller one. Its error grows with the number of steps, and it has no bound for a δ below the
    tails that it truncates; there RDP may be smaller.

    Args:
      event: see `epsilon`.
      delta: δ of the guarantee.
      accountant: `pld`: the smaller of both bounds; `rdp`: the RDP bound.
      neighboring_relation: which data sets the guarantee compares.
      interval: grid of the PLD.

    Returns:
      ε and the accountant whose bound it is.

    Raises:
      ConfigError: the accountant has no valid bound for this event under this relation.
    """
    found = epsilon(event, delta, accountant, neighboring_relation, interval=interval)
    if accountant == "rdp":
        return found, "rdp"
    try:
        other = epsilon(event, delta, "rdp", neighboring_relation)
    except ConfigError:
        return found, "pld"
    return (found, "pld") if found <= other else (other, "rdp")


def approximated(event: "DpEvent") -> "DpEvent":
    """Replace parts of `event` that RDP does not support by similar ones.

    The ε of the result is *not* a bound for `event`; it serves to choose a grid or to start a
    search. A truncated batch is replaced by a complete one, and a mixture by a Gaussian with the
    mean of its nonzero sensitivities, sampled with their total probability.
    """
    events = dp_events.event_types()
    if isinstance(event, events.TruncatedSubsampledGaussianDpEvent):
        return dp_events.poisson_gaussian(event.sampling_probability, event.noise_multiplier)
    if isinstance(event, events.MixtureOfGaussiansDpEvent):
        moved = sum(p * by for p, by in zip(event.sampling_probs, event.sensitivities, strict=True))
        chance = sum(
            p for p, by in zip(event.sampling_probs, event.sensitivities, strict=True) if by
        )
        return dp_events.poisson_gaussian(
            min(chance, 1.0), event.standard_deviation * chance / moved
        )
    if isinstance(event, events.SelfComposedDpEvent):
        return dp_events.repeated(approximated(event.event), event.count)
    if isinstance(event, events.ComposedDpEvent):
        return dp_events.composed([approximated(part) for part in event.events])
    return event


def _rdp_epsilon(
    event: "DpEvent", delta: float, neighboring_relation: NeighboringRelation
) -> float:
    from dp_accounting import UnsupportedEventError
    from dp_accounting.rdp import RdpAccountant

    # dp_accounting's RDP treats a plain Gaussian identically under every relation, as if its noise
    # were relative to the doubled sensitivity. Here noise is relative to the clip, so only
    # `dp_events.fixed_cohort_gaussian` is correct under replace-one.
    if neighboring_relation == "replace_one" and not _only_fixed_cohorts(event):
        raise _unsupported(event, "rdp", neighboring_relation)
    try:
        with _quiet_absl():
            ledger = RdpAccountant(neighboring_relation=_relation(neighboring_relation))
            found = float(ledger.compose(event).get_epsilon(delta))
    except UnsupportedEventError as error:
        raise _unsupported(event, "rdp", neighboring_relation) from error
    # Divergences of order 1e-13 are sums of rounding errors, from which dp_accounting returns ε =
    # 0.
    return max(found, RESOLUTION) if _least_noise(event) < math.inf else found


def _only_fixed_cohorts(event: "DpEvent") -> bool:
    events = dp_events.event_types()
    if isinstance(event, events.ComposedDpEvent):
        return all(_only_fixed_cohorts(part) for part in event.events)
    if isinstance(event, events.SelfComposedDpEvent):
        return _only_fixed_cohorts(event.event)
    return isinstance(
        event,
        events.SampledWithoutReplacementDpEvent | events.NoOpDpEvent | events.NonPrivateDpEvent,
    )


def grid(epsilon_expected: float) -> float:
    """Return the loss grid on which a PLD with about this ε is reported."""
    return INTERVAL * max(1.0, epsilon_expected / _EPSILON_AT_INTERVAL)


def _interval_for(
    event: "DpEvent", delta: float, neighboring_relation: NeighboringRelation
) -> float:
    events = dp_events.event_types()
    try:
        expected = _rdp_epsilon(approximated(event), delta, "add_or_remove_one")
    except ConfigError:  # no fast bound for such events: use the fine grid
        return INTERVAL
    mixed = sum(
        count
        for leaf, count in _leaves(event)
        if isinstance(leaf, events.MixtureOfGaussiansDpEvent)
    )
    if not mixed:
        return grid(expected)
    if grid(expected) > _COARSEST:
        return grid(expected)
    rough = min(_ROUGH / INTERVAL * grid(expected), _COARSEST)
    about = epsilon(event, delta, "pld", neighboring_relation, interval=rough)
    if math.isinf(about):
        return grid(expected)
    return max(grid(about), min(rough, math.sqrt(_MIXTURE_ERROR / 2 * about / mixed)))


def _leaves(event: "DpEvent", count: int = 1) -> Iterator[tuple["DpEvent", int]]:
    """Yield the mechanisms of `event` and how often each ran."""
    inner = getattr(event, "event", None)
    for part in getattr(event, "events", None) or ([] if inner is None else [inner]):
        yield from _leaves(part, count * getattr(event, "count", 1))
    if inner is None and not hasattr(event, "events"):
        yield event, count


def _least_noise(event: "DpEvent") -> float:
    """Return the smallest noise multiplier in `event`; infinite where no mechanism has one."""
    found = [
        getattr(leaf, "noise_multiplier", getattr(leaf, "standard_deviation", math.inf))
        for leaf, count in _leaves(event)
        if count
    ]
    return min(map(float, found), default=math.inf)


def _unsupported(
    event: "DpEvent", accountant: AccountantName, neighboring_relation: NeighboringRelation
) -> ConfigError:
    other = "pld" if accountant == "rdp" else "rdp"
    return ConfigError(
        f"privacy.accountant={accountant} has no valid bound for {event} under the neighboring "
        f"relation {neighboring_relation}; use privacy.accountant={other}, or another "
        "privacy.sampling."
    )


def _relation(neighboring_relation: NeighboringRelation) -> Any:
    from dp_accounting import NeighboringRelation

    return NeighboringRelation[neighboring_relation.upper()]


@contextlib.contextmanager
def _quiet_absl() -> Iterator[None]:
    # RDP warns about each order it leaves out, which only loosens the bound, and about an ε of 0,
    # which is replaced. Neither requires the user to act.
    def keep(record: logging.LogRecord) -> bool:
        return not any(
            words in record.getMessage()
            for words in ("Excluding this order", "Negative Renyi divergence")
        )

    logger = logging.getLogger("absl")
    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)
