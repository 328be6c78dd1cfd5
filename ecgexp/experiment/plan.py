"""The plan of a run: what it will do, known before its first training step.

Values only; `plan_text` lays them out.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ecgexp.data.beats import PatientsAre
from ecgexp.experiment.data import RunData
from ecgexp.experiment.experiment import Experiment
from ecgexp.experiment.memory import MemoryEstimate, estimate_memory, feature_bytes
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.statement import PrivacyStatement, planned


@dataclass(frozen=True, kw_only=True)
class SplitSize:
    """The size of one split.

    Attributes:
      beats: its beats.
      patients: its patients; None if patients are unknown.
      classes: class -> beats.
    """

    beats: int
    patients: int | None
    classes: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """What a run will do.

    **Guarantees**: where the run withholds what depends on training beats, the plan depends on the
    training set through its number of units and the overlap of its windows only, which are public
    (`tests/unit/experiment/test_plan.py`).

    Attributes:
      splits: split -> size; without the training set where that is withheld.
      model: option of the model.
      num_parameters: its trainable parameters.
      trainer: option of the trainer.
      step_name: `epoch` or `round`.
      num_steps: epochs or rounds.
      updates: updates of the model in all, of a run that is not stopped early.
      batch: beats or units in an update, or clients in a round; expected, if they are drawn.
      statement: the guarantee that a run without an interruption will have; None without privacy.
      target_epsilon: the ε for which the noise was calibrated; None: the noise was given.
      memory: bytes that it needs at most.
      patients_are: how the patients of the beats are known; see `BeatSet.patients_are`.
    """

    splits: Mapping[str, SplitSize]
    model: str
    num_parameters: int
    trainer: str
    step_name: str
    num_steps: int
    updates: int
    batch: int
    statement: PrivacyStatement | None
    target_epsilon: float | None
    memory: MemoryEstimate
    patients_are: PatientsAre = "stated"

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-serializable values, for `plan.json`."""
        return {
            "splits": {name: asdict(size) for name, size in self.splits.items()},
            "patients_are": self.patients_are,
            "model": {"name": self.model, "parameters": self.num_parameters},
            "training": {
                "trainer": self.trainer,
                f"{self.step_name}s": self.num_steps,
                "updates": self.updates,
                "batch": self.batch,
            },
            "privacy": None if self.statement is None else self._privacy(self.statement),
            "memory": asdict(self.memory) | {"total": self.memory.total},
        }

    def _privacy(self, statement: PrivacyStatement) -> dict[str, Any]:
        plan = statement.plan
        guarantee = statement.has_privacy_guarantee
        return {
            "guarantee": guarantee,
            "epsilon": statement.epsilon if guarantee else None,
            "bound_by": statement.bound_by if guarantee else None,
            "target_epsilon": self.target_epsilon,
            "delta": plan.delta,
            "unit": plan.unit,
            "num_units": plan.num_units,
            "noise_multiplier": plan.noise_multiplier,
            "l2_norm_clip": plan.l2_norm_clip if math.isfinite(plan.l2_norm_clip) else None,
            "sampling": plan.sampling,
            "sampling_probability": plan.sampling_probability,
            "accountant": plan.accountant,
            "neighboring_relation": plan.neighboring_relation,
            "steps": statement.steps,
        }


def plan_of(
    experiment: Experiment,
    run_data: RunData,
    ledger: Ledger,
    *,
    num_parameters: int,
    activations: int,
) -> RunPlan:
    """Make the plan of a run.

    Args:
      experiment: an `ecgexp.experiment.experiment.Experiment`.
      run_data: its data.
      ledger: of the run, before training.
      num_parameters: trainable parameters of its model.
      activations: values of all layers of its model for one row.

    Returns:
      The plan.
    """
    trainer, withholds = experiment.trainer, run_data.withholds_training
    statement = planned(ledger) if experiment.states_privacy_loss else None
    return RunPlan(
        splits=_splits(run_data),
        model=experiment.options()["model"],
        num_parameters=num_parameters,
        trainer=experiment.options()["trainer"],
        step_name=trainer.step_name,
        num_steps=trainer.num_steps,
        updates=ledger.plan.iterations if statement is None else statement.steps,
        batch=ledger.plan.expected_batch_size,
        statement=statement,
        target_epsilon=getattr(experiment.privacy, "target_epsilon", None),
        memory=_memory(experiment, run_data, ledger, num_parameters, activations, withholds),
        patients_are=run_data.beats.patients_are,
    )


def _splits(run_data: RunData) -> dict[str, SplitSize]:
    counts, beats = run_data.counts, run_data.beats
    return {
        name: SplitSize(
            beats=len(rows),
            patients=len(np.unique(beats.patient_ids[rows])) if beats.knows_patients else None,
            classes=counts[name],
        )
        for name, rows in run_data.indices.items()
        if not (name == "train" and run_data.withholds_training)
    }


def _memory(
    experiment: Experiment,
    run_data: RunData,
    ledger: Ledger,
    num_parameters: int,
    activations: int,
    withholds: bool,
) -> MemoryEstimate:
    """Estimate the memory, from the public size of the training set where that is withheld."""
    plan, beats = ledger.plan, run_data.beats
    holdout = len(run_data.split.validation) + len(run_data.split.test)
    is_public = not withholds or plan.unit == "beat"
    in_training = plan.num_units if withholds else len(run_data.split.train)
    return estimate_memory(
        trainer=experiment.trainer,
        unit=plan.unit if plan.is_private else None,
        rows=holdout + (in_training if is_public else 0),
        window_values=int(np.prod(beats.signals_mv.shape[1:])),
        feature_bytes=feature_bytes(run_data.data.features),
        num_parameters=num_parameters,
        activations=activations,
        most_rows=in_training if is_public else 10**9,
        without_training_beats=not is_public,
    )
