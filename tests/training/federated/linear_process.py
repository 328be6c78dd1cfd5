"""Federated averaging of y = w·x + b on two features: small enough to follow by hand."""

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

LEARNING_RATE = 0.1


def build_process() -> tff.learning.templates.LearningProcess:
    spec = (tf.TensorSpec((None, 2)), tf.TensorSpec((None, 1)))

    def model_fn():
        layers = [tf.keras.layers.InputLayer((2,)), tf.keras.layers.Dense(1)]
        loss = tf.keras.losses.MeanSquaredError()
        return tff.learning.models.from_keras_model(tf.keras.Sequential(layers), loss=loss, input_spec=spec)

    return tff.learning.algorithms.build_weighted_fed_avg(
        model_fn, client_optimizer_fn=tff.learning.optimizers.build_sgdm(LEARNING_RATE)
    )


def client(x, y) -> tf.data.Dataset:
    """One batch of all rows."""
    arrays = np.asarray(x, np.float32), np.asarray(y, np.float32).reshape(-1, 1)
    return tf.data.Dataset.from_tensor_slices(arrays).batch(len(x))


def slow_client(x, y) -> tf.data.Dataset:
    """`client`, whose beats come only after seconds of looking for them."""
    dataset = client(x, y)
    nothing = tf.data.Dataset.range(1_500_000).filter(lambda number: number < 0).flat_map(lambda _: dataset)
    return nothing.concatenate(dataset)


def endless_client() -> tf.data.Dataset:
    """A round with it never ends by itself."""
    return client([[0, 0]], [0]).repeat()
