"""The privacy statement: what the guarantee of a run covers, and what it does not cover.

`PrivacyStatement` has the values, and `statement_text` the words.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ecgexp.privacy import accounting, dp_events, outputs, statement_text, stored_events
from ecgexp.privacy.accounting import AccountantName
from ecgexp.privacy.hypothetical import HypotheticalPopulation, project
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.plan import PrivacyPlan
from ecgexp.settings.declaration import ConfigError


@dataclass(frozen=True, kw_only=True)
class AdaptiveClip:
    """A clip that follows a quantile of the norms, and the noise of both releases of a round.

    Each round releases the sum of the clipped updates (noise multiplier z_u) and the sum of ±1/2
    for each client, +1/2 where the update is within the clip (noise σ_b). Together they are one
    Gaussian mechanism with noise multiplier (z_u⁻² + (2 σ_b)⁻²)^(-1/2), Theorem 1 of Andrew et al.
    2021.

    Attributes:
      quantile: of the updates' norms that the clip follows.
      rate: learning rate of the clip.
      count_stddev: σ_b, standard deviation of the noise on the count.
      update_noise_multiplier: z_u, of the noise on the sum, relative to the clip of the round.
    """

    quantile: float
    rate: float
    count_stddev: float
    update_noise_multiplier: float


@dataclass(frozen=True, kw_only=True)
class PrivacyStatement:
    """The privacy guarantee of one run, with ε from its ledger.

    Attributes:
      plan: what was planned.
      steps: noisy steps that ran.
      epsilon_pld: ε by PLD; None where PLD has no bound for what ran.
      epsilon_rdp: ε by RDP; None where RDP has no bound for what ran.
      epsilon_replace_one: ε if neighboring data sets differ by replacing one unit; None where it
        has no bound.
      not_covered: topics that the guarantee does not cover; see `outputs.TOPICS`.
      publishes_all: whether what was computed from training beats without noise was published too.
      search: number of runs that were considered and the ε of releasing them all, if known.
      hypothetical_population: ε of the same steps for a larger, hypothetical population; never a
        guarantee of this run.
      event: all recorded events, as `stored_events.to_json` writes them.
      discarded_steps: noisy steps in addition to `steps` that an interruption discarded; ε includes
        them.
      epsilon_overlap: ε of the largest group of rows that share samples with one heartbeat's
        window; None where no other rows do, or no bound is known.
      adaptive_clip: the clip of a federated run that follows a quantile; None: it is fixed.
      assumptions: parts of the run that come from plug-ins, each with what is assumed of it.
      teacher: the teacher of the model, and whom it has seen, who are not protected; None without
        one.
    """

    plan: PrivacyPlan
    steps: int
    epsilon_pld: float | None
    epsilon_rdp: float | None
    epsilon_replace_one: float | None
    not_covered: tuple[str, ...]
    publishes_all: bool = False
    search: tuple[int, float] | None = None
    hypothetical_population: HypotheticalPopulation | None = None
    event: Mapping[str, Any] = field(default_factory=dict)
    discarded_steps: int = 0
    epsilon_overlap: float | None = None
    adaptive_clip: AdaptiveClip | None = None
    assumptions: tuple[tuple[str, str], ...] = ()
    teacher: tuple[str, str] | None = None

    @property
    def has_privacy_guarantee(self) -> bool:
        """Whether the run may state an ε: its noise is secret, and its ε is finite."""
        return self.plan.has_privacy_guarantee and math.isfinite(self._smallest()[0])

    @property
    def epsilon(self) -> float:
        """The reported ε; infinite without a guarantee.

        With the accountant `pld` it is the smaller of the PLD and RDP bounds, with `rdp` the
        latter.
        """
        return self._smallest()[0] if self.plan.has_privacy_guarantee else math.inf

    @property
    def bound_by(self) -> AccountantName:
        """The accountant whose bound the reported ε is: `pld` or `rdp`."""
        return self._smallest()[1]

    def _smallest(self) -> tuple[float, AccountantName]:
        wanted: tuple[AccountantName, ...] = ("pld", "rdp")
        if self.plan.accountant == "rdp":
            wanted = ("rdp",)
        known = {"pld": self.epsilon_pld, "rdp": self.epsilon_rdp}
        found: list[tuple[float, AccountantName]] = [
            (bound, name) for name in wanted if (bound := known[name]) is not None
        ]
        if not found:
            return math.inf, self.plan.accountant
        return min(found, key=lambda bound: bound[0])

    def line(self) -> str:
        """Return the statement as one line, as it is to be quoted."""
        return statement_text.line(self)

    def text(self) -> str:
        """Return the statement as several paragraphs, for an artifact."""
        return statement_text.text(self)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-serializable values for `result.json`; ε is null without a guarantee."""
        guarantee, plan = self.has_privacy_guarantee, self.plan
        values = {
            "guarantee": guarantee,
            "simulation": plan.is_simulation,
            "statement": self.line(),
            "epsilon": self.epsilon if guarantee else None,
            "bound_by": self.bound_by if guarantee else None,
            "epsilon_pld": _finite(self.epsilon_pld) if guarantee else None,
            "epsilon_rdp": _finite(self.epsilon_rdp) if guarantee else None,
            "epsilon_replace_one": _finite(self.epsilon_replace_one) if guarantee else None,
            "rows_per_unit": plan.rows_per_unit,
            "overlapping_rows": plan.overlapping_rows,
            "epsilon_overlap": _finite(self.epsilon_overlap) if guarantee else None,
            "delta": plan.delta,
            "unit": plan.unit,
            "neighboring_relation": plan.neighboring_relation,
            "accountant": plan.accountant,
            "sampling": plan.sampling,
            "sampling_probability": plan.sampling_probability,
            "num_units": plan.num_units,
            "steps": self.steps,
            "discarded_steps": self.discarded_steps,
            "noise_multiplier": plan.noise_multiplier,
            "expected_batch_size": plan.expected_batch_size,
            "l2_norm_clip": plan.l2_norm_clip if math.isfinite(plan.l2_norm_clip) else None,
            "batch_capacity": plan.batch_capacity,
            "not_covered": [outputs.TOPICS[topic] for topic in self.not_covered],
            "assumptions": [f"{part}: {assumed}" for part, assumed in self.assumptions],
            **({} if self.teacher is None else {"teacher": " · ".join(self.teacher)}),
            "publish": "covered" if guarantee and not self.publishes_all else "all",
            "hypothetical_population": None
            if self.hypothetical_population is None
            else self.hypothetical_population.as_dict(),
            "event": dict(self.event),
        }
        if plan.is_simulation:
            # ε of the same steps with secret noise: a value for planning, under a key of its own.
            values["epsilon_if_noise_were_secret"] = _finite(self._smallest()[0])
        return values


