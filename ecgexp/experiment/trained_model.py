"""What a run states of its trained model: notes, scores, privacy statement, and what is saved."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecgexp.data.beats import databases
from ecgexp.evaluation.evaluator import Evaluation, evaluate
from ecgexp.evaluation.missing import absent_classes, participation_notes, selection_notes
from ecgexp.experiment.data import RunData
from ecgexp.experiment.notes import Notes
from ecgexp.experiment.plugin_parts import assumptions
from ecgexp.experiment.training_loop import TrainingLoop
from ecgexp.models.classifier import Classifier
from ecgexp.models.preprocessing import ModelPreprocessing
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.statement import PrivacyStatement, state
from ecgexp.seeding import Seeds
from ecgexp.training.federated.settings import FederatedSettings
from ecgexp.training.model_selection import ModelSelector

if TYPE_CHECKING:
    from ecgexp.experiment.experiment import Experiment


def training_notes(
    experiment: "Experiment",
    run_data: RunData,
    training_loop: TrainingLoop,
    model_selector: ModelSelector,
) -> Notes:
    """Return the notes on the trained model; those from training metrics are under `training`.

    Args:
      experiment: what ran.
      run_data: its data.
      training_loop: after `fit`.
      model_selector: the selected weights.
    """
    name, notes, history = experiment.trainer.step_name, Notes(), training_loop.history
    ledger = training_loop.ledger
    if ledger.stopped_by_budget:
        notes["privacy"] = [
            f"privacy.max_epsilon={ledger.plan.max_epsilon:g} was spent after "
            f"{ledger.steps} of {ledger.plan.iterations} noisy steps"
        ]
    metric = experiment.selection.metric
    if model_selector.uses_validation:
        scores, counts = (
            history[f"validation/{metric}"],
            run_data.counts["validation"],
        )
        notes["selection"] = selection_notes(
            metric,
            scores,
            model_selector.step,
            counts,
            keeps=model_selector.keeps,
            step_name=name,
        )
    if described := training_loop.runtime.notes(model_selector.weights):
        notes["model"] = list(described)
    untrained = "the initial ones with noise" if ledger.plan.is_private else "the initial ones"
    notes["training"] = participation_notes(
        history, model_selector.step, step_name=name, untrained=untrained
    )
    return notes


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """What is evaluated: the selected weights of a run.

    Attributes:
      weights: the selected ones.
      probabilities: `(weights, rows (n,)) -> (n, num_classes)` of the run's model.
      seeds: the random streams of the run.
    """

    weights: list[np.ndarray]
    probabilities: Callable[[list[np.ndarray], np.ndarray], np.ndarray]
    seeds: Seeds


def evaluate_trained(
    experiment: "Experiment", run_data: RunData, scorer: Scorer, split: str
) -> tuple[Evaluation, np.ndarray]:
    """Return the scores of the selected weights on one split, and their probabilities.

    Args:
      experiment: what ran.
      run_data: its data.
      scorer: the selected weights.
      split: `train`, `validation` or `test`.
    """
    rows, beats = run_data.indices[split], run_data.beats
    probabilities = experiment.read_probabilities(
        scorer.probabilities(scorer.weights, rows), beats.class_names
    )
    evaluation = evaluate(
        labels=beats.labels[rows],
        probabilities=probabilities,
        class_names=beats.class_names,
        record_ids=beats.record_ids[rows],
        patient_ids=beats.patient_ids[rows] if beats.knows_patients else None,
        patient_word="record" if beats.patients_are == "assumed" else "patient",
        majority_class=run_data.baseline_class(rows),
        rng=scorer.seeds.generator(f"bootstrap/{split}"),
        num_resamples=experiment.num_resamples,
    )
    return evaluation, probabilities


def privacy_statement(
    experiment: "Experiment", ledger: Ledger, *, teacher: tuple[str, str] | None = None
) -> PrivacyStatement | None:
    """Return the privacy statement, computed from the ledger; None without one.

    Args:
      experiment: what ran.
      ledger: of the run, after training.
      teacher: `RunData.teacher`.
    """
    if not experiment.states_privacy_loss:
        return None
    uses_validation = experiment.selection.needs_validation(experiment.is_private)
    idle = set() if uses_validation else {"selection"}
    idle |= set() if experiment.loss.class_weights != "none" else {"class weights"}
    idle |= {"client scores"} if experiment.partition.is_pooled else set()
    idle |= {"classes"} if experiment.grouping.empty_class != "drop" else set()
    trainer = experiment.trainer
    return state(
        ledger,
        does_not_apply=idle,
        publishes_all=experiment.privacy.publish == "all",
        assumptions=assumptions(experiment),
        teacher=teacher,
        adaptive_clip=trainer.adaptive_clip(ledger.plan)
        if isinstance(trainer, FederatedSettings)
        else None,
    )


def trained_classifier(
    experiment: "Experiment", run_data: RunData, model_selector: ModelSelector
) -> Classifier:
    """Return the selected weights with everything needed to score a raw window.

    Args:
      experiment: what ran.
      run_data: its data.
      model_selector: the selected weights.
    """
    beats = run_data.beats
    return Classifier(
        builder=experiment.model,
        preprocessing=ModelPreprocessing.of_run(
            experiment.dataset.preprocessings,
            experiment.features,
            databases(beats.database),
            from_records=experiment.dataset.has_records,
        ),
        weights=model_selector.weights,
        class_names=beats.class_names,
        database=beats.database,
        classes_without_training_beats=None
        if experiment.withholds
        else absent_classes(run_data.counts["train"]),
    )
