"""What a search costs: whoever chooses among private runs, or shows them all, owes more than any one of them says.

Releasing every run is priced by composition, whatever was chosen and why. Releasing only the best of a *random* number of
runs costs less (Papernot & Steinke 2022, arXiv:2110.03620), but on assumptions that a fixed grid does not meet; that price
is told beside the other, with its assumptions, and is never larger.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ecgexp.privacy import accounting
from ecgexp.privacy.accounting import AccountantName, Neighbouring
from ecgexp.privacy.plan import PrivacyPlan, Unit

if TYPE_CHECKING:
    from dp_accounting import DpEvent


@dataclass(frozen=True, kw_only=True)
class Charge:
    """What one run of a search did, or was about to do, to one unit of privacy.

    Attributes:
      event: everything on its bill, as `accounting.to_json` writes it.
      delta: of its promise.
      unit: of its promise.
      neighbouring: which data sets its promise compares.
      accountant: whose ε it reports.
      makes_claim: False for a run without privacy and for one whose noise can be recomputed: their price is infinite.
    """

    event: Mapping[str, Any]
    delta: float
    unit: Unit
    neighbouring: Neighbouring
    accountant: AccountantName
    makes_claim: bool

    @classmethod
    def planned(cls, plan: PrivacyPlan, *, lost_steps: int = 0) -> "Charge":
        """What the whole run will have done, and what it lost by an interruption: the charge written down before it trains."""
        event = plan.dp_event
        if lost_steps:
            event = accounting.composed([event, accounting.repeated(plan.step_event, lost_steps)])
        return cls(
            event=accounting.to_json(event), delta=plan.delta, unit=plan.unit, neighbouring=plan.neighbouring,
            accountant=plan.accountant, makes_claim=plan.makes_claim,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SearchPrice:
    """The price of a search.

    Attributes:
      runs: how many runs trained, were they finished or not.
      epsilon_all: ε of releasing every run; None where it has no finite price.
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
        """`sweep/…`; what has no finite price has no metric."""
        if self.epsilon_all is None:
            return {}
        best = {} if self.epsilon_best is None else {"sweep/epsilon_best_of_random": self.epsilon_best}
        return {"sweep/epsilon_all": self.epsilon_all, "sweep/delta": self.delta} | best


def compose_epsilon(charges: Sequence[Charge], *, accountant: AccountantName | None = None) -> float:
    """ε of releasing every run of the charges, at the smallest of their δ; infinite if any of them promises nothing.

    Args:
      charges: of runs on the same people.
      accountant: None: PLD if every run reports PLD, else RDP.

    Raises:
      ValueError: they promise different things, so that no one ε sums them up; says which.
      ConfigError: the accountant has no price for their composition.
    """
    if not charges:
        return 0.0
    if not all(charge.makes_claim for charge in charges):
        return float("inf")
    if why := _incomparable(charges):
        raise ValueError(why)
    return accounting.epsilon(
        _composed(charges), min(charge.delta for charge in charges), accountant or _accountant(charges),
        charges[0].neighbouring,
    )  # fmt: skip


def price_search(charges: Sequence[Charge]) -> SearchPrice | None:
    """The price of a search in figures and in prose; None where no run promised anything.

    Args:
      charges: one of each run that trained, finished or not: also a run that failed has looked at the data.
    """
    private = [charge for charge in charges if charge.makes_claim]
    if not private:
        return None
    if why := _incomparable(private):
        return _unpriced(charges, f"The {len(private)} private runs have no ε in common: {why}.")
    delta, accountant = min(charge.delta for charge in private), _accountant(private)
    together = compose_epsilon(private)
    best, assumptions = _best(private, together, delta)
    open_runs = len(charges) - len(private)
    text = "\n\n".join(
        [
            f"Releasing all {_runs(len(private), 'private run')} of this search costs ε = {together:.4g} (δ {delta:g}, unit: "
            f"{private[0].unit}, {accountant.upper()}, composition), whatever was chosen among them and why. Each run's own ε "
            "holds only for whoever sees that run alone and did not learn from the others which one to look at.",
            assumptions,
            *(
                [
                    f"Beside them, {_runs(open_runs, 'run')} of this search made no promise (no noise, or noise from a known "
                    "seed). Whoever sees these too has no bound at all: the figure above holds only if they are kept back, and "
                    "if nothing was chosen by looking at them."
                ]
                if open_runs
                else []
            ),
            "Validation and test scores were computed without noise: what they tell of the beats they were computed on is not "
            "covered by either figure.",
        ]
    )
    return SearchPrice(
        runs=len(charges), epsilon_all=None if open_runs else together, epsilon_best=None if open_runs else best, delta=delta,
        accountant=accountant, text=text + "\n",
    )  # fmt: skip


def _best(private: Sequence[Charge], together: float, delta: float) -> tuple[float | None, str]:
    """ε of releasing the best alone, and on which assumptions."""
    worst = _dominating(private)
    if worst is None or private[0].neighbouring != "add_or_remove_one":
        return None, (
            "For releasing only the best run there is no price but that of all: the runs differ in more than their noise, so "
            "none of them is the costliest at every order."
        )
    number = len(private)
    drawn = accounting.epsilon(accounting.best_of(worst, mean_runs=number), delta, "rdp")
    if drawn >= together:
        return together, (
            f"Releasing only the best run costs no more than that. Had the number of runs been drawn from a Poisson "
            f"distribution of mean {number}, the bound for the best of them would be {drawn:.4g} (RDP, at the costliest of "
            "these settings), which says less."
        )
    return drawn, (
        f"Releasing only the best run would cost ε = {drawn:.4g} (RDP) if, before anything was looked at, the number of runs had "
        f"been drawn from a Poisson distribution of mean {number}, each run had drawn its settings at random from those tried "
        "here (priced as the costliest of them), and nothing else of the other runs were ever shown. A grid that somebody "
        "typed does not meet the first condition; for it the price is that of all runs."
    )


def _dominating(charges: Sequence[Charge]) -> "DpEvent | None":
    """The event with the least noise among events that differ in nothing else; None if they do."""
    events = [accounting.from_json(charge.event) for charge in charges]
    shapes = {accounting.shape(event) for event in events}
    noises = [accounting.noise(event) for event in events]
    if len(shapes) != 1 or None in shapes:
        return None
    return events[noises.index(min(noises))]


def _composed(charges: Sequence[Charge]) -> "DpEvent":
    """Equal runs, such as the seeds of one setting, become one event with a count, which is priced at once."""
    counts: dict[str, tuple[DpEvent, int]] = {}
    for charge in charges:
        event = accounting.from_json(charge.event)
        key = repr(event)
        counts[key] = (event, counts.get(key, (event, 0))[1] + 1)
    return accounting.composed([accounting.repeated(event, count) for event, count in counts.values()])


def _incomparable(charges: Sequence[Charge]) -> str:
    units = sorted({charge.unit for charge in charges})
    relations = sorted({charge.neighbouring for charge in charges})
    if len(units) > 1:
        return f"their units are {' and '.join(units)}"
    if len(relations) > 1:
        return f"they compare data sets by {' and by '.join(relations)}"
    return ""


def _accountant(charges: Sequence[Charge]) -> AccountantName:
    return "pld" if all(charge.accountant == "pld" for charge in charges) else "rdp"


def _unpriced(charges: Sequence[Charge], text: str) -> SearchPrice:
    return SearchPrice(
        runs=len(charges), epsilon_all=None, epsilon_best=None, delta=None, accountant=None, text=text + "\n"
    )


def _runs(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
