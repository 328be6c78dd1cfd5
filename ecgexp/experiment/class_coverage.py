"""Which classes the splits of a run cover.

A run without the beats that its result needs is refused before training; what else is missing is
noted in the result.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ecgexp.data.beats import BeatSet, PatientsAre
from ecgexp.data.overlap import rows_sharing_samples
from ecgexp.data.splits.base import Split
from ecgexp.evaluation.missing import clients_of_one_class, metric_lacks, training_notes
from ecgexp.experiment.data import RunData
from ecgexp.experiment.notes import Notes
from ecgexp.settings.declaration import ConfigError, DataError

if TYPE_CHECKING:
    from ecgexp.experiment.experiment import Experiment


_ABOUT_PATIENTS: Mapping[PatientsAre, str] = {
    "stated": "",
    "assumed": "nothing states whose the records are, so a record is taken for a patient: the "
    "scores are for new patients only if no person has two records; dataset.patients= states them",
    "unknown": "it is unknown whose beats these are: a person may have beats in training and in "
    "test, so that all scores are at beat level and say nothing about new patients",
}


def check_class_coverage(experiment: "Experiment", run_data: RunData) -> None:
    """Check, before training, that the splits contain the beats that the result needs.

    Args:
      experiment: an `ecgexp.experiment.experiment.Experiment`.
      run_data: the data of the run.

    Raises:
      DataError: there are no training beats, they are all of one class, or a class that
        `loss.class_weights` needs has none.
      ConfigError: a setting needs beats that the split does not have. The message contains nothing
        about training beats.
    """
    _check_training(experiment, run_data)
    if experiment.selection.needs_validation(experiment.is_private):
        _check_selection(experiment, run_data)
    _check_evaluated(experiment, run_data)
    _check_federated_baselines(experiment, run_data)


def notes_before_training(experiment: "Experiment", run_data: RunData) -> Notes:
    """Return the notes on what is known to be missing before training.

    Args:
      experiment: an `ecgexp.experiment.experiment.Experiment`.
      run_data: the data of the run.

    Returns:
      The notes; those computed from training beats are under `training` and `overlap`.
    """
    left_out = [
        name for name in experiment.grouping.classes if name not in run_data.beats.class_names
    ]
    notes: Notes = {}
    if left_out:
        notes["classes"] = [
            f"no beat of these records is of class {', '.join(left_out)} of "
            f"grouping={experiment.grouping.name}: the model does not know it, and no average "
            "includes it"
        ]
    if run_data.beats.notes:
        notes["data"] = list(run_data.beats.notes)
    if text := _ABOUT_PATIENTS[run_data.beats.patients_are]:
        notes["patients"] = [text]
    if skipped := len(run_data.beats.skipped):
        notes["records"] = [
            f"{skipped} record{' is' if skipped == 1 else 's are'} left out because of "
            "dataset.on_error=skip; data/skipped of the result says why"
        ]
    counts = run_data.counts
    training = training_notes(
        counts["train"], {split: counts[split] for split in experiment.evaluated}
    )
    if overlap := overlap_notes(run_data.beats, run_data.split):
        notes["overlap"] = overlap
    clients = {client: rows for client, rows in run_data.partition.train.items() if len(rows)}
    if not run_data.partition.is_pooled:
        if len(clients) < len(run_data.partition.train):
            missing = len(run_data.partition.train) - len(clients)
            training.append(
                f"{missing} of {len(run_data.partition.train)} clients have no training beats"
            )
        one_class = clients_of_one_class(run_data.data.labels, clients)
        if clients and len(one_class) == len(clients):
            training.append(
                f"each of {len(clients)} clients has training beats of one class only: no client "
                "can learn to distinguish classes"
            )
    return notes | ({"training": training} if training else {})


def overlap_notes(beats: BeatSet, split: Split) -> list[str]:
    """Return one note for each of validation and test that shares samples with training windows.

    Args:
      beats: the beats of the run.
      split: indices into them.
    """
    notes = []
    for name, rows in (("validation", split.validation), ("test", split.test)):
        if shared := rows_sharing_samples(beats, split.train, rows):
            notes.append(
                f"{shared} of {len(rows)} {name} beats share samples with training beats of the "
                "same record, since their windows overlap: their scores are not scores on unseen "
                "signal; use a shorter dataset.window_ms, or split=inter_patient"
            )
    return notes


def _check_training(experiment: "Experiment", run_data: RunData) -> None:
    counts = run_data.counts["train"]
    present = [name for name, count in counts.items() if count]
    if not present:
        raise DataError(
            "split: there are no training beats; use more records, or a smaller "
            "split.test_fraction or split.validation_fraction."
        )
    if len(present) == 1:
        absent = ", ".join(name for name in counts if name not in present)
        raise DataError(
            f"split: every training beat is of class {present[0]} and none of {absent}, so that "
            "nothing can be learned; use records that have them, another seed=, or "
            "split=intra_patient."
        )
    absent = [name for name, count in counts.items() if not count]
    if absent and experiment.loss.class_weights != "none":
        raise DataError(
            f"loss.class_weights={experiment.loss.class_weights}: no training beat is of class "
            f"{', '.join(absent)}, so that its weight is undefined; use loss.class_weights=none, "
            "or records that have some."
        )


def _check_evaluated(experiment: "Experiment", run_data: RunData) -> None:
    empty = [split for split in experiment.evaluated if not len(run_data.indices[split])]
    if empty:
        rest = ",".join(split for split in experiment.evaluate_on if split not in empty)
        raise ConfigError(
            f"evaluate_on=[{','.join(experiment.evaluate_on)}]: the split has no "
            f"{' and no '.join(empty)} beats; use evaluate_on=[{rest}], or a "
            f"split.{empty[0]}_fraction above 0."
        )


def _check_selection(experiment: "Experiment", run_data: RunData) -> None:
    selection, counts = experiment.selection, run_data.counts["validation"]
    if not len(run_data.split.validation):
        raise ConfigError(
            "split.validation_fraction: the split has no validation beats, by which an epoch could "
            "be selected; use split.validation_fraction=0.2, or selection.weights=last "
            "selection.patience=null evaluate_on=[test]."
        )
    if lacks := metric_lacks(selection.metric, counts):
        raise ConfigError(
            f"selection.metric={selection.metric}: {lacks}; use selection.weights=last "
            "selection.patience=null, another selection.metric, or records or a "
            "split.validation_fraction that give validation beats of more classes."
        )


def _check_federated_baselines(experiment: "Experiment", run_data: RunData) -> None:
    tested = {client for client, rows in run_data.partition.test.items() if len(rows)}
    trained = {client for client, rows in run_data.partition.train.items() if len(rows)}
    if experiment.federated_baselines.personalize_epochs and not tested & trained:
        raise ConfigError(
            "federated_baselines.personalize_epochs="
            f"{experiment.federated_baselines.personalize_epochs}: "
            "no client with training beats has test beats under this split; use "
            "split=intra_patient, or federated_baselines.personalize_epochs=0."
        )
