"""Copies of a row count once, and never stand in training and in test."""

import numpy as np

from ecgexp.data.datasets.arrays import COPY, COPY_OF_TEST, ArraysDataset
from ecgexp.data.populations import training_population_of
from ecgexp.privacy.keyed_digests import DigestKey


def rows_of(beats):
    return {(beats.signals_mv[row].tobytes(), str(beats.symbols[row])) for row in range(len(beats))}


def test_copies_within_a_file_are_dropped_and_counted(heartbeat_csv, beats_of):
    rows = beats_of(10)
    rows = np.concatenate([rows, rows[:3], np.zeros((2, 187), np.float32)])
    labels = np.concatenate([np.arange(10) % 5, [0, 1, 4], [0, 0]])
    beats = ArraysDataset(path=heartbeat_csv(rows=rows, labels=labels)).load()
    assert dict(beats.dropped) == {COPY: 2}  # the third has another label, constant rows stay
    assert len(beats) == 13


def test_training_copies_of_test_beats_are_dropped(heartbeat_csv, beats_of):
    rows, tested = beats_of(10), beats_of(5, seed=1)
    train = heartbeat_csv(rows=np.concatenate([rows, tested[:2]]))
    test = heartbeat_csv("test.csv", rows=np.concatenate([tested, tested[:1]]))
    beats = ArraysDataset(path=train, test_path=test).load()
    assert dict(beats.dropped) == {COPY_OF_TEST: 2}
    assert np.sum(beats.parts == "test") == 6
    train_rows = rows_of(beats.take(np.flatnonzero(beats.parts == "train")))
    assert not train_rows & rows_of(beats.take(np.flatnonzero(beats.parts == "test")))


def test_adding_one_row_adds_at_most_one(heartbeat_csv, beats_of):
    rows, rng = beats_of(8)[np.arange(12) % 8], np.random.default_rng(0)
    labels = np.concatenate([np.arange(5), rng.integers(0, 5, 7)])
    test = heartbeat_csv("test.csv", rows=rows[:2])
    for test_path in (None, test):
        whole = ArraysDataset(path=heartbeat_csv(rows=rows, labels=labels), test_path=test_path)
        all_rows = rows_of(whole.load())
        for gone in range(5, 12):
            kept = np.arange(12) != gone
            path = heartbeat_csv(rows=rows[kept], labels=labels[kept])
            part = rows_of(ArraysDataset(path=path, test_path=test_path).load())
            assert part <= all_rows
            assert len(all_rows - part) <= 1


def test_files_with_common_rows_share_their_population(heartbeat_csv, beats_of, tmp_path):
    key = DigestKey.of(tmp_path)
    one = ArraysDataset(path=heartbeat_csv("a.csv")).load()
    shuffled = ArraysDataset(
        path=heartbeat_csv("b.csv", rows=beats_of(20)[::-1], labels=np.arange(20)[::-1] % 5)
    ).load()
    other = ArraysDataset(path=heartbeat_csv("c.csv", seed=5)).load()
    assert training_population_of(one, key) & training_population_of(shuffled, key)
    assert not training_population_of(one, key) & training_population_of(other, key)
