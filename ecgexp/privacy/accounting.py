"""Events and their price: the only module that knows dp_accounting.

An event says what a mechanism did to one unit of privacy; an accountant prices a composition of events. Nothing here
knows plans, samplers or training. dp_accounting takes more than a second to import, so it is imported by the call that
needs it.
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

# Loss grid of the reported PLD value. Where ε is above 10 the grid grows with it (about 1e5 points up to ε): the answer
# stays an upper bound, and no run waits a minute to learn that its ε is 900.
INTERVAL = 1e-4
_EPSILON_AT_INTERVAL = 10.0

# A mixture takes some ten times as long as a Gaussian on the same grid, whose error is about twice steps · grid². Its grid is
# chosen so that this error stays below the given share of ε, which a first value on a coarse grid estimates.
_MIXTURE_ERROR, _ROUGH = 5e-4, 5e-3

SMALLEST_DELTA = 1e-12
"""The least δ that is accounted for. PLD cuts tails of mass 1e-15 off, and counts them as δ: of 1e-12 that is a thousandth.

Against the exact ε of one Gaussian PLD is 2e-6 of it too large at δ 1e-12, 4e-4 at 1e-14, and infinite from 1e-16 on; what the
rounding of many steps adds is taken off δ, see `epsilon`. A
batch is never cut unless its event says so, so that no chance of an overflow is to be added to δ, whatever the number of steps.
"""

RESOLUTION = 10 * INTERVAL
"""ε below which no bound is told apart: a few steps of the grid of PLD, and within the rounding of RDP where steps are many."""

# Mass by which rounding may be wrong in each step: half a unit in the last place of a probability of 1. Composing 10 000 sampled
# steps by Fourier transforms makes δ up to 1.3e-14 too small, a hundredth of this allowance.
_ROUNDING = 2.0**-53

_COARSEST = 100.0  # grid, of an ε of 1e7; above it PLD has no answer, and RDP's is as good as any

_LEAST_NOISE = 1e-9  # below it squares of the loss leave float64, and an order that is not a number would be left out


def nothing() -> "DpEvent":
    """A step that touched no unit that has not been paid for."""
    return _events().NoOpDpEvent()


def not_private() -> "DpEvent":
    """A step that makes no promise: every accountant prices it at infinity."""
    return _events().NonPrivateDpEvent()


def gaussian(noise_multiplier: float) -> "DpEvent":
    """A sum of contributions clipped to C, with noise of standard deviation `noise_multiplier` · C, not amplified."""
    return _events().GaussianDpEvent(noise_multiplier)


def poisson_gaussian(sampling_probability: float, noise_multiplier: float) -> "DpEvent":
    """`gaussian` over a sample that every unit entered on its own with `sampling_probability`, whatever its size."""
    return _events().PoissonSampledDpEvent(sampling_probability, gaussian(noise_multiplier))


def truncated_gaussian(
    num_units: int, sampling_probability: float, batch_capacity: int, noise_multiplier: float
) -> "DpEvent":
    """`poisson_gaussian` whose samples are cut at random to `batch_capacity` (arXiv:2508.15089). PLD only."""
    return _events().TruncatedSubsampledGaussianDpEvent(
        num_units, sampling_probability, batch_capacity, noise_multiplier
    )


def fixed_cohort_gaussian(num_units: int, cohort_size: int, noise_multiplier: float) -> "DpEvent":
    """`gaussian` over exactly `cohort_size` units drawn without replacement. RDP and replace-one only.

    Replacing a unit of the cohort moves a sum clipped to C by up to 2 C, and dp_accounting reads the noise multiplier
    of this event as noise over *that* sensitivity (Wang et al. 2019, Theorem 27): hence half the noise multiplier.
    """
    return _events().SampledWithoutReplacementDpEvent(
        num_units, cohort_size, gaussian(noise_multiplier / 2)
    )


def copies_gaussian(sampling_probability: float, noise_multiplier: float, copies: int) -> "DpEvent":
    """One unit that occupies `copies` rows, each sampled and clipped on its own (arXiv:2310.15526). PLD only.

    What it costs to augment before sampling, or to cut windows that show one heartbeat in several rows; averaging the views
    inside one clip costs nothing.

    **Guarantees**: of the unit's rows a Binomial(`copies`, q) number j enters the sample, each with a contribution of norm at
    most C, so that taking the unit away moves the sum by at most j C. Whatever the contributions are, the two outputs are no
    easier to tell apart than one number from N(0, z²) and from the mixture of N(j, z²) with these chances (Choquette-Choo et al.
    2023, arXiv:2310.15526, Theorem 3.1 and Lemma 4.5: a vector of norm at most j is dominated by the number j, and a larger j
    dominates a smaller one). Rows beyond those that are there only add to it: with fewer than `copies` rows ε holds too.
    `test_mixture_equals_the_hockey_stick_integral` checks it against numerical integration.
    """
    counts = range(copies + 1)
    q = sampling_probability
    chances = [math.comb(copies, k) * q**k * (1 - q) ** (copies - k) for k in counts]
    return _events().MixtureOfGaussiansDpEvent(
        noise_multiplier, tuple(map(float, counts)), tuple(chances)
    )


def gaussian_pair(z_sum: float, z_count: float) -> "DpEvent":
    """`gaussian` that releases two sums over one sample: what a round of adaptive clipping does.

    Together they tell as much as one sum of noise multiplier (z_sum⁻² + z_count⁻²)^(-1/2) (Andrew et al. 2021,
    arXiv:1905.03871, Theorem 1). That multiplier is what a sampled event takes:
    `poisson_gaussian(q, gaussian_pair(…).noise_multiplier)`.

    Args:
      z_sum: standard deviation of the noise on the sum, over the clip.
      z_count: the same of the count of unclipped units, over its sensitivity. One unit moves the count by 1, or by 1/2 if
        1/2 is taken off each unit's bit as TFF does: then it is *twice* the standard deviation.
    """
    if min(z_sum, z_count) <= 0:
        return gaussian(0.0)
    return gaussian((z_sum**-2 + z_count**-2) ** -0.5)


def repeated(event: "DpEvent", count: int) -> "DpEvent":
    """`count` adaptive repetitions of `event`."""
    return _events().SelfComposedDpEvent(event, count)


def composed(events: Sequence["DpEvent"]) -> "DpEvent":
    """`events` one after another, each free to depend on the results before it."""
    return _events().ComposedDpEvent(list(events))


def best_of(event: "DpEvent", *, mean_runs: float) -> "DpEvent":
    """Releasing only the best of a Poisson(`mean_runs`) number of runs (Papernot & Steinke 2021). RDP only."""
    return _events().RepeatAndSelectDpEvent(event, mean_runs, math.inf)


def epsilon(
    event: "DpEvent",
    delta: float,
    accountant: AccountantName = "pld",
    neighboring_relation: NeighboringRelation = "add_or_remove_one",
    *,
    interval: float | None = None,
) -> float:
    """The ε at which `event` is (ε, δ)-DP: an upper bound under either accountant, infinite where it has no other.

    **Guarantees**: PLD composes by Fourier transforms in float64, whose rounding may make δ too small. It is asked for the ε at a
    δ that is smaller by 2^-53 for each step, which is more than rounding was found to make of it
    (`test_pld_of_many_steps_is_not_below_the_exact_value`); where nothing is left of δ, PLD has no bound, and that of RDP is the
    smaller.

    Args:
      event: what ran, composed.
      delta: the δ of the promise, in (0, 1).
      accountant: `pld` is tight and reported; `rdp` is looser and answers in milliseconds.
      neighboring_relation: which data sets the promise compares. Under `replace_one` a clipped sum may move by 2 C.
      interval: grid of the PLD; coarser is faster and looser. None chooses by the size of ε.

    Raises:
      ConfigError: the accountant has no sound price for this event under this relation.
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
    """The ε that is reported, and whose bound it is: both accountants are right, so the smaller of what they say holds.

    PLD is nearly always the smaller. Its grid lets it grow with very many steps, and it knows no δ below the tails that it cuts
    off; there RDP may be. With `rdp` the RDP bound is reported, as was asked for.

    Args:
      event: see `epsilon`, as for the others.
      delta: of the guarantee.
      accountant: `pld`: the smaller of both bounds; `rdp`: that of RDP.
      neighboring_relation: which data sets the guarantee compares.
      interval: grid of the PLD.

    Raises:
      ConfigError: the accountant has no sound bound for this event under this relation.
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
    """`event` with parts that RDP knows: *not* its ε, but near enough to choose a grid or start a search.

    A batch that was cut is taken as whole, and a mixture as the mean of its sensitivities that are not 0, with their chance.
    """
    if type(event).__name__ == "TruncatedSubsampledGaussianDpEvent":
        return poisson_gaussian(event.sampling_probability, event.noise_multiplier)
    if type(event).__name__ == "MixtureOfGaussiansDpEvent":
        moved = sum(p * by for p, by in zip(event.sampling_probs, event.sensitivities, strict=True))
        chance = sum(
            p for p, by in zip(event.sampling_probs, event.sensitivities, strict=True) if by
        )
        return poisson_gaussian(min(chance, 1.0), event.standard_deviation * chance / moved)
    if type(event).__name__ == "SelfComposedDpEvent":
        return repeated(approximated(event.event), event.count)
    if type(event).__name__ == "ComposedDpEvent":
        return composed([approximated(part) for part in event.events])
    return event


def of_group(event: "DpEvent", rows: int) -> "DpEvent | None":
    """What `event`, which says what happens to one row, does to a unit of `rows` rows; None where no bound is known.

    Under Poisson sampling see `copies_gaussian`. Without amplification the rows enter one batch each, and worst is all in the
    same: a sum moved by `rows` clips.
    """
    kind = type(event).__name__
    if rows == 1 or kind == "NoOpDpEvent":
        return event
    if kind == "SelfComposedDpEvent":
        part = of_group(event.event, rows)
        return None if part is None else repeated(part, event.count)
    if kind == "ComposedDpEvent":
        parts = [of_group(part, rows) for part in event.events]
        return None if None in parts else composed(parts)
    if kind == "PoissonSampledDpEvent" and type(event.event).__name__ == "GaussianDpEvent":
        return copies_gaussian(event.sampling_probability, event.event.noise_multiplier, rows)
    if (
        kind == "MixtureOfGaussiansDpEvent"
    ):  # of a smaller group under the same sampling: no row enters with 1 - q for each
        smaller = len(event.sensitivities) - 1
        q = 1 - event.sampling_probs[0] ** (1 / smaller)
        return copies_gaussian(q, event.standard_deviation, rows)
    return gaussian(event.noise_multiplier / rows) if kind == "GaussianDpEvent" else None


def shape(event: "DpEvent") -> str | None:
    """All of a repeated Gaussian step but its noise, so that of two events of one shape the less noisy one costs more.

    None for other events, of which that cannot be said.
    """
    inner, count = _repetition(event)
    if (
        type(inner).__name__ == "PoissonSampledDpEvent"
        and type(inner.event).__name__ == "GaussianDpEvent"
    ):
        return f"poisson {inner.sampling_probability!r} × {count}"
    return f"gaussian × {count}" if type(inner).__name__ == "GaussianDpEvent" else None


def noise(event: "DpEvent") -> float:
    """The noise multiplier of an event that has a `shape`; NaN for others."""
    inner, _ = _repetition(event)
    inner = inner.event if type(inner).__name__ == "PoissonSampledDpEvent" else inner
    return float(getattr(inner, "noise_multiplier", math.nan))


def _repetition(event: "DpEvent") -> tuple["DpEvent", int]:
    """The event that is repeated, and how often, without the wrappers of a composition of one."""
    count = 1
    while True:
        if type(event).__name__ == "SelfComposedDpEvent":
            event, count = event.event, count * event.count
        elif type(event).__name__ == "ComposedDpEvent" and len(event.events) == 1:
            event = event.events[0]
        else:
            return event, count


def leaves(event: "DpEvent", count: int = 1) -> dict[str, tuple["DpEvent", int]]:
    """The events of which `event` is composed, each once, with how often it happens; what touches no unit is left out."""
    if type(event).__name__ == "SelfComposedDpEvent":
        return leaves(event.event, count * event.count)
    if type(event).__name__ == "NoOpDpEvent" or not count:
        return {}
    if type(event).__name__ != "ComposedDpEvent":
        return {repr(event): (event, count)}
    found: dict[str, tuple[DpEvent, int]] = {}
    for part in event.events:
        for key, (leaf, times) in leaves(part, count).items():
            found[key] = (leaf, times + found.get(key, (leaf, 0))[1])
    return found


def at_least(one: "DpEvent", other: "DpEvent") -> "DpEvent":
    """An event that happens as often as in either of two accounts of one run: no smaller than both, whichever came first.

    One of the two itself, where it holds the other.
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
    """`event` as JSON-able values, exact to the last bit; `from_json` reads it."""
    fields = {item.name: getattr(event, item.name) for item in event.__attrs_attrs__}
    return {"type": type(event).__name__} | {name: _plain(value) for name, value in fields.items()}


