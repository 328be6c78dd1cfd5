"""Patients of each split by sex and decade: what is in the result, and what is withheld."""

from dataclasses import replace

import numpy as np
from tiny_records import make_beats

from ecgexp.data.formats.demographics import Demographics
from ecgexp.data.partition.natural import Pooled
from ecgexp.data.splits.base import Split
from ecgexp.experiment.data import assemble
from ecgexp.experiment.demographics import describe
from ecgexp.privacy.publication import divide
from ecgexp.seeding import Seeds

KNOWN = {
    "r0": Demographics(sex="female", age="60-69"),
    "r1": Demographics(sex="male"),
    "r2": Demographics(sex="male", age="90 or older"),  # of the same patient as r1
    "r3": Demographics(sex="female", age="60-69"),
}


def run_data(test, *, disjoint="patient", withholds=False, demographics=KNOWN):
    records = np.repeat(["r0", "r1", "r2", "r3"], 3)
    beats = make_beats(records, patients=np.repeat(["p0", "p1", "p1", "p3"], 3))
    beats = replace(beats, demographics=demographics)
    split = Split(
        train=np.arange(9), validation=np.zeros(0, np.int64), test=test, disjoint=disjoint
    )
    made = assemble(beats, split, Pooled(), Seeds(0), features=lambda: {"signal": beats.signals_mv})
    return replace(made, withholds_training=withholds)


def test_patients_are_counted_by_sex_and_decade():
    found = describe(run_data(np.arange(9, 12)))["demographics"]
    assert found["train"] == {
        "sex": {"female": 1, "male": 1},
        "age": {"60-69": 1, "90 or older": 1},
    }
    assert found["test"] == {"sex": {"female": 1}, "age": {"60-69": 1}}
    assert describe(run_data(np.arange(9, 12), demographics={})) == {}


def test_training_patients_are_withheld_under_a_guarantee():
    shown, kept = divide(
        {"demographics": describe(run_data(np.arange(9, 12), withholds=True))["demographics"]},
        under="data/",
    )
    assert set(shown["demographics"]) <= {"validation", "test"}
    assert set(kept["demographics"]) == {"train"}


def test_split_with_a_training_patient_is_left_out_under_a_guarantee():
    rows = np.array([8, 9])
    shared = {"disjoint": "beat"}
    both = run_data(rows, **shared)
    both = replace(both, split=replace(both.split, train=np.arange(8)))
    assert "test" in describe(both)["demographics"]
    assert "test" not in describe(replace(both, withholds_training=True))["demographics"]
