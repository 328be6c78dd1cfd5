"""The privacy ledger: the events of a run; the reported ε of a run comes from here only."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgexp.privacy import dp_events
from ecgexp.privacy.accounting import AccountantName, NeighboringRelation
from ecgexp.privacy.budget import EpsilonOfCounts, composition, is_free, key_of
from ecgexp.privacy.journal import Journal
from ecgexp.privacy.plan import PrivacyPlan
from ecgexp.settings.declaration import DataError

if TYPE_CHECKING:
    from dp_accounting import DpEvent


class PrivacyViolation(DataError):
    """What ran differs from what was planned and accounted for: the run has no guarantee."""


class Ledger:
    """The privacy events of one run.

    Events are recorded *before* their step runs, so that a crash can only count too many.
    A checkpoint contains the ledger as it was when the weights were saved. Steps that ran after it
    and were discarded by a crash are in the journal. Their events stay in the ledger, although the
    steps do not count as steps of the run.

    **Guarantees**: after any number of interruptions the ledger contains the plan's events of the
    retained steps, and at least one event for each step that ran and was discarded; where the steps
    of an epoch are one event, exactly one for each time an epoch was begun
    (`tests/unit/privacy/test_ledger_resume.py`). A state or journal that would yield fewer events
    is refused (`tests/unit/privacy/test_journal_damage.py`).

    Args:
      plan: gives δ, the accountant, the neighboring relation and the budget `max_epsilon`.
      journal: stores every event on disk before its step; None: events after the last checkpoint
        do not survive a crash. A simulation needs none: it repeats the same noise, which reveals
        nothing more.

    Attributes:
      steps: recorded steps that are retained.
      discarded_steps: recorded events whose steps were discarded: of single steps, or of whole
        epochs where the steps of an epoch are one event.
      stopped_by_budget: whether the next step would have exceeded the privacy budget.

    Example:
      >>> from ecgexp.privacy.settings import PrivacySpec
      >>> spec = PrivacySpec(noise_multiplier=1.0, accountant="rdp")
      >>> plan = spec.plan(num_units=10_000, expected_batch_size=100, epochs=1)
      >>> ledger = Ledger(plan)
      >>> ledger.record(plan.step_event)
      >>> ledger.steps, ledger.epsilon_spent() > 0
      (1, True)
    """

    def __init__(self, plan: PrivacyPlan, *, journal: Journal | None = None):
        self.plan = plan
        self.steps = 0
        self.discarded_steps = 0
        self._journal = journal if plan.has_privacy_guarantee else None
        self.stopped_by_budget = False
        self._entries: dict[str, tuple[DpEvent, int]] = {}
        self._epsilon = EpsilonOfCounts(plan)
        self._affordable: tuple[str, int] | None = None

    def record(self, event: "DpEvent", count: int = 1) -> None:
        """Record `count` steps of `event`; call it before they run.

        Args:
          event: of one step.
          count: number of steps.

        Raises:
          PrivacyViolation: they would exceed the privacy budget; call `would_exceed` first.
        """
        if self.would_exceed(event, count):
            raise PrivacyViolation(
                f"step {self.steps + 1} would exceed privacy.max_epsilon={self.plan.max_epsilon:g}"
            )
        key = key_of(event)
        if self._journal is not None and not is_free(event):
            self._journal.cover(key, self._count(key) + count, most=self._most_of_run(key))
        self.steps += count
        self._entries[key] = (event, self._count(key) + count)
        if self._affordable is not None and self._affordable[0] != key and not is_free(event):
            self._affordable = None

    def would_exceed(self, event: "DpEvent", count: int = 1) -> bool:
        """Check whether `count` more steps of `event` would exceed the plan's privacy budget.

        If so, training must stop. Fast while the same event repeats: the number of steps that fit
        the limit is computed once.

        Args:
          event: of one step.
          count: number of steps.

        Returns:
          Whether they would. If so, `stopped_by_budget` is set, and `verify_complete` then accepts
          fewer steps than planned.
        """
        if self.plan.max_epsilon == float("inf") or is_free(event):
            return False
        key = key_of(event)
        wanted = self._count(key) + count
        if self._affordable is None or self._affordable[0] != key or self._affordable[1] < wanted:
            self._affordable = (key, self._epsilon.most(self._entries, event, wanted))
        exceeds = wanted > self._affordable[1]
        self.stopped_by_budget = self.stopped_by_budget or exceeds
        return exceeds

    @property
    def event(self) -> "DpEvent":
        """The composition of all recorded events."""
        return composition(self._entries)

    def planned(self) -> "Ledger":
        """Return this ledger with all further steps of the plan that the budget allows.

        **Guarantees**: it is the ledger of a run that makes these steps without an interruption, so
        its ε is the one that such a run reports (`tests/unit/experiment/test_plan.py`). Both
        ledgers share the values of ε that were computed.
        """
        plan, event = self.plan, self.plan.step_event
        key, ledger = key_of(event), Ledger(plan)
        ledger._epsilon, ledger._entries = self._epsilon, dict(self._entries)
        ledger.discarded_steps = self.discarded_steps
        has, begun = self._count(key), plan.num_events(self.steps)
        more = plan.num_events(plan.iterations) - begun
        if plan.max_epsilon < float("inf") and not is_free(event) and more:
            affordable = self._epsilon.most(self._entries, event, has + more)
            more = max(0, min(more, affordable - has))
        ledger.steps = plan.iterations
        if begun + more < plan.num_events(plan.iterations):
            per_event = plan.steps_per_epoch if plan.epoch_is_one_event else 1
            ledger.steps = max(self.steps, (begun + more) * per_event)
            ledger.stopped_by_budget = True
        ledger._entries[key] = (event, has + more)
        if free := ledger.steps - plan.num_events(ledger.steps):
            ledger._entries[key_of(dp_events.nothing())] = (dp_events.nothing(), free)
        return ledger

    def epsilon_spent(
        self,
        accountant: AccountantName | None = None,
        neighboring_relation: NeighboringRelation | None = None,
    ) -> float:
        """Compute ε of the events recorded so far, at the plan's δ.

        Args:
          accountant: None: the reported value, see `accounting.smallest_epsilon`. `rdp` takes
            milliseconds, so it can be called after each epoch.
          neighboring_relation: None: the plan's.

        Returns:
          ε; 0 before the first step, infinite without privacy.

        Raises:
          ConfigError: the accountant has no valid bound for these events.
        """
        return self._epsilon.epsilon(
            self._entries, accountant, neighboring_relation or self.plan.neighboring_relation
        )

    def verify_complete(self, executed_steps: int, *, stopped_early: bool = False) -> None:
        """Check that the executed, the recorded and the planned steps agree.

        Args:
          executed_steps: steps whose sum was clipped and noised, counted where the noise is added,
            over all sessions of a resumed run.
          stopped_early: whether the caller ended training before the plan, e.g. by early stopping.

        Raises:
          PrivacyViolation: the counts differ, or the events are not the plan's.
        """
        if executed_steps != self.steps:
            raise PrivacyViolation(
                f"{executed_steps} steps were clipped and noised, but {self.steps} were recorded: "
                "the run has no privacy guarantee"
            )
        if self.steps > self.plan.iterations or (
            self.steps < self.plan.iterations and not (stopped_early or self.stopped_by_budget)
        ):
            raise PrivacyViolation(
                f"{self.steps} steps ran where the plan has {self.plan.iterations}: the run has no "
                "privacy guarantee"
            )
        if {key: count for key, (_, count) in self._entries.items() if count} != self._required():
            raise PrivacyViolation(
                "the recorded events are not those of the plan: the run has no privacy guarantee"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the ledger and the journal's count as JSON-serializable values."""
        entries = [[json.loads(key), count] for key, (_, count) in self._entries.items()]
        journal = self._journal and {
            "run": self._journal.run,
            "count": self._journal.count(key_of(self.plan.step_event)),
        }
        return {
            "plan": self.plan.as_dict(),
            "steps": self.steps,
            "discarded_steps": self.discarded_steps,
            "entries": entries,
            "stopped_by_budget": self.stopped_by_budget,
            "journal": journal,
        }

    @classmethod
    def from_dict(
        cls,
        plan: PrivacyPlan,
        state: dict[str, Any],
        *,
        journal: Journal | None = None,
        run_dir: Path | None = None,
    ) -> "Ledger":
        """Restore the ledger that `to_dict` wrote.

        Args:
          plan: plan of the run that resumes.
          state: ledger in its checkpoint.
          journal: journal of the run that resumes. Events that it has beyond `state` belong to
            discarded steps, and are recorded.
          run_dir: folder of the run that resumes, for messages.

        Returns:
          The ledger.

        Raises:
          PrivacyViolation: the state belongs to another plan, its events are not those of its
            steps, or the journal belongs to another run, is missing, or has fewer events than the
            state.
          DataError: the journal has events of another plan.
        """
        ledger = cls(plan, journal=journal)
        try:
            ledger._restore(state)
        except PrivacyViolation as error:
            raise PrivacyViolation(f"resume={run_dir or 'RUN'}: {error}") from error
        except DataError:  # raised by the journal, whose message names the file
            raise
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            why = _unusable(f"its ledger is damaged ({type(error).__name__}: {error})")
            raise PrivacyViolation(f"resume={run_dir or 'RUN'}: {why}") from error
        return ledger

    def _restore(self, state: dict[str, Any]) -> None:
        # A hypothetical population does not affect what ran, so a resumed run may change it.
        then, now = (
            {**values, "hypothetical_population": None}
            for values in (state["plan"], self.plan.as_dict())
        )
        changed = [
            name
            for name in sorted({*then, *now})
            if name not in then or then[name] != now.get(name)
        ]
        if changed:
            raise PrivacyViolation(
                f"the checkpoint was made under another plan: {', '.join(changed)} differ; resume "
                "with the run's own settings, or start anew in another folder, without resume=."
            )
        self.steps, self.discarded_steps = _whole(state["steps"]), _whole(state["discarded_steps"])
        entries = [
            (json.dumps(event, sort_keys=True), _whole(count)) for event, count in state["entries"]
        ]
        there = sorted((key, count) for key, count in entries if count)
        if self.steps > self.plan.iterations or there != sorted(self._required().items()):
            raise _unusable("its events are not those of its steps")
        event, free = self.plan.step_event, dp_events.nothing()
        counts = dict(entries)
        self._entries = {
            key_of(each): (each, counts[key_of(each)])
            for each in (event, free)
            if key_of(each) in counts
        }
        self.stopped_by_budget = bool(state["stopped_by_budget"])
        self._discard(event, self._taken(state["journal"]) - self._count(key_of(event)))

    def _taken(self, stored: dict[str, Any] | None) -> int:
        """Return the number of events that may have happened, by the journal.

        Args:
          stored: the journal's run and count when the checkpoint was saved.
        """
        key = key_of(self.plan.step_event)
        if not self.plan.has_privacy_guarantee:
            return self._count(key)
        if self._journal is None:
            if stored is not None:
                raise _unusable("its privacy journal is missing")
            return self._count(key)  # a run without a journal, e.g. in a notebook
        if stored is None or stored["run"] != self._journal.run:
            raise _unusable("the privacy journal beside it belongs to another run")
        taken, known = self._journal.count(key), max(_whole(stored["count"]), self._count(key))
        if taken < known:
            raise _unusable(
                f"the privacy journal beside it has {taken} events, but had {known} when the "
                "checkpoint was saved"
            )
        return taken

    def _discard(self, event: "DpEvent", count: int) -> None:
        if count > 0:
            key = key_of(event)
            self._entries[key] = (event, self._count(key) + count)
            self.discarded_steps += count

    def _required(self) -> dict[str, int]:
        """Return the events that the ledger must contain: of retained and of discarded steps."""
        events = self.plan.num_events(self.steps)
        required = {
            key_of(self.plan.step_event): events + self.discarded_steps,
            key_of(dp_events.nothing()): self.steps - events,
        }
        return {key: count for key, count in required.items() if count}

    def _most_of_run(self, key: str) -> int:
        """Return how many events `key` the run can have at its end, by its plan and privacy budget.

        0, so that nothing is reserved in advance, where one event covers a whole epoch.
        """
        if self.plan.epoch_is_one_event:
            return 0
        most = self.plan.num_events(self.plan.iterations) + self.discarded_steps
        return (
            most
            if self._affordable is None or self._affordable[0] != key
            else min(most, self._affordable[1])
        )

    def _count(self, key: str) -> int:
        return self._entries[key][1] if key in self._entries else 0


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise _unusable(f"its ledger has the count {value!r}")
    return value


def _unusable(why: str) -> PrivacyViolation:
    return PrivacyViolation(
        f"the checkpoint cannot be used, because {why}, so the privacy loss of the run so far is "
        "unknown; start the run anew in another folder, without resume=."
    )
