"""ε of counted events, and how many events fit into the privacy budget."""

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ecgexp.privacy import accounting, dp_events, stored_events
from ecgexp.privacy.accounting import AccountantName, NeighboringRelation
from ecgexp.privacy.plan import PrivacyPlan

if TYPE_CHECKING:
    from dp_accounting import DpEvent


class EpsilonOfCounts:
    """ε of the events of one run by their counts; a value that was computed once is kept.

    Args:
      plan: gives δ, the accountant, the neighboring relation and the budget `max_epsilon`.
    """

    def __init__(self, plan: PrivacyPlan):
        self._plan = plan
        self._known: dict[tuple[Any, ...], float] = {}

    def epsilon(
        self,
        entries: Mapping[str, tuple["DpEvent", int]],
        accountant: AccountantName | None,
        neighboring_relation: NeighboringRelation,
    ) -> float:
        """Compute ε of all events together, at the plan's δ.

        Args:
          entries: `key_of` an event -> the event and how often it happened.
          accountant: None: the reported value, see `accounting.smallest_epsilon`.
          neighboring_relation: which data sets are compared.

        Returns:
          ε; 0 without an event that has a privacy loss.

        Raises:
          ConfigError: the accountant has no valid bound for these events.
        """
        events = {
            key: (event, count)
            for key, (event, count) in entries.items()
            if count and not is_free(event)
        }
        if not events:
            return 0.0
        question = (
            accountant,
            neighboring_relation,
            *((key, count) for key, (_, count) in events.items()),
        )
        if question not in self._known:
            event, delta = composition(events), self._plan.delta
            self._known[question] = (
                accounting.smallest_epsilon(
                    event, delta, self._plan.accountant, neighboring_relation
                )[0]
                if accountant is None
                else accounting.epsilon(event, delta, accountant, neighboring_relation)
            )
        return self._known[question]

    def most(
        self, entries: Mapping[str, tuple["DpEvent", int]], event: "DpEvent", wanted: int
    ) -> int:
        """Return the largest total count of `event` within the budget, up to the planned count.

        Args:
          entries: all recorded events, which are included in ε; see `epsilon`.
          event: the event of which more are wanted.
          wanted: total count of it that is wanted.
        """
        key = key_of(event)

        def epsilon_after(total: int) -> float:
            events = {**entries, key: (event, total)}
            return self.epsilon(events, None, self._plan.neighboring_relation)

        cap, low = self._plan.max_epsilon, entries[key][1] if key in entries else 0
        high = max(wanted, self._plan.iterations)
        below, above = epsilon_after(low), epsilon_after(high)
        if above <= cap:
            return high
        if below > cap:  # the discarded steps alone exceed the limit
            return low
        while high - low > 1:  # `low` is within the limit; ε² is nearly linear in the count
            share = (cap**2 - below**2) / (above**2 - below**2) if math.isfinite(above) else 0.5
            middle = min(max(low + round(share * (high - low)), low + 1), high - 1)
            found = epsilon_after(middle)
            if found <= cap:
                low, below = middle, found
            else:
                high, above = middle, found
        return low


def composition(entries: Mapping[str, tuple["DpEvent", int]]) -> "DpEvent":
    """Return the composition of counted events."""
    return dp_events.composed(
        [dp_events.repeated(event, count) for event, count in entries.values()]
    )


def key_of(event: "DpEvent") -> str:
    """Return the text by which an event is counted: its JSON form."""
    return json.dumps(stored_events.to_json(event), sort_keys=True)


def is_free(event: "DpEvent") -> bool:
    """Return whether an event has no privacy loss."""
    return event == dp_events.nothing()
