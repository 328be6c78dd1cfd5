"""The few beats of a debug run: all classes, no test beats, and stable units of privacy."""

import numpy as np
import pytest

from ecgexp.data.beats import BeatSet
from ecgexp.data.few_beats import few_beats, few_of_split
from ecgexp.data.splits.base import Split

RECORDS, EACH = 12, 60


@pytest.fixture(scope="module")
def beats():
    count = RECORDS * EACH
    rng = np.random.default_rng(0)
    labels = (rng.random(count) < 0.1).astype(np.int64) + (rng.random(count) < 0.02)
    records = np.repeat([f"r{i:02d}" for i in range(RECORDS)], EACH)
    return BeatSet(
        signals_mv=np.zeros((count, 4, 1), np.float32),
        rr=np.zeros((count, 20), np.float32),
        symbols=np.full(count, "N"),
        record_ids=records,
        patient_ids=np.char.replace(records, "r", "p"),
        r_samples=np.tile(np.arange(EACH) * 100, RECORDS),
        fs_hz=360.0,
        lead_names=("MLII",),
        database="toy",
        digest="0",
        labels=labels,
        class_names=("N", "S", "V"),
    )


@pytest.fixture(scope="module")
def split(beats):
    rows = np.arange(len(beats))
    return Split(train=rows[:480], validation=rows[480:600], test=rows[600:], disjoint="patient")


def _few(beats, split, unit=None, **numbers):
    return few_of_split(
        beats, split, **{"train": 50, "validation": 20, "seed": 0, **numbers}, unit=unit
    )


def test_few_beats_have_all_classes_and_records(beats, split):
    few = _few(beats, split)
    assert (len(few.train), len(few.validation), len(few.test)) == (50, 20, 0)
    assert set(few.train) <= set(split.train)
    assert set(beats.labels[few.train]) == set(beats.labels[split.train])
    assert set(beats.record_ids[few.train]) == set(beats.record_ids[split.train])


def test_few_beats_of_a_seed_are_repeatable(beats, split):
    first, again, other = (_few(beats, split, seed=seed).train for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("unit", ["beat", "record", "patient"])
def test_few_beats_of_a_unit_ignore_all_other_units(beats, split, unit):
    """One unit is replaced by another one, whose beats are elsewhere and of another class."""
    mine = split.train[:1] if unit == "beat" else split.train[:EACH]
    moved, labels = beats.r_samples.copy(), beats.labels.copy()
    moved[mine] += 17
    labels[mine] = 2
    names = {"record_ids": beats.record_ids, "patient_ids": beats.patient_ids}
    other = BeatSet(**{**vars(beats), **names, "r_samples": moved, "labels": labels})
    ours, theirs = (_few(each, split, unit).train for each in (beats, other))
    assert np.array_equal(np.setdiff1d(ours, mine), np.setdiff1d(theirs, mine))


@pytest.mark.parametrize("unit", ["record", "patient"])
def test_every_unit_of_privacy_keeps_at_least_one_beat(beats, split, unit):
    few = _few(beats, split, unit, train=1)
    assert set(beats.record_ids[few.train]) == set(beats.record_ids[split.train])


def test_few_beats_before_a_split_are_of_all_classes(beats):
    assert set(few_beats(beats, 30, seed=0).labels) == {0, 1, 2}
