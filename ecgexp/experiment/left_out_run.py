"""A study of left-out patients as a run: its scores, its folder and its tracker."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgexp.console import Console
from ecgexp.evaluation.evaluator import Evaluation
from ecgexp.evaluation.patient_table import PatientConfusion
from ecgexp.experiment.experiment import Experiment
from ecgexp.experiment.leave_one_out import (
    Loader,
    PatientBeats,
    check_can_leave_out,
    check_same_beats,
    choose_without_each,
    evaluate_left_out,
    patient_with_most,
)
from ecgexp.experiment.left_out_folds import Candidate, Folds, predict_left_out
from ecgexp.interruption import reason_of, status_of
from ecgexp.privacy.keyed_digests import DigestKey
from ecgexp.settings.redaction import redact
from ecgexp.storage.atomic import replacing
from ecgexp.tracking.base import DatasetInput, ReadableTracker, Scalar, Status
from ecgexp.tracking.local.lock import hold
from ecgexp.tracking.local.result import known_run_id
from ecgexp.tracking.local.run_json import LEFT_OUT_TAG, has_finished

PREFIX = "left_out"
RESULT_FILE = "leave_one_out.json"
_FOLDS = "folds"


@dataclass(frozen=True, kw_only=True)
class LeftOutStudy:
    """What is scored.

    Attributes:
      experiments: seed -> name of a candidate (empty for a single one) -> its settings.
      choose: the setting and values of the candidates, as typed; None for a single one.
      metric: score that chooses.
      largest: whether a larger score is better.
      all_patients: whether the patients are all of the dataset, and not those of the training and
        validation part of the split.
      without_most: class whose patient with most beats is left out of further scores; None: none.
    """

    experiments: Mapping[int, Mapping[str, Experiment]]
    choose: str | None
    metric: str
    largest: bool
    all_patients: bool
    without_most: str | None

    def check(self) -> None:
        """Check, before data are read, that every experiment can be repeated without patients.

        Raises:
          ConfigError: see `check_can_leave_out` and `Experiment.check_can_start`.
        """
        for named in self.experiments.values():
            for experiment in named.values():
                check_can_leave_out(experiment)
                experiment.check_can_start()

    @property
    def first(self) -> Experiment:
        """The first experiment."""
        return next(iter(next(iter(self.experiments.values())).values()))


@dataclass(frozen=True, kw_only=True)
class LeftOutResult:
    """The scores of a candidate, or of the choice among them, for one seed.

    Attributes:
      name: of the candidate, or how it was chosen.
      experiment: of the candidate; of a choice, the first one.
      patients: the beats.
      evaluation: pooled scores with intervals over patients.
      confusion: of each patient.
      chosen: patient -> name of the candidate that predicts it; empty for a single candidate.
      most: the patient without whom `without` was scored; empty: none.
      without: the scores without it.
    """

    name: str
    experiment: Experiment
    patients: PatientBeats
    evaluation: Evaluation
    confusion: PatientConfusion
    chosen: Mapping[str, str]
    most: str = ""
    without: Evaluation | None = None

    @property
    def title(self) -> str:
        """A title of its tables."""
        parts = (self.experiment.title, self.patients.beats.database, "patients left out")
        return " · ".join([*parts, *filter(None, (self.name,))])

    def as_dict(self) -> dict[str, Any]:
        """Return the scores as JSON-serializable values."""
        return {
            "value": self.name,
            "seed": self.experiment.seed,
            "metrics": _finite(self.evaluation.metrics(PREFIX)),
            "patients": list(self.confusion.rows()),
            "records": [
                {key: None if value != value else value for key, value in row.items()}
                for row in self.evaluation.per_record
            ],
            **({"chosen": dict(self.chosen)} if self.chosen else {}),
            **(
                {
                    "without": self.most,
                    "metrics_without": _finite(self.without.metrics(PREFIX)),
                }
                if self.without is not None
                else {}
            ),
        }


@dataclass(frozen=True, kw_only=True)
class LeftOutScores:
    """All results of a study.

    Attributes:
      results: in the order of seeds and candidates; the choice comes after its candidates.
      seconds: of all trainings and predictions, those of an interrupted command included.
    """

    results: Sequence[LeftOutResult]
    seconds: float

    @property
    def final(self) -> Sequence[LeftOutResult]:
        """The result of each seed: of the choice, or of the only candidate."""
        last = {one.experiment.seed: one for one in self.results}
        return list(last.values())

    def metrics(self) -> dict[str, float]:
        """Return the scores for a tracker: with intervals for one seed, else their means."""
        scores = [one.evaluation.metrics(PREFIX) for one in self.final]
        if len(scores) == 1:
            return scores[0]
        shared = set.intersection(*(set(one) for one in scores))
        return {
            name: sum(one[name] for one in scores) / len(scores)
            for name in scores[0]
            if name in shared and "_ci_" not in name
        }


def run_left_out(
    study: LeftOutStudy,
    folder: Path,
    console: Console,
    *,
    run_name: str,
    params: Mapping[str, Scalar],
    tags: Mapping[str, str],
    quiet: bool = False,
) -> LeftOutScores:
    """Score a study, and track it as one run; an interrupted one resumes with its next patient.

    Args:
      study: what is scored, checked.
      folder: of the run, the same for equal studies; keeps the predictions of finished patients.
      console: shows progress and, unless `quiet`, the scores.
      run_name: name of the run.
      params: its parameters.
      tags: its tags.
      quiet: print no scores.

    Returns:
      The scores.

    Raises:
      ConfigError: another process works in the folder, the values cannot be compared, or the store
        cannot be used. Nothing is stored then.
      DataError: the data, or predictions in the folder, are missing or damaged.
    """
    started, tracking = time.monotonic(), study.first.tracking
    tracking.check()
    with console.progress_bar("beats") as bar:
        loader = Loader(all_patients=study.all_patients, on_progress=bar)
        candidates = _candidates(study, loader)
    beats = next(iter(candidates.values()))[0].patients.beats
    digest = DigestKey.of(tracking.private_dir()).digest(beats.digest)
    loaded = time.monotonic() - started
    folder.mkdir(parents=True, exist_ok=True)
    with hold(folder, new=False, setting="name"):
        if has_finished(folder):
            console.print(f"finished before, scored again from {folder}")
            return _scored(study, candidates, folder / _FOLDS, digest, console, quiet=quiet)
        tracker = tracking.start(
            run_name=run_name, run_dir=folder, resume_run_id=known_run_id(folder)
        )
        with _ending(tracker):
            of_study = "all patients" if study.all_patients else "training patients"
            tracker.set_tags(
                {
                    "run.dir": str(folder.absolute()),
                    **study.first.options(),
                    **tags,
                    LEFT_OUT_TAG: of_study,
                    "dataset.name": beats.database,
                    "dataset.digest": digest,
                    "dataset.patients": beats.patients_are,
                }
            )
            tracker.log_params(params)
            scores = _scored(study, candidates, folder / _FOLDS, digest, console, quiet=quiet)
            _log(tracker, scores, digest, seconds=loaded + scores.seconds)
            with replacing(folder / RESULT_FILE) as part:
                part.write_text(json.dumps(as_dict(scores), indent=1) + "\n", encoding="utf-8")
            tracker.log_file(folder / RESULT_FILE)
        if not quiet:
            console.print_result(f"result: {folder / RESULT_FILE}")
            if tracker.run_id is not None:
                console.print_result(f"MLflow run {tracker.run_id} · {tracker.url_hint}")
    return scores


def as_dict(scores: LeftOutScores) -> dict[str, Any]:
    """Return all scores as JSON-serializable values."""
    return {
        "seconds": round(scores.seconds, 1),
        "results": [one.as_dict() for one in scores.results],
    }


def _candidates(study: LeftOutStudy, loader: Loader) -> dict[int, list[Candidate]]:
    found = {
        seed: [
            Candidate(name=name, experiment=experiment, patients=loader.load(experiment))
            for name, experiment in named.items()
        ]
        for seed, named in study.experiments.items()
    }
    for candidates in found.values():
        check_same_beats([one.patients for one in candidates], study.choose or "")
        if study.without_most is not None:
            patient_with_most(candidates[0].patients, study.without_most)
    return found


def _scored(
    study: LeftOutStudy,
    of_seeds: Mapping[int, Sequence[Candidate]],
    folder: Path,
    digest: str,
    console: Console,
    *,
    quiet: bool,
) -> LeftOutScores:
    results: list[LeftOutResult] = []
    seconds = 0.0
    for seed, candidates in of_seeds.items():
        folds = Folds(folder, digest=digest, name=f"seed{seed}")
        if known := folds.stored:
            total = len(candidates[0].patients.patients)
            console.print(f"seed {seed}: {known} of {total} patients were predicted before")
        with console.progress_bar("patients") as bar:
            left_out = predict_left_out(candidates, bar, folds)
        seconds += left_out.seconds
        found = [
            _result(study, one, probabilities, one.name, {})
            for one, probabilities in zip(candidates, left_out.probabilities, strict=True)
        ]
        if len(candidates) > 1:
            choice = choose_without_each(
                candidates[0].patients, left_out.probabilities, study.metric, largest=study.largest
            )
            chosen = {patient: candidates[at].name for patient, at in choice.chosen.items()}
            name = f"chosen by {study.metric} without the patient"
            found.append(_result(study, candidates[0], choice.probabilities, name, chosen))
        for one in found if not quiet else ():
            show(one, console)
        results += found
    return LeftOutScores(results=results, seconds=seconds)


def _result(
    study: LeftOutStudy,
    candidate: Candidate,
    probabilities: Any,
    name: str,
    chosen: Mapping[str, str],
) -> LeftOutResult:
    experiment, patients = candidate.experiment, candidate.patients
    most, without = "", None
    if study.without_most is not None:
        most = patient_with_most(patients, study.without_most)
        without = evaluate_left_out(experiment, patients, probabilities, without=(most,))
    return LeftOutResult(
        name=name,
        experiment=experiment,
        patients=patients,
        evaluation=evaluate_left_out(experiment, patients, probabilities),
        confusion=PatientConfusion.of(
            patients.labels,
            probabilities.argmax(axis=1),
            patients.beats.patient_ids[patients.rows],
            patients.beats.class_names,
        ),
        chosen=chosen,
        most=most,
        without=without,
    )


def show(result: LeftOutResult, console: Console) -> None:
    """Print the tables of a result, and the intervals of the F1 of each class."""
    from ecgexp.evaluation.tables import class_intervals, summary_table

    console.print_result(summary_table(result.evaluation, title=result.title))
    if line := class_intervals(result.evaluation):
        console.print_result(line)
    if result.without is not None:
        title = f"{result.title} · without patient {result.most}"
        console.print_result(summary_table(result.without, title=title))


@contextmanager
def _ending(tracker: ReadableTracker) -> Iterator[None]:
    """End the run with the status that the block leaves."""
    status: Status = "FAILED"
    reason: str | None = None
    try:
        yield
        status = "FINISHED"
    except BaseException as error:
        status = status_of(error)
        reason = redact(reason_of(error))
        raise
    finally:
        tracker.finish(status, reason)


def _log(tracker: ReadableTracker, scores: LeftOutScores, digest: str, *, seconds: float) -> None:
    import pandas as pd

    from ecgexp.evaluation.misses_figure import misses_figure
    from ecgexp.evaluation.tables import summary_markdown

    beats = scores.final[0].patients.beats
    counts = {
        name: int(count)
        for name, count in zip(
            beats.class_names, scores.final[0].evaluation.confusion.sum(axis=1), strict=True
        )
    }
    tracker.log_dataset(
        DatasetInput(
            name=beats.database, digest=digest, source=beats.database, counts={PREFIX: counts}
        )
    )
    metrics = scores.metrics() | {"resources/seconds": round(seconds, 3)}
    known = {name for name, step in tracker.points() if step is None}
    tracker.log_metrics({name: value for name, value in metrics.items() if name not in known})
    named = [(one, {"value": one.name, "seed": one.experiment.seed}) for one in scores.results]
    by_patient = [
        {**key, **row, **({"chosen": one.chosen[row["patient"]]} if one.chosen else {})}
        for one, key in named
        for row in one.confusion.rows()
    ]
    tracker.log_table(pd.DataFrame(by_patient), "tables/patients.csv")
    tracker.log_table(
        pd.DataFrame([{**key, **one.evaluation.metrics(PREFIX)} for one, key in named]),
        f"tables/{PREFIX}.csv",
    )
    for one in scores.final:
        of_seed = f"_seed{one.experiment.seed}" if len(scores.final) > 1 else ""
        tracker.log_figure(
            misses_figure(one.confusion, source=f"{beats.source('patients left out')}"),
            f"figures/misses_by_patient{of_seed}.{one.experiment.figures.format}",
        )
    notes = [summary_markdown(one.evaluation, title=one.title) for one in scores.final]
    tracker.set_tags({"mlflow.note.content": "\n".join(notes)})


def _finite(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if value == value}
