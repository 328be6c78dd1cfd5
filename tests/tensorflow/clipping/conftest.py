"""Fixtures of the clipping tests: loss, random batches, independent reference loop, distance."""

import numpy as np
import pytest


@pytest.fixture
def loss_fn():
    import tensorflow as tf

    return tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="none")


@pytest.fixture
def random_batch():
    """(model, rows, seed=0, scale=1) -> normal features and random class numbers."""
    import tensorflow as tf

    def draw(model, rows, *, seed=0, scale=1.0):
        rng = np.random.default_rng(seed)
        features = {
            name: tf.constant(scale * rng.normal(size=(rows, *tensor.shape[1:])), tensor.dtype)
            for name, tensor in zip(model.input_names, model.inputs, strict=True)
        }
        return features, tf.constant(rng.integers(0, model.output_shape[-1], size=rows))

    return draw


@pytest.fixture
def explicit_loop(loss_fn):
    """(model, features, labels, clip, views=1, bounds=None) -> sum of clipped gradients, norms.

    A Python loop over units that uses no code of ecgexp. If `bounds` (units,) are given, gradients
    are clipped by them instead of by their norms.
    """
    import tensorflow as tf

    def loop(model, features, labels, clip, *, views=1, bounds=None):
        total, norms = [np.zeros(variable.shape) for variable in model.trainable_variables], []
        for start in range(0, len(labels), views):
            rows = slice(start, start + views)
            # Each unit twice, which does not change its mean gradient: oneDNN in TensorFlow 2.15
            # writes out
            # of bounds in the gradient of a 1-tap convolution with stride 2 on one row.
            inputs = {name: tf.repeat(value[rows], 2, axis=0) for name, value in features.items()}
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(
                    loss_fn(tf.repeat(labels[rows], 2), model(inputs, training=True))
                )
            found = tape.gradient(loss, model.trainable_variables)
            gradient = [tf.convert_to_tensor(value).numpy().astype(np.float64) for value in found]
            norms.append(np.sqrt(sum(np.sum(value**2) for value in gradient)))
            factor = min(
                1.0,
                clip / max(norms[-1] if bounds is None else float(bounds[len(norms) - 1]), 1e-30),
            )
            total = [old + factor * value for old, value in zip(total, gradient, strict=True)]
        return total, np.array(norms)

    return loop


@pytest.fixture
def distance():
    """(left, right) -> L2 distance of two lists of arrays, in float64."""

    def between(left, right):
        pairs = zip(left, right, strict=True)
        return np.sqrt(
            sum(
                np.sum((np.asarray(a, np.float64) - np.asarray(b, np.float64)) ** 2)
                for a, b in pairs
            )
        )

    return between


@pytest.fixture
def assert_agrees(loss_fn, explicit_loop, distance):
    """(model, features, labels, views=1, methods=…): every method agrees with the loop.

    Norms are upper bounds and may exceed those of the loop by a relative 1e-3. The sum must be the
    one that follows from these bounds, to a relative 1e-5.
    """
    import tensorflow as tf

    from ecgexp.clipping.build import build_clipper

    def check(model, features, labels, *, views=1, methods=("ghost",)):
        units = len(labels) // views
        _, norms = explicit_loop(model, features, labels, np.inf, views=views)
        clip = float(np.median(norms))  # some units are clipped, some are not
        for method in methods:
            clipper = build_clipper(model, loss_fn, l2_norm_clip=clip, method=method, views=views)
            got = clipper(features, labels, tf.ones(units))
            longer = np.asarray(got.norms, np.float64) / norms - 1
            assert longer.min() >= -1e-5, (method, longer)
            assert longer.max() <= 1e-3, (method, longer)
            wanted, _ = explicit_loop(model, features, labels, clip, views=views, bounds=got.norms)
            zeros = [np.zeros_like(value) for value in wanted]
            assert distance(got.gradients, wanted) <= 1e-5 * distance(wanted, zeros), method

    return check
