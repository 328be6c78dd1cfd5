"""What really ran, and what it cost. Nothing else in the program computes an ε of a run."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ecgexp.privacy import accounting
from ecgexp.privacy.accounting import AccountantName, Neighbouring
from ecgexp.privacy.journal import Journal
from ecgexp.privacy.plan import PrivacyPlan

if TYPE_CHECKING:
    from dp_accounting import DpEvent


class PrivacyViolation(RuntimeError):
    """What ran is not what was planned and priced: no claim can be made."""


class Ledger:
    """The bill of one run: events are charged *before* their step runs, so that a crash can only overcount.

    A checkpoint holds the bill as it stood when the weights were saved. Steps that were taken after it and undone by a crash
    are in the journal, and stay on the bill: they are charged, and are no steps of the run.

    Args:
      plan: gives δ, the accountant, the neighbours and the cap.
      journal: told of every step before it runs; None: nothing survives a crash.

    Attributes:
      steps: that were charged and stand.
      lost_steps: that were charged and undone.
      stopped_by_budget: whether the next step would have exceeded the cap.
    """

    def __init__(self, plan: PrivacyPlan, *, journal: Journal | None = None):
        self.plan = plan
        self.steps = 0
        self.lost_steps = 0
        self._journal = journal
        self.stopped_by_budget = False
        self._entries: dict[str, tuple[DpEvent, int]] = {}
        self._known: dict[tuple[Any, ...], float] = {}
        self._affordable: tuple[str, int] | None = None

    def charge(self, event: "DpEvent", count: int = 1) -> None:
        """Writes `count` steps of `event` on the bill; call it before they run.

        Raises:
          PrivacyViolation: the cap would be exceeded; ask `would_exceed` first.
        """
        if self.would_exceed(event, count):
            raise PrivacyViolation(f"step {self.steps + 1} would exceed privacy.max_epsilon={self.plan.max_epsilon:g}")
        key = _key(event)
        if self._journal is not None:
            self._journal.cover(key, self._count(key) + count)
        self.steps += count
        self._entries[key] = (event, self._count(key) + count)
        if self._affordable is not None and self._affordable[0] != key and not _is_free(event):
            self._affordable = None

    def would_exceed(self, event: "DpEvent", count: int = 1) -> bool:
        """Whether `count` more steps of `event` would exceed the plan's cap; then training must stop.

        Cheap for as long as the same event repeats: the number of affordable steps is computed once.
        """
        if self.plan.max_epsilon == float("inf") or _is_free(event):
            return False
        key = _key(event)
        wanted = self._count(key) + count
        if self._affordable is None or self._affordable[0] != key or self._affordable[1] < wanted:
            self._affordable = (key, self._most(event, key, wanted))
        exceeds = wanted > self._affordable[1]
        self.stopped_by_budget = self.stopped_by_budget or exceeds
        return exceeds

    @property
    def event(self) -> "DpEvent":
        """Everything on the bill."""
        return _compose(self._entries)

    def epsilon_spent(
        self, accountant: AccountantName | None = None, neighbouring: Neighbouring | None = None
    ) -> float:
        """ε of what was charged so far, at the plan's δ; 0 before the first step, infinite without privacy.

        Args:
          accountant: None: the plan's, which is the reported value. `rdp` answers in milliseconds, for each epoch.
          neighbouring: None: the plan's.

        Raises:
          ConfigError: the accountant cannot price what ran.
        """
        return self._price(self._entries, accountant or self.plan.accountant, neighbouring or self.plan.neighbouring)

    def verify_complete(self, executed_steps: int, *, stopped_early: bool = False) -> None:
        """Proof of execution: as many steps were clipped and noised as were charged, and as many as were planned.

        Args:
          executed_steps: counted where the noise is added, over all resumptions.
          stopped_early: the caller ended training before the plan did, e.g. by early stopping.

        Raises:
          PrivacyViolation: the counts differ.
        """
        if executed_steps != self.steps:
            raise PrivacyViolation(
                f"{executed_steps} steps were clipped and noised, but {self.steps} were charged: the run makes no claim"
            )
        if self.steps > self.plan.iterations or (
            self.steps < self.plan.iterations and not (stopped_early or self.stopped_by_budget)
        ):
            raise PrivacyViolation(
                f"{self.steps} steps ran where the plan has {self.plan.iterations}: the run makes no claim"
            )

    def to_dict(self) -> dict[str, Any]:
        """The bill as JSON-able values, for a checkpoint."""
        entries = [[json.loads(key), count] for key, (_, count) in self._entries.items()]
        return {
            "plan": self.plan.as_dict(), "steps": self.steps, "lost_steps": self.lost_steps, "entries": entries,
            "stopped_by_budget": self.stopped_by_budget,
        }  # fmt: skip

    @classmethod
    def from_dict(
        cls,
        plan: PrivacyPlan,
        state: dict[str, Any],
        *,
        taken: Mapping[str, int] | None = None,
        journal: Journal | None = None,
    ) -> "Ledger":
        """The ledger that `to_dict` wrote.

        Args:
          plan: of the run that goes on.
          state: the bill of its checkpoint.
          taken: what its journal says; steps beyond the bill were lost, and are charged. A simulation repeats the very same
            noise, which tells nothing more, so nothing is added to its bill.
          journal: of the run that goes on.

        Raises:
          PrivacyViolation: it belongs to another plan.
        """
        # A projection decides nothing that ran, so a resumed run may ask for another one.
        deciding = {name: value for name, value in plan.as_dict().items() if name != "population"}
        changed = [name for name, value in deciding.items() if state["plan"].get(name) != value]
        if changed:
            raise PrivacyViolation(f"the checkpoint was made under another plan: {', '.join(changed)} differ")
        ledger = cls(plan, journal=journal)
        for value, count in state["entries"]:
            event = accounting.from_json(value)
            ledger._entries[_key(event)] = (event, count)
        ledger.steps, ledger.stopped_by_budget = state["steps"], state["stopped_by_budget"]
        ledger.lost_steps = state.get("lost_steps", 0)
        for key, total in ({} if taken is None or plan.is_simulation else taken).items():
            ledger._add_lost(key, total - ledger._count(key))
        return ledger

    def _add_lost(self, key: str, count: int) -> None:
        if count > 0:
            event = accounting.from_json(json.loads(key))
            self._entries[key] = (event, self._count(key) + count)
            self.lost_steps += count

    def _count(self, key: str) -> int:
        return self._entries[key][1] if key in self._entries else 0

    def _most(self, event: "DpEvent", key: str, wanted: int) -> int:
        """The largest total count of `event` that the cap affords beside all other entries, up to the planned count."""

        def price(total: int) -> float:
            bill = self._entries | {key: (event, total)}
            return self._price(bill, self.plan.accountant, self.plan.neighbouring)

        cap, low, high = self.plan.max_epsilon, self._count(key), max(wanted, self.plan.iterations)
        below, above = price(low), price(high)
        if above <= cap:
            return high
        while high - low > 1:  # `low` was charged, so it fits; ε² is nearly straight in the count
            share = (cap**2 - below**2) / (above**2 - below**2)
            middle = min(max(low + round(share * (high - low)), low + 1), high - 1)
            found = price(middle)
            if found <= cap:
                low, below = middle, found
            else:
                high, above = middle, found
        return low

    def _price(self, entries: dict[str, Any], accountant: AccountantName, neighbouring: Neighbouring) -> float:
        bill = {key: (event, count) for key, (event, count) in entries.items() if count and not _is_free(event)}
        if not bill:
            return 0.0
        question = (accountant, neighbouring, *((key, count) for key, (_, count) in bill.items()))
        if question not in self._known:
            self._known[question] = accounting.epsilon(_compose(bill), self.plan.delta, accountant, neighbouring)
        return self._known[question]


def _compose(entries: dict[str, tuple["DpEvent", int]]) -> "DpEvent":
    return accounting.composed([accounting.repeated(event, count) for event, count in entries.values()])


def _key(event: "DpEvent") -> str:
    return json.dumps(accounting.to_json(event), sort_keys=True)


def _is_free(event: "DpEvent") -> bool:
    return event == accounting.nothing()
