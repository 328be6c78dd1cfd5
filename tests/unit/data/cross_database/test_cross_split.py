"""The split between two databases and its leakage check; other splits refuse two databases."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mitdb_records import DS1, DS2, WITHIN_RECORD
from two_folders import make_two

from ecgexp.data import (
    CrossDatabase,
    InterPatient,
    InterPatientTwoLead,
    IntraPatient,
    PatientKFold,
    Split,
    WithinRecord,
)
from ecgexp.data.leakage import check_split
from ecgexp.data.splits.cross_database import check_databases
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.settings.option_names import option_name

EVERY_OTHER = [
    InterPatient(),
    InterPatient(division="random"),
    IntraPatient(),
    PatientKFold(num_folds=2),
    InterPatientTwoLead(),
    WithinRecord(),
]


def rng(seed=0):
    return np.random.default_rng(seed)


@settings(max_examples=50)
@given(st.integers(2, 9), st.integers(1, 9), st.sampled_from([0.0, 0.2, 0.5]), st.integers(0, 5))
def test_cross_split_tests_exactly_the_second_database(trained, tested, fraction, seed):
    mitdb = np.repeat([str(100 + i) for i in range(trained)], 4)
    svdb = np.repeat([str(100 + i) for i in range(tested)], 4)  # the same names
    beats = make_two(mitdb, svdb, labels=np.tile([0, 0, 0, 1], trained + tested))
    split = CrossDatabase(validation_fraction=fraction).split(beats, rng(seed))
    check_split(beats, split)
    assert split.test.tolist() == list(range(4 * trained, 4 * (trained + tested)))
    learned = np.concatenate([split.train, split.validation])
    assert sorted(learned.tolist()) == list(range(4 * trained))
    assert not set(beats.patient_ids[split.train]) & set(beats.patient_ids[split.validation])
    assert (len(split.validation) > 0) is (fraction > 0)


def test_cross_split_depends_on_the_seed():
    mitdb = np.repeat(DS1, 3)
    beats = make_two(mitdb, ["800"] * 3, labels=np.tile([0, 0, 1], len(DS1) + 1))
    first, again, other = (CrossDatabase().split(beats, rng(seed)) for seed in (1, 1, 2))
    assert first.validation.tolist() == again.validation.tolist() != other.validation.tolist()


def test_classes_of_only_one_database_are_noted(caplog):
    beats = make_two(
        ["1", "1", "2", "2"], ["1", "1"], labels=[0, 2, 0, 2, 0, 1], classes=("N", "V", "Q")
    )
    split = CrossDatabase().split(beats, rng())
    assert split.notes == (
        "mitdb 1.0.0 has no beat of class V, so the model cannot learn this class",
        "svdb 1.0.0 has no beat of class Q to test",
    )
    check_split(beats, split)
    assert "no beat of class V" in caplog.text


@pytest.mark.parametrize(("mitdb", "svdb", "name"), [([], ["1"], "mitdb"), (["1"], [], "svdb")])
def test_database_without_beats_is_refused_by_name(mitdb, svdb, name):
    with pytest.raises(DataError, match=f"no beat is left of {name} 1"):
        CrossDatabase().split(make_two(mitdb, svdb), rng())


@pytest.mark.parametrize("kind", EVERY_OTHER, ids=lambda kind: type(kind).__name__)
def test_leakage_check_refuses_every_other_split(kind):
    """The records would be valid for each of the other splits if they were of mitdb only."""
    names = sorted({*DS1[:4], *DS2[:4], *WITHIN_RECORD})
    mitdb, svdb = np.repeat(names, 8), np.repeat(["800", "801"], 8)
    beats = make_two(mitdb, svdb, labels=np.tile([0, 0, 0, 1], 2 * (len(names) + 2)))
    with pytest.raises(
        DataError, match="leakage: |mitdb, but the beats are of mitdb 1.0.0 -> svdb"
    ):
        check_split(beats, kind.split(beats, rng()))


def by_hand(train, validation, test, disjoint="database"):
    parts = (np.asarray(rows, np.int64) for rows in (train, validation, test))
    return Split(
        **dict(zip(("train", "validation", "test"), parts, strict=True)), disjoint=disjoint
    )


@pytest.mark.parametrize(
    ("train", "validation", "test", "name"),
    [
        ([0, 3], [1], [2], "train"),
        ([0], [1, 3], [2], "validation"),
        ([0], [], [1, 2], "test"),
        ([2], [], [0], "train"),
    ],
)
def test_leakage_check_finds_a_beat_of_the_wrong_database(train, validation, test, name):
    beats = make_two(["100", "101"], ["800", "801"])
    check_split(beats, by_hand([0], [1], [2, 3]))
    with pytest.raises(
        DataError, match=f"leakage: {name} has 1 beats of the wrong database of mitdb"
    ):
        check_split(beats, by_hand(train, validation, test))


def test_leakage_check_finds_a_patient_in_train_and_validation():
    with pytest.raises(
        DataError, match="leakage: train and validation share the patients mitdb/100"
    ):
        check_split(make_two(["100", "100"], ["800"]), by_hand([0], [1], [2]))


def dataset_of(name):
    from ecgexp.config.compose import load_experiment

    return load_experiment(
        [f"dataset={name}", "split=cross_database" if "_to_" in name else "split=inter_patient"]
    ).dataset


@pytest.mark.parametrize("kind", EVERY_OTHER, ids=lambda kind: type(kind).__name__)
def test_two_databases_with_another_split_are_refused(kind):
    with pytest.raises(
        ConfigError,
        match=rf"mitdb 1\.0\.0 -> svdb 1\.0\.0: .*split={option_name(type(kind).__name__)} "
        rf"would.*split=cross_database",
    ):
        check_databases(dataset_of("mitdb_to_svdb"), kind)


@pytest.mark.parametrize(
    ("name", "said"),
    [("mitdb", "mitdb"), ("svdb", "svdb"), ("synthetic", "synthetic"), ("folder", "folder")],
)
def test_cross_split_of_one_database_is_refused(name, said):
    with pytest.raises(
        ConfigError,
        match=rf"but the dataset is {said}; use dataset=mitdb_to_svdb, dataset=folder_to_folder",
    ):
        check_databases(dataset_of(name), CrossDatabase())


def test_cross_split_of_beats_of_one_database_is_refused():
    beats = replace(make_two(["100"], []), database="mitdb 1.0.0", parts=np.zeros(0, "<U5"))
    with pytest.raises(ConfigError, match=r"but the dataset is mitdb 1\.0\.0"):
        CrossDatabase().split(beats, rng())
    with pytest.raises(
        DataError,
        match=r"tests a database that is not trained on, but all beats are of mitdb 1\.0\.0",
    ):
        check_split(
            replace(make_two(["100", "101"], []), database="mitdb 1.0.0", parts=beats.parts),
            by_hand([0], [], [1]),
        )


def test_mismatch_of_dataset_and_split_is_refused_unread():
    from ecgexp.config.compose import load_experiment

    with pytest.raises(ConfigError, match="use split=cross_database"):
        load_experiment(["dataset=mitdb_to_svdb", "split=inter_patient"])
