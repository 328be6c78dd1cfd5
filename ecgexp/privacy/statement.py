"""The privacy statement: what the guarantee of a run covers, and what it does not cover."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ecgexp.formatting import count_text, epsilon_text
from ecgexp.privacy import accounting, outputs
from ecgexp.privacy.accounting import AccountantName
from ecgexp.privacy.adaptive_clip import AdaptiveClip
from ecgexp.privacy.hypothetical import HypotheticalPopulation, project
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.plan import PrivacyPlan, Unit
from ecgexp.settings.declaration import ConfigError

_SAMPLING = {
    "poisson": "Each {unit} entered each batch independently with probability q = {q:.6g}",
    "shuffle": "Each {unit} entered exactly one batch of each epoch, drawn uniformly and "
    "independently of the others (balls-and-bins sampling, Chua et al. 2024); amplification by "
    "sampling is not used",
    "fixed": "Each cohort had exactly {batch} of {n} units, drawn without replacement "
    "(q = {q:.6g}); neighboring training sets have the same size and differ in one replaced unit, "
    "so this ε is not comparable with one for adding or removing a unit",
}
_ASSUMPTIONS = (
    "Assumptions: central DP. Whoever runs the training, in a federated run the server, is trusted "
    "and has the contribution of each unit without noise; the guarantee is against those who "
    "receive the weights. It is proved for exact arithmetic and for Gaussian noise that nobody can "
    "predict. The noise of this run was computed in floating point and rounded to float32, by a "
    "generator (Philox) that is statistical and not cryptographic; attacks on either are not "
    "excluded (SECURITY.md)."
)
_NEIGHBORS = {"add_or_remove_one": "add or remove one", "replace_one": "replace one"}


def check_unit_covers_features(unit: Unit, features_crossing_beats: Sequence[str]) -> None:
    """Check that with the unit `beat`, removing one beat does not change features of other beats.

    Args:
      unit: of the guarantee.
      features_crossing_beats: features that depend on other beats.

    Raises:
      ConfigError: the unit is the beat and there are such features.
    """
    if unit == "beat" and features_crossing_beats:
        raise ConfigError(
            f"privacy.unit=beat cannot cover {', '.join(features_crossing_beats)}: removing one "
            "beat changes these features of adjacent beats; use privacy.unit=patient (or record), "
            "or features=signal, which does not have them."
        )


def check_units_apart(
    unit: Unit, patient_ids: np.ndarray, train: np.ndarray, holdout: Mapping[str, np.ndarray]
) -> None:
    """Check that no patient of the training set also has validation or test beats.

    Scores and predictions of validation and test beats are published without noise. The unit
    `record` is checked by patient too, because other records of a patient reveal information about
    the same person.

    **Guarantees**: with the unit `patient` or `record`, no patient of a training beat has a
    validation or test beat (`tests/unit/privacy/test_outputs.py`, also for patients with two
    records).

    Args:
      unit: of the guarantee; `beat` guarantees nothing about other beats of the patient.
      patient_ids: (num_beats,) str.
      train: indices of the training beats.
      holdout: split name -> indices.

    Raises:
      ConfigError: a patient is on both sides. The message names no patient, because who is in the
        training set is private.
    """
    if unit == "beat":
        return
    trained = np.unique(patient_ids[train])
    for split, rows in holdout.items():
        if np.isin(patient_ids[rows], trained).any():
            raise ConfigError(shared_units(unit, f"{split} beats"))


def shared_units(unit: Unit, where: str) -> str:
    """Return the error message for a training patient who also has `where`, e.g. `test beats`."""
    return (
        f"privacy.unit={unit}: a patient of the training set also has {where}, which are published "
        "without noise, so the guarantee would not hold for that patient; use split=inter_patient "
        "(for mitdb with split.merge_same_patient=true), or privacy.unit=beat."
    )


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
      event: all recorded events, as `accounting.to_json` writes them.
      discarded_steps: noisy steps in addition to `steps` that an interruption discarded; ε includes
        them.
      epsilon_overlap: ε of the largest group of rows that share samples with one heartbeat's
        window; None where no other rows do, or no bound is known.
      adaptive_clip: the clip of a federated run that follows a quantile; None: it is fixed.
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
        if not self.has_privacy_guarantee:
            return _no_guarantee(self.plan)
        plan, other = self.plan, "rdp" if self.bound_by == "pld" else "pld"
        second = self.epsilon_rdp if other == "rdp" else self.epsilon_pld
        beside = "" if second is None else f" ({other.upper()} {epsilon_text(second, decimals=2)})"
        return (
            f"ε = {epsilon_text(self.epsilon, decimals=2)} (δ {plan.delta:g}) · unit: "
            f"{_unit(plan)} · neighboring relation: {_NEIGHBORS[plan.neighboring_relation]} · "
            f"sampler: {_sampler(plan)}, {count_text(self.steps)} steps{self._discarded()} · "
            f"accountant: {self.bound_by.upper()}{beside}{self._overlap_words()} · not covered: "
            f"{', '.join(self._short())}"
        )

    def _overlap_words(self) -> str:
        rows = self.plan.overlapping_rows
        if rows <= self.plan.rows_per_unit:
            return ""
        found = (
            "not known"
            if self.epsilon_overlap is None
            else epsilon_text(self.epsilon_overlap, decimals=2)
        )
        return f" · ε of {rows} rows that share samples: {found}"

    def text(self) -> str:
        """Return the statement as several paragraphs, for an artifact."""
        plan = self.plan
        hypothetical_population = (
            "" if self.hypothetical_population is None else self.hypothetical_population.text()
        )
        if self.has_privacy_guarantee:
            about = [
                self._guarantee(),
                _ASSUMPTIONS,
                self._rows(),
                self._mechanism(),
                self._beside(),
            ]
            paragraphs = [
                self.line(),
                *about,
                self._left_out(),
                self._kept(),
                hypothetical_population,
            ]
        else:
            paragraphs = [_no_guarantee(plan), hypothetical_population]
        return "\n\n".join(part for part in paragraphs if part) + "\n"

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

    def _discarded(self) -> str:
        what = "started epochs" if self.plan.epoch_is_one_event else "steps"
        return (
            f" and {count_text(self.discarded_steps)} {what} discarded by an interruption"
            if self.discarded_steps
            else ""
        )

    def _short(self) -> list[str]:
        if self.search is None:
            return list(self.not_covered)
        runs, epsilon = self.search
        together = epsilon_text(epsilon, decimals=2)
        words = f"hyperparameter search (ε of all {runs} runs together: {together})"
        return [words if topic == "hyperparameters" else topic for topic in self.not_covered]

    def _guarantee(self) -> str:
        plan = self.plan
        change = (
            "added or removed" if plan.neighboring_relation == "add_or_remove_one" else "replaced"
        )
        views = ", with all its augmented views" if plan.unit == "beat" else ", with all its beats"
        return (
            "The trained weights, and all intermediate weights of the training, are "
            f"({epsilon_text(self.epsilon, digits=4)}, {plan.delta:g})-differentially private for "
            f"two training sets that differ in one {plan.unit} {change}. One unit is one "
            f"{plan.unit}{views}. There are {plan.num_units} units, and n·δ = "
            f"{plan.num_units * plan.delta:.2g}."
            + (
                " With so few units ε is either too large to protect a unit in practice, or needs "
                "noise that prevents most learning: check ε before relying on it."
                if plan.num_units < 100
                else ""
            )
        )

    def _rows(self) -> str:
        """Say how many rows one heartbeat has, where windows overlap."""
        plan, parts = self.plan, []
        if plan.rows_per_unit > 1:
            parts.append(
                "A window may contain the R peaks of other beats: one heartbeat is in up to "
                f"{plan.rows_per_unit} rows, and ε is that of all rows that contain its peak "
                "together, each sampled and clipped separately (a mixture of Gaussians)."
            )
        elif plan.unit == "beat":
            parts.append(
                "The unit is one row, the window of one beat; no window contains the R peak of "
                "another beat."
            )
        if plan.overlapping_rows > plan.rows_per_unit:
            found = (
                "is not known"
                if self.epsilon_overlap is None
                else f"is {epsilon_text(self.epsilon_overlap, digits=4)}"
            )
            parts.append(
                f"Windows overlap: up to {plan.overlapping_rows} rows share samples with one "
                f"heartbeat's window. For all of them together ε {found} at the same δ."
            )
        if max(plan.rows_per_unit, plan.overlapping_rows) > 1:
            parts.append(
                "These numbers of rows come from the training beats and are assumed to be public, "
                "as is the number of units."
            )
        return " ".join(parts)

    def _mechanism(self) -> str:
        plan = self.plan
        sampling = _SAMPLING[plan.sampling].format(
            unit=plan.unit,
            q=plan.sampling_probability,
            batch=plan.expected_batch_size,
            n=plan.num_units,
        )
        cut = (
            f" Batches above {plan.batch_capacity} were truncated at random, which ε includes."
            if plan.can_overflow
            else ""
        )
        if self.adaptive_clip is None:
            clipped = f"was clipped to norm {plan.l2_norm_clip:g}, Gaussian noise of standard "
            clipped += f"deviation {plan.noise_std:.6g} was added to the sum"
            adaptive = ""
        else:
            clipped = (
                "was clipped to the norm set for that step, Gaussian noise was added to the sum"
            )
            adaptive = f" {self.adaptive_clip.text(plan.l2_norm_clip, plan.noise_multiplier)}"
        return (
            f"{sampling}.{cut} In each of {count_text(self.steps)} steps the "
            f"contribution of a unit {clipped}, and the result was divided by "
            f"{plan.divisor:g}, independently of the number of units drawn.{adaptive} Samples, "
            "noise, views and dropout came from keys of the operating system's entropy, not from "
            "the logged seed, and the keys were not stored. The guarantee holds for intermediate "
            "weights, but a checkpoint file made during training also has statistics of the "
            "training data without noise: it is private data and must not be shared."
        )

    def _beside(self) -> str:
        known = {
            "PLD": self.epsilon_pld,
            "RDP": self.epsilon_rdp,
            "PLD, replace one": self.epsilon_replace_one,
        }
        figures = ", ".join(
            f"{epsilon_text(value, digits=4)} ({name})"
            for name, value in known.items()
            if value is not None
        )
        by = (
            ""
            if self.bound_by == self.plan.accountant
            else f" Both bounds are valid, and that of {self.bound_by.upper()} is smaller."
        )
        return f"ε of the same steps under each accountant: {figures}.{by}"

    def _left_out(self) -> str:
        return "\n".join(
            ["Not covered:", *(f"- {outputs.TOPICS[topic]};" for topic in self.not_covered)]
        )

    def _kept(self) -> str:
        if self.publishes_all:
            return ""
        lines = [
            f"Not published, and stored in the run's folder {outputs.PRIVATE_FOLDER}/, which must "
            "not be shared:"
        ]
        return "\n".join([*lines, *(f"- {reason};" for reason in outputs.withheld_reasons())])


def state(
    ledger: Ledger,
    *,
    does_not_apply: Collection[str] = (),
    search: tuple[int, float] | None = None,
    publishes_all: bool = False,
    adaptive_clip: AdaptiveClip | None = None,
) -> PrivacyStatement:
    """Make the statement of the run whose events are in `ledger`.

    Args:
      ledger: after training.
      does_not_apply: topics of `outputs.TOPICS` that do not apply to this run, e.g.
        `("class weights",)`; all others are listed.
      search: number of runs that were considered and ε of releasing all of them.
      publishes_all: whether `privacy.publish=all` was set, which is listed first.
      adaptive_clip: the clip of a federated run that follows a quantile; None: it is fixed.

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
        event=accounting.to_json(ledger.event),
        discarded_steps=ledger.discarded_steps,
        epsilon_overlap=_of_overlap(ledger),
        adaptive_clip=adaptive_clip,
    )


