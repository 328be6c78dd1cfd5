"""Score the sealed test beats of a finished run: once, and for one run of a study."""

from dataclasses import replace
from pathlib import Path

from ecgexp.console import Console
from ecgexp.experiment.artifacts import test_sha256
from ecgexp.experiment.data import RunData
from ecgexp.experiment.experiment import Experiment
from ecgexp.experiment.final_evaluation import evaluate_sealed
from ecgexp.experiment.logged_evaluation import LoggedEvaluation, evaluated_run
from ecgexp.experiment.model_runtime import runtime_of
from ecgexp.experiment.notes import Messages
from ecgexp.experiment.trained_model import Scorer
from ecgexp.models.saved_classifier import load_classifier
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import DataError
from ecgexp.tracking.debug_mark import DEBUG
from ecgexp.tracking.evaluation_log import EvaluationLog
from ecgexp.tracking.local.result import Result, read_result
from ecgexp.tracking.local.run_json import read_run
from ecgexp.tracking.local.tracker import JsonlTracker
from ecgexp.tracking.publishing import publishing_of


def open_sealed(experiment: Experiment, run_dir: Path, *, study: str, console: Console) -> Result:
    """Score the sealed test beats of a finished run, and add the scores to its folder.

    **Guarantees** (`tests/end_to_end/test_experiment.py`,
    `tests/unit/tracking/test_evaluation_log.py`): the scores are those of a run with `test=open`;
    the test beats of a study are opened for one run, whichever process is first; a run that was
    killed while they were scored can be opened again, and no other one.

    Args:
      experiment: the parts of the run, as it was composed.
      run_dir: folder of the run, held by this process.
      study: name of the study; its sealed test beats are opened for one run.
      console: shows progress and scores.

    Returns:
      The new content of `result.json`.

    Raises:
      ConfigError: the evaluation cannot be recorded in the log of the store.
      DataError: the run has not finished, is not sealed or was opened before; its data have
        changed; or the test beats were opened for another run.
    """
    experiment = experiment.resolved()
    stored = check_sealed(run_dir)
    log = EvaluationLog(experiment.tracking.private_dir())
    log.check()
    publishing = publishing_of(run_dir, withholds=experiment.withholds)
    messages, seeds = Messages(publishing, console), Seeds(experiment.seed)
    with publishing.logging():
        with console.progress_bar("beats") as progress_bar:
            shown = progress_bar.without_notes() if publishing.withholds else progress_bar
            run_data = experiment.load_run_data(seeds, shown)
        _check_same_beats(run_data, stored)
        values = read_run(run_dir)
        local = JsonlTracker(run_dir, has_ended=True)
        tracker = publishing.tracker(local)
        logged = LoggedEvaluation(
            log,
            evaluated_run(run_dir, tracker, name=experiment.title, params=values["params"]),
            run_data,
            study=study,
        )
        scorer = _scorer(experiment, run_data, seeds, run_dir)
        scores = evaluate_sealed(experiment, run_data, scorer, logged, tracker, messages)
        tracker.log_metrics(scores.metrics)
        opened = replace(
            stored,
            metrics={**stored.metrics, **scores.metrics},
            undefined={**stored.undefined, **scores.undefined},
            classes_in_average={**stored.classes_in_average, **scores.classes_in_average},
            quality={**stored.quality, **scores.quality},
            notes={**stored.notes, **messages.of_result()},
            test_evaluation=scores.test_evaluation,
        )
        result = publishing.result(opened)
        tracker.log_file(result.write(run_dir))
    return result


def check_sealed(run_dir: Path) -> Result:
    """Return the result of a finished run whose test beats are sealed.

    Args:
      run_dir: folder of the run.

    Raises:
      DataError: it has not finished, is not sealed, was opened before, or is a debug run.
    """
    values = read_run(run_dir)
    if values["status"] != "FINISHED":
        raise DataError(
            f"the run has not finished ({values['status']}); use resume={run_dir} first"
        )
    if values["params"].get("test") != "sealed":
        raise DataError(
            "its test beats are not sealed; use a run with test=sealed, or run the configuration "
            "with test=open"
        )
    stored = read_result(run_dir)
    if (preset := stored.marks.get(DEBUG)) is not None:
        raise DataError(
            f"it is a debug run (debug={preset}), which scores no test beats; use a run without "
            f"debug={preset}"
        )
    if stored.test_evaluation is not None:
        raise DataError(f"it was opened before; its scores are in {run_dir}/result.json")
    return stored


def _check_same_beats(run_data: RunData, stored: Result) -> None:
    if (stored.data or {}).get("test_sha256") != test_sha256(run_data):
        raise DataError(
            "the test beats are not those that were sealed: the data or the code that reads them "
            "have changed; use the data and the version of the run"
        )


def _scorer(experiment: Experiment, run_data: RunData, seeds: Seeds, run_dir: Path) -> Scorer:
    # Also makes TensorFlow compute as in training.
    runtime = runtime_of(experiment, run_data, seeds)
    return Scorer(
        weights=load_classifier(run_dir / "model").weights,
        probabilities=runtime.probabilities,
        seeds=seeds,
    )