def from_json(value: Mapping[str, Any]) -> "DpEvent":
    """The event that `to_json` wrote."""
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

    # dp_accounting's RDP prices a bare Gaussian alike under every relation, as if its noise were given relative to the
    # doubled sensitivity. Ours is given relative to the clip, so of all events only `fixed_cohort_gaussian` is right
    # under replace-one.
    if neighboring_relation == "replace_one" and not _only_fixed_cohorts(event):
        raise _unsupported(event, "rdp", neighboring_relation)
    try:
        with _quiet_absl():
            ledger = RdpAccountant(neighboring_relation=_relation(neighboring_relation))
            found = float(ledger.compose(event).get_epsilon(delta))
    except UnsupportedEventError as error:
        raise _unsupported(event, "rdp", neighboring_relation) from error
    # Divergences of order 1e-13 are sums of rounding errors, of which dp_accounting makes an ε of 0.
    return max(found, RESOLUTION) if _least_noise(event) < math.inf else found


def _only_fixed_cohorts(event: "DpEvent") -> bool:
    if type(event).__name__ == "ComposedDpEvent":
        return all(_only_fixed_cohorts(part) for part in event.events)
    if type(event).__name__ == "SelfComposedDpEvent":
        return _only_fixed_cohorts(event.event)
    return type(event).__name__ in (
        "SampledWithoutReplacementDpEvent",
        "NoOpDpEvent",
        "NonPrivateDpEvent",
    )


