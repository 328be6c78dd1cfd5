"""Privacy events and their ε: the only module that uses dp_accounting.

An event describes what a mechanism does to one unit of privacy; an accountant computes ε for a
composition of events. This module does not depend on plans, samplers or training. dp_accounting
takes more than a second to import, so the functions that need it import it.
"""

import contextlib
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

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


def nothing() -> "DpEvent":
    """Return the event without privacy loss, e.g. of a later step of an epoch that is one event."""
    return _events().NoOpDpEvent()


def not_private() -> "DpEvent":
    """Return the event of a step without privacy: its ε is infinite under every accountant."""
    return _events().NonPrivateDpEvent()


def gaussian(noise_multiplier: float) -> "DpEvent":
    """Return the event of a noisy sum of clipped contributions, without amplification by sampling.

    Args:
      noise_multiplier: standard deviation of the noise, divided by the clip.
    """
    return _events().GaussianDpEvent(noise_multiplier)


def poisson_gaussian(sampling_probability: float, noise_multiplier: float) -> "DpEvent":
    """Return `gaussian` over a Poisson sample: each unit enters it independently.

    Args:
      sampling_probability: with which each unit enters.
      noise_multiplier: see `gaussian`.
    """
    return _events().PoissonSampledDpEvent(sampling_probability, gaussian(noise_multiplier))


def truncated_gaussian(
    num_units: int, sampling_probability: float, batch_capacity: int, noise_multiplier: float
) -> "DpEvent":
    """Return `poisson_gaussian` with samples truncated at random (arXiv:2508.15089); PLD only.

    Args:
      num_units: units in the data set.
      sampling_probability: with which each unit enters.
      batch_capacity: size to which larger samples are truncated.
      noise_multiplier: see `gaussian`.
    """
    return _events().TruncatedSubsampledGaussianDpEvent(
        num_units, sampling_probability, batch_capacity, noise_multiplier
    )


def fixed_cohort_gaussian(num_units: int, cohort_size: int, noise_multiplier: float) -> "DpEvent":
    """Return `gaussian` over a cohort drawn without replacement; RDP and replace-one only.

    Replacing a unit of the cohort changes a sum clipped to C by up to 2 C, and dp_accounting
    interprets the noise multiplier of this event as noise divided by *that* sensitivity (Wang et
    al. 2019, Theorem 27): hence half the noise multiplier.

    Args:
      num_units: units in the data set.
      cohort_size: units in each cohort.
      noise_multiplier: standard deviation of the noise, divided by C.
    """
    return _events().SampledWithoutReplacementDpEvent(
        num_units, cohort_size, gaussian(noise_multiplier / 2)
    )


def copies_gaussian(sampling_probability: float, noise_multiplier: float, copies: int) -> "DpEvent":
    """Return the event of a unit with `copies` rows, each sampled and clipped separately; PLD only.

    This is the privacy loss of augmentation before sampling, or of windows that contain one
    heartbeat in several rows. Averaging the views inside one clip has no additional loss.

    **Guarantees**: a Binomial(`copies`, q) number j of the unit's rows enters the sample, each with
    a contribution of norm at most C, so removing the unit changes the sum by at most j C. Whatever
    the contributions are, the two outputs are no easier to distinguish than one number drawn from
    N(0, z²) and one drawn from the mixture of N(j, z²) with these probabilities (Choquette-Choo et
    al. 2023, arXiv:2310.15526, Theorem 3.1 and Lemma 4.5: a vector of norm at most j is dominated
    by the number j, and a larger j dominates a smaller one). A unit with fewer than `copies` rows
    has at most this loss. `test_mixture_equals_the_hockey_stick_integral` checks the event against
    numerical integration.

    Args:
      sampling_probability: q, with which each row enters.
      noise_multiplier: z, standard deviation of the noise divided by C.
      copies: largest number of rows of a unit.
    """
    counts = range(copies + 1)
    q = sampling_probability
    chances = [math.comb(copies, k) * q**k * (1 - q) ** (copies - k) for k in counts]
    return _events().MixtureOfGaussiansDpEvent(
        noise_multiplier, tuple(map(float, counts)), tuple(chances)
    )


