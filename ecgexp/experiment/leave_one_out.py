"""Leave one patient out: each patient is predicted by a model that was trained on all others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ecgexp.data.beats import BeatSet
from ecgexp.data.datasets.catalog import find_database
from ecgexp.data.leakage import check_split
from ecgexp.data.preprocessing.settings import OnProgress
from ecgexp.data.splits.base import is_mitdb
from ecgexp.evaluation.evaluator import Evaluation, evaluate
from ecgexp.evaluation.metrics import quick_scores
from ecgexp.experiment.data import load_beats
from ecgexp.experiment.experiment import Experiment
from ecgexp.experiment.part_checks import check_patients_known
from ecgexp.features.record_beats import transform_beats
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.settings.installation import to_type
from ecgexp.training.loss import Distillation

_LEAST_PATIENTS = 3


@dataclass(frozen=True, kw_only=True)
class PatientBeats:
    """The beats that are divided by patient, and their features.

    Attributes:
      beats: labeled.
      rows: (num_rows,) the beats that are used; no other beat is trained on or predicted.
      features: name -> (num_beats, ...).
    """

    beats: BeatSet
    rows: np.ndarray
    features: Mapping[str, np.ndarray]

    @property
    def patients(self) -> list[str]:
        """The patients of `rows`, sorted."""
        return np.unique(self.beats.patient_ids[self.rows]).tolist()

    @property
    def labels(self) -> np.ndarray:
        """(num_rows,) class indices."""
        return self.beats.labels[self.rows]


def check_can_leave_out(experiment: Experiment) -> None:
    """Check, before data are read, that an experiment can be repeated without each patient.

    Raises:
      ConfigError: it is private, has a teacher, stops by validation scores or is a debug run.
    """
    if experiment.is_private:
        raise ConfigError(
            f"privacy.unit={experiment.privacy.unit}: each model that leaves out a patient spends "
            "privacy loss of all others; use privacy=none and trainer=centralized to choose "
            "settings on public patients."
        )
    if isinstance(experiment.loss, Distillation):
        raise ConfigError(
            f"loss.teacher={experiment.loss.teacher}: may have seen the patients that are left "
            "out; use loss=cross_entropy."
        )
    if experiment.selection.patience is not None:
        raise ConfigError(
            f"selection.patience={experiment.selection.patience}: stops by scores on validation "
            "beats, and here are none; use selection.patience=null."
        )
    if experiment.debug.is_on:
        raise ConfigError(
            f"debug={experiment.debug.preset}: tries one run; use "
            f"{to_type(f'ecgexp debug={experiment.debug.preset}')}, or leave it out."
        )


class Loader:
    """Loads beats and features, once for all settings and seeds that share them.

    Args:
      all_patients: use every patient of the dataset, without the split.
      on_progress: called with the progress.
    """

    def __init__(self, *, all_patients: bool, on_progress: OnProgress):
        self._all_patients, self._on_progress = all_patients, on_progress
        self._beats: dict[str, BeatSet] = {}
        self._features: dict[str, Mapping[str, np.ndarray]] = {}

    def load(self, experiment: Experiment) -> PatientBeats:
        """Load the beats and features of an experiment.

        **Guarantees**: unless `all_patients`, no test beat of the experiment's split is used, and
        never a record of DS2 of mitdb (`tests/unit/experiment/test_leave_one_out.py`).

        Args:
          experiment: gives dataset, grouping, features and split.

        Raises:
          ConfigError: patients are unknown, or the split divides them.
          DataError: the data are missing or damaged, or there are fewer than three patients.
        """
        key = repr((experiment.dataset, experiment.grouping, experiment.features))
        if key not in self._beats:
            self._beats[key] = load_beats(
                dataset=experiment.dataset,
                grouping=experiment.grouping,
                features=experiment.features,
                on_progress=self._on_progress,
            )
        beats = self._beats[key]
        rows = self._rows(experiment, beats)
        if key not in self._features:
            self._features[key] = transform_beats(experiment.features, beats)
        found = PatientBeats(beats=beats, rows=rows, features=self._features[key])
        if len(found.patients) < _LEAST_PATIENTS:
            raise DataError(
                f"dataset: there are {len(found.patients)} patients to leave out, and "
                f"{_LEAST_PATIENTS} are needed; use more records, or --patients all."
            )
        return found

    def _rows(self, experiment: Experiment, beats: BeatSet) -> np.ndarray:
        if not beats.knows_patients:
            raise ConfigError(
                "dataset: nothing states whose the beats are, so that no patient can be left out; "
                "use dataset.patients= with the patient of each beat."
            )
        check_patients_known(
            beats.knows_patients, split=experiment.split, partition=experiment.partition
        )
        if self._all_patients:
            _check_no_published_test(beats)
            return np.arange(len(beats))
        if experiment.split.divides_patients:
            raise ConfigError(
                "split: divides the beats of patients, so that training beats of a patient have "
                "test beats beside them; use split=inter_patient, or --patients all."
            )
        parts = experiment.split.split(beats, Seeds(experiment.seed).generator("split"))
        check_split(beats, parts)
        return np.sort(np.concatenate([parts.train, parts.validation]))


def _check_no_published_test(beats: BeatSet) -> None:
    """Check that no record of DS2 is scored while settings are chosen, outside the log.

    Raises:
      ConfigError: there is one.
    """
    if not is_mitdb(beats):
        return
    test = set(find_database("mitdb").record_set("ds2")) & set(beats.record_ids.tolist())
    if test:
        raise ConfigError(
            f"--patients all: would score the published test set, DS2 ({', '.join(sorted(test))}), "
            "while settings are chosen; leave --patients out, or use dataset.records=ds1."
        )


def check_same_beats(patients: Sequence[PatientBeats], setting: str) -> None:
    """Check that candidates have the same beats, so that their scores can be compared.

    Args:
      patients: those of each candidate.
      setting: whose values are the candidates.

    Raises:
      ConfigError: they have not.
    """
    first = patients[0]
    for one in patients[1:]:
        if not (
            np.array_equal(one.rows, first.rows)
            and np.array_equal(one.labels, first.labels)
            and np.array_equal(one.beats.patient_ids, first.beats.patient_ids)
        ):
            raise ConfigError(
                f"--choose {setting}: changes the beats, so that scores of its values cannot be "
                "compared; choose a setting of model, trainer, features or loss."
            )


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Probabilities whose setting was chosen for each patient without the patient.

    Attributes:
      probabilities: (num_rows, num_classes).
      chosen: patient -> index of the candidate.
    """

    probabilities: np.ndarray
    chosen: Mapping[str, int]


