"""What a run promises, in words that say also what it does not."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ecgexp._validate import ConfigError
from ecgexp.privacy import accounting, outputs
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.plan import PrivacyPlan, Unit
from ecgexp.privacy.projection import Projection, project, spaced

_SAMPLING = {
    "poisson": "Each {unit} entered each batch on its own with probability q = {q:.6g}",
    "shuffle": "Each {unit} entered exactly one batch of each epoch; no amplification by sampling is claimed",
    "fixed": "Each cohort had exactly {batch} of {n} units, drawn without replacement (q = {q:.6g})",
}
_NEIGHBOURS = {"add_or_remove_one": "add/remove one", "replace_one": "replace one"}


def check_unit_covers_features(unit: Unit, features_crossing_beats: Sequence[str]) -> None:
    """Refuses a promise to single beats when removing one beat changes the inputs of others.

    Raises:
      ConfigError: the unit is the beat and there are such features.
    """
    if unit == "beat" and features_crossing_beats:
        raise ConfigError(
            f"privacy.unit=beat cannot cover {', '.join(features_crossing_beats)}: removing one beat changes these "
            "features of its neighbours; type privacy.unit=patient (or record), or input=signal to leave them out."
        )


def check_units_apart(
    unit: Unit, patient_ids: np.ndarray, train: np.ndarray, held_out: Mapping[str, np.ndarray]
) -> None:
    """Refuses a guarantee to patients or records whose beats are also published as validation or test beats.

    A record counts with all records of its patient: what the others show tells of the person whom the guarantee is for.

    **Guarantees** With the unit `patient` or `record`, no patient of a training beat has a validation or test beat.
    `tests/privacy/test_outputs.py` checks it, also for patients with two records.

    Args:
      unit: of the guarantee; `beat` guarantees nothing about other beats of the patient.
      patient_ids: (num_beats,) str.
      train: indices of the training beats.
      held_out: split name -> indices.

    Raises:
      ConfigError: a patient is on two sides. The message names nobody: who is in the training set is private.
    """
    if unit == "beat":
        return
    trained = np.unique(patient_ids[train])
    for split, rows in held_out.items():
        if np.isin(patient_ids[rows], trained).any():
            raise ConfigError(shared_units(unit, f"{split} beats"))


def shared_units(unit: Unit, where: str) -> str:
    """The words for a patient who is trained on and also among `where`, e.g. `test beats`."""
    return (
        f"privacy.unit={unit}: a patient of the training set also has {where}, which are published without noise, so the "
        "guarantee would not hold for that patient; use split=inter_patient (of mitdb with split.merge_same_patient=true), "
        "or privacy.unit=beat."
    )


@dataclass(frozen=True, kw_only=True)
class PrivacyStatement:
    """The promise of one run, priced by its ledger.

    Attributes:
      plan: what was planned.
      steps: noisy steps that ran.
      epsilon_pld: ε by PLD; None where PLD has no price for what ran.
      epsilon_rdp: ε by RDP; None likewise.
      epsilon_replace_one: ε when neighbours differ by replacing one unit; None where it has no price.
      not_covered: topics of what the guarantee leaves out; see `outputs.TOPICS`.
      publishes_all: whether what tells of training beats without noise was published too.
      search: number of runs looked at and the ε of releasing them all, if it was priced.
      projection: what a larger population would be promised by such steps; never a promise of this run.
      event: everything on the bill, as `accounting.to_json` writes it.
      lost_steps: noisy steps beside `steps` that an interruption undid; they are paid for.
    """

    plan: PrivacyPlan
    steps: int
    epsilon_pld: float | None
    epsilon_rdp: float | None
    epsilon_replace_one: float | None
    not_covered: tuple[str, ...]
    publishes_all: bool = False
    search: tuple[int, float] | None = None
    projection: Projection | None = None
    event: Mapping[str, Any] = field(default_factory=dict)
    lost_steps: int = 0

    @property
    def epsilon(self) -> float:
        """The reported ε: infinite unless the run makes a claim."""
        chosen = self.epsilon_pld if self.plan.accountant == "pld" else self.epsilon_rdp
        return chosen if self.plan.makes_claim and chosen is not None else math.inf

    def line(self) -> str:
        """One line, as it is quoted."""
        if not self.plan.makes_claim:
            return _no_claim(self.plan)
        plan, other = self.plan, "rdp" if self.plan.accountant == "pld" else "pld"
        second = self.epsilon_rdp if other == "rdp" else self.epsilon_pld
        beside = "" if second is None else f" ({other.upper()} {second:.2f})"
        return (
            f"ε = {self.epsilon:.2f} (δ {plan.delta:g}) · unit: {plan.unit} · neighbours: "
            f"{_NEIGHBOURS[plan.neighbouring]} · sampler: {_sampler(plan)}, {spaced(self.steps)} steps{self._lost()} · "
            f"accountant: {plan.accountant.upper()}{beside} · not covered: {', '.join(self._short())}"
        )

    def text(self) -> str:
        """Several paragraphs, for an artifact."""
        plan = self.plan
        projection = "" if self.projection is None else self.projection.text()
        if plan.makes_claim:
            about = [self._promise(), self._mechanism(), self._beside()]
            paragraphs = [self.line(), *about, self._left_out(), self._kept(), projection]
        else:
            paragraphs = [_no_claim(plan), projection]
        return "\n\n".join(part for part in paragraphs if part) + "\n"

    def as_dict(self) -> dict[str, Any]:
        """JSON-able values for `result.json`; ε is null where no claim is made."""
        claim, plan = self.plan.makes_claim, self.plan
        values = {
            "claim": claim, "simulation": plan.is_simulation, "statement": self.line(),
            "epsilon": self.epsilon if claim else None,
            "epsilon_pld": self.epsilon_pld if claim else None, "epsilon_rdp": self.epsilon_rdp if claim else None,
            "epsilon_replace_one": self.epsilon_replace_one if claim else None,
            "delta": plan.delta, "unit": plan.unit, "neighbouring": plan.neighbouring, "accountant": plan.accountant,
            "sampling": plan.sampling, "sampling_probability": plan.sampling_probability, "num_units": plan.num_units,
            "steps": self.steps, "lost_steps": self.lost_steps, "noise_multiplier": plan.noise_multiplier,
            "expected_batch_size": plan.expected_batch_size,
            "l2_norm_clip": plan.l2_norm_clip if math.isfinite(plan.l2_norm_clip) else None,
            "batch_capacity": plan.batch_capacity, "not_covered": [outputs.TOPICS[topic] for topic in self.not_covered],
            "publish": "all" if self.publishes_all else "covered",
            "projection": None if self.projection is None else self.projection.as_dict(),
            "event": dict(self.event),
        }  # fmt: skip
        if (
            plan.is_simulation
        ):  # what the mechanism would cost with secret noise: a figure for planning, under its own name
            values["epsilon_if_noise_were_secret"] = self.epsilon_pld if plan.accountant == "pld" else self.epsilon_rdp
        return values

    def _lost(self) -> str:
        epochs = " begun epochs" if self.plan.epoch_is_one_event else ""
        return f" and {spaced(self.lost_steps)}{epochs} that an interruption undid" if self.lost_steps else ""

    def _short(self) -> list[str]:
        if self.search is None:
            return list(self.not_covered)
        runs, price = self.search
        words = f"hyperparameter search ({runs} runs: {price:.2f})"
        return [words if topic == "hyperparameters" else topic for topic in self.not_covered]

    def _promise(self) -> str:
        plan = self.plan
        differ = "one is the other with one {0} added or removed" if plan.neighbouring == "add_or_remove_one" else (
            "one {0} of the one is replaced in the other"
        )  # fmt: skip
        views = ", with all its augmented views" if plan.unit == "beat" else ", with all its beats"
        return (
            f"The trained weights, and all weights on the way to them, are ({self.epsilon:.4g}, {plan.delta:g})-"
            f"differentially private for training sets of which {differ.format(plan.unit)}. One unit is one "
            f"{plan.unit}{views}. There are {plan.num_units} units, and n·δ = {plan.num_units * plan.delta:.2g}."
            + (
                " With so few units the guarantee is formal: look at ε before relying on it."
                if plan.num_units < 100
                else ""
            )
        )

    def _mechanism(self) -> str:
        plan = self.plan
        sampling = _SAMPLING[plan.sampling].format(
            unit=plan.unit, q=plan.sampling_probability, batch=plan.expected_batch_size, n=plan.num_units
        )
        cut = f" Batches above {plan.batch_capacity} were cut at random, which is priced." if plan.can_overflow else ""
        return (
            f"{sampling}.{cut} In each of {spaced(self.steps)} steps the contribution of a unit was clipped to norm "
            f"{plan.l2_norm_clip:g}, noise of standard deviation {plan.noise_std:.6g} was added to the sum, and the "
            f"result divided by {plan.divisor:g} whatever the number of units drawn. Samples, noise, views and dropout came from "
            "keys of the operating system's entropy, not from the logged seed, and were not kept. A checkpoint made during "
            "training is private data."
        )

    def _beside(self) -> str:
        known = {"PLD": self.epsilon_pld, "RDP": self.epsilon_rdp, "PLD, replace one": self.epsilon_replace_one}
        figures = ", ".join(f"{value:.4g} ({name})" for name, value in known.items() if value is not None)
        return f"ε of the same steps under each accountant: {figures}."

    def _left_out(self) -> str:
        return "\n".join(["Not covered:", *(f"- {outputs.TOPICS[topic]};" for topic in self.not_covered)])

    def _kept(self) -> str:
        if self.publishes_all:
            return ""
        lines = [f"Not published, and kept in the run's folder {outputs.PRIVATE_FOLDER}/, which must not be handed on:"]
        return "\n".join([*lines, *(f"- {reason};" for reason in outputs.withheld_reasons())])


def state(
    ledger: Ledger,
    *,
    does_not_apply: Collection[str] = (),
    search: tuple[int, float] | None = None,
    publishes_all: bool = False,
) -> PrivacyStatement:
    """The statement of the run that `ledger` billed.

    Args:
      ledger: after training.
      does_not_apply: topics of `outputs.TOPICS` that this run did not do, e.g. `("class weights",)`; all others are named.
      search: number of runs that were looked at and ε of releasing all of them.
      publishes_all: whether `privacy.publish=all` was chosen, which is named first.

    Raises:
      ValueError: a topic is unknown.
    """
    unknown = set(does_not_apply) - set(outputs.TOPICS)
    if unknown:
        raise ValueError(f"{sorted(unknown)} are not among {sorted(outputs.TOPICS)}")
    left_out = {*does_not_apply, *(() if publishes_all else ("published training data",))}
    plan = ledger.plan
    return PrivacyStatement(
        plan=plan, steps=ledger.steps, search=search,
        epsilon_pld=_or_none(ledger, "pld", plan.neighbouring) if plan.is_private else None,
        epsilon_rdp=_or_none(ledger, "rdp", plan.neighbouring) if plan.is_private else None,
        epsilon_replace_one=_or_none(ledger, "pld", "replace_one") if plan.is_private else None,
        not_covered=tuple(topic for topic in outputs.TOPICS if topic not in left_out), publishes_all=publishes_all,
        projection=_projection(ledger), event=accounting.to_json(ledger.event), lost_steps=ledger.lost_steps,
    )  # fmt: skip


def _projection(ledger: Ledger) -> Projection | None:
    plan = ledger.plan
    if plan.population is None or not plan.is_private or not ledger.steps:
        return None
    return project(replace(plan, iterations=ledger.steps), plan.population)


def _or_none(ledger: Ledger, accountant: Any, neighbouring: Any) -> float | None:
    try:
        return ledger.epsilon_spent(accountant, neighbouring)
    except ConfigError:
        return None


def _sampler(plan: PrivacyPlan) -> str:
    if plan.sampling == "shuffle":
        return "shuffled, no amplification"
    return f"{'Poisson' if plan.sampling == 'poisson' else 'without replacement'} q {plan.sampling_probability:.3g}"


def _no_claim(plan: PrivacyPlan) -> str:
    if plan.is_simulation:
        return (
            f"This run makes no claim of privacy: it is a simulation. Its noise follows from "
            f"privacy.noise_seed={plan.noise_seed}, so whoever knows the seed can subtract it. For a claim type "
            "privacy.noise_seed=null."
        )
    return "This run makes no claim of privacy: no noise was added to what it learned from the training data."