def _of_overlap(ledger: Ledger) -> float | None:
    """Return ε of the largest group of rows that share samples with one heartbeat's window.

    None where the group is no larger than the unit, or no bound is known.
    """
    plan = ledger.plan
    if plan.overlapping_rows <= plan.rows_per_unit or not plan.is_private or not ledger.steps:
        return None
    group = accounting.of_group(ledger.event, plan.overlapping_rows)
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


def _unit(plan: PrivacyPlan) -> str:
    return (
        plan.unit
        if plan.rows_per_unit == 1
        else f"{plan.unit} ({plan.rows_per_unit} overlapping rows)"
    )


def _sampler(plan: PrivacyPlan) -> str:
    if plan.sampling == "shuffle":
        return "balls and bins, no amplification"
    kind = "Poisson" if plan.sampling == "poisson" else "without replacement"
    return f"{kind} q {plan.sampling_probability:.3g}"


def _no_guarantee(plan: PrivacyPlan) -> str:
    if plan.is_simulation:
        return (
            "This run has no privacy guarantee: it is a simulation. Its noise follows from "
            f"privacy.noise_seed={plan.noise_seed}, so anyone who knows the seed can subtract it. "
            "For a guarantee use privacy.noise_seed=null."
        )
    if plan.is_private or plan.noise_multiplier:
        return (
            "This run has no privacy guarantee: its ε is infinite, since "
            f"privacy.noise_multiplier={plan.noise_multiplier:g} is too little noise at δ "
            f"{plan.delta:g}. For a guarantee use a larger one."
        )
    return (
        "This run has no privacy guarantee: no noise was added to what it learned from the "
        "training data."
    )
