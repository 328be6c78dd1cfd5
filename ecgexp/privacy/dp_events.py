"""Privacy events: what a mechanism does to one unit of privacy, and how events are combined.

The events are those of dp_accounting; `accounting` computes ε of them, and `stored_events` writes
and reads them as JSON. This module does not depend on plans, samplers or training. dp_accounting
takes more than a second to import, so the functions that need it import it.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dp_accounting import DpEvent


def nothing() -> "DpEvent":
    """Return the event without privacy loss, e.g. of a later step of an epoch that is one event."""
    return event_types().NoOpDpEvent()


def not_private() -> "DpEvent":
    """Return the event of a step without privacy: its ε is infinite under every accountant."""
    return event_types().NonPrivateDpEvent()


def gaussian(noise_multiplier: float) -> "DpEvent":
    """Return the event of a noisy sum of clipped contributions, without amplification by sampling.

    Args:
      noise_multiplier: standard deviation of the noise, divided by the clip.
    """
    return event_types().GaussianDpEvent(noise_multiplier)


def poisson_gaussian(sampling_probability: float, noise_multiplier: float) -> "DpEvent":
    """Return `gaussian` over a Poisson sample: each unit enters it independently.

    Args:
      sampling_probability: with which each unit enters.
      noise_multiplier: see `gaussian`.
    """
    return event_types().PoissonSampledDpEvent(sampling_probability, gaussian(noise_multiplier))


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
    return event_types().TruncatedSubsampledGaussianDpEvent(
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
    return event_types().SampledWithoutReplacementDpEvent(
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
    return event_types().MixtureOfGaussiansDpEvent(
        noise_multiplier, tuple(map(float, counts)), tuple(chances)
    )


def repeated(event: "DpEvent", count: int) -> "DpEvent":
    """Return the event of `count` adaptive repetitions of `event`."""
    return event_types().SelfComposedDpEvent(event, count)


def composed(events: Sequence["DpEvent"]) -> "DpEvent":
    """Return the adaptive composition of `events`: each may depend on the results before it."""
    return event_types().ComposedDpEvent(list(events))


def best_of(event: "DpEvent", *, mean_runs: float) -> "DpEvent":
    """Return the event of releasing only the best of a Poisson number of runs; RDP only.

    Papernot & Steinke 2021, arXiv:2110.03620.

    Args:
      event: one run.
      mean_runs: mean of the Poisson distribution.
    """
    return event_types().RepeatAndSelectDpEvent(event, mean_runs, math.inf)


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
    events = event_types()
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
    events = event_types()
    inner, count = _repetition(event)
    if isinstance(inner, events.PoissonSampledDpEvent) and isinstance(
        inner.event, events.GaussianDpEvent
    ):
        return f"poisson {inner.sampling_probability!r} × {count}"
    return f"gaussian × {count}" if isinstance(inner, events.GaussianDpEvent) else None


def noise(event: "DpEvent") -> float:
    """Return the noise multiplier of an event that has a `shape`; NaN for others."""
    events = event_types()
    inner, _ = _repetition(event)
    inner = inner.event if isinstance(inner, events.PoissonSampledDpEvent) else inner
    return float(getattr(inner, "noise_multiplier", math.nan))


def _repetition(event: "DpEvent") -> tuple["DpEvent", int]:
    """Return the repeated event and its count, without compositions of a single event."""
    events = event_types()
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
    events = event_types()
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


def event_types():  # the inferred type of the module lets `isinstance` narrow an event
    """Return the module of dp_accounting that has the classes of events."""
    from dp_accounting import dp_event

    return dp_event
