"""What a run's headline rests on: refused before training where it is known to be absent, told in the result where it is not."""

from collections.abc import Mapping, Sequence
from typing import Any

from ecgexp.data.beats import BeatSet
from ecgexp.data.overlap import rows_sharing_samples
from ecgexp.data.splits import Split
from ecgexp.evaluation.missing import clients_of_one_class, metric_lacks, training_notes
from ecgexp.experiment.data import RunData
from ecgexp.privacy.outputs import PRIVATE_FOLDER, is_published
from ecgexp.settings.declaration import ConfigError, DataError

Notes = dict[str, list[str]]
"""What they are about (`training`, `selection`, `test`, …) -> sentences."""

WITHHELD = (
    "whether every class has training beats, and every batch or round a unit, is told to the owner of the data alone, in "
    f"{PRIVATE_FOLDER}/values.json of the run's folder"
)


def check_evidence(experiment: Any, run_data: RunData) -> None:
    """Refuses a run whose result would rest on nothing, before anything is trained.

    Args:
      experiment: an `ecgexp.experiment.experiment.Experiment`.
      run_data: its beats.

    Raises:
      DataError: there are no training beats, they are of one class, or one that is to be weighed by its beats has none.
      ConfigError: a setting asks for what the split cannot give; says what to type. Tells of no training beat.
    """
    _check_training(experiment, run_data)
    if experiment.selection.needs_validation(experiment.is_private):
        _check_selection(experiment, run_data)
    _check_evaluated(experiment, run_data)
    _check_federated_baselines(experiment, run_data)


def notes_before_training(experiment: Any, run_data: RunData) -> Notes:
    """What is known to be missing before training.

    Args:
      experiment: an `ecgexp.experiment.experiment.Experiment`.
      run_data: its beats.

    Returns:
      What is missing; what was read from the training beats is under `training` and `overlap`.
    """
    left_out = [
        name for name in experiment.grouping.classes if name not in run_data.beats.class_names
    ]
    notes: Notes = {}
    if left_out:
        notes["classes"] = [
            f"no beat of these records is of class {', '.join(left_out)} of grouping={experiment.grouping.name}: the model does "
            "not know it, and no average is over it"
        ]
    counts = run_data.counts
    training = training_notes(
        counts["train"], {split: counts[split] for split in experiment.evaluate_on}
    )
    if overlap := overlap_notes(run_data.beats, run_data.split):
        notes["overlap"] = overlap
    clients = {client: rows for client, rows in run_data.partition.train.items() if len(rows)}
    if not run_data.partition.is_pooled:
        if len(clients) < len(run_data.partition.train):
            gone = len(run_data.partition.train) - len(clients)
            training.append(
                f"{gone} of {len(run_data.partition.train)} clients have no training beats"
            )
        alone = clients_of_one_class(run_data.data.labels, clients)
        if clients and len(alone) == len(clients):
            training.append(
                f"each of {len(clients)} clients has training beats of one class only: none tells classes apart"
            )
    return notes | ({"training": training} if training else {})


def overlap_notes(beats: BeatSet, split: Split) -> list[str]:
    """One sentence for each held-out part whose windows show samples that training windows show too."""
    notes = []
    for name, rows in (("validation", split.validation), ("test", split.test)):
        if shared := rows_sharing_samples(beats, split.train, rows):
            notes.append(
                f"{shared} of {len(rows)} {name} beats share samples with training beats of the same record, since their windows "
                "overlap: their scores are not scores on signal that was never seen; use a shorter dataset.window_ms, or "
                "split=inter_patient"
            )
    return notes


def published(notes: Notes, *, withholds: bool) -> Notes:
    """The notes that may stand in every output.

    **Guarantees** Where a privacy guarantee withholds what was read from training beats, the outcome does not depend on it:
    one sentence says where such notes are kept, whether there are any or not (`tests/unit/experiment/test_class_coverage.py` checks it).

    Args:
      notes: all of them.
      withholds: whether training beats are private.
    """
    if not withholds:
        return notes
    return {
        about: texts
        for about, texts in notes.items()
        if is_published("result key", f"notes/{about}")
    } | {"private": [WITHHELD]}


def lines(notes: Mapping[str, Sequence[str]]) -> list[str]:
    """Each note in one line that says what it is about."""
    return [f"{about}: {text}" for about, texts in notes.items() for text in texts]


def _check_training(experiment: Any, run_data: RunData) -> None:
    counts = run_data.counts["train"]
    present = [name for name, count in counts.items() if count]
    if not present:
        raise DataError(
            "split: there are no training beats; take more records, or a smaller split.test_fraction or split.validation_fraction"
        )
    if len(present) == 1:
        absent = ", ".join(name for name in counts if name not in present)
        raise DataError(
            f"split: every training beat is of class {present[0]} and none of {absent}, so that nothing can be learned; take "
            "records that have them, another division of the patients (seed=), or split=intra_patient"
        )
    absent = [name for name, count in counts.items() if not count]
    if absent and experiment.loss.class_weights != "none":
        raise DataError(
            f"loss.class_weights={experiment.loss.class_weights}: no training beat is of class {', '.join(absent)}, by which it "
            "could be weighed; type loss.class_weights=none, or take records that have some"
        )


def _check_evaluated(experiment: Any, run_data: RunData) -> None:
    empty = [split for split in experiment.evaluate_on if not len(run_data.indices[split])]
    if empty:
        rest = ",".join(split for split in experiment.evaluate_on if split not in empty)
        raise ConfigError(
            f"evaluate_on=[{','.join(experiment.evaluate_on)}]: the split has no {' and no '.join(empty)} beats; type "
            f"evaluate_on=[{rest}], or a split.{empty[0]}_fraction above 0"
        )


def _check_selection(experiment: Any, run_data: RunData) -> None:
    selection, counts = experiment.selection, run_data.counts["validation"]
    if not len(run_data.split.validation):
        raise ConfigError(
            "the split holds out no validation beats, by which an epoch could be chosen; "
            "type split.validation_fraction=0.2, or selection.weights=last selection.patience=null evaluate_on=[test]"
        )
    if lacks := metric_lacks(selection.metric, counts):
        raise ConfigError(
            f"selection.metric={selection.metric}: {lacks}; type selection.weights=last selection.patience=null, another "
            "selection.metric, or take records or a split.validation_fraction that give validation beats of more classes"
        )


def _check_federated_baselines(experiment: Any, run_data: RunData) -> None:
    tested = {client for client, rows in run_data.partition.test.items() if len(rows)}
    trained = {client for client, rows in run_data.partition.train.items() if len(rows)}
    if experiment.federated_baselines.personalize_epochs and not tested & trained:
        raise ConfigError(
            f"federated_baselines.personalize_epochs={experiment.federated_baselines.personalize_epochs}: no client that is trained has test "
            "beats of its own under this split; type split=intra_patient, or federated_baselines.personalize_epochs=0"
        )