def repeated(event: "DpEvent", count: int) -> "DpEvent":
    """Return the event of `count` adaptive repetitions of `event`."""
    return _events().SelfComposedDpEvent(event, count)


def composed(events: Sequence["DpEvent"]) -> "DpEvent":
    """Return the adaptive composition of `events`: each may depend on the results before it."""
    return _events().ComposedDpEvent(list(events))


def best_of(event: "DpEvent", *, mean_runs: float) -> "DpEvent":
    """Return the event of releasing only the best of a Poisson number of runs; RDP only.

    Papernot & Steinke 2021, arXiv:2110.03620.

    Args:
      event: one run.
      mean_runs: mean of the Poisson distribution.
    """
    return _events().RepeatAndSelectDpEvent(event, mean_runs, math.inf)


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
    events = _events()
    if isinstance(event, events.TruncatedSubsampledGaussianDpEvent):
        return poisson_gaussian(event.sampling_probability, event.noise_multiplier)
    if isinstance(event, events.MixtureOfGaussiansDpEvent):
        moved = sum(p * by for p, by in zip(event.sampling_probs, event.sensitivities, strict=True))
        chance = sum(
            p for p, by in zip(event.sampling_probs, event.sensitivities, strict=True) if by
        )
        return poisson_gaussian(min(chance, 1.0), event.standard_deviation * chance / moved)
    if isinstance(event, events.SelfComposedDpEvent):
        return repeated(approximated(event.event), event.count)
    if isinstance(event, events.ComposedDpEvent):
        return composed([approximated(part) for part in event.events])
    return event


def of_group(event: "DpEvent", rows: int) -> "DpEvent | None":
    """Return the event for a unit of `rows` rows, given the event for one row.

    Under Poisson sampling see `copies_gaussian`. Without amplification each row enters one batch;
    the worst case is that all enter the same batch, whose sum changes by `rows` clips.

    Args:
      event: for one row.
      rows: rows of the unit.

    Returns:
      The event; None where no bound is known.
    """
    events = _events()
    if rows == 1 or isinstance(event, events.NoOpDpEvent):
        return event
    if isinstance(event, events.SelfComposedDpEvent):
        part = of_group(event.event, rows)
        return None if part is None else repeated(part, event.count)
    if isinstance(event, events.ComposedDpEvent):
        parts = [of_group(part, rows) for part in event.events]
        known = [part for part in parts if part is not None]
        return composed(known) if len(known) == len(parts) else None
    if isinstance(event, events.PoissonSampledDpEvent) and isinstance(
        event.event, events.GaussianDpEvent
    ):
        return copies_gaussian(event.sampling_probability, event.event.noise_multiplier, rows)
    if isinstance(event, events.MixtureOfGaussiansDpEvent):
        # A smaller group under the same sampling: with k rows, none enters with (1 - q)^k.
        smaller = len(event.sensitivities) - 1
        q = 1 - event.sampling_probs[0] ** (1 / smaller)
        return copies_gaussian(q, event.standard_deviation, rows)
    return (
        gaussian(event.noise_multiplier / rows)
        if isinstance(event, events.GaussianDpEvent)
        else None
    )


def shape(event: "DpEvent") -> str | None:
    """Describe a repeated Gaussian step without its noise.

    Of two events of the same shape, the one with less noise has the larger privacy loss.

    Returns:
      The description; None for other events, which are not ordered in this way.
    """
    events = _events()
    inner, count = _repetition(event)
    if isinstance(inner, events.PoissonSampledDpEvent) and isinstance(
        inner.event, events.GaussianDpEvent
    ):
        return f"poisson {inner.sampling_probability!r} × {count}"
    return f"gaussian × {count}" if isinstance(inner, events.GaussianDpEvent) else None


