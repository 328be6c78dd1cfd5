"""The table of everything that a run writes: it is sound, and nothing slips through it."""

import re

import numpy as np
import pytest

from ecgexp.config.compose import load_experiment
from ecgexp.privacy import outputs, publication
from ecgexp.privacy.unit_checks import check_units_apart
from ecgexp.settings.declaration import ConfigError

TRAINING = {
    "metric": (
        "curve/train/loss",
        "curve/train/batch_size",
        "curve/train/clients/used",
        "federated_baseline/pooled/accuracy",
    ),
    "file": (
        "figures/learning_curves.png",
        "figures/partition.png",
        "figures/partition.svg",
        "figures/learning_curves.pdf",
        "tables/partition.csv",
        "private/values.json",
        "checkpoints/step-000001-ab.safetensors",
    ),
    "result key": (
        "data/beats/train",
        "data/beats/train/N",
        "data/patients/train",
        "data/clients/train",
        "data/dropped",
        "data/dropped/symbol Q",
        "data/notes",
        "notes/training",
        "notes/records",
        "data/skipped/ward/100",
    ),
    "console line": ("progress", "comparison"),
}
PUBLISHED = {
    "metric": ("test/f1/V", "curve/validation/loss", "privacy/epsilon", "resources/seconds"),
    "file": (
        "model/weights.safetensors",
        "predictions/test.parquet",
        "privacy_statement.txt",
        "figures/validation_curves.png",
        "figures/test_roc.pdf",
    ),
    "result key": (
        "data/beats/test",
        "data/digest",
        "data/classes",
        "status",
        "privacy/epsilon",
        "notes/test",
        "notes/selection",
        "classes_in_average/test",
    ),
    "tag": ("dataset.digest", "dataset.test_sha256", "git.commit"),
    "parameter": ("trainer.epochs", "seed"),
}


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in TRAINING.items() for name in names]
)
def test_outputs_of_training_beats_are_withheld(kind, name):
    entry = publication.find(kind, name)
    assert entry is not None
    assert (entry.coverage, entry.source) == ("not covered", "training beats")
    assert not publication.is_published(kind, name)


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in PUBLISHED.items() for name in names]
)
def test_outputs_of_other_things_are_published(kind, name):
    assert publication.is_published(kind, name)


@pytest.mark.parametrize(
    "kind",
    ["file", "metric", "tag", "parameter", "result key", "model content", "log line", "error"],
)
@pytest.mark.parametrize(
    "name", ["new", "data/new", "train/loss", "figures/new.png", "testing", "Test/accuracy"]
)
def test_an_output_that_the_table_lacks_is_withheld(kind, name):
    assert not publication.is_published(kind, name)


def test_an_entry_that_is_not_covered_names_its_topic():
    with pytest.raises(ValueError, match="no topic"):
        outputs.Output(
            kind="file", name="x", coverage="not covered", source="training beats", reason="x"
        )
    with pytest.raises(ValueError, match="topic='lost'"):
        outputs.Output(
            kind="file", name="x", coverage="public", source="settings", reason="x", topic="lost"
        )


def test_training_beats_are_public_only_where_a_topic_says_so():
    held_public = [
        entry
        for entry in outputs.TABLE
        if entry.source == "training beats" and not entry.is_withheld
    ]
    assert {entry.topic for entry in held_public} == {"classes"}


def test_no_entry_hides_behind_an_earlier_one():
    for number, entry in enumerate(outputs.TABLE):
        sample = entry.name.replace("*", "x")
        assert publication.find(entry.kind, sample) in outputs.TABLE[: number + 1]
        assert publication.find(entry.kind, sample) == entry, (
            f"{entry.kind} {entry.name} is never reached"
        )


