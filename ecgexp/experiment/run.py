"""Run an experiment: load the data, train, evaluate, track and write the result."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ecgexp.console import Console
from ecgexp.experiment import artifacts, clients
from ecgexp.experiment.deadline import Deadline
from ecgexp.experiment.experiment import Experiment
from ecgexp.experiment.final_evaluation import evaluate_selected
from ecgexp.experiment.logged_evaluation import LoggedEvaluation, evaluated_run
from ecgexp.experiment.notes import Messages
from ecgexp.experiment.out_of_memory import explained_out_of_memory
from ecgexp.experiment.part_checks import check_can_be_loaded
from ecgexp.experiment.plan import plan_of
from ecgexp.experiment.plan_text import render
from ecgexp.experiment.setup import RunSetup, set_up
from ecgexp.experiment.trained_model import (
    privacy_statement,
    trained_classifier,
    training_notes,
)
from ecgexp.experiment.training_loop import Continues
from ecgexp.experiment.trials import show_trial
from ecgexp.interruption import reason_of, status_of
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.recorded_losses import Loss, Losses
from ecgexp.privacy.spent import PrivacySpent
from ecgexp.settings.build import to_node
from ecgexp.settings.declaration import ConfigError, Pruned
from ecgexp.settings.redaction import redact
from ecgexp.tracking.base import ReadableTracker
from ecgexp.tracking.evaluation_log import EvaluationLog
from ecgexp.tracking.local.headline import last_line
from ecgexp.tracking.local.lock import hold
from ecgexp.tracking.local.result import Result, known_run_id
from ecgexp.tracking.params import parameters
from ecgexp.tracking.private_folder import FOLDER as PRIVATE
from ecgexp.tracking.provenance import plugin_tags
from ecgexp.tracking.publishing import publishing_of
from ecgexp.tracking.resources import PeakMemory
from ecgexp.training.checkpointing.manager import begin_journal, check_journal

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
    continues: Continues | None = None,
    deadline: Deadline | None = None,
    resume: bool = False,
) -> Result:
    """Load the data of one experiment, train, evaluate and track it.

    Args:
      experiment: the parts of the run.
      run_dir: folder of the run, created if it is missing; receives `result.json`,
        `metrics.jsonl`, the figures and the model.
      config: the composed configuration, each key of which is logged as a parameter; by default
        the experiment itself.
      resolved_yaml: the same as text, logged as an artifact.
      console: shows progress.
      name: name of the run in MLflow; by default the experiment's title.
      tags: further tags of the run.
      admit: called once, before the first training step, with the ledger and the keyed digest of
        the beats; raises an error to refuse the run.
      continues: called after each epoch or round with its number and validation scores; if it
        returns False before the last one, the run ends without a result.
      deadline: the time limit; None: there is none.
      resume: whether `run_dir` contains an unfinished run of this experiment, which is resumed in
        the same MLflow run.

    Returns:
      The content of `run_dir/result.json`.

    Raises:
      ConfigError: the run is refused. Before its first training step, a new run then leaves nothing
        in its store.
      DataError: the run cannot begin, or cannot be finished; it is marked FAILED with the reason
        first, unless its data are missing.
      Pruned: `continues` returned False.
      OutOfTime: the deadline has passed; the run can be resumed.
    """
    experiment = experiment.resolved()
    experiment.check_can_start()
    if resume and not experiment.tracking.is_readable:
        raise ConfigError(
            f"resume={run_dir}: {experiment.tracking.shown_in} cannot take back the epochs that a "
            "resumed run repeats; use tracking=none to resume the run in its folder alone"
        )
    experiment.tracking.check()
    check_can_be_loaded(experiment)
    values = config or to_node(experiment)
    with hold(run_dir, new=not resume):
        console, started, memory = console or Console(), time.monotonic(), PeakMemory()
        if experiment.is_private and experiment.privacy.may_have_privacy_guarantee:
            check_journal(run_dir) if resume else begin_journal(run_dir)
        publishing = publishing_of(run_dir, withholds=experiment.withholds)
        messages = Messages(publishing, console)

        params = parameters(values)
        tracker: ReadableTracker | None = None

        def begin() -> ReadableTracker:
            nonlocal tracker
            if tracker is None:
                tracker = publishing.tracker(
                    experiment.tracking.start(
                        run_name=name or experiment.title,
                        run_dir=run_dir,
                        resume_run_id=known_run_id(run_dir) if resume else None,
                        hides_times=experiment.withholds,
                    )
                )
                tracker.set_tags(
                    {
                        "run.dir": str(run_dir.absolute()),
                        **plugin_tags(values),
                        **experiment.options(),
                        **experiment.tags(),
                        **(tags or {}),
                    }
                )
                tracker.log_params(params)
                if resolved_yaml is not None:
                    tracker.log_text(resolved_yaml, "config.yaml")
            return tracker

        result = Result(status="FAILED", marks=experiment.marks())
        try:
            if resume:
                begin()
            try:
                with publishing.logging():
                    setup = set_up(
                        experiment, run_dir, console, publishing, messages, resume=resume
                    )
                    if admit is not None:
                        admit(setup.training_loop.ledger, setup.run_data.beats.digest)
            except BaseException as error:
                # A new run whose configuration is refused, or that is interrupted before it has a
                # model, leaves none behind.
                if isinstance(error, Exception) and not isinstance(error, ConfigError):
                    begin()
                raise
            tracker = begin()
            with publishing.logging():
                found = _run_tracked(
                    experiment,
                    run_dir,
                    setup,
                    tracker,
                    console,
                    messages,
                    continues,
                    deadline or Deadline(),
                    resume=resume,
                    name=name or experiment.title,
                    params=params,
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
        except Pruned as pruned:
            result = replace(result, status="KILLED", reason=str(pruned))
            raise
        except BaseException as error:
            published = publishing.error(error)
            result = replace(result, status=status_of(error), reason=redact(reason_of(published)))
            if published is not error:
                raise published from None
            raise
        finally:
            if tracker is not None:
                tracker.finish(result.status, result.reason)
                if result.status != "FINISHED":
                    replace(
                        result, run_id=tracker.run_id, seconds=round(time.monotonic() - started, 3)
                    ).write(run_dir)
        if publishing.withholds:
            console.print(
                f"values computed from training beats and not covered by ε: {run_dir}/{PRIVATE}/ "
                "(do not publish this folder)"
            )
        console.print_result(f"result: {run_dir}/result.json")
        if tracker is not None and tracker.run_id is not None:
            console.print_result(f"MLflow run {tracker.run_id} · {tracker.url_hint}")
        elif tracker is not None and experiment.tracking.shown_in:
            console.print_result(f"{experiment.tracking.shown_in} · {tracker.url_hint}")
        console.print_result(last_line(result))
        return result


def _run_tracked(
    experiment: Experiment,
    run_dir: Path,
    setup: RunSetup,
    tracker: ReadableTracker,
    console: Console,
    messages: Messages,
    continues: Continues | None,
    deadline: Deadline,
    *,
    resume: bool,
    name: str,
    params: Mapping[str, Any],
    sweep: str | None,
) -> Result:
    run_data, training_loop = setup.run_data, setup.training_loop
    artifacts.log_data(tracker, run_data, figure_format=experiment.figures.format)
    messages.print_notes()
    if training_loop.training_state is not None:
        finished = f"{training_loop.training_state.step} of {experiment.trainer.num_steps}"
        messages.print("resumes", f"resumes after {experiment.trainer.step_name} {finished}")
    plan = plan_of(
        experiment,
        run_data,
        training_loop.ledger,
        num_parameters=training_loop.runtime.num_parameters,
        activations=training_loop.runtime.activations,
    )
    messages.print("plan", render(plan))
    tracker.log_dict(plan.as_dict(), "plan.json")
    loss = Loss(
        run_dir=str(run_dir.absolute()),
        name=name,
        run_id=tracker.run_id,
        sweep=sweep,
        training_population=setup.training_population,
        spent=PrivacySpent.of(training_loop.ledger),
    )
    recorded = Losses(experiment.tracking.private_dir()).begin(loss, resumes=resume)
    if experiment.is_private and experiment.trainer.needs_clients:
        with console.progress_bar("feasibility") as progress_bar:
            table = clients.feasibility_tables(
                training_loop.ledger.plan, training_loop.runtime.num_parameters, progress_bar
            )
        messages.print("feasibility", table)
    deadline.check("before the training")
    with explained_out_of_memory(plan.memory):
        model_selector = training_loop.fit(tracker, console, continues, deadline)
    show_trial(experiment, run_data, training_loop, model_selector, tracker, messages, run_dir)
    evaluated = sum(len(getattr(run_data.split, name)) for name in experiment.evaluate_on)
    deadline.check_evaluation(evaluated / max(1, len(run_data.split.validation)))
    messages.add(training_notes(experiment, run_data, training_loop, model_selector))
    logged = LoggedEvaluation(
        EvaluationLog(experiment.tracking.private_dir()),
        evaluated_run(run_dir, tracker, name=name, params=params),
        run_data,
    )
    scores = evaluate_selected(
        experiment, run_data, training_loop, model_selector, logged, tracker, console, messages
    )
    metrics = dict(scores.metrics)
    statement = privacy_statement(experiment, training_loop.ledger, teacher=run_data.teacher)
    if statement is not None:
        artifacts.log_privacy(tracker, statement)
        metrics |= artifacts.privacy_metrics(statement)
        messages.print_result("statement", statement.line())
    further = experiment.further_results(run_data)
    metrics |= further.metrics
    for line in further.lines:
        messages.print_result("marks", line)
    tracker.log_metrics(metrics)
    classifier = trained_classifier(experiment, run_data, model_selector)
    artifacts.log_model(tracker, classifier, run_dir)
    recorded.finish(None if statement is None else statement.event)
    return Result(
        status="FINISHED",
        metrics=metrics,
        undefined=scores.undefined,
        classes_in_average=scores.classes_in_average,
        quality=scores.quality,
        notes=messages.of_result(),
        test_evaluation=scores.test_evaluation,
        selection=model_selector.as_dict(),
        data=artifacts.describe_data(run_data),
        privacy=None if statement is None else statement.as_dict(),
        marks={**experiment.marks(), **further.marks},
    )
