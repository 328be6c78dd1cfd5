"""Datasets, splits and partitions of plug-ins: what is checked of what they return."""

from dataclasses import replace

import numpy as np
import pytest

from ecgexp.config import load_experiment
from ecgexp.data.beats import BeatSet
from ecgexp.data.foreign_parts import check_assigned, check_divided, check_loaded, read_only
from ecgexp.data.partition.base import ClientPartition
from ecgexp.data.splits.base import Split
from ecgexp.settings import settings
from ecgexp.settings.declaration import DataError


@settings
class Foreign:
    """Settings that are none of ecgexp's."""

    knows_patients: bool = True
    has_records: bool = True
    window_samples: tuple[int, int] = (4, 6)


def beats_of(rows=6, **changed):
    rng = np.random.default_rng(0)
    names = np.array([f"r{row % 2}" for row in range(rows)])
    found = {
        "signals_mv": rng.standard_normal((rows, 10, 1)).astype(np.float32),
        "rr": np.ones((rows, 20), np.float32),
        "symbols": np.full(rows, "N"),
        "record_ids": names,
        "patient_ids": names,
        "r_samples": np.arange(rows) * 100,
        "fs_hz": 100.0,
        "lead_names": ("MLII",),
        "database": "mine 1",
        "digest": "ab" * 16,
    }
    return BeatSet(**{**found, **changed})


def copied():
    found = beats_of()
    signals = found.signals_mv.copy()
    signals[5] = signals[0]
    return replace(found, signals_mv=signals)


@pytest.mark.parametrize(
    ("beats", "why"),
    [
        (None, "load returns NoneType; return an ecgexp.data.BeatSet"),
        (copied(), "1 rows have the samples of another one.*; return each beat once"),
        (beats_of(signals_mv=np.zeros((6, 10, 1))), "signals_mv is not .* float32; return"),
        (beats_of(signals_mv=np.full((6, 10, 1), np.nan, np.float32)), "NaN.*; leave such beats"),
        (beats_of(signals_mv=np.zeros((6, 9, 1), np.float32)), "window_samples=.*; return windows"),
        (beats_of(rr=np.ones((6, 4), np.float32)), r"rr is not \(beats, 20\).*; return"),
        (beats_of(record_ids=np.arange(6)), "record_ids is not .*texts; return"),
        (beats_of(digest="mine"), "digest is not.*; return ecgexp.storage.digests"),
        (beats_of(cut_elsewhere=True), "has_records=True and cut_elsewhere=True; use"),
        (beats_of(labels=np.zeros(6, int), class_names=("N",)), "have labels already; return"),
        (beats_of(rows=0), "there is no beat; return"),
    ],
)
def test_beats_of_a_plugin_that_are_none_are_refused(beats, why):
    with pytest.raises(DataError, match=f"^dataset=foreign: .*{why}"):
        check_loaded(Foreign(), beats)


def test_beats_of_a_plugin_are_accepted():
    check_loaded(Foreign(), beats_of())
    flat = np.zeros((6, 10, 1), np.float32)
    check_loaded(Foreign(), beats_of(signals_mv=flat))  # constant rows are not compared
    check_loaded(load_experiment().dataset, None)  # those of ecgexp are known


def split_of(**changed):
    rows = {"train": np.arange(3), "validation": np.array([3]), "test": np.array([4, 5])}
    return Split(**{**rows, "disjoint": "beat", **changed})


@pytest.mark.parametrize(
    ("split", "why"),
    [
        ((np.arange(3), np.arange(3)), "split returns tuple; return an ecgexp.data.Split"),
        (split_of(train=np.array([0, 1, 1])), "train is not an array of ascending row numbers"),
        (split_of(test=np.array([True, False])), "test is not an array of ascending"),
        (split_of(test=[4, 5]), "test is not an array of ascending"),
    ],
)
def test_split_of_a_plugin_that_is_none_is_refused(split, why):
    check_divided(Foreign(), split_of())
    with pytest.raises(DataError, match=f"^split=foreign: .*{why}"):
        check_divided(Foreign(), split)


@pytest.mark.parametrize(
    ("clients", "why"),
    [
        ({"a": np.arange(3)}, "assign returns dict; return an ecgexp.data.ClientPartition"),
        (ClientPartition(train={1: np.arange(3)}, validation={}, test={}), "; use texts as names"),
    ],
)
def test_partition_of_a_plugin_that_is_none_is_refused(clients, why):
    check_assigned(Foreign(), ClientPartition(train={"a": np.arange(3)}, validation={}, test={}))
    with pytest.raises(DataError, match=f"^partition=foreign: .*{why}"):
        check_assigned(Foreign(), clients)


def test_code_of_a_plugin_cannot_change_the_beats():
    found = beats_of()
    with pytest.raises(ValueError, match="read-only"):
        read_only(found).signals_mv[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        read_only(found).symbols[0] = "V"
    found.signals_mv[0] = 0  # only the view is
