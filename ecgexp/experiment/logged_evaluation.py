"""The evaluation of a run on its test beats, as the log of the store counts it."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ecgexp.data.beats import BeatSet
from ecgexp.evaluation.patient_bound import CONFIDENCE, accuracy_by_patient, hoeffding_margin
from ecgexp.experiment.artifacts import test_sha256
from ecgexp.experiment.data import RunData
from ecgexp.formatting import BLANK, score_text
from ecgexp.settings.declaration import DataError
from ecgexp.storage.digests import digest
from ecgexp.tracking.base import Tracker
from ecgexp.tracking.evaluation_log import Count, EvaluatedRun, EvaluationLog
from ecgexp.tracking.local.run_json import read_run

_NO_PART = re.compile(r"evaluate_on|test|num_resamples|(federated_baselines|device)\..*")
"""Settings that change how a model is computed or evaluated, and not which model it is."""


def configuration_digest(params: Mapping[str, Any]) -> str:
    """Return the digest of a run's configuration, with the seed.

    Another seed is another configuration: it gives another model, and the best of several seeds by
    their test scores is a choice by test scores.

    Args:
      params: dotted name -> value of all settings that affect a result.
    """
    return digest(
        {name: str(value) for name, value in params.items() if not _NO_PART.fullmatch(name)}
    )


def test_set_digest(beats: BeatSet, rows: np.ndarray, *, by_beat: bool) -> str:
    """Return the digest that identifies a test set, however its beats are preprocessed.

    It is that of the signal files of the test records, so that another window, filter, grouping or
    division of the other records, another name and pseudonyms do not begin a new count; a record
    that was converted to another format does. Of a split by beat, it is that of the single test
    beats, and of beats that are cut already, that of the rows.

    **Guarantees** (`tests/unit/experiment/test_logged_evaluation.py`): it does not depend on names
    of the database, of records or of patients. It depends on test records or, of a split by beat,
    on test beats alone, so that no privacy guarantee of training beats is affected. It has no key:
    reports compare runs of several stores by it, and the predictions of the test beats, which are
    published, reveal more to somebody who has the same recordings.

    Args:
      beats: all beats.
      rows: indices of the test beats.
      by_beat: whether beats of one patient may be in several parts of the split.
    """
    if beats.cut_elsewhere:
        contents = (hashlib.sha256(beats.signals_mv[row].tobytes()).hexdigest() for row in rows)
        symbols = beats.symbols[rows].tolist()
        return digest({"rows": sorted(zip(contents, symbols, strict=True))})
    places: dict[str, list[int]] = {}
    for record, sample in zip(
        beats.record_ids[rows].tolist(), beats.r_samples[rows].tolist(), strict=True
    ):
        places.setdefault(record, []).append(sample)
    if by_beat:
        return digest({"beats": sorted(sorted(samples) for samples in places.values())})
    whole = [
        beats.recordings.get(record) or digest(sorted(samples))
        for record, samples in places.items()
    ]
    return digest({"recordings": sorted(whole)})


def evaluated_run(
    run_dir: Path, tracker: Tracker, *, name: str, params: Mapping[str, Any]
) -> EvaluatedRun:
    """Return the run as the log names it.

    Args:
      run_dir: its folder.
      tracker: of the run.
      name: its name.
      params: see `configuration_digest`.
    """
    place = str(run_dir.absolute())
    try:
        started = read_run(run_dir).get("started", 0.0)
    except DataError:  # the tracker writes no folder
        started = 0.0
    return EvaluatedRun(
        id=digest([place, tracker.run_id, started])[:32],
        configuration=configuration_digest(params),
        name=name,
        run_dir=place,
        run_id=tracker.run_id,
    )


class LoggedEvaluation:
    """One evaluation on test beats: recorded before the beats are scored, and counted after it.

    Args:
      log: of the store.
      run: the run.
      run_data: its data.
      study: name of the study whose sealed test beats are opened; None: they were not sealed.
    """

    def __init__(
        self,
        log: EvaluationLog,
        run: EvaluatedRun,
        run_data: RunData,
        *,
        study: str | None = None,
    ):
        self._log, self._run, self._run_data, self._study = log, run, run_data, study
        self._by_beat = run_data.split.disjoint == "beat"
        self._rows = run_data.indices["test"]
        self._test_set = test_set_digest(run_data.beats, self._rows, by_beat=self._by_beat)

    def begin(self) -> None:
        """Record the evaluation; from now on it counts.

        Raises:
          ConfigError: it cannot be recorded, so the test beats must not be scored.
          DataError: the sealed test beats were opened for another run of the study.
        """
        self._log.begin(
            self._run,
            test_set=self._test_set,
            test_sha256=test_sha256(self._run_data),
            database=self._run_data.beats.database,
            study=self._study,
        )

    def end(self, probabilities: np.ndarray) -> dict[str, Any]:
        """Record the end, and return the entry `test_evaluation` of `result.json`.

        Args:
          probabilities: (num_test_beats, classes) of the selected weights.
        """
        beats, predictions = self._run_data.beats, probabilities.argmax(axis=1)
        names = np.asarray(beats.class_names)[predictions].tolist()
        found = self._log.end(
            self._run,
            test_set=self._test_set,
            predictions=hashlib.sha256("\0".join(names).encode()).hexdigest(),
        )
        accuracy = (
            accuracy_by_patient(
                beats.labels[self._rows], predictions, beats.patient_ids[self._rows]
            )
            if beats.knows_patients
            else None
        )
        # Of patients whose other beats were trained on, the score says nothing of a new patient.
        margin = (
            None
            if self._by_beat or accuracy is None
            else hoeffding_margin(accuracy.patients, found.evaluations)
        )
        return {
            **asdict(found),
            "test_set": self._test_set,
            "configuration": self._run.configuration,
            "accuracy_by_patient": None if accuracy is None else accuracy.value,
            "patients": None if accuracy is None else accuracy.patients,
            "margin": margin,
            "confidence": None if margin is None else CONFIDENCE,
        }


def sentence(values: Mapping[str, Any]) -> str:
    """Return the note on an evaluation, for the result, the console and the report.

    Args:
      values: as `LoggedEvaluation.end` returns them.
    """
    found = Count(**{name: values[name] for name in ("number", "evaluations", "is_repeat")})
    text = (
        f"repeat of evaluation {found.number} of this test set, which had {found.evaluations}"
        if found.is_repeat
        else f"evaluation {found.number} of this test set"
    )
    if values["patients"] is None:
        return f"{text}; no accuracy by patient and no bound, since its patients are unknown"
    if values["margin"] is None:
        return f"{text}; no bound, since beats of its patients were trained on"
    scope = bound_scope(
        evaluations=found.evaluations,
        patients=values["patients"],
        confidence=values["confidence"],
    )
    return (
        f"{text}; accuracy by patient {score_text(values['accuracy_by_patient'])} "
        f"± {score_text(values['margin'])} {scope}"
    )


def bound_scope(*, evaluations: int, patients: int, confidence: float) -> str:
    """Return what the bound on accuracies by patient holds for, after `0.921 ± 0.692`.

    Args:
      evaluations: of the test set, which hold together.
      patients: in the test set.
      confidence: with which they hold.
    """
    several = f" for the {evaluations} evaluations together" if evaluations > 1 else ""
    return (
        f"with {100 * confidence:.0f}{BLANK}%{several}, by Hoeffding's bound over {patients} "
        "patients, if no configuration was chosen by scores on them; F1 and the jk index have no "
        "such bound"
    )