def choose_without_each(
    patients: PatientBeats, candidates: Sequence[np.ndarray], metric: str, *, largest: bool
) -> Choice:
    """Choose a candidate for each patient by the pooled score of all other patients.

    **Guarantees**: the labels of a patient have no effect on the candidate that predicts the
    patient (`tests/unit/experiment/test_leave_one_out.py`). The models that predict the other
    patients were trained on beats of this one; excluding that too would need a training for each
    pair of patients.

    Args:
      patients: the beats.
      candidates: probabilities of `predict_left_out` for each value of a setting.
      metric: score of `quick_scores`.
      largest: whether a larger score is better.
    """
    found, chosen = np.empty_like(candidates[0]), {}
    owners, names = patients.beats.patient_ids[patients.rows], patients.beats.class_names
    for patient in patients.patients:
        others = owners != patient
        scores = np.array(
            [
                quick_scores(patients.labels[others], one[others], names).values[metric]
                for one in candidates
            ]
        )
        scores = np.where(np.isnan(scores), -np.inf, scores if largest else -scores)
        chosen[patient] = int(scores.argmax())
        found[~others] = candidates[chosen[patient]][~others]
    return Choice(probabilities=found, chosen=chosen)


def evaluate_left_out(
    experiment: Experiment,
    patients: PatientBeats,
    probabilities: np.ndarray,
    *,
    without: Sequence[str] = (),
) -> Evaluation:
    """Return the pooled scores with intervals over patients.

    Args:
      experiment: gives the resamples and the seed.
      patients: the beats.
      probabilities: (num_rows, num_classes) of the left-out patients.
      without: patients whose beats are not scored.
    """
    kept = ~np.isin(patients.beats.patient_ids[patients.rows], list(without))
    rows, beats = patients.rows[kept], patients.beats
    counts = np.bincount(beats.labels[patients.rows], minlength=len(beats.class_names))
    return evaluate(
        labels=beats.labels[rows],
        probabilities=probabilities[kept],
        class_names=beats.class_names,
        record_ids=beats.record_ids[rows],
        patient_ids=beats.patient_ids[rows],
        patient_word="record" if beats.patients_are == "assumed" else "patient",
        majority_class=int(counts.argmax()),
        rng=Seeds(experiment.seed).generator("bootstrap/left out"),
        num_resamples=experiment.num_resamples,
    )


def patient_with_most(patients: PatientBeats, class_name: str) -> str:
    """Return the patient with most beats of a class.

    Raises:
      ConfigError: there is no such class.
    """
    names = patients.beats.class_names
    if class_name not in names:
        raise ConfigError(
            f"--without-most {class_name}: no class of the grouping; use {', '.join(names)}."
        )
    of_class = patients.labels == names.index(class_name)
    owners, counts = np.unique(
        patients.beats.patient_ids[patients.rows][of_class], return_counts=True
    )
    return str(owners[counts.argmax()])
