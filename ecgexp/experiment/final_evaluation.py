"""The evaluation of the selected weights: scores of each split, figures, federated baselines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgexp.console import Console
from ecgexp.evaluation.evaluator import Evaluation
from ecgexp.evaluation.missing import evaluation_notes
from ecgexp.experiment import artifacts, clients
from ecgexp.experiment.data import RunData
from ecgexp.experiment.experiment import Experiment
from ecgexp.experiment.federated_baselines import evaluate_baselines
from ecgexp.experiment.logged_evaluation import LoggedEvaluation, sentence
from ecgexp.experiment.notes import Messages, lines
from ecgexp.experiment.strips import log_strips
from ecgexp.experiment.trained_model import evaluate_trained
from ecgexp.experiment.training_loop import TrainingLoop
from ecgexp.tracking.base import Tracker
from ecgexp.training.model_selection import ModelSelector

if TYPE_CHECKING:
    from ecgexp.evaluation.comparison import BaselineComparison


@dataclass(frozen=True, kw_only=True)
class FinalScores:
    """The scores of all evaluated splits, in the form of `Result`."""

    metrics: Mapping[str, float]
    undefined: Mapping[str, str]
    classes_in_average: Mapping[str, Sequence[str]]
    test_evaluation: Mapping[str, Any] | None = None


def evaluate_selected(
    experiment: Experiment,
    run_data: RunData,
    training_loop: TrainingLoop,
    model_selector: ModelSelector,
    logged: LoggedEvaluation,
    tracker: Tracker,
    console: Console,
    messages: Messages,
) -> FinalScores:
    """Evaluate the selected weights; what a split gives is tracked before the next one begins.

    The test beats are evaluated here, once, and no choice is made after it. The log of the store
    has the evaluation before the first test beat is scored.

    Args:
      experiment: the parts of the run.
      run_data: the data of the run.
      training_loop: has trained the model.
      model_selector: the selected weights.
      logged: the evaluation on test beats in the log of the store.
      tracker: receives figures, tables and predictions.
      console: shows the progress of training the baselines.
      messages: receive the notes and the lines for the console.

    Returns:
      The scores, which are not tracked yet.
    """
    evaluated: dict[str, tuple[Evaluation, np.ndarray]] = {}
    counted = None
    for split in experiment.evaluate_on:
        if split == "test":
            logged.begin()
        evaluation, probabilities = evaluate_trained(
            experiment, run_data, training_loop, split, model_selector
        )
        evaluated[split] = evaluation, probabilities
        artifacts.log_evaluation(tracker, run_data, split, evaluation, probabilities)
        log_strips(
            tracker,
            experiment.dataset,
            run_data,
            split,
            probabilities,
            protects_patients=experiment.has_privacy_guarantee,
        )
        clients.log_clients(tracker, run_data, split, probabilities)
        messages.add(
            {split: evaluation_notes(evaluation) + clients.notes(run_data, split, probabilities)}
        )
        if split == "test":
            counted = logged.end(probabilities)
            messages.add({split: [sentence(counted)]})
    comparison = None
    if experiment.federated_baselines.selected:
        _, probabilities = evaluated["test"]
        comparison = evaluate_baselines(
            experiment, run_data, training_loop, model_selector, probabilities, console
        )
        clients.log_federated_baselines(tracker, run_data, comparison)
        messages.add({"federated_baselines": comparison.notes()})
    if evaluated:
        split, (evaluation, _) = list(evaluated.items())[-1]
        title = f"{experiment.title} · {run_data.beats.database} · {split}"
        artifacts.log_description(tracker, evaluation, title=title, notes=lines(messages.published))
        messages.print_result("summary", artifacts.summary(evaluation, title=title))
    for line in () if comparison is None else comparison.lines():
        messages.print_result("comparison", line)
    messages.print_notes(with_result=True)
    return _final_scores(run_data, evaluated, comparison, counted)


def _final_scores(
    run_data: RunData,
    evaluated: Mapping[str, tuple[Evaluation, np.ndarray]],
    comparison: "BaselineComparison | None",
    counted: Mapping[str, Any] | None,
) -> FinalScores:
    metrics, undefined = {}, {}
    for split, (evaluation, probabilities) in evaluated.items():
        metrics |= evaluation.metrics(split)
        metrics |= clients.client_metrics(run_data, split, probabilities)
        undefined |= {f"{split}/{name}": reason for name, reason in evaluation.undefined.items()}
    if comparison is not None:
        metrics |= comparison.metrics()
    return FinalScores(
        metrics=metrics,
        undefined=undefined,
        test_evaluation=counted,
        classes_in_average={
            split: evaluation.classes_in_average for split, (evaluation, _) in evaluated.items()
        },
    )