def state(
    ledger: Ledger,
    *,
    does_not_apply: Collection[str] = (),
    search: tuple[int, float] | None = None,
    publishes_all: bool = False,
    adaptive_clip: AdaptiveClip | None = None,
    assumptions: tuple[tuple[str, str], ...] = (),
    teacher: tuple[str, str] | None = None,
) -> PrivacyStatement:
    """Make the statement of the run whose events are in `ledger`.

    Args:
      ledger: after training.
      does_not_apply: topics of `outputs.TOPICS` that do not apply to this run, e.g.
        `("class weights",)`; all others are listed.
      search: number of runs that were considered and ε of releasing all of them.
      publishes_all: whether `privacy.publish=all` was set, which is listed first.
      adaptive_clip: the clip of a federated run that follows a quantile; None: it is fixed.
      assumptions: parts of the run that come from plug-ins, each with what is assumed of it.
      teacher: the teacher of the model, and whom it has seen; None without one.

    Returns:
      The statement.

    Raises:
      ValueError: a topic is unknown.
    """
    unknown = set(does_not_apply) - set(outputs.TOPICS)
    if unknown:
        raise ValueError(f"{sorted(unknown)} are not among {sorted(outputs.TOPICS)}")
    left_out = {*does_not_apply, *(() if publishes_all else ("published training data",))}
    plan = ledger.plan
    return PrivacyStatement(
        plan=plan,
        steps=ledger.steps,
        search=search,
        epsilon_pld=_or_none(ledger, "pld", plan.neighboring_relation) if plan.is_private else None,
        epsilon_rdp=_or_none(ledger, "rdp", plan.neighboring_relation) if plan.is_private else None,
        epsilon_replace_one=_or_none(ledger, "pld", "replace_one") if plan.is_private else None,
        not_covered=tuple(topic for topic in outputs.TOPICS if topic not in left_out),
        publishes_all=publishes_all,
        hypothetical_population=_hypothetical_population(ledger),
        event=stored_events.to_json(ledger.event),
        discarded_steps=ledger.discarded_steps,
        epsilon_overlap=_of_overlap(ledger),
        adaptive_clip=adaptive_clip,
        assumptions=assumptions,
        teacher=teacher,
    )


def planned(ledger: Ledger) -> PrivacyStatement:
    """Make the statement of a run that makes all steps of its plan, without what is beside its ε.

    **Guarantees**: ε is computed by the functions of `state`, so it is that of the statement of the
    finished run, unless training is interrupted or stopped earlier
    (`tests/unit/experiment/test_plan.py`).

    Args:
      ledger: before training, or as a resumed run restored it.
    """
    ledger = ledger.planned()
    plan = ledger.plan
    return PrivacyStatement(
        plan=plan,
        steps=ledger.steps,
        epsilon_pld=_or_none(ledger, "pld", plan.neighboring_relation) if plan.is_private else None,
        epsilon_rdp=_or_none(ledger, "rdp", plan.neighboring_relation) if plan.is_private else None,
        epsilon_replace_one=None,
        not_covered=(),
        discarded_steps=ledger.discarded_steps,
    )


def _of_overlap(ledger: Ledger) -> float | None:
    """Return ε of the largest group of rows that share samples with one heartbeat's window.

    None where the group is no larger than the unit, or no bound is known.
    """
    plan = ledger.plan
    if plan.overlapping_rows <= plan.rows_per_unit or not plan.is_private or not ledger.steps:
        return None
    group = dp_events.of_group(ledger.event, plan.overlapping_rows)
    if group is None:
        return None
    try:
        return accounting.smallest_epsilon(group, plan.delta, "pld", plan.neighboring_relation)[0]
    except ConfigError:
        return None


def _hypothetical_population(ledger: Ledger) -> HypotheticalPopulation | None:
    plan = ledger.plan
    if plan.hypothetical_population is None or not plan.is_private or not ledger.steps:
        return None
    return project(replace(plan, iterations=ledger.steps), plan.hypothetical_population)


def _or_none(ledger: Ledger, accountant: Any, neighboring_relation: Any) -> float | None:
    try:
        return ledger.epsilon_spent(accountant, neighboring_relation)
    except ConfigError:
        return None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
