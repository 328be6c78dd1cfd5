"""Parts of a run that come from plug-ins: their notes, and what a guarantee assumes of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from ecgexp.privacy.ledger import Ledger, PrivacyViolation
from ecgexp.privacy.plan import Privacy, PrivacyPlan
from ecgexp.settings.build import to_node
from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.option_names import option_name
from ecgexp.settings.plugins import is_foreign, used_by
from ecgexp.training.base import TrainingData

if TYPE_CHECKING:
    from ecgexp.experiment.experiment import Experiment

_ASSUMED = {
    "dataset": "that each row comes from the one beat of the record and patient that it names, and "
    "does not depend on other beats, except for features that say so",
    "split": "that which beats are trained on does not depend on the values of the beats",
    "features": "that it has no values computed from the training beats (each row was computed "
    "from its own beat alone)",
    "augmentation": "that it has no values computed from the training beats",
    "model": "that its initial weights and its constants were not computed from the training beats",
    "loss": "that it has no values computed from the training beats",
    "partition": "nothing: every client was checked to be one unit",
}
_NOTHING_CHECKED = "that it does not use the training beats"


def plugin_notes(experiment: "Experiment") -> Mapping[str, Sequence[str]]:
    """Return the note on plug-ins of a run with a privacy guarantee, which rests on their code."""
    if not experiment.has_privacy_guarantee:
        return {}
    labels: dict[str, list[str]] = {}
    for part, label in _parts(experiment):
        labels.setdefault(label, []).append(part)
    return {
        "plug-ins": [
            f"the guarantee also rests on code of the plug-in {label}: {', '.join(parts)}; see "
            "privacy_statement.txt"
            for label, parts in labels.items()
        ]
    }


def assumptions(experiment: "Experiment") -> tuple[tuple[str, str], ...]:
    """Return what a guarantee assumes of the parts that come from plug-ins.

    Args:
      experiment: what ran.

    Returns:
      For each such part, its name with the plug-in, e.g. `"loss of the plug-in mine (mine 1.0)"`,
      and what is assumed of it. Empty without plug-ins.
    """
    return tuple(
        (f"{part} of the plug-in {label}", _ASSUMED.get(part, _NOTHING_CHECKED))
        for part, label in _parts(experiment)
    )


def check_plan_of_plugin(
    trainer: object, plan: PrivacyPlan, privacy: Privacy, data: TrainingData
) -> None:
    """Check that the plan of a plug-in's trainer is that of the privacy settings and the data.

    Such a trainer runs without privacy or as a simulation, see `part_checks.check_privacy`.

    **Guarantees**: ε is computed for the units of the training set, the noise, the clip and the δ
    of the settings, whatever the trainer plans (`tests/unit/experiment/test_plugin_parts.py`).

    Args:
      trainer: settings of the trainer; those of ecgexp are known.
      plan: the plan that it returned.
      privacy: the privacy settings of the run.
      data: what it trains on.

    Raises:
      ConfigError: the plan is of another class, or differs.
    """
    if not is_foreign(trainer) or not privacy.is_private:
        return
    name = option_name(type(trainer).__name__)
    if type(plan) is not PrivacyPlan:
        raise ConfigError(
            f"trainer={name}: its plan is of the class {type(plan).__name__}; return what "
            "privacy.plan(...) returns."
        )
    owners = {"record": data.record_ids, "patient": data.patient_ids}.get(privacy.unit)
    units = len(data.train) if owners is None else len(np.unique(owners[data.train]))
    wanted = privacy.plan(
        num_units=units,
        expected_batch_size=plan.expected_batch_size,
        iterations=plan.iterations,
        overlap=data.overlap,
        sampling=plan.sampling,
    )
    for field in fields(PrivacyPlan):
        planned, own = getattr(plan, field.name), getattr(wanted, field.name)
        if planned != own:
            raise ConfigError(
                f"trainer={name}: its plan has {field.name}={planned}, and the privacy settings "
                f"and the training set give {own}; return what privacy.plan(...) returns."
            )


class LedgerWatch:
    """Checks, after each epoch or round, that the ledger has the steps that are planned until then.

    **Guarantees**: a trainer that trains without recording its steps, or records fewer than planned
    or other events, ends with an error and without a guarantee
    (`tests/unit/experiment/test_plugin_parts.py`).

    Args:
      ledger: of the run.
      num_steps: epochs or rounds of the whole training.
    """

    def __init__(self, ledger: Ledger, num_steps: int):
        self._ledger, self._num_steps = ledger, num_steps

    def check(self, step: int, *, has_event: bool) -> None:
        """Check the ledger after an epoch or round.

        Args:
          step: 1-based epoch or round.
          has_event: whether its result has a privacy event.

        Raises:
          PrivacyViolation: steps are missing, or the result has no privacy event.
        """
        ledger, plan = self._ledger, self._ledger.plan
        if not plan.has_privacy_guarantee:
            return
        ledger.verify_complete(ledger.steps, stopped_early=True)
        is_spent = ledger.stopped_by_budget and ledger.would_exceed(plan.step_event)
        due = plan.iterations * min(step, self._num_steps) // self._num_steps
        if not is_spent and (ledger.steps < due or not has_event):
            raise PrivacyViolation(
                f"{ledger.steps} steps were recorded in the ledger until epoch or round {step}, "
                f"for which {due} are planned: the run has no privacy guarantee"
            )


def _parts(experiment: "Experiment") -> Iterator[tuple[str, str]]:
    """Yield (part, plug-in) for each plug-in that a part is of; tracking gets published values."""
    for field in fields(experiment):
        if field.name == "tracking":
            continue
        for plugin in used_by(to_node(getattr(experiment, field.name))).values():
            yield field.name, plugin.label
