"""The teacher of `loss=distillation`: a finished run, and the patients on whom it depends.

A model taught by another one depends on everything that the teacher depends on. So a teacher must
not have seen a patient whose beats the run scores, and under a privacy setting no patient that it
trains on: the teacher's probabilities would carry that patient's beats around the noise.
"""

import hashlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgexp.data.beats import BeatSet, beats_sha256, databases
from ecgexp.data.datasets.base import Dataset
from ecgexp.data.datasets.catalog import published_databases
from ecgexp.data.datasets.pseudonyms import with_pseudonyms
from ecgexp.data.grouping import LabelGrouping
from ecgexp.data.populations import training_population_of
from ecgexp.data.preprocessing.settings import OnProgress
from ecgexp.data.splits.base import Splitter
from ecgexp.experiment.data import RunData, load_beats
from ecgexp.features.checks import crossing_beats
from ecgexp.features.inputs import Features
from ecgexp.features.record_beats import needs_record
from ecgexp.models.classifier import Classifier
from ecgexp.models.preprocessing import ModelPreprocessing
from ecgexp.models.saved_classifier import load_classifier
from ecgexp.models.saved_preprocessing import preprocessing_json
from ecgexp.privacy.keyed_digests import DigestKey
from ecgexp.seeding import Seeds
from ecgexp.settings.build import build_node, to_node
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.settings.plugins import is_foreign
from ecgexp.settings.registry import settings_class
from ecgexp.storage.json_text import parse
from ecgexp.tracking.local.run_json import read_run
from ecgexp.tracking.params import unflatten
from ecgexp.training.loss import Distillation, Loss

if TYPE_CHECKING:
    from ecgexp.experiment.experiment import Experiment