def noise(event: "DpEvent") -> float:
    """Return the noise multiplier of an event that has a `shape`; NaN for others."""
    events = _events()
    inner, _ = _repetition(event)
    inner = inner.event if isinstance(inner, events.PoissonSampledDpEvent) else inner
    return float(getattr(inner, "noise_multiplier", math.nan))


def _repetition(event: "DpEvent") -> tuple["DpEvent", int]:
    """Return the repeated event and its count, without compositions of a single event."""
    events = _events()
    count = 1
    while True:
        if isinstance(event, events.SelfComposedDpEvent):
            event, count = event.event, count * event.count
        elif isinstance(event, events.ComposedDpEvent) and len(event.events) == 1:
            event = event.events[0]
        else:
            return event, count


def leaves(event: "DpEvent", count: int = 1) -> dict[str, tuple["DpEvent", int]]:
    """Return the events of which `event` is composed, without those that have no privacy loss.

    Args:
      event: possibly nested.
      count: how often `event` happens.

    Returns:
      Representation of each distinct event -> the event and how often it happens.
    """
    events = _events()
    if isinstance(event, events.SelfComposedDpEvent):
        return leaves(event.event, count * event.count)
    if isinstance(event, events.NoOpDpEvent) or not count:
        return {}
    if not isinstance(event, events.ComposedDpEvent):
        return {repr(event): (event, count)}
    found: dict[str, tuple[DpEvent, int]] = {}
    for part in event.events:
        for key, (leaf, times) in leaves(part, count).items():
            found[key] = (leaf, times + found.get(key, (leaf, 0))[1])
    return found


def at_least(one: "DpEvent", other: "DpEvent") -> "DpEvent":
    """Return an event whose privacy loss is at least that of each of two records of one run.

    It contains each event as often as the record that contains it more often.

    Args:
      one: first record.
      other: second record.

    Returns:
      One of the two, where it contains the other; else a composition.
    """
    ours, theirs = leaves(one), leaves(other)
    if all(times <= ours.get(key, (leaf, 0))[1] for key, (leaf, times) in theirs.items()):
        return one
    both = {
        key: (leaf, max(times, ours.get(key, (leaf, 0))[1]))
        for key, (leaf, times) in theirs.items()
    }
    if both.keys() >= ours.keys() and all(both[key] == theirs[key] for key in both):
        return other
    return composed([repeated(leaf, times) for leaf, times in (ours | both).values()])


def to_json(event: "DpEvent") -> dict[str, Any]:
    """Return `event` as JSON-serializable values, exact to the last bit; see `from_json`."""
    attributes: Sequence[Any] = getattr(event, "__attrs_attrs__", ())
    fields = {item.name: getattr(event, item.name) for item in attributes}
    return {"type": type(event).__name__} | {name: _plain(value) for name, value in fields.items()}


def from_json(value: Mapping[str, Any]) -> "DpEvent":
    """Return the event that `to_json` wrote."""
    kind = getattr(_events(), value["type"])
    return kind(**{name: _event_values(field) for name, field in value.items() if name != "type"})


def _plain(value: Any) -> Any:
    if hasattr(value, "__attrs_attrs__"):
        return to_json(value)
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _event_values(value: Any) -> Any:
    if isinstance(value, Mapping):
        return from_json(value)
    return (
        tuple(_event_values(item) for item in value) if isinstance(value, (list, tuple)) else value
    )


def _rdp_epsilon(
    event: "DpEvent", delta: float, neighboring_relation: NeighboringRelation
) -> float:
    from dp_accounting import UnsupportedEventError
    from dp_accounting.rdp import RdpAccountant

    # dp_accounting's RDP treats a plain Gaussian identically under every relation, as if its noise
    # were relative to the doubled sensitivity. Here noise is relative to the clip, so only
    # `fixed_cohort_gaussian` is correct under replace-one.
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
    events = _events()
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
    events = _events()
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


def _events():  # the module: its inferred type lets `isinstance` narrow an event
    from dp_accounting import dp_event

    return dp_event


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
