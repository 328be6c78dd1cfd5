"""The privacy loss of one run for one unit of privacy, as it is recorded and compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, get_args

from ecgexp.privacy import dp_events, stored_events
from ecgexp.privacy.accounting import AccountantName, NeighboringRelation
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.plan import PrivacyPlan, Unit
from ecgexp.privacy.stored_events import check_event


@dataclass(frozen=True, kw_only=True)
class PrivacySpent:
    """The privacy loss of one run of a search, for one unit of privacy.

    Attributes:
      event: all recorded or planned events, as `stored_events.to_json` writes them.
      delta: δ of its guarantee.
      unit: unit of its guarantee.
      neighboring_relation: which data sets its guarantee compares.
      accountant: whose ε it reports.
      has_privacy_guarantee: False for a run without privacy and for one whose noise can be
        recomputed: their ε is infinite.
    """

    event: Mapping[str, Any]
    delta: float
    unit: Unit
    neighboring_relation: NeighboringRelation
    accountant: AccountantName
    has_privacy_guarantee: bool

    @classmethod
    def planned(cls, plan: PrivacyPlan, *, discarded_steps: int = 0) -> "PrivacySpent":
        """Return the loss of a whole planned run, which is recorded before the run trains.

        Args:
          plan: plan of the run.
          discarded_steps: events of steps that an interruption discarded.
        """
        event = plan.dp_event
        if discarded_steps:
            event = dp_events.composed(
                [event, dp_events.repeated(plan.step_event, discarded_steps)]
            )
        return cls(
            event=stored_events.to_json(event),
            delta=plan.delta,
            unit=plan.unit,
            neighboring_relation=plan.neighboring_relation,
            accountant=plan.accountant,
            has_privacy_guarantee=plan.has_privacy_guarantee,
        )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "PrivacySpent":
        """Read the loss that `dataclasses.asdict` made `values` of.

        Args:
          values: as read from JSON.

        Raises:
          ValueError: they are not the values of a privacy loss.
        """
        fits = (
            isinstance(values, Mapping)
            and values.keys() == {item.name for item in fields(cls)}
            and isinstance(values["event"], Mapping)
            and isinstance(values["event"].get("type"), str)
            and isinstance(values["delta"], float)
            and 0 < values["delta"] < 1
            and values["unit"] in get_args(Unit)
            and values["neighboring_relation"] in get_args(NeighboringRelation)
            and values["accountant"] in get_args(AccountantName)
            and isinstance(values["has_privacy_guarantee"], bool)
        )
        if not fits:
            raise ValueError("these are not the values of a privacy loss")
        check_event(values["event"])
        return cls(**values)

    @classmethod
    def of(cls, ledger: Ledger) -> "PrivacySpent":
        """Return the loss of a run that is about to start or to resume.

        Args:
          ledger: of the run; the loss covers all planned steps and all events in it.
        """
        planned = cls.planned(ledger.plan, discarded_steps=ledger.discarded_steps)
        return planned.at_least(replace(planned, event=stored_events.to_json(ledger.event)))

    def at_least(self, other: "PrivacySpent | None") -> "PrivacySpent":
        """Return a loss that is at least that of each of two records of one run.

        Args:
          other: the other record; None where there is none.

        Returns:
          The loss; without a guarantee where the records are of different kinds.
        """
        if other is None or other == self:
            return self
        if not (
            self.has_privacy_guarantee
            and other.has_privacy_guarantee
            and not incomparable([self, other])
        ):
            return replace(self, has_privacy_guarantee=False)
        event = dp_events.at_least(
            stored_events.from_json(self.event), stored_events.from_json(other.event)
        )
        return replace(
            self,
            event=stored_events.to_json(event),
            delta=min(self.delta, other.delta),
            accountant=joint_accountant([self, other]),
        )


def incomparable(all_spent: Sequence[PrivacySpent]) -> str:
    """Return why these losses have no joint ε; an empty text where they have one."""
    units = sorted({spent.unit for spent in all_spent})
    relations = sorted({spent.neighboring_relation for spent in all_spent})
    if len(units) > 1:
        return f"their units are {' and '.join(units)}"
    if len(relations) > 1:
        return f"their neighboring relations are {' and '.join(relations)}"
    return ""


def joint_accountant(all_spent: Sequence[PrivacySpent]) -> AccountantName:
    """Return the accountant of several losses: PLD if all report PLD, else RDP."""
    return "pld" if all(spent.accountant == "pld" for spent in all_spent) else "rdp"
