"""Runs an experiment: whatever trains, this is how it is evaluated, tracked and ended."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ecgexp.console import Console
from ecgexp.data.populations import training_population_of
from ecgexp.evaluation.missing import evaluation_notes
from ecgexp.experiment import artifacts, class_coverage, clients
from ecgexp.experiment.data import RunData
from ecgexp.experiment.experiment import Experiment
from ecgexp.experiment.federated_baselines import evaluate_baselines
from ecgexp.experiment.training_loop import TrainingLoop
from ecgexp.privacy.keyed_digests import DigestKey
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.recorded_losses import Loss, Losses
from ecgexp.privacy.search_accounting import PrivacySpent
from ecgexp.seeding import Seeds
from ecgexp.settings.build import to_node
from ecgexp.settings.redaction import redact
from ecgexp.tracking.base import Tracker
from ecgexp.tracking.local.lock import hold
from ecgexp.tracking.local.result import Result, known_run_id
from ecgexp.tracking.params import parameters
from ecgexp.tracking.resources import PeakMemory
from ecgexp.tracking.withheld import FOLDER as PRIVATE
from ecgexp.tracking.withheld import Publishing, publishing_of
from ecgexp.training.checkpointing.manager import CheckpointManager, begin_journal, check_journal
from ecgexp.training.model_selection import ModelSelector

Admission = Callable[[Ledger, str], None]


def run(
    experiment: Experiment,
    run_dir: Path,
    *,
    config: Mapping[str, Any] | None = None,
    resolved_yaml: str | None = None,
    console: Console | None = None,
    name: str | None = None,
    tags: Mapping[str, str] | None = None,
    admit: Admission | None = None,
    resume: bool = False,
) -> Result:
    """Prepares, trains, evaluates and tracks one experiment.

    Args:
      experiment: what to do.
      run_dir: an existing folder; receives `result.json`, `metrics.jsonl`, the figures and the model.
      config: the composed configuration, logged leaf by leaf; by default the experiment itself.
      resolved_yaml: the same as text, kept as an artifact.
      console: shows progress.
      name: the run's name in the UI; by default the experiment's title.
      tags: further tags of the run.
      resume: whether `run_dir` holds a run of this experiment that did not finish; it goes on, in the same MLflow run.
      admit: asked once, before the first training step, with the ledger and the keyed digest of the beats; raises to refuse.

    Returns:
      What `run_dir/result.json` holds.

    Raises:
      ConfigError, DataError: after the run was marked FAILED with the reason.
    """
    experiment = experiment.resolved()
    with hold(run_dir, new=not resume):
        console, started, memory = console or Console(), time.monotonic(), PeakMemory()
        if experiment.is_private and experiment.privacy.may_have_privacy_guarantee:
            check_journal(run_dir) if resume else begin_journal(run_dir)
        tracker = experiment.tracking.start(
            run_name=name or experiment.title,
            run_dir=run_dir,
            resume_run_id=known_run_id(run_dir) if resume else None,
        )
        publishing = publishing_of(run_dir, withholds=experiment.withholds)
        tracker = publishing.tracker(tracker)
        result = Result(status="FAILED", marks=experiment.marks())
        try:
            tracker.set_tags(
                {"run.dir": str(run_dir.absolute()), **experiment.tags(), **(tags or {})}
            )
            tracker.log_params(parameters(config or to_node(experiment)))
            if resolved_yaml is not None:
                tracker.log_text(resolved_yaml, "config.yaml")
            with publishing.logging():
                found = _run_tracked(
                    experiment,
                    run_dir,
                    tracker,
                    console,
                    publishing,
                    admit,
                    resume=resume,
                    name=name or experiment.title,
                    sweep=(tags or {}).get("sweep"),
                )
            result = replace(
                publishing.result(found),
                run_id=tracker.run_id,
                seconds=round(time.monotonic() - started, 3),
            )
            tracker.log_metrics(
                {
                    "resources/seconds": result.seconds,
                    "resources/peak_memory_mb": memory.megabytes(),
                }
            )
            tracker.log_file(result.write(run_dir))
        except BaseException as error:
            status = "KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED"
            published = publishing.error(error)
            result = replace(
                result, status=status, reason=redact(f"{type(published).__name__}: {published}")
            )
            if published is not error:
                raise published from None
            raise
        finally:
            tracker.finish(result.status, result.reason)
            if result.status != "FINISHED":
                replace(
                    result, run_id=tracker.run_id, seconds=round(time.monotonic() - started, 3)
                ).write(run_dir)
        if publishing.withholds:
            console.print(
                f"what tells of training beats and is not covered by ε: {run_dir}/{PRIVATE}/ (do not hand it on)"
            )
        console.print(f"{result.seconds:.0f} s · {run_dir}/result.json")
        if tracker.run_id is not None:
            console.print(f"MLflow run {tracker.run_id} · {tracker.url_hint}")
        return result


def _run_tracked(
    experiment: Experiment,
    run_dir: Path,
    tracker: Tracker,
    console: Console,
    publishing: Publishing,
    admit: Admission | None,
    *,
    resume: bool,
    name: str,
    sweep: str | None,
) -> Result:
    told, seeds = _Told(publishing, console), Seeds(experiment.seed)
    for line in experiment.notices():
        told.print("marks", line)
    with console.progress_bar("beats") as progress_bar:
        shown = progress_bar.without_notes() if publishing.withholds else progress_bar
        key, run_data = (
            DigestKey.of(experiment.tracking.private_dir()),
            experiment.load_run_data(seeds, shown),
        )
    training_population, run_data = (
        training_population_of(run_data.beats, key),
        _keyed(run_data, key),
    )
    artifacts.log_data(tracker, run_data)
    checkpoint_manager = CheckpointManager(
        run_dir, experiment.checkpoints, data_digest=run_data.beats.digest, resumes=resume
    )
    training_loop = TrainingLoop(experiment, run_data, seeds, checkpoint_manager)
    told.add(class_coverage.notes_before_training(experiment, run_data))
    told.say_notes()
    if checkpoint_manager.training_state is not None:
        finished = f"{checkpoint_manager.training_state.step} of {experiment.trainer.num_steps}"
        told.print("resumes", f"going on after {experiment.trainer.step_name} {finished}")
    if admit is not None:
        admit(training_loop.ledger, run_data.beats.digest)
    loss = Loss(
        run_dir=str(run_dir.absolute()),
        name=name,
        run_id=tracker.run_id,
        sweep=sweep,
        training_population=training_population,
        spent=PrivacySpent.of(training_loop.ledger),
    )
    recorded = Losses(experiment.tracking.private_dir()).begin(loss, resumes=resume)
    if experiment.is_private and experiment.trainer.needs_clients:
        with console.progress_bar("what is within reach") as progress_bar:
            table = clients.feasibility_tables(
                training_loop.ledger.plan, training_loop.num_parameters, progress_bar
            )
        told.print("feasibility", table)
    model_selector = training_loop.fit(tracker, console)
    told.add(training_loop.notes(model_selector))
    scores = _evaluate(experiment, run_data, training_loop, model_selector, tracker, console, told)
    metrics, statement = dict(scores.metrics), training_loop.statement(model_selector)
    if statement is not None:
        metrics |= artifacts.log_privacy(tracker, statement)
        told.print("statement", statement.line())
    further = experiment.further_results(run_data)
    metrics |= further.metrics
    for line in further.lines:
        told.print("marks", line)
    tracker.log_metrics(metrics)
    artifacts.log_model(tracker, run_data, training_loop.classifier(model_selector), run_dir)
    recorded.finish(None if statement is None else statement.event)
    return Result(
        status="FINISHED",
        metrics=metrics,
        undefined=scores.undefined,
        classes_in_average=scores.classes_in_average,
        notes=told.of_result(),
        selection=model_selector.as_dict(),
        data=artifacts.describe_data(run_data),
        privacy=None if statement is None else statement.as_dict(),
        marks={**experiment.marks(), **further.marks},
    )


@dataclass(frozen=True, kw_only=True)
class _Scores:
    """Of all splits that were asked for, as `Result` has them."""

    metrics: Mapping[str, float]
    undefined: Mapping[str, str]
    classes_in_average: Mapping[str, Sequence[str]]


def _evaluate(
    experiment: Experiment,
    run_data: RunData,
    training_loop: TrainingLoop,
    model_selector: ModelSelector,
    tracker: Tracker,
    console: Console,
    told: "_Told",
) -> _Scores:
    """Scores the chosen weights: the test beats are looked at here, once, and nothing is decided after it."""
    metrics, undefined, predicted, classes_in_average = {}, {}, {}, {}
    for split in experiment.evaluate_on:
        evaluation, probabilities = training_loop.evaluate(split, model_selector)
        artifacts.log_evaluation(tracker, run_data, split, evaluation, probabilities)
        metrics |= evaluation.metrics(split) | clients.log_clients(
            tracker, run_data, split, probabilities
        )
        predicted[split], classes_in_average[split] = probabilities, evaluation.classes_in_average
        told.add(
            {split: evaluation_notes(evaluation) + clients.notes(run_data, split, probabilities)}
        )
        undefined |= {f"{split}/{name}": reason for name, reason in evaluation.undefined.items()}
    comparison = None
    if experiment.federated_baselines.asked:
        comparison = evaluate_baselines(
            experiment, run_data, training_loop, model_selector, predicted["test"], console
        )
        metrics |= clients.log_federated_baselines(tracker, run_data, comparison)
        told.add({"federated_baselines": comparison.notes()})
    if experiment.evaluate_on:
        title = f"{experiment.title} · {run_data.beats.database} · {split}"
        artifacts.log_description(
            tracker, evaluation, title=title, notes=class_coverage.lines(told.published)
        )
        told.print("summary", artifacts.summary(evaluation, title=title))
    for line in () if comparison is None else comparison.lines():
        told.print("comparison", line)
    told.say_notes()
    return _Scores(metrics=metrics, undefined=undefined, classes_in_average=classes_in_average)


class _Told:
    """What a run says on the way: lines of the console, where they may be published, and notes, which its result keeps too.

    Args:
      publishing: says what may be published.
      watcher: shows it.
    """

    def __init__(self, publishing: Publishing, console: Console):
        self._publishing, self._watcher = publishing, console
        self._notes: class_coverage.Notes = {}

    @property
    def published(self) -> class_coverage.Notes:
        """The notes that may stand in every output."""
        return class_coverage.published(self._notes, withholds=self._publishing.withholds)

    def of_result(self) -> class_coverage.Notes:
        """All notes, from which the result's publishing takes those that are withheld."""
        return {**self._notes, **self.published} if self._publishing.withholds else self._notes

    def print(self, name: str, text: Any) -> None:
        """Shows a line of that name."""
        if self._publishing.tells(name):
            self._watcher.print(text)

    def add(self, notes: Mapping[str, Sequence[str]]) -> None:
        """Adds to the notes; what they are about and has none is left out."""
        for about, texts in notes.items():
            if texts:
                self._notes[about] = [*self._notes.get(about, []), *texts]

    def say_notes(self) -> None:
        """Shows the notes so far, those that may be published."""
        for line in class_coverage.lines(self.published):
            self.print("notes", f"note: {line}")


def _keyed(run_data: RunData, key: DigestKey) -> RunData:
    """`run_data` under a digest that tells nobody outside of the store which beats it has; whatever is written has this one."""
    return replace(
        run_data, beats=replace(run_data.beats, digest=key.digest(run_data.beats.digest))
    )
