"""Predict each patient by a model of all others, and keep the predictions of finished patients."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ecgexp.data.leakage import check_split
from ecgexp.data.splits.base import Split
from ecgexp.experiment.data import assemble
from ecgexp.experiment.experiment import Experiment
from ecgexp.experiment.leave_one_out import PatientBeats
from ecgexp.experiment.model_runtime import runtime_of
from ecgexp.models.estimator import Deciding
from ecgexp.privacy.ledger import Ledger
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import DataError
from ecgexp.storage.archive import SUFFIX, read_archive, write_archive
from ecgexp.storage.atomic import replacing
from ecgexp.storage.reading import MissingFileError, open_plain, refusal
from ecgexp.training.base import OnProgress as OnTrainingProgress
from ecgexp.training.model_selection import ModelSelector

_FIX = "remove the file, and the patient is predicted again"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Settings to score, with their beats.

    Attributes:
      name: what distinguishes it, e.g. `model.min_leaf=3`; empty for the only one.
      experiment: checked by `check_can_leave_out`.
      patients: its beats and features; the beats are those of all candidates.
    """

    name: str
    experiment: Experiment
    patients: PatientBeats


class Folds:
    """The predictions of finished patients in a folder, so that an interrupted command resumes.

    Args:
      folder: created with the first finished patient. Its name has to state the settings.
      digest: keyed digest of the beats; predictions of other beats are not used.
      name: beginning of the names of the files.
    """

    def __init__(self, folder: Path, *, digest: str, name: str):
        self._folder, self._digest, self._name = folder, digest, name

    @property
    def stored(self) -> int:
        """The number of stored patients."""
        return len(list(self._folder.glob(f"{self._name}_*{SUFFIX}")))

    def read(
        self, number: int, patient: str, shape: tuple[int, ...]
    ) -> tuple[np.ndarray, float] | None:
        """Return the stored probabilities of a patient; None: it has to be predicted.

        Args:
          number: of the patient, in their order.
          patient: its name.
          shape: of the probabilities, (num_candidates, num_beats, num_classes).

        Returns:
          The probabilities, and the seconds that they took.

        Raises:
          DataError: the file is damaged.
        """
        path = self._path(number)
        try:
            with open_plain(path, fix=_FIX) as file:
                arrays, meta = read_archive(file)
            seconds = float(meta.pop("seconds"))
        except MissingFileError:
            return None
        except (DataError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise refusal(path, f"is damaged: {error}", fix=_FIX) from error
        found = arrays.get("probabilities")
        if meta != self._meta(patient) or found is None or found.shape != shape:
            return None
        return found, seconds

    def write(self, number: int, patient: str, probabilities: np.ndarray, seconds: float) -> None:
        """Store the probabilities of a patient, atomically; arguments as in `read`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        meta = {**self._meta(patient), "seconds": round(seconds, 3)}
        with replacing(self._path(number)) as part, part.open("wb") as file:
            write_archive(file, {"probabilities": probabilities}, meta)

    def _path(self, number: int) -> Path:
        return self._folder / f"{self._name}_{number:03d}{SUFFIX}"

    def _meta(self, patient: str) -> dict[str, Any]:
        return {"patient": patient, "beats": self._digest}


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Predictions of left-out patients.

    Attributes:
      probabilities: for each candidate, (num_rows, num_classes) float64.
      seconds: of all trainings and predictions, those of an interrupted command included.
    """

    probabilities: Sequence[np.ndarray]
    seconds: float


def predict_left_out(
    candidates: Sequence[Candidate],
    on_patient: Callable[[int, int, str], None],
    folds: Folds | None = None,
) -> LeftOut:
    """Train once without each patient, in this process, and predict the patient.

    Candidates that differ in settings of the decision alone, such as `model.class_bias`, share one
    model for each patient.

    **Guarantees**: no beat of the patient is among the training beats of the model that predicts
    it; `check_split` verifies each division (`tests/unit/experiment/test_leave_one_out.py`).

    Args:
      candidates: the settings, with equal beats.
      on_patient: called with `(done, total, patient)`.
      folds: keeps the predictions of finished patients; None: nothing is kept.

    Returns:
      The predictions.

    Raises:
      DataError: the file of a finished patient is damaged.
    """
    patients, seconds = candidates[0].patients, 0.0
    beats, rows, names = patients.beats, patients.rows, patients.patients
    found = np.full((len(candidates), len(rows), len(beats.class_names)), np.nan)
    for done, patient in enumerate(names):
        on_patient(done, len(names), patient)
        left_out = beats.patient_ids[rows] == patient
        shape = (len(candidates), int(left_out.sum()), len(beats.class_names))
        known = None if folds is None else folds.read(done, patient, shape)
        if known is None:
            started = time.monotonic()
            predicted = _predicted(candidates, rows[~left_out], rows[left_out])
            known = predicted, time.monotonic() - started
            if folds is not None:
                folds.write(done, patient, *known)
        found[:, left_out] = known[0]
        seconds += known[1]
    on_patient(len(names), len(names), "")
    return LeftOut(probabilities=list(found), seconds=seconds)


def _predicted(
    candidates: Sequence[Candidate], train: np.ndarray, left_out: np.ndarray
) -> np.ndarray:
    """Return (num_candidates, len(left_out), num_classes) probabilities of one patient."""
    fitted: dict[str, _Fitted] = {}
    found = []
    for one in candidates:
        key = repr(_undecided(one.experiment))
        if key not in fitted:
            fitted[key] = _Fitted(one, train, left_out)
        found.append(fitted[key].probabilities(one.experiment))
    return np.stack(found)


def _undecided(experiment: Experiment) -> Experiment:
    model = experiment.model
    return (
        replace(experiment, model=model.undecided()) if isinstance(model, Deciding) else experiment
    )


class _Fitted:
    """A model that was trained without one patient."""

    def __init__(self, candidate: Candidate, train: np.ndarray, left_out: np.ndarray):
        experiment, patients = candidate.experiment, candidate.patients
        seeds, trainer = Seeds(experiment.seed), experiment.trainer
        split = Split(train=train, validation=left_out[:0], test=left_out, disjoint="patient")
        check_split(patients.beats, split)
        run_data = assemble(
            patients.beats, split, experiment.partition, seeds, features=lambda: patients.features
        )
        self._runtime = runtime_of(experiment, run_data, seeds)
        selector = ModelSelector(experiment.selection, is_private=False)
        on_progress: OnTrainingProgress = lambda **_: None  # noqa: E731
        with self._runtime.scope():
            for epoch in trainer.train(
                run_data.data,
                build_model=self._runtime.build,
                loss=self._runtime.loss,
                augmentation=experiment.augmentation,
                ledger=Ledger(trainer.plan(experiment.privacy, run_data.data)),
                seeds=seeds,
                on_progress=on_progress,
            ):
                selector.update(epoch, {})
        self._weights, self._left_out = selector.weights, left_out
        self._class_names = patients.beats.class_names

    def probabilities(self, experiment: Experiment) -> np.ndarray:
        """Return (num_beats, num_classes) of the patient, under the decision of an experiment."""
        weights, model = self._weights, experiment.model
        if isinstance(model, Deciding):
            weights = model.decided(weights, self._class_names)
        found = self._runtime.probabilities(weights, self._left_out)
        return experiment.read_probabilities(found, self._class_names)
