import numpy as np
import pytest

from ecgexp.data.datasets.arrays import ArraysDataset


@pytest.fixture
def beats_of():
    """(num_beats, samples, seed) -> different beats in [0, 1], with a 1 at their R peak."""

    def make(num_beats=20, samples=187, seed=0):
        rows = np.random.default_rng(seed).random((num_beats, samples)).astype(np.float32)
        rows[:, 0] = 1
        return rows

    return make


@pytest.fixture
def heartbeat_csv(tmp_path, beats_of):
    """Write a file in the layout of the heartbeat CSV of Kaggle: no header, the label last."""

    def write(name="train.csv", *, num_beats=20, seed=0, rows=None, labels=None):
        rows = beats_of(num_beats, seed=seed) if rows is None else rows
        labels = np.arange(len(rows)) % 5 if labels is None else labels
        path = tmp_path / name
        np.savetxt(path, np.column_stack([rows, labels]), delimiter=",", fmt="%.18e")
        return path

    return write


@pytest.fixture
def npz(tmp_path, beats_of):
    """Write an .npz file of 12 beats; returns the settings for it."""

    def write(settings=None, **arrays):
        path = tmp_path / "beats.npz"
        known = {"signals": beats_of(12, 30), "labels": np.array(list("NV") * 6)}
        np.savez(path, **known | arrays)
        return ArraysDataset(path=path, fs_hz=125, **settings or {})

    return write