def grid(epsilon_expected: float) -> float:
    """The loss grid on which a PLD of about so large an ε is reported."""
    return INTERVAL * max(1.0, epsilon_expected / _EPSILON_AT_INTERVAL)


def _interval_for(
    event: "DpEvent", delta: float, neighboring_relation: NeighboringRelation
) -> float:
    try:
        expected = _rdp_epsilon(approximated(event), delta, "add_or_remove_one")
    except ConfigError:  # no quick bound for such events: the fine grid
        return INTERVAL
    mixed = sum(
        count
        for leaf, count in _leaves(event)
        if type(leaf).__name__ == "MixtureOfGaussiansDpEvent"
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
    """The mechanisms of `event`, and how often each ran."""
    for part in getattr(event, "events", None) or (
        [event.event] if hasattr(event, "event") else []
    ):
        yield from _leaves(part, count * getattr(event, "count", 1))
    if not hasattr(event, "event") and not hasattr(event, "events"):
        yield event, count


def _least_noise(event: "DpEvent") -> float:
    """The least noise, over the clip, of all mechanisms in `event`; infinite where none adds any and none needs to."""
    found = [
        getattr(leaf, "noise_multiplier", getattr(leaf, "standard_deviation", math.inf))
        for leaf, count in _leaves(event) if count
    ]  # fmt: skip
    return min(map(float, found), default=math.inf)


def _unsupported(
    event: "DpEvent", accountant: AccountantName, neighboring_relation: NeighboringRelation
) -> ConfigError:
    other = "pld" if accountant == "rdp" else "rdp"
    return ConfigError(
        f"privacy.accountant={accountant} has no sound price for {event} between neighbours by {neighboring_relation}; "
        f"try privacy.accountant={other}, or another privacy.sampling."
    )


def _relation(neighboring_relation: NeighboringRelation) -> Any:
    from dp_accounting import NeighboringRelation

    return NeighboringRelation[neighboring_relation.upper()]


def _events() -> Any:
    from dp_accounting import dp_event

    return dp_event


@contextlib.contextmanager
def _quiet_absl() -> Iterator[None]:
    # RDP warns about each order it leaves out, which only loosens the bound, and of an ε of 0, which is not taken: the user
    # need not act.
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
