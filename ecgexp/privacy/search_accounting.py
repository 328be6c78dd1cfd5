"""The privacy loss of a search: whoever chooses among private runs, or shows them all, loses more than any one of them says.

The loss of releasing every run is that of their composition, whatever was chosen and why. Releasing only the best of a *random*
number of runs loses less (Papernot & Steinke 2022, arXiv:2110.03620), but on assumptions that a fixed grid does not meet; that
bound is reported beside the other, with its assumptions, and is never larger.
"""

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, get_args

from ecgexp.formatting import epsilon_text
from ecgexp.privacy import accounting
from ecgexp.privacy.accounting import AccountantName, NeighboringRelation
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.plan import PrivacyPlan, Unit
from ecgexp.privacy.stored_events import check_event
from ecgexp.settings.declaration import ConfigError

if TYPE_CHECKING:
    from dp_accounting import DpEvent


_MANY = 20
_NO_BOUND = (
    ConfigError,
    ArithmeticError,
    ValueError,
)  # the latter two for noise or rates beyond what floats can compute


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Which runs a privacy loss is about.

    Attributes:
      of: after "all private runs".
      covers: what the figure covers and what it does not.
      has_best: whether one of the runs may be released and the others not.
    """

    of: str
    covers: str
    has_best: bool = True


SWEEP = Scope(
    of="of this sweep",
    covers="This covers this sweep only. Other sweeps and single runs on the same people add to it.",
)


@dataclass(frozen=True, kw_only=True)
class PrivacySpent:
    """What one run of a search did, or was about to do, to one unit of privacy.

    Attributes:
      event: everything on its bill, as `accounting.to_json` writes it.
      delta: of its promise.
      unit: of its promise.
      neighboring_relation: which data sets its promise compares.
      accountant: whose ε it reports.
      has_privacy_guarantee: False for a run without privacy and for one whose noise can be recomputed: their price is infinite.
    """

    event: Mapping[str, Any]
    delta: float
    unit: Unit
    neighboring_relation: NeighboringRelation
    accountant: AccountantName
    has_privacy_guarantee: bool

    @classmethod
    def planned(cls, plan: PrivacyPlan, *, discarded_steps: int = 0) -> "PrivacySpent":
        """What the whole run will have done, and what it lost by an interruption: the charge written down before it trains."""
        event = plan.dp_event
        if discarded_steps:
            event = accounting.composed(
                [event, accounting.repeated(plan.step_event, discarded_steps)]
            )
        return cls(
            event=accounting.to_json(event), delta=plan.delta, unit=plan.unit, neighboring_relation=plan.neighboring_relation,
            accountant=plan.accountant, has_privacy_guarantee=plan.has_privacy_guarantee,
        )  # fmt: skip

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "PrivacySpent":
        """The charge that `dataclasses.asdict` made values of.

        Raises:
          ValueError: they are of something else.
        """
        fits = (
            isinstance(values, Mapping) and values.keys() == {item.name for item in fields(cls)}
            and isinstance(values["event"], Mapping) and isinstance(values["event"].get("type"), str)
            and isinstance(values["delta"], float) and 0 < values["delta"] < 1 and values["unit"] in get_args(Unit)
            and values["neighboring_relation"] in get_args(NeighboringRelation) and values["accountant"] in get_args(AccountantName)
            and isinstance(values["has_privacy_guarantee"], bool)
        )  # fmt: skip
        if not fits:
            raise ValueError("these are not the values of a charge")
        check_event(values["event"])
        return cls(**values)

    @classmethod
    def of(cls, ledger: Ledger) -> "PrivacySpent":
        """What a run will have done that is about to begin or to resume: all that is planned and all that is on its ledger."""
        planned = cls.planned(ledger.plan, discarded_steps=ledger.discarded_steps)
        return planned.at_least(replace(planned, event=accounting.to_json(ledger.event)))

    def at_least(self, other: "PrivacySpent | None") -> "PrivacySpent":
        """What is no smaller than either of two records of one run; without a bound where they are of two kinds."""
        if other is None or other == self:
            return self
        if not (
            self.has_privacy_guarantee
            and other.has_privacy_guarantee
            and not _incomparable([self, other])
        ):
            return replace(self, has_privacy_guarantee=False)
        event = accounting.at_least(
            accounting.from_json(self.event), accounting.from_json(other.event)
        )
        return replace(
            self, event=accounting.to_json(event), delta=min(self.delta, other.delta),
            accountant=_accountant([self, other]),
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SearchPrivacyLoss:
    """The privacy loss of a search.

    Attributes:
      runs: how many runs trained, were they finished or not.
      epsilon_all: ε of releasing every run; None where it has no finite bound.
      epsilon_best: ε of releasing only the best, under the assumptions of the text; None where they cannot be met.
      delta: the δ of both.
      accountant: whose ε `epsilon_all` is.
      text: all of it in prose.
    """

    runs: int
    epsilon_all: float | None
    epsilon_best: float | None
    delta: float | None
    accountant: AccountantName | None
    text: str

    def metrics(self) -> dict[str, float]:
        """`sweep/…`; what has no finite bound has no metric."""
        if self.epsilon_all is None:
            return {}
        best = (
            {} if self.epsilon_best is None else {"sweep/epsilon_best_of_random": self.epsilon_best}
        )
        return {"sweep/epsilon_all": self.epsilon_all, "sweep/delta": self.delta} | best


def compose_epsilon(
    all_spent: Sequence[PrivacySpent], *, accountant: AccountantName | None = None
) -> float:
    """ε of releasing every run of the charges, at the smallest of their δ; infinite if any of them promises nothing.

    Args:
      all_spent: of runs on the same people.
      accountant: None: PLD if every run reports PLD, else RDP; where it has no finite bound, the other one.

    Raises:
      ValueError: they promise different things, so that no one ε sums them up; says which.
      ConfigError: the accountant has no bound for their composition.
    """
    if not all_spent:
        return 0.0
    if not all(spent.has_privacy_guarantee for spent in all_spent):
        return float("inf")
    if why := _incomparable(all_spent):
        raise ValueError(why)
    return _bound(all_spent)[0] if accountant is None else _bound_by(accountant, all_spent)


def search_privacy_loss(
    all_spent: Sequence[PrivacySpent], *, unknown: int = 0, scope: Scope = SWEEP
) -> SearchPrivacyLoss | None:
    """The privacy loss of a search in figures and in prose; None where no run promised anything.

    **Guarantees**: the figure is an upper bound for any unit that any of the runs may have had, at the smallest of their δ.
    Where there is none (a run without a guarantee, guarantees of two kinds, a damaged record), there is no figure but words.

    Args:
      all_spent: one of each run that trained, finished or not: also a run that failed has looked at the data.
      unknown: runs that may have trained and whose record is damaged or missing; their loss is not taken for none.
      scope: which runs these are, in words.
    """
    private = [spent for spent in all_spent if spent.has_privacy_guarantee]
    open_runs, runs = len(all_spent) - len(private), len(all_spent) + unknown
    if not private and not unknown:
        return None
    kinds = _kinds(private)
    if len(kinds) > 1:
        lines = [
            f"The {len(private)} private runs {scope.of} have no ε in common: {_incomparable(private)}."
        ]
        lines += [_together(kind, _runs(len(kind), "private run")) for kind in kinds]
        lines.append(
            "Whoever belongs to several of these loses more than each figure says, and no bound is known for it."
        )
        return _without_accounting(
            runs, [*lines, *_beside(open_runs, unknown, scope), scope.covers]
        )
    together, accountant = _bound(private) if private else (0.0, "pld")
    if math.isinf(together):
        lines = [f"No accountant has a bound for {_all(len(private))} {scope.of} together."]
        return _without_accounting(
            runs, [*lines, *_beside(open_runs, unknown, scope), scope.covers]
        )
    if not private:
        return _without_accounting(runs, [*_beside(open_runs, unknown, scope), scope.covers])
    delta = min(spent.delta for spent in private)
    best, assumptions = (None, "") if unknown else _best(private, together, delta)
    paragraphs = [
        f"{'At least: r' if unknown else 'R'}eleasing {_all(len(private))} {scope.of} has a privacy loss of "
        f"ε = {epsilon_text(together, digits=4)}"
        f" (δ {delta:g}, unit: {private[0].unit}, {accountant.upper()}, composition), whatever was chosen "
        "among them and why. Each run's own ε holds only for whoever sees that run alone and did not learn from the others "
        "which one to look at.",
        scope.covers,
        assumptions if scope.has_best else "",
        *_beside(open_runs, unknown, scope),
        "Validation and test scores were computed without noise: what they tell of the beats they were computed on is not "
        "covered by any of these figures.",
    ]
    bounded = not open_runs and not unknown
    return SearchPrivacyLoss(
        runs=runs, epsilon_all=together if bounded else None, epsilon_best=best if bounded else None, delta=delta,
        accountant=accountant, text="\n\n".join(part for part in paragraphs if part) + "\n",
    )  # fmt: skip


def _together(kind: Sequence[PrivacySpent], words: str) -> str:
    """One line about runs of one kind."""
    bound, accountant = _bound(kind)
    relation = kind[0].neighboring_relation.replace("_", " ")
    figure = f"ε = {epsilon_text(bound, digits=4)}" if math.isfinite(bound) else "no bound"
    return (
        f"- unit: {kind[0].unit}, {relation}: {words}, {figure} (δ {min(spent.delta for spent in kind):g}, "
        f"{accountant.upper()}, composition)"
    )


def _beside(open_runs: int, unknown: int, scope: Scope) -> list[str]:
    """What is not in the figure."""
    lines = []
    if open_runs:
        lines.append(
            f"Beside them, {_runs(open_runs, 'run')} {scope.of} made no promise (no noise, or noise from a known seed). Whoever "
            "sees these too has no bound at all: the figure above holds only if they are kept back, and if nothing was chosen by "
            "looking at them."
        )
    if unknown:
        lines.append(
            f"Of {_runs(unknown, 'more run')} {scope.of} the record is damaged or missing. What they lost is unknown and in no "
            "figure: the loss is at least what is stated here, and has no known bound."
        )
    return lines


def _bound(all_spent: Sequence[PrivacySpent]) -> tuple[float, AccountantName]:
    """ε of runs of one kind and whose it is; infinite where no accountant has a bound.

    PLD takes a second for each kind of step, so beyond some twenty kinds the bound is that of RDP, which is looser.
    """
    first = "rdp" if len(_counted(all_spent)) > _MANY else _accountant(all_spent)
    found: dict[AccountantName, float] = {}
    for accountant in (first, "rdp" if first == "pld" else "pld"):
        if first == "rdp" and math.isfinite(found.get("rdp", math.inf)):
            break  # it was asked for, or PLD would take too long
        with contextlib.suppress(*_NO_BOUND):
            found[accountant] = _bound_by(accountant, all_spent)
    best = min(found, key=lambda accountant: found[accountant], default=first)
    return found.get(best, math.inf), best


def _bound_by(accountant: AccountantName, all_spent: Sequence[PrivacySpent]) -> float:
    events = [accounting.repeated(event, count) for event, count in _counted(all_spent).values()]
    return accounting.epsilon(
        accounting.composed(events),
        min(spent.delta for spent in all_spent),
        accountant,
        all_spent[0].neighboring_relation,
    )


def _kinds(all_spent: Sequence[PrivacySpent]) -> list[list[PrivacySpent]]:
    """Runs that one figure can sum up, together."""
    kinds: dict[tuple[Unit, NeighboringRelation], list[PrivacySpent]] = {}
    for spent in all_spent:
        kinds.setdefault((spent.unit, spent.neighboring_relation), []).append(spent)
    return list(kinds.values())


def _best(
    private: Sequence[PrivacySpent], together: float, delta: float
) -> tuple[float | None, str]:
    """ε of releasing the best alone, and on which assumptions."""
    worst = _dominating(private)
    if worst is None or private[0].neighboring_relation != "add_or_remove_one":
        return None, (
            "For releasing only the best run there is no smaller bound than that of all: the runs differ in more than their "
            "noise, so none of them loses most at every order."
        )
    number = len(private)
    drawn = accounting.epsilon(accounting.best_of(worst, mean_runs=number), delta, "rdp")
    if drawn >= together:
        return together, (
            f"Releasing only the best run loses no more than that. Had the number of runs been drawn from a Poisson "
            f"distribution of mean {number}, the bound for the best of them would be {epsilon_text(drawn, digits=4)}"
            f" (RDP, at the least noisy of "
            "these settings), which says less."
        )
    return drawn, (
        f"Releasing only the best run would have a privacy loss of ε = {epsilon_text(drawn, digits=4)}"
        f" (RDP) if, before anything was "
        "looked at, the number of runs had "
        f"been drawn from a Poisson distribution of mean {number}, each run had drawn its settings at random from those tried "
        "here (each taken for the one that loses most), and nothing else of the other runs were ever shown. A grid that somebody "
        "chose does not meet the first condition; for it the privacy loss is that of all runs."
    )


def _dominating(all_spent: Sequence[PrivacySpent]) -> "DpEvent | None":
    """The event with the least noise among events that differ in nothing else; None if they do."""
    events = [accounting.from_json(spent.event) for spent in all_spent]
    shapes = {accounting.shape(event) for event in events}
    noises = [accounting.noise(event) for event in events]
    if len(shapes) != 1 or None in shapes:
        return None
    return events[noises.index(min(noises))]


def _counted(all_spent: Sequence[PrivacySpent]) -> "dict[str, tuple[DpEvent, int]]":
    """Equal runs, such as the seeds of one setting, become one event with a count, which is composed at once."""
    counts: dict[str, tuple[DpEvent, int]] = {}
    for spent in all_spent:
        event = accounting.from_json(spent.event)
        key = repr(event)
        counts[key] = (event, counts.get(key, (event, 0))[1] + 1)
    return counts


def _incomparable(all_spent: Sequence[PrivacySpent]) -> str:
    units = sorted({spent.unit for spent in all_spent})
    relations = sorted({spent.neighboring_relation for spent in all_spent})
    if len(units) > 1:
        return f"their units are {' and '.join(units)}"
    if len(relations) > 1:
        return f"they compare data sets by {' and by '.join(relations)}"
    return ""


def _accountant(all_spent: Sequence[PrivacySpent]) -> AccountantName:
    return "pld" if all(spent.accountant == "pld" for spent in all_spent) else "rdp"


def _without_accounting(runs: int, paragraphs: Sequence[str]) -> SearchPrivacyLoss:
    return SearchPrivacyLoss(
        runs=runs, epsilon_all=None, epsilon_best=None, delta=None, accountant=None, text="\n\n".join(paragraphs) + "\n"
    )  # fmt: skip


def _all(count: int) -> str:
    return "the one private run" if count == 1 else f"all {count} private runs"


def _runs(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
