"""A tiny problem that a small network learns in seconds, shared by the trainers' tests."""

import numpy as np

from ecgexp.models.cnn1d import Cnn1d
from ecgexp.training.base import TrainingData

WINDOW, CLASSES = 32, ("N", "S", "V")
MODEL = Cnn1d(filters=(8, 8), kernel_sizes=(5, 3), dense_units=8, dropout=0.2, normalization="none")


def toy_data(num_beats: int = 300, num_train: int = 210) -> TrainingData:
    """Bumps of one of three widths and signs.

    Rows after `num_train` are poisoned, since no trainer may touch them.
    """
    rng = np.random.default_rng(0)
    labels = rng.integers(len(CLASSES), size=num_beats)
    time = np.arange(WINDOW)
    bump = (
        np.exp(-0.5 * ((time - WINDOW // 2) / np.array([1, 1, 4])[labels, None]) ** 2)
        * np.array([1, -1, 1])[labels, None]
    )
    signal = bump + 0.1 * rng.standard_normal((num_beats, WINDOW))
    signal[num_train:] = np.nan
    records = np.array([f"r{i % 6}" for i in range(num_beats)])
    return TrainingData(
        features={"signal": signal[..., None].astype(np.float32)},
        labels=labels,
        train=np.arange(num_train),
        class_names=CLASSES,
        record_ids=records,
        patient_ids=records,
    )


def build_toy_model():
    """The same initial weights each time."""
    import tensorflow as tf

    tf.keras.utils.set_random_seed(1)
    return MODEL.build({"signal": (WINDOW, 1)}, len(CLASSES))
