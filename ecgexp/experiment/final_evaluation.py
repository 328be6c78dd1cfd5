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
from ecgexp.experiment.quality import MarkedScores, marked_scores
from ecgexp.experiment.strips import log_strips
from ecgexp.experiment.trained_model import Scorer, evaluate_trained
from ecgexp.experiment.training_loop import TrainingLoop
from ecgexp.tracking.base import Tracker
from ecgexp.training.model_selection import ModelSelector

if TYPE_CHECKING:
    from ecgexp.evaluation.comparison import BaselineComparison

SEALED = "the test beats are sealed; `ecgexp-open RUN` scores them for one run of the study, once"


@dataclass(frozen=True, kw_only=True)
class FinalScores:
    """The scores of all evaluated splits, in the form of `Result`."""

    metrics: Mapping[str, float]
    undefined: Mapping[str, str]
    classes_in_average: Mapping[str, Sequence[str]]
    quality: Mapping[str, Any]
    test_evaluation: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class _Evaluated:
    """One evaluated split."""

    evaluation: Evaluation
    probabilities: np.ndarray
    marked: MarkedScores | None


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
    scorer = Scorer(
        weights=model_selector.weights,
        probabilities=training_loop.probabilities,
        seeds=training_loop.seeds,
    )
    evaluated, counted = _evaluate(
        experiment, run_data, experiment.evaluated, scorer, logged, tracker, messages
    )
    if experiment.test == "sealed":
        messages.add({"test": [SEALED]})
    comparison = None
    if experiment.federated_baselines.selected:
        probabilities = evaluated["test"].probabilities
        comparison = evaluate_baselines(
            experiment, run_data, training_loop, model_selector, probabilities, console
        )
        clients.log_federated_baselines(
            tracker, run_data, comparison, figure_format=experiment.figures.format
        )
        messages.add({"federated_baselines": comparison.notes()})
    _describe(experiment, run_data, evaluated, tracker, messages)
    for line in () if comparison is None else comparison.lines():
        messages.print_result("comparison", line)
    messages.print_notes(with_result=True)
    return _final_scores(run_data, evaluated, comparison, counted)


def evaluate_sealed(
    experiment: Experiment,
    run_data: RunData,
    scorer: Scorer,
    logged: LoggedEvaluation,
    tracker: Tracker,
    messages: Messages,
) -> FinalScores:
    """Evaluate a finished run on the test beats that it left sealed.

    Args:
      experiment: the parts of the run.
      run_data: the data of the run.
      scorer: its selected weights.
      logged: the evaluation on test beats in the log of the store.
      tracker: receives figures, tables and predictions.
      messages: receive the notes and the lines for the console.

    Returns:
      The scores on test beats, which are not tracked yet.
    """
    evaluated, counted = _evaluate(
        experiment, run_data, ("test",), scorer, logged, tracker, messages
    )
    _describe(experiment, run_data, evaluated, tracker, messages)
    messages.print_notes(with_result=True)
    return _final_scores(run_data, evaluated, None, counted)


def _evaluate(
    experiment: Experiment,
    run_data: RunData,
    splits: Sequence[str],
    scorer: Scorer,
    logged: LoggedEvaluation,
    tracker: Tracker,
    messages: Messages,
) -> tuple[dict[str, _Evaluated], dict[str, Any] | None]:
    evaluated: dict[str, _Evaluated] = {}
    counted = None
    for split in splits:
        if split == "test":
            logged.begin()
        evaluation, probabilities = evaluate_trained(experiment, run_data, scorer, split)
        marked = marked_scores(run_data, split, evaluation, probabilities)
        evaluated[split] = _Evaluated(
            evaluation=evaluation, probabilities=probabilities, marked=marked
        )
        artifacts.log_evaluation(
            tracker,
            run_data,
            split,
            evaluation,
            probabilities,
            figure_format=experiment.figures.format,
        )
        artifacts.log_marked_scores(tracker, split, marked)
        if experiment.dataset.has_records:
            log_strips(
                tracker,
                experiment.dataset,
                run_data,
                split,
                probabilities,
                protects_patients=experiment.has_privacy_guarantee,
                hides_test=experiment.test == "sealed" and split != "test",
            )
        clients.log_clients(
            tracker, run_data, split, probabilities, figure_format=experiment.figures.format
        )
        messages.add(
            {split: evaluation_notes(evaluation) + clients.notes(run_data, split, probabilities)}
        )
        if marked is not None and (line := marked.line()):
            messages.add({split: [line]})
        if split == "test":
            counted = logged.end(probabilities)
            messages.add({split: [sentence(counted)]})
    return evaluated, counted


def _describe(
    experiment: Experiment,
    run_data: RunData,
    evaluated: Mapping[str, _Evaluated],
    tracker: Tracker,
    messages: Messages,
) -> None:
    if not evaluated:
        return
    split, last = list(evaluated.items())[-1]
    evaluation = last.evaluation
    beats = run_data.beats
    parts = (experiment.title, beats.database, split, beats.patients_note)
    title = " · ".join(filter(None, parts))
    artifacts.log_description(tracker, evaluation, title=title, notes=lines(messages.published))
    messages.print_result("summary", artifacts.summary(evaluation, title=title))


def _final_scores(
    run_data: RunData,
    evaluated: Mapping[str, _Evaluated],
    comparison: "BaselineComparison | None",
    counted: Mapping[str, Any] | None,
) -> FinalScores:
    metrics, undefined = {}, {}
    for split, one in evaluated.items():
        evaluation = one.evaluation
        metrics |= evaluation.metrics(split)
        metrics |= clients.client_metrics(run_data, split, one.probabilities)
        undefined |= {f"{split}/{name}": reason for name, reason in evaluation.undefined.items()}
    if comparison is not None:
        metrics |= comparison.metrics()
    return FinalScores(
        metrics=metrics,
        undefined=undefined,
        test_evaluation=counted,
        classes_in_average={
            split: one.evaluation.classes_in_average for split, one in evaluated.items()
        },
        quality={
            split: one.marked.as_dict()
            for split, one in evaluated.items()
            if one.marked is not None
        },
    )
