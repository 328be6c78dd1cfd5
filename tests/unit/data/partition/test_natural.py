"""Partitions by patient and by record."""

import numpy as np
from mitdb_records import DS1, DS2, MITDB, WITHIN_RECORD
from partitioning import make_beats, make_split, rng

from ecgexp.data import InterPatient, WithinRecord
from ecgexp.data.partition.base import check_partition
from ecgexp.data.partition.natural import ByPatient, ByRecord, Pooled


def mitdb_like():
    """Twenty beats of every record of mitdb; every fifth is S."""
    records = np.repeat(MITDB.records, 20)
    return make_beats(
        np.tile([0, 0, 0, 0, 1], 4 * len(MITDB.records)),
        records=records,
        database=str(MITDB),
        classes=("N", "S"),
        patients=[MITDB.patient_of(record) for record in records],
    )


def test_records_201_and_202_are_one_client_by_patient():
    beats = mitdb_like()
    split = make_split(np.arange(len(beats)))
    by_patient, by_record = (
        kind.assign(beats, split, rng()).train for kind in (ByPatient(), ByRecord())
    )
    assert len(by_patient) == 47
    assert set(beats.record_ids[by_patient["201+202"]]) == {"201", "202"}
    assert not {"201", "202"} & set(by_patient)
    assert len(by_record) == 48
    assert {"201", "202"} <= set(by_record)
    assert all(len(rows) == 20 for rows in by_record.values())


def test_split_by_patient_gives_new_clients_for_testing():
    beats = mitdb_like()
    split = InterPatient().split(beats, rng())
    clients = ByRecord().assign(beats, split, rng())
    check_partition(clients, split)
    assert set(clients.train) | set(clients.validation) == set(DS1)
    assert set(clients.test) == set(DS2)
    assert not set(clients.train) & (set(clients.validation) | set(clients.test))
    assert clients.num_clients() == {"train": 18, "validation": 4, "test": 22}
    merged = InterPatient(merge_same_patient=True).split(beats, rng())
    patients = ByPatient().assign(beats, merged, rng())
    assert not set(patients.train) & set(patients.test)
    published = ByPatient().assign(beats, split, rng())
    assert "201+202" in published.test, "202 is tested, and its client may have been trained on 201"


def test_split_by_beat_gives_every_client_test_beats():
    beats = mitdb_like()
    clients = ByRecord().assign(beats, WithinRecord().split(beats, rng()), rng())
    for part in clients.parts.values():
        assert set(part) == set(WITHIN_RECORD)
        assert all(set(beats.record_ids[rows]) == {record} for record, rows in part.items())


def test_pooled_is_one_client():
    clients = Pooled().assign(mitdb_like(), make_split([3, 4], [5], [9]), rng())
    assert clients.is_pooled
    assert {
        name: {client: rows.tolist() for client, rows in part.items()}
        for name, part in clients.parts.items()
    } == {
        "train": {"pooled": [3, 4]},
        "validation": {"pooled": [5]},
        "test": {"pooled": [9]},
    }


def test_class_counts_are_those_of_each_client():
    beats = make_beats([0, 1, 1, 0, 1], records=list("aabba"), classes=("N", "S"))
    clients = ByRecord().assign(beats, make_split([0, 1, 2], [], [3, 4]), rng())
    assert clients.class_counts(beats) == {
        "train": {"a": {"N": 1, "S": 1}, "b": {"N": 0, "S": 1}},
        "validation": {},
        "test": {"a": {"N": 0, "S": 1}, "b": {"N": 1, "S": 0}},
    }
