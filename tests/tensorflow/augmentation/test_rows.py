"""Augmentation changes each row alone: no state, and random numbers of its own for each."""

import numpy as np
import pytest

from ecgexp.augmentation import Chain, Crops9, ImageAugmentation, NoAugmentation, SignalAugmentation

AUGMENTATIONS = [
    NoAugmentation(),
    Crops9(),
    ImageAugmentation(),
    SignalAugmentation(),
    Chain(steps=(Crops9(), ImageAugmentation())),
]


@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=lambda augmentation: augmentation.name)
def test_augmentation_keeps_rows_apart_and_no_state(augmentation):
    from ecgexp.clipping.probe import check_views_apart

    features = {
        "image": np.zeros((4, 64, 64, 1), np.float32),
        "signal": np.zeros((4, 32, 2), np.float32),
    }
    check_views_apart(augmentation.build(), features)


def test_row_by_row_gives_each_row_random_numbers_of_its_own():
    import tensorflow as tf

    from ecgexp.augmentation.base import row_by_row

    augment = row_by_row(SignalAugmentation().build())
    row = tf.constant(np.random.default_rng(0).standard_normal((1, 32, 2)), tf.float32)
    alike, views, seed = (
        {"signal": tf.repeat(row, 5, 0)},
        tf.zeros([5], tf.int32),
        tf.constant([1, 2]),
    )
    rows, again = (
        augment(alike, views, seed)["signal"].numpy(),
        augment(alike, views, seed)["signal"].numpy(),
    )
    np.testing.assert_array_equal(rows, again)
    assert len(np.unique(rows, axis=0)) == 5
