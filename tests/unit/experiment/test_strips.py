"""Strips of the record around misclassified beats: the right signal, and of nobody protected."""

import logging
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ecgexp.data.datasets.synthetic import SyntheticDataset
from ecgexp.evaluation.gallery import strip_beats
from ecgexp.experiment.strips import log_strips
from ecgexp.settings.declaration import DataError


class Tables:
    """A tracker that keeps the tables."""

    def __init__(self):
        self.kept = {}

    def log_table(self, table, path):
        self.kept[path] = table


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return SyntheticDataset(num_patients=3, minutes=0.5, baseline="none", cache_dir=cache)


@pytest.fixture(scope="module")
def run_data(dataset):
    """All beats of one patient are trained on, and half of those of another one."""
    beats = dataset.load()
    patients = np.unique(beats.patient_ids)
    of = [np.flatnonzero(beats.patient_ids == patient) for patient in patients]
    split = SimpleNamespace(train=np.concatenate([of[0], of[1][::2]]))
    beats = SimpleNamespace(
        labels=np.zeros(len(beats), int),
        patient_ids=beats.patient_ids,
        record_ids=beats.record_ids,
        r_samples=beats.r_samples,
    )
    test = np.concatenate([of[1][1::2], of[2]])
    return SimpleNamespace(beats=beats, split=split, indices={"test": test})


def strips(dataset, run_data, *, protects_patients):
    """The table of strips of a model that takes every beat for class 1."""
    tracker, wrong = Tables(), np.tile([0.1, 0.9], (len(run_data.indices["test"]), 1))
    log_strips(tracker, dataset, run_data, "test", wrong, protects_patients=protects_patients)
    return tracker.kept.get("tables/test_strips.parquet", pd.DataFrame({"record": []}))


def test_strip_is_the_signal_of_its_record(dataset, run_data):
    table = strips(dataset, run_data, protects_patients=False)
    assert len(table)
    for _, part in table.groupby("strip"):
        with dataset.open_records() as read:
            record = read(part["record"].iloc[0])
        places = part["sample"].iloc[0] + np.rint(part["second"] * record.fs_hz).astype(int)
        column = record.lead_names.index("MLII")
        np.testing.assert_allclose(part["mv"], record.signals_mv[places, column], atol=0.0006)
        assert part["second"].abs().max() <= 5
        assert 0 in part["second"].to_numpy() or part["second"].abs().min() < 0.01


def test_protected_patients_have_no_strip(dataset, run_data):
    beats = run_data.beats
    trained = set(beats.record_ids[run_data.split.train])
    everyone = set(strips(dataset, run_data, protects_patients=False)["record"])
    allowed = set(strips(dataset, run_data, protects_patients=True)["record"])
    assert everyone & trained  # without a guarantee, the second patient has one
    assert allowed
    assert not allowed & trained


def test_strips_of_validation_beats_show_no_sealed_test_beat(dataset, run_data):
    beats, everyone = run_data.beats, np.arange(len(run_data.beats.record_ids))
    sealed = everyone[2::5]  # as in a split that divides patients
    left = np.setdiff1d(everyone, sealed)
    divided = SimpleNamespace(
        beats=beats, split=run_data.split, indices={"validation": left, "test": sealed}
    )
    shown = {}
    for hides_test in (False, True):
        tracker, wrong = Tables(), np.tile([0.1, 0.9], (len(left), 1))
        log_strips(
            tracker,
            dataset,
            divided,
            "validation",
            wrong,
            protects_patients=False,
            hides_test=hides_test,
        )
        table = tracker.kept["tables/validation_strips.parquet"]
        shown[hides_test] = [
            (row, float(second))
            for _, part in table.groupby("strip")
            for row in sealed[beats.record_ids[sealed] == part["record"].iloc[0]]
            for second in part["second"]
            + (part["sample"].iloc[0] - beats.r_samples[row]) / part["record_hz"].iloc[0]
            if -0.249 < second < 0.249
        ]
        assert len(table)
    assert shown[False]
    assert not shown[True]


def test_virtual_patients_are_generated_once_for_all_strips(run_data, monkeypatch):
    uncached = SyntheticDataset(num_patients=3, minutes=1, cache_dir=None)
    written, write = [], SyntheticDataset._write
    monkeypatch.setattr(
        SyntheticDataset, "_write", lambda self, *args: written.append(1) or write(self, *args)
    )
    assert strips(uncached, run_data, protects_patients=False)["strip"].nunique() > 1
    assert len(written) == 1


@pytest.mark.parametrize("gone", ["record", "database"])
def test_record_that_is_gone_ends_no_run(gone, run_data, caplog):
    def missing(*_):
        raise DataError("the file is missing")

    open_records = missing if gone == "database" else lambda: nullcontext(missing)
    gone = SimpleNamespace(open_records=open_records, preprocessings=())
    with caplog.at_level(logging.WARNING):
        assert strips(gone, run_data, protects_patients=False).empty
    assert "the file is missing" in caplog.text


def test_strips_are_of_the_worst_patients_first():
    patients = np.repeat(["a", "b", "c"], [10, 10, 10])
    labels, right = np.zeros(30, int), np.ones(30, bool)
    right[[0, 10, 11, 12, 20, 21]] = False  # b is worst, then c, then a
    confidence = np.where(right, 0.2, 0.8)
    confidence[0] = 0.99
    found = strip_beats(
        labels, np.stack([1 - confidence, confidence], axis=1), patients, num_beats=2
    )
    assert patients[found].tolist() == ["b", "a"]
    none = np.tile([0.9, 0.1], (30, 1))
    assert len(strip_beats(labels, none, patients)) == 0
