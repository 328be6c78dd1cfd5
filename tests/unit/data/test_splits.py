"""The properties of each split, and the check that enforces them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mitdb_records import DS1, DS2, MITDB, PACED, TWO_LEAD, WITHIN_RECORD
from tiny_records import make_beats

from ecgexp.data import (
    InterPatient,
    InterPatientTwoLead,
    IntraPatient,
    PatientKFold,
    Split,
    WithinRecord,
)
from ecgexp.data.leakage import check_split
from ecgexp.settings.declaration import ConfigError, DataError, build


def mitdb_like():
    """Twenty beats of every record of mitdb; every fifth is V."""
    records = np.repeat(MITDB.records, 20)
    return make_beats(
        records,
        patients=[MITDB.patient_of(record) for record in records],
        labels=np.tile([0, 0, 0, 0, 1], len(MITDB.records) * 4),
        database=str(MITDB),
        r_samples=np.tile(np.arange(20), len(MITDB.records)),
    )


def rng(seed=0):
    return np.random.default_rng(seed)


def parts(split):
    return split.train, split.validation, split.test


@pytest.mark.parametrize("kind", [InterPatient, PatientKFold])
def test_division_does_not_depend_on_names(kind):
    """Pseudonyms are in another order than names, and must not change who is tested."""
    beats = replace(mitdb_like(), database="own")
    names = np.unique(beats.patient_ids)
    places = rng(5).permutation(1000)[: len(names)]
    hidden = dict(zip(names, [f"p{place}" for place in places], strict=True))
    renamed = replace(beats, patient_ids=np.array([hidden[name] for name in beats.patient_ids]))
    for number in (None, 5):
        found = [kind(num_train_patients=number).split(one, rng()) for one in (beats, renamed)]
        for own, other in zip(*map(parts, found), strict=True):
            np.testing.assert_array_equal(own, other)


@pytest.mark.parametrize("kind", [InterPatient, PatientKFold])
def test_fewer_training_patients_are_nested(kind):
    beats = mitdb_like()
    whole = kind().split(beats, rng())
    found = [kind(num_train_patients=number).split(beats, rng()) for number in (1, 5, 12)]
    patients = [set(beats.patient_ids[one.train]) for one in (*found, whole)]
    assert [len(each) for each in patients[:3]] == [1, 5, 12]
    assert patients[0] < patients[1] < patients[2] < patients[3]
    for one in found:
        check_split(beats, one)
        assert (one.validation == whole.validation).all()
        assert (one.test == whole.test).all()
        kept = np.isin(beats.patient_ids[whole.train], beats.patient_ids[one.train])
        assert (one.train == whole.train[kept]).all()
    other = kind(num_train_patients=5).split(beats, rng(1))
    assert set(beats.patient_ids[other.train]) != patients[1]


def test_more_training_patients_than_there_are_are_refused():
    with pytest.raises(DataError, match=r"split\.num_train_patients=90: .*=null"):
        InterPatient(num_train_patients=90).split(mitdb_like(), rng())


def test_patient_of_201_and_202_is_shared_only_if_trained_on():
    beats = mitdb_like()
    found = [InterPatient(num_train_patients=1).split(beats, rng(seed)) for seed in range(8)]
    for one in found:
        own = beats.patient_ids[np.concatenate([one.train, one.validation])]
        assert bool(one.shared_patients) == ("201+202" in own) == bool(one.notes)
        check_split(beats, one)
    assert {bool(one.shared_patients) for one in found} == {False, True}


def test_published_division_is_ds1_and_ds2(caplog):
    beats = mitdb_like()
    split = InterPatient().split(beats, rng())
    check_split(beats, split)
    assert set(beats.record_ids[split.test]) == set(DS2)
    assert set(beats.record_ids[np.concatenate([split.train, split.validation])]) == set(DS1)
    assert not set(beats.record_ids[split.validation]) & set(beats.record_ids[split.train])
    assert "201 and 202 come from one patient" in caplog.text


@pytest.mark.parametrize("kind", [InterPatient, InterPatientTwoLead])
def test_merging_keeps_patient_201_202_out_of_the_test(kind, caplog):
    beats = mitdb_like()
    split = kind(merge_same_patient=True).split(beats, rng())
    check_split(beats, split)
    assert split.shared_patients == ()
    assert "202" not in beats.record_ids[split.test]
    assert {"201", "202"} <= set(beats.record_ids[np.concatenate([split.train, split.validation])])
    assert caplog.text == ""


def test_two_lead_split_has_only_records_with_v1():
    beats = mitdb_like()
    split = InterPatientTwoLead().split(beats, rng())
    assert set(beats.record_ids[np.concatenate(parts(split))]) == set(TWO_LEAD)
    assert len(TWO_LEAD) == 38
    assert not {*PACED, "100", "103", "114", "117", "123", "124"} & set(TWO_LEAD)


def test_within_record_splits_within_every_record():
    beats = mitdb_like()
    split = WithinRecord().split(beats, rng())
    check_split(beats, split)
    for part in parts(split):
        assert set(beats.record_ids[part]) == set(WITHIN_RECORD)


def test_within_record_without_a_record_is_refused():
    beats = mitdb_like()
    with pytest.raises(DataError, match=r"no beat of record 104; use dataset\.missing_lead=first"):
        WithinRecord().split(beats.take(np.flatnonzero(beats.record_ids != "104")), rng())


def test_splits_of_mitdb_refuse_another_database():
    beats = replace(mitdb_like(), database="svdb 1.0.0")
    for split in (InterPatientTwoLead(), WithinRecord(), InterPatient(division="published")):
        with pytest.raises(DataError, match=r"the beats are of svdb 1\.0\.0"):
            split.split(beats, rng())
    check_split(beats, InterPatient().split(beats, rng()))


@pytest.mark.parametrize(
    "kind", [InterPatient(division="random"), PatientKFold(fold=3), InterPatient(), IntraPatient()]
)
def test_split_depends_on_the_seed(kind):
    beats = mitdb_like()
    first, again, other = (kind.split(beats, rng(seed)) for seed in (1, 1, 2))
    for a, b in zip(parts(first), parts(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.validation, other.validation)


def test_folds_test_every_beat_once():
    beats = mitdb_like()
    tested = np.concatenate(
        [PatientKFold(num_folds=4, fold=fold).split(beats, rng()).test for fold in range(4)]
    )
    np.testing.assert_array_equal(np.sort(tested), np.arange(len(beats)))


def test_fold_beyond_the_last_is_refused():
    with pytest.raises(ConfigError, match=r"split\.fold=5: it must be below split\.num_folds=5"):
        build(PatientKFold, {"num_folds": 5, "fold": 5}, path="split")


def test_more_folds_than_patients_is_refused():
    with pytest.raises(
        DataError, match=r"split\.num_folds=5: there are only 2 patients; use fewer folds"
    ):
        PatientKFold().split(make_beats(["a", "b"]), rng())


@settings(max_examples=40)
@given(st.data())
def test_every_class_is_in_train_and_validation_if_possible(data):
    """A class of two patients is in both parts if a choice of patients allows it for all."""
    num_patients = data.draw(st.integers(4, 12))
    has_v = data.draw(st.lists(st.booleans(), min_size=num_patients, max_size=num_patients))
    has_v[0] = has_v[-1] = True
    records = np.repeat([f"p{i}" for i in range(num_patients)], 4)
    labels = np.concatenate([[0, 0, 0, int(v)] for v in has_v])
    beats = make_beats(records, labels=labels)
    split = InterPatient(validation_fraction=0.3).split(beats, rng(data.draw(st.integers(0, 9))))
    check_split(beats, split)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts(split))), np.arange(len(beats)))
    training = np.concatenate([split.train, split.validation])
    with_v = np.unique(beats.patient_ids[training][beats.labels[training] == 1])
    if len(with_v) >= 1:
        assert 1 in beats.labels[split.train]
    if len(with_v) >= 2:
        assert 1 in beats.labels[split.validation]


def test_intra_patient_keeps_class_proportions():
    beats = mitdb_like()
    split = IntraPatient(test_fraction=0.25, validation_fraction=0.2).split(beats, rng())
    check_split(beats, split)
    for part, size in zip(parts(split), (576, 144, 240), strict=True):
        assert len(part) == size
        assert np.mean(beats.labels[part]) == pytest.approx(0.2, abs=0.01)


def test_validation_fraction_0_gives_no_validation():
    beats = mitdb_like()
    for kind in (InterPatient, IntraPatient, PatientKFold, InterPatientTwoLead, WithinRecord):
        split = kind(validation_fraction=0).split(beats, rng())
        check_split(beats, split)
        assert len(split.validation) == 0


def test_too_few_beats_for_the_classes_are_refused():
    with pytest.raises(DataError, match="cannot be divided"):
        IntraPatient().split(make_beats(["a"] * 4, labels=[0, 0, 1, 1]), rng())


def test_one_side_of_the_published_division_is_refused():
    beats = mitdb_like()
    with pytest.raises(DataError, match=r"no test \(DS2\) record"):
        InterPatient().split(beats.take(np.flatnonzero(np.isin(beats.record_ids, DS1))), rng())


def by_hand(train, test, *, disjoint="beat", shared_patients=()):
    return Split(
        train=np.asarray(train),
        validation=np.zeros(0, np.int64),
        test=np.asarray(test),
        disjoint=disjoint,
        shared_patients=shared_patients,
    )


def test_leakage_check_finds_a_copied_beat():
    beats = make_beats(["a", "a", "b", "a"], r_samples=[5, 9, 5, 9])  # row 3 is a copy of row 1
    with pytest.raises(DataError, match="leakage: train and test share 1 beats: record a sample 9"):
        check_split(beats, by_hand([0, 1], [2, 3]))
    check_split(beats, by_hand([0, 1], [2]))


def test_leakage_check_finds_a_shared_patient():
    beats = make_beats(["a", "b", "c"], patients=["x", "x", "y"])
    with pytest.raises(DataError, match="leakage: train and test share the patients x"):
        check_split(beats, by_hand([0], [1, 2], disjoint="patient"))
    check_split(beats, by_hand([0], [1, 2], disjoint="patient", shared_patients=("x",)))
    check_split(beats, by_hand([0], [1, 2]))


@pytest.mark.parametrize(
    ("train", "test", "match"),
    [
        ([0, 0], [1], "split.train contains a beat twice"),
        ([0], [7], "split.test has an index outside"),
        ([0], [], "no beat is left for test"),
    ],
)
def test_leakage_check_refuses_invalid_indices(train, test, match):
    with pytest.raises(DataError, match=match):
        check_split(make_beats(["a", "b"]), by_hand(train, np.asarray(test, np.int64)))
