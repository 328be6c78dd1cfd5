"""A plug-in's loss is tested before training, and is never taken to be row-wise."""

import numpy as np
import pytest
import tensorflow as tf

from ecgexp.clipping.callables import unknown_callables
from ecgexp.clipping.losses import RowWiseLoss
from ecgexp.settings.declaration import ConfigError
from ecgexp.training.loss import CrossEntropy, build_loss

COUNTS = np.array([30, 5, 1, 2, 9])


def cross_entropy(labels, logits):
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


class Foreign:
    """Settings of a loss that are none of ecgexp's."""

    def __init__(self, function, class_weights="none"):
        self.class_weights, self._function, self.seen = class_weights, function, None

    def build(self, class_counts):
        self.seen = class_counts
        return self._function


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda y, z: tf.reduce_mean(cross_entropy(y, z)), "reduced"),
        (lambda y, z: cross_entropy(y, z)[:, None], "reduced"),
        (lambda y, z: cross_entropy(y, z - tf.reduce_mean(z, axis=0)), "another example"),
        (lambda y, z: cross_entropy(y, z) / tf.reduce_max(cross_entropy(y, z)), "another example"),
        (lambda y, z: cross_entropy(y, z) * tf.cast(y == y[0], tf.float32), "another example"),
        (lambda y, z: cross_entropy(y, z) + tf.random.uniform([]), "random"),
        (lambda y, z: tf.nn.softmax_cross_entropy_with_logits(y, z), "fails for class numbers"),
        (RowWiseLoss(lambda y, z: cross_entropy(y, z)[::-1]), "another example"),
    ],
)
def test_loss_that_mixes_examples_is_refused(function, why):
    with pytest.raises(ConfigError, match=rf"^loss: .*{why}") as error:
        build_loss(Foreign(function), COUNTS)
    assert "; " in str(error.value)


def test_loss_of_a_plugin_is_computed_one_unit_at_a_time():
    model = tf.keras.Sequential([tf.keras.Input((4,)), tf.keras.layers.Dense(3)])
    loss = build_loss(Foreign(RowWiseLoss(cross_entropy)), COUNTS)
    assert unknown_callables(model, loss) == ["the loss"]
    assert unknown_callables(model, build_loss(CrossEntropy(), COUNTS)) == []


@pytest.mark.parametrize(("weights", "counts"), [("none", [1] * 5), ("balanced", [30, 5, 1, 2, 9])])
def test_loss_sees_class_counts_only_if_it_says_so(weights, counts):
    settings = Foreign(cross_entropy, weights)
    build_loss(settings, COUNTS)
    assert settings.seen.tolist() == counts