_OTHERS = "other_databases"  # whose leads have other names
_SMALLEST = 1e-9  # so that a beat whose classes are all left out has equal probabilities
_PLACES = ("root", "cache_dir")
_DISJOINT = (
    "use the run of a teacher that was trained and validated on other patients, e.g. with other "
    "dataset.records="
)


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A trained model that teaches another one.

    Attributes:
      folder: of its run.
      classifier: the model.
      seen: of its run, of the run of its own teacher, and so on.
    """

    folder: Path
    classifier: Classifier
    seen: tuple["_Seen", ...]

    @property
    def source(self) -> str:
        """The databases and the number of patients that it has seen."""
        return " and ".join(
            f"{len(np.unique(one.beats.patient_ids))} patients of {one.beats.database}"
            for one in self.seen
        )


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """All beats of the patients on whom a model depends.

    Attributes:
      beats: of those with training or validation beats.
      trained: of those with training beats.
    """

    beats: BeatSet
    trained: BeatSet


def with_teacher(experiment: "Experiment", run_data: RunData, on_progress: OnProgress) -> RunData:
    """Add the probabilities of the teacher to the training beats; without one, change nothing.

    **Guarantees** (`tests/unit/experiment/test_teacher.py`): the teacher, its own teacher and so on
    have not seen a patient with test beats of this run, and not trained on one with validation
    beats; under a privacy setting, they have not seen one with training beats. The probabilities of
    a beat depend on its own record alone, and with `privacy.unit=beat` on its own row alone. So for
    the guarantee a teacher is a constant, and the target of a row a function of its unit.

    Args:
      experiment: of the run.
      run_data: its data.
      on_progress: called with the progress of reading the beats.

    Returns:
      The data, with `data.teacher`.

    Raises:
      ConfigError: the teacher is not a finished run, does not fit the run, or has seen its
        patients. Under a privacy guarantee the message names no patient.
      DataError: the files of the teacher or its data are damaged or missing.
    """
    if not isinstance(experiment.loss, Distillation):
        return run_data
    teacher = load_teacher(experiment, check_teacher(experiment.loss), on_progress)
    _check_fits(experiment, run_data, teacher)
    _check_apart(experiment, run_data, teacher)
    found = _probabilities(experiment, run_data, teacher.classifier, on_progress)
    return replace(run_data, data=replace(run_data.data, teacher=found), teacher=_notes(teacher))


def check_teacher(loss: Loss) -> Path:
    """Return the folder of the teacher's run, after the check that it has finished.

    Args:
      loss: of an experiment; without a teacher, nothing is checked.

    Raises:
      ConfigError: no teacher is named, or the folder has no finished run with a model.
    """
    if not isinstance(loss, Distillation):
        return Path()
    if loss.teacher is None:
        raise ConfigError(
            "loss.teacher=null: loss=distillation needs a teacher; use the folder of a finished "
            "run of other patients, or loss=cross_entropy."
        )
    _finished(loss.teacher)
    if not (loss.teacher / "model").is_dir():
        raise _refused(loss.teacher, "the run has no model", "use a finished run")
    return loss.teacher


def _finished(folder: Path) -> Mapping[str, Any]:
    """Return the parameters of a finished run that is no debug run."""
    try:
        values = read_run(folder)
    except DataError as error:
        raise _refused(folder, str(error), "use the folder of a finished run") from error
    if values["status"] != "FINISHED":
        raise _refused(folder, f"the run is {values['status']}", "use a finished run")
    if values["params"].get("debug.preset", "none") != "none":
        raise _refused(folder, "it is a debug run", "use a run without debug=")
    return values["params"]


def load_teacher(experiment: "Experiment", folder: Path, on_progress: OnProgress) -> Teacher:
    """Load the teacher of an experiment, and the beats that it has seen.

    Args:
      experiment: that is taught; gives the place of the data.
      folder: of the teacher's run.
      on_progress: called with the progress.

    Raises:
      ConfigError, DataError: see `with_teacher`.
    """
    seen = tuple(_seen(folder, experiment, on_progress, frozenset()))
    return Teacher(folder=folder, classifier=load_classifier(folder / "model"), seen=seen)


def _seen(
    folder: Path, experiment: "Experiment", on_progress: OnProgress, before: frozenset[Path]
) -> Iterator[_Seen]:
    """Yield what a run has seen, and what its own teacher has seen."""
    if folder in before:
        raise _refused(folder, "it is taught by itself", "use another run")
    params = _finished(folder)
    try:
        parts = _parts(
            unflatten({name: _read(value) for name, value in params.items()}),
            to_node(experiment.dataset),
        )
        if experiment.has_privacy_guarantee:
            parts["dataset"] = with_pseudonyms(parts["dataset"])
        beats = load_beats(
            dataset=parts["dataset"],
            grouping=parts["grouping"],
            features=parts["features"],
            on_progress=on_progress,
        )
        split = parts["split"].split(beats, Seeds(int(params["seed"])).generator("split"))
    except (ConfigError, DataError, LookupError, ValueError, TypeError) as error:
        # A message about data may quote beats, also some that this run protects.
        why = "" if experiment.has_privacy_guarantee else f" ({' '.join(str(error).split())})"
        raise _refused(
            folder,
            f"which patients it has seen cannot be found out{why}",
            "make its data available, or use another run",
        ) from error
    if not beats.knows_patients:
        raise _refused(folder, "nothing states whose beats it was trained on", _DISJOINT)
    everything = np.arange(len(beats))
    seen = np.setdiff1d(everything, split.test)
    trained = np.setdiff1d(seen, split.validation)
    # A split whose test beats are not those of the run was another one, and proves nothing.
    if _stored_test(folder) != beats_sha256(beats.take(split.test)):
        seen = trained = everything
    yield _Seen(beats=_of_patients(beats, seen), trained=_of_patients(beats, trained))
    if (further := params.get("loss.teacher")) is not None:
        yield from _seen(Path(further), experiment, on_progress, before | {folder})


def _of_patients(beats: BeatSet, rows: np.ndarray) -> BeatSet:
    """Return all beats of the patients of some rows."""
    return beats.take(np.isin(beats.patient_ids, np.unique(beats.patient_ids[rows])))


def _stored_test(folder: Path) -> str | None:
    from ecgexp.tracking.local.result import read_result

    return (read_result(folder).data or {}).get("test_sha256")


def _read(value: Any) -> Any:
    """Return a parameter as `tracking.params.flatten` was given it: a list was stored as JSON."""
    return parse(value) if isinstance(value, str) and value[:1] in ("[", "{") else value


def _parts(values: Mapping[str, Any], own: Any) -> dict[str, Any]:
    """Build the parts of a stored run that determine which beats it saw."""
    places = {name: value for name in _PLACES if (value := _first(own, name)) is not None}
    dataset = _placed(values["dataset"], places)
    return {
        "dataset": build_node(dataset, "dataset", Dataset),
        "grouping": build_node(values["grouping"], "grouping", LabelGrouping),
        "split": build_node(values["split"], "split", Splitter),
        "features": build_node(values["features"], "features", Features),
    }


def _first(node: Any, name: str) -> Any:
    """Return the first value of a key in nested values; None: there is none."""
    if isinstance(node, Mapping):
        if node.get(name) is not None:
            return node[name]
        node = list(node.values())
    if isinstance(node, list):
        return next((found for one in node if (found := _first(one, name)) is not None), None)
    return None


def _placed(node: Any, places: Mapping[str, Any]) -> Any:
    """Return the settings of a dataset with the places of its files, which no run stores."""
    if isinstance(node, list):
        return [_placed(one, places) for one in node]
    if not isinstance(node, Mapping):
        return node
    found = {name: _placed(value, places) for name, value in node.items()}
    if "_target_" in found:
        known = getattr(settings_class(found["_target_"]), "__pydantic_fields__", {})
        found |= {name: value for name, value in places.items() if name in known}
    return found


def _check_fits(experiment: "Experiment", run_data: RunData, teacher: Teacher) -> None:
    """Check that the teacher takes the beats of this run, and names its classes.

    Messages depend on settings alone, so that they can be published.
    """
    classifier, classes = teacher.classifier, tuple(experiment.grouping.classes)
    if unknown := [name for name in classifier.class_names if name not in classes]:
        raise _refused(
            teacher.folder,
            f"its class {unknown[0]} is none of this run",
            f"use a teacher of the classes {', '.join(classes)}",
        )
    own = ModelPreprocessing.of_run(
        experiment.dataset.preprocessings,
        classifier.features,
        databases(run_data.beats.database),
        from_records=experiment.dataset.has_records,
    )
    cut, wanted = (
        {name: value for name, value in preprocessing_json(one).items() if name != _OTHERS}
        for one in (own, classifier.preprocessing)
    )
    if different := [name for name in wanted if cut.get(name) != wanted[name]]:
        raise _refused(
            teacher.folder,
            f"its beats were preprocessed with another dataset.{different[0]}",
            f"use {different[0]}={wanted[different[0]]}, or another teacher",
        )
    if not experiment.is_private:
        return
    if is_foreign(classifier.features) or is_foreign(classifier.builder):
        raise _refused(
            teacher.folder,
            "it has code of a plug-in, and nothing checks that a beat does not change the "
            "probabilities of others",
            "under privacy use a teacher of ecgexp's own parts",
        )
    crossing = crossing_beats(classifier.features)
    if experiment.privacy.unit == "beat" and (crossing or needs_record(classifier.features)):
        raise _refused(
            teacher.folder,
            f"its features ({', '.join(crossing) or 'whole records'}) depend on adjacent beats, "
            "which privacy.unit=beat cannot cover",
            "use a teacher with features=signal, or privacy.unit=patient",
        )


def _check_apart(experiment: "Experiment", run_data: RunData, teacher: Teacher) -> None:
    """Check that the teacher has not seen patients that this run scores or protects."""
    if not run_data.beats.knows_patients:
        raise _refused(
            teacher.folder,
            "nothing states whose the beats of this run are, and so whether it has seen them",
            "use a dataset with patients",
        )
    split = run_data.split
    # Patients on whom both were validated are no more known to the student than by its own choice.
    if _any_shared(run_data.beats, split.validation, [one.trained for one in teacher.seen]) or (
        _any_shared(run_data.beats, split.test, [one.beats for one in teacher.seen])
    ):
        raise _refused(
            teacher.folder,
            "it has seen patients whose beats this run scores, so that the scores would be too "
            "good",
            _DISJOINT,
        )
    if experiment.is_private and _any_shared(
        run_data.beats, split.train, [one.beats for one in teacher.seen]
    ):
        raise _refused(
            teacher.folder,
            "it has seen patients whose beats this run protects, which would reach the model "
            "around the noise, and no ε would cover that",
            _DISJOINT,
        )


def _any_shared(beats: BeatSet, rows: np.ndarray, others: Sequence[BeatSet]) -> bool:
    own = _of_patients(beats, rows)
    return any(_share_patients(own, other) for other in others)


def _share_patients(one: BeatSet, other: BeatSet) -> bool:
    """Return whether two sets of beats may share a patient, by name or by the beats themselves."""
    if not len(one) or not len(other):
        return False
    if _names_can_agree(one.database, other.database) and (_names(one) & _names(other)):
        return True
    key = DigestKey(secrets.token_bytes(32))
    first, second = (
        {word for word in training_population_of(_all_trained(beats), key) if _is_content(word)}
        for beats in (one, other)
    )
    return bool(first & second)


def _names(beats: BeatSet) -> set[str]:
    """Return the patients without the database that a set of two databases puts before them."""
    return {name.replace("/", " ").split(" ")[-1] for name in np.unique(beats.patient_ids).tolist()}


def _names_can_agree(one: str, other: str) -> bool:
    """Return whether equal names may be one patient: not in two different published databases."""
    known = published_databases()
    names = [{part.split(" ")[0] for part in databases(text)} for text in (one, other)]
    if all(text.startswith("synthetic") for text in (one, other)):
        return one == other  # the seed is in the name
    return not (all(name in known for part in names for name in part) and not names[0] & names[1])


def _all_trained(beats: BeatSet) -> BeatSet:
    """Return beats of which none counts as a test beat of a second database."""
    return replace(beats, parts=np.full(len(beats), "train")) if beats.is_of_two else beats


def _is_content(word: str) -> bool:
    return not word.startswith("database ")


def _probabilities(
    experiment: "Experiment", run_data: RunData, classifier: Classifier, on_progress: OnProgress
) -> np.ndarray:
    """Return (num_beats, num_classes) float32: of training rows; NaN for all others.

    A training beat that the features of the teacher do not have, such as the only beat of a record,
    has the probability 1 for its label.
    """
    beats, train = run_data.beats, run_data.split.train
    taught = load_beats(
        dataset=experiment.dataset,
        grouping=experiment.grouping,
        features=classifier.features,
        on_progress=on_progress,
    )
    places = {key: row for row, key in enumerate(_keys(taught, np.arange(len(taught))))}
    rows = np.asarray([places.get(key, -1) for key in _keys(beats, train)], np.int64)
    known = rows >= 0
    one_hot = np.eye(len(beats.class_names), dtype=np.float32)
    found = np.full((len(beats), len(beats.class_names)), np.nan, np.float32)
    found[train] = one_hot[beats.labels[train]]
    if known.any():
        asked = taught.take(rows[known])
        probabilities = classifier.predict_probabilities(
            asked.signals_mv,
            asked.rr if classifier.uses_rr else None,
            asked.template_of_each() if classifier.uses_template else None,
            asked.record_values if classifier.uses_record else None,
        )
        # A class that no beat of this run has is left out; others share its probability.
        own = [name for name in classifier.class_names if name in beats.class_names]
        of_all = np.zeros((len(asked), len(beats.class_names)))
        columns = [beats.class_names.index(name) for name in own]
        of_all[:, columns] = probabilities[:, [classifier.class_names.index(n) for n in own]]
        found[train[known]] = (of_all + _SMALLEST) / (of_all + _SMALLEST).sum(axis=1, keepdims=True)
    return found


def _keys(beats: BeatSet, rows: np.ndarray) -> list[tuple[str, int]]:
    return list(zip(beats.record_ids[rows].tolist(), beats.r_samples[rows].tolist(), strict=True))


def _notes(teacher: Teacher) -> tuple[str, str]:
    digest = hashlib.sha256(teacher.classifier.digest.encode()).hexdigest()[:12]
    return f"the run {teacher.folder.name} (model {digest})", teacher.source


def teacher_notes(run_data: RunData) -> dict[str, list[str]]:
    """Return the note on the teacher of a run; empty without one."""
    if run_data.teacher is None:
        return {}
    name, seen = run_data.teacher
    return {"teacher": [f"the model is taught by {name}, which has seen {seen}"]}


def _refused(folder: Path, why: str, remedy: str) -> ConfigError:
    return ConfigError(f"loss.teacher={folder}: {why}; {remedy}.")