def test_nested_results_are_divided_key_by_key():
    result = {
        "status": "FINISHED",
        "metrics": {"test/accuracy": 1.0, "train/accuracy": 0.9},
        "undefined": {"train/f1": "no"},
        "data": {
            "beats": {"train": {"N": 3}, "test": {"N": 1}},
            "dropped": {},
            "notes": [],
            "surprise": 7,
        },
        "privacy": {"epsilon": 1.0, "event": {"type": "x"}},
        "marks": {},
        "surprise": {"deep": 1},
    }
    published, withheld = publication.divide(result)
    assert published == {
        "status": "FINISHED",
        "metrics": {"test/accuracy": 1.0},
        "data": {"beats": {"test": {"N": 1}}},
        "privacy": {"epsilon": 1.0, "event": {"type": "x"}},
        "marks": {},
    }
    assert withheld == {
        "metrics": {"train/accuracy": 0.9},
        "undefined": {"train/f1": "no"},
        "surprise": {"deep": 1},
        "data": {"beats": {"train": {"N": 3}}, "dropped": {}, "notes": [], "surprise": 7},
    }


@pytest.mark.parametrize("unit", ["patient", "record"])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_patient_on_two_sides_is_refused_without_a_name(unit, split):
    patients = np.array(["ann", "ann", "bob", "201+202", "201+202"])
    holdout = {"validation": np.array([2]), "test": np.array([2]), split: np.array([2, 4])}
    with pytest.raises(
        ConfigError, match=r"split=inter_patient.*merge_same_patient=true"
    ) as refused:
        check_units_apart(unit, patients, np.array([0, 1, 3]), holdout)
    assert f"privacy.unit={unit}" in str(refused.value)
    assert split in str(refused.value)
    assert not re.search(r"ann|bob|201\+202", str(refused.value))


def test_patients_apart_and_guarantees_to_beats_pass():
    patients, rows = (
        np.array(["ann", "bob", "cid"]),
        {"validation": np.array([1]), "test": np.array([2])},
    )
    check_units_apart("patient", patients, np.array([0]), rows)
    check_units_apart("beat", patients, np.array([0, 1]), rows)
    check_units_apart(
        "record", patients, np.array([0]), {"validation": np.array([], int), "test": np.array([2])}
    )


PRIVATE = ["trainer=dp", "model=cnn1d_small", "privacy.noise_multiplier=1", "tracking=none"]
CLIENTS = [
    "trainer=federated",
    "model=cnn1d_small",
    "privacy=patient",
    "privacy.noise_multiplier=1",
    "tracking=none",
]


@pytest.mark.parametrize(
    ("typed", "guarantee", "withholds"),
    [
        ([], True, True),
        (["privacy.target_epsilon=3", "privacy.noise_multiplier=null"], True, True),
        (["privacy.publish=all"], True, False),
        (["privacy.noise_seed=0"], False, False),
        (["privacy.noise_multiplier=0"], False, False),
    ],
)
def test_training_beats_are_withheld_under_a_guarantee_only(typed, guarantee, withholds):
    experiment = load_experiment([*PRIVATE, *typed])
    assert (experiment.has_privacy_guarantee, experiment.withholds) == (guarantee, withholds)


def test_run_without_privacy_withholds_nothing():
    assert not load_experiment(["tracking=none"]).withholds
    assert not load_experiment(["experiment=replication/dp", "tracking=none"]).withholds


@pytest.mark.parametrize("split", ["intra_patient", "within_record"])
@pytest.mark.parametrize(
    "typed",
    [
        [*PRIVATE, "privacy.unit=patient"],
        [*PRIVATE, "privacy.unit=record"],
        CLIENTS,
        [*CLIENTS, "privacy.unit=record", "partition=by_record"],
        [*CLIENTS, "privacy.publish=all"],
    ],
)
def test_a_split_by_beat_under_a_patient_guarantee_is_refused(typed, split):
    with pytest.raises(ConfigError, match=r"privacy.unit=(patient|record).*split=inter_patient"):
        load_experiment([*typed, "dataset=mitdb", f"split={split}"])


def test_a_split_by_beat_is_left_to_beats_and_to_simulations():
    assert load_experiment([*PRIVATE, "split=intra_patient"]).withholds
    load_experiment([*CLIENTS, "split=intra_patient", "privacy.noise_seed=1"])


@pytest.mark.parametrize(
    "name", ["mitdb_inter_patient_mlp_dp_patient", "mitdb_inter_patient_mlp_federated_patient"]
)
def test_shipped_patient_guarantees_keep_201_and_202_together(name):
    assert load_experiment([f"experiment={name}"]).split.merge_same_patient
