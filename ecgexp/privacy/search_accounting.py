"""The privacy loss of a search: choosing among private runs, or releasing all of them.

Both have a larger privacy loss than the ε of any single run. The loss of releasing every run is
that of their composition, for any choice among them. Releasing only the best of a *random* number
of runs has a smaller loss (Papernot & Steinke 2022, arXiv:2110.03620), but under assumptions that a
fixed grid does not satisfy. That bound is reported in addition, with its assumptions, and is never
larger.
"""

import contextlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ecgexp.formatting import epsilon_text
from ecgexp.privacy import accounting, dp_events, stored_events
from ecgexp.privacy.accounting import AccountantName, NeighboringRelation
from ecgexp.privacy.plan import Unit
from ecgexp.privacy.spent import PrivacySpent, incomparable, joint_accountant
from ecgexp.settings.declaration import ConfigError

if TYPE_CHECKING:
    from dp_accounting import DpEvent


_MANY = 20
# The latter two occur for noise or sampling rates outside the range of floats.
_NO_BOUND = (ConfigError, ArithmeticError, ValueError)


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Which runs a privacy loss is about.

    Attributes:
      of: completes "all private runs …".
      covers: sentence on what the value covers and what it does not.
      has_best: whether to report the bound for releasing only the best run.
    """

    of: str
    covers: str
    has_best: bool = True


SWEEP = Scope(
    of="of this sweep",
    covers="This covers this sweep only. Other sweeps and single runs on the same people add to "
    "it.",
)


@dataclass(frozen=True, kw_only=True)
class SearchPrivacyLoss:
    """The privacy loss of a search.

    Attributes:
      runs: number of runs that trained, finished or not.
      epsilon_all: ε of releasing every run; None where there is no finite bound.
      epsilon_best: ε of releasing only the best run, under the assumptions in `text`; None where
        they cannot be met.
      delta: δ of both.
      accountant: whose bound `epsilon_all` is.
      text: the result as text, with its assumptions.
      short: the same in one line, without them.
    """

    runs: int
    epsilon_all: float | None
    epsilon_best: float | None
    delta: float | None
    accountant: AccountantName | None
    text: str
    short: str

    def metrics(self) -> dict[str, float]:
        """Return the metrics `sweep/…`; a value without a finite bound has no metric."""
        if self.epsilon_all is None:
            return {}
        best = (
            {} if self.epsilon_best is None else {"sweep/epsilon_best_of_random": self.epsilon_best}
        )
        return {"sweep/epsilon_all": self.epsilon_all, "sweep/delta": self.delta} | best


def compose_epsilon(
    all_spent: Sequence[PrivacySpent], *, accountant: AccountantName | None = None
) -> float:
    """Compute ε of releasing every run, at the smallest δ of the runs.

    Args:
      all_spent: losses of runs on the same people.
      accountant: None: PLD if every run reports PLD, else RDP; where it has no finite bound, the
        other one.

    Returns:
      ε; infinite if any of the runs has no privacy guarantee.

    Raises:
      ValueError: the runs have different units or neighboring relations, so there is no joint ε.
      ConfigError: the accountant has no bound for their composition.
    """
    if not all_spent:
        return 0.0
    if not all(spent.has_privacy_guarantee for spent in all_spent):
        return float("inf")
    if why := incomparable(all_spent):
        raise ValueError(why)
    return _bound(all_spent)[0] if accountant is None else _bound_by(accountant, all_spent)


def search_privacy_loss(
    all_spent: Sequence[PrivacySpent], *, unknown: int = 0, scope: Scope = SWEEP
) -> SearchPrivacyLoss | None:
    """Compute the privacy loss of a search and describe it.

    **Guarantees**: ε is an upper bound for every unit that was in the training set of any of the
    runs, at the smallest δ of the runs. Where there is no bound (a run without a guarantee,
    guarantees of two kinds, a damaged record), the result has text but no value.

    Args:
      all_spent: losses of all runs that trained, finished or not: a run that failed used the data
        too.
      unknown: number of runs that may have trained and whose record is damaged or missing; their
        loss is not assumed to be zero.
      scope: which runs these are.

    Returns:
      The loss; None where no run has a privacy guarantee and no record is damaged or missing.

    Example:
      >>> from ecgexp.privacy.settings import PrivacySpec
      >>> spec = PrivacySpec(noise_multiplier=1.0, accountant="rdp")
      >>> plan = spec.plan(num_units=10_000, expected_batch_size=100, epochs=1)
      >>> one = PrivacySpent.planned(plan)
      >>> search_privacy_loss([one, one]).epsilon_all > search_privacy_loss([one]).epsilon_all
      True
    """
    private = [spent for spent in all_spent if spent.has_privacy_guarantee]
    open_runs, runs = len(all_spent) - len(private), len(all_spent) + unknown
    if not private and not unknown:
        return None
    kinds = _kinds(private)
    if len(kinds) > 1:
        lines = [
            f"The {len(private)} private runs {scope.of} have no joint ε: {incomparable(private)}."
        ]
        short = lines[0].removesuffix(".")
        lines += [_together(kind, _runs(len(kind), "private run")) for kind in kinds]
        lines.append(
            "For a person in several of these groups the loss is larger than each value, and no "
            "bound is known for it."
        )
        return _without_accounting(
            runs,
            [*lines, *_beside(open_runs, unknown, scope), scope.covers],
            short + _beside_in_short(open_runs, unknown),
        )
    together, accountant = _bound(private) if private else (0.0, "pld")
    if math.isinf(together):
        lines = [f"No accountant has a bound for {_all(len(private))} {scope.of} together."]
        return _without_accounting(
            runs,
            [*lines, *_beside(open_runs, unknown, scope), scope.covers],
            lines[0].removesuffix(".") + _beside_in_short(open_runs, unknown),
        )
    if not private:
        return _without_accounting(
            runs,
            [*_beside(open_runs, unknown, scope), scope.covers],
            f"No run {scope.of} has a known ε" + _beside_in_short(open_runs, unknown),
        )
    delta = min(spent.delta for spent in private)
    best, assumptions = (None, "") if unknown else _best(private, together, delta)
    figure = (
        f"ε = {epsilon_text(together, digits=4)} (δ {delta:g}, unit: {private[0].unit}, "
        f"{accountant.upper()}, composition)"
    )
    paragraphs = [
        f"{'At least: r' if unknown else 'R'}eleasing {_all(len(private))} {scope.of} has a "
        f"privacy loss of {figure}, for any choice among them.",
        "The ε of a single run holds only if no other run is released and the run was not chosen "
        "by the results of the others.",
        scope.covers,
        assumptions if scope.has_best else "",
        *_beside(open_runs, unknown, scope),
        "Validation and test scores were computed without noise: what they reveal about the beats "
        "they were computed on is not covered by any of these values.",
    ]
    bounded = not open_runs and not unknown
    return SearchPrivacyLoss(
        runs=runs,
        epsilon_all=together if bounded else None,
        epsilon_best=best if bounded else None,
        delta=delta,
        accountant=accountant,
        text="\n\n".join(part for part in paragraphs if part) + "\n",
        short=f"{_all(len(private))} {scope.of}{', or the best one' * (len(private) > 1)}: "
        f"{'at least ' * bool(unknown)}{figure}{_beside_in_short(open_runs, unknown)}",
    )


def _together(kind: Sequence[PrivacySpent], words: str) -> str:
    """Describe runs of one kind in one line."""
    bound, accountant = _bound(kind)
    relation = kind[0].neighboring_relation.replace("_", " ")
    figure = f"ε = {epsilon_text(bound, digits=4)}" if math.isfinite(bound) else "no bound"
    return (
        f"- unit: {kind[0].unit}, {relation}: {words}, {figure} (δ "
        f"{min(spent.delta for spent in kind):g}, {accountant.upper()}, composition)"
    )


def _beside(open_runs: int, unknown: int, scope: Scope) -> list[str]:
    """Describe the runs that the value does not include."""
    lines = []
    if open_runs:
        lines.append(
            f"In addition, {_runs(open_runs, 'run')} {scope.of} had no privacy guarantee (no "
            "noise, or noise from a known seed). If these are released too, there is no bound at "
            "all: the value above holds only if they are not released, and if nothing was chosen "
            "by their results."
        )
    if unknown:
        lines.append(
            f"The record of {_runs(unknown, 'more run')} {scope.of} is damaged or missing. Their "
            "loss is unknown and not included in any value: the total loss is at least what is "
            "stated here, and has no known bound."
        )
    return lines


def _beside_in_short(open_runs: int, unknown: int) -> str:
    """Describe the runs that the value does not include as the end of a line."""
    parts = []
    if open_runs:
        parts.append(f"; {_runs(open_runs, 'run')} without a guarantee: no bound if released too")
    if unknown:
        parts.append(f"; damaged or missing record of {_runs(unknown, 'run')}: loss unknown")
    return "".join(parts)


def _bound(all_spent: Sequence[PrivacySpent]) -> tuple[float, AccountantName]:
    """Return ε of runs of one kind and its accountant; infinite where no accountant has a bound.

    PLD takes a second for each kind of step, so with more than twenty kinds the RDP bound is used,
    which is looser.
    """
    first = "rdp" if len(_counted(all_spent)) > _MANY else joint_accountant(all_spent)
    in_order: tuple[AccountantName, ...] = ("pld", "rdp") if first == "pld" else ("rdp", "pld")
    found: dict[AccountantName, float] = {}
    for accountant in in_order:
        if first == "rdp" and math.isfinite(found.get("rdp", math.inf)):
            break  # RDP was requested, or PLD would take too long
        with contextlib.suppress(*_NO_BOUND):
            found[accountant] = _bound_by(accountant, all_spent)
    if not found:
        return math.inf, first
    best = min(found, key=lambda accountant: found[accountant])
    return found[best], best


def _bound_by(accountant: AccountantName, all_spent: Sequence[PrivacySpent]) -> float:
    events = [dp_events.repeated(event, count) for event, count in _counted(all_spent).values()]
    return accounting.epsilon(
        dp_events.composed(events),
        min(spent.delta for spent in all_spent),
        accountant,
        all_spent[0].neighboring_relation,
    )


def _kinds(all_spent: Sequence[PrivacySpent]) -> list[list[PrivacySpent]]:
    """Group the runs that have a joint ε."""
    kinds: dict[tuple[Unit, NeighboringRelation], list[PrivacySpent]] = {}
    for spent in all_spent:
        kinds.setdefault((spent.unit, spent.neighboring_relation), []).append(spent)
    return list(kinds.values())


def _best(
    private: Sequence[PrivacySpent], together: float, delta: float
) -> tuple[float | None, str]:
    """Return ε of releasing only the best run, and the assumptions as text."""
    worst = _dominating(private)
    if worst is None or private[0].neighboring_relation != "add_or_remove_one":
        return None, (
            "For releasing only the best run there is no smaller bound than that of all runs: the "
            "runs differ in more than their noise, so none of them has the largest loss at every "
            "order."
        )
    number = len(private)
    drawn = accounting.epsilon(dp_events.best_of(worst, mean_runs=number), delta, "rdp")
    if drawn >= together:
        return together, (
            "Releasing only the best run has no larger privacy loss than that. If the number of "
            f"runs had been drawn from a Poisson distribution of mean {number}, the bound for the "
            f"best of them would be {epsilon_text(drawn, digits=4)} (RDP, with the smallest noise "
            "of these settings), which is larger."
        )
    return drawn, (
        "Releasing only the best run would have a privacy loss of ε = "
        f"{epsilon_text(drawn, digits=4)} (RDP) under three conditions: before any run, the number "
        f"of runs was drawn from a Poisson distribution of mean {number}; each run drew its "
        "settings at random from those tried here (each accounted for as the one with the largest "
        "loss); and nothing else of the other runs is released. A fixed grid does not satisfy the "
        "first condition; its privacy loss is that of all runs."
    )


def _dominating(all_spent: Sequence[PrivacySpent]) -> "DpEvent | None":
    """Return the event with the least noise; None if the events differ in anything else."""
    events = [stored_events.from_json(spent.event) for spent in all_spent]
    shapes = {dp_events.shape(event) for event in events}
    noises = [dp_events.noise(event) for event in events]
    if len(shapes) != 1 or None in shapes:
        return None
    return events[noises.index(min(noises))]


def _counted(all_spent: Sequence[PrivacySpent]) -> "dict[str, tuple[DpEvent, int]]":
    """Count equal events, e.g. of the seeds of one setting, which are composed at once."""
    texts = [json.dumps(spent.event, sort_keys=True) for spent in all_spent]
    one_of = dict(zip(texts, all_spent, strict=True))  # few of a store's thousands differ
    counts: dict[str, tuple[DpEvent, int]] = {}
    for text, number in Counter(texts).items():
        event = stored_events.from_json(one_of[text].event)
        key = repr(event)
        counts[key] = (event, counts.get(key, (event, 0))[1] + number)
    return counts


def _without_accounting(runs: int, paragraphs: Sequence[str], short: str) -> SearchPrivacyLoss:
    return SearchPrivacyLoss(
        runs=runs,
        epsilon_all=None,
        epsilon_best=None,
        delta=None,
        accountant=None,
        text="\n\n".join(paragraphs) + "\n",
        short=short,
    )


def _all(count: int) -> str:
    return "the one private run" if count == 1 else f"all {count} private runs"


def _runs(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
