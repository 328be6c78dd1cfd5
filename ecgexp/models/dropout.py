"""Dropout whose generator a run can set, in every kind of graph."""

from typing import Any

import tensorflow as tf


class Dropout(tf.keras.layers.Layer):
    """Set a share of inputs to zero in training and scale up the others (Srivastava et al. 2014).

    Keras' own layer draws from a counter inside the operation, which no checkpoint reaches, or from
    a generator that it only makes outside a graph; in the graphs of TensorFlow Federated it falls
    back to the counter.

    Args:
      rate: share that is dropped.
    """

    def __init__(self, rate: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.rate = rate
        # Not a weight: it is neither trained, nor averaged over clients, nor saved. A list would be
        # tracked, a lambda is not.
        generator = tf.random.Generator.from_state([0, 0, 0], alg="philox")
        self._get_generator = lambda: generator

    def restart(self, seed: Any) -> None:
        """Set the generator to the start of stream `seed`, an integer or int64 tensor < 2^63."""
        # Three words are Philox's counter and key. One integer would be the counter alone, under
        # the key 0: the masks of two layers would be the same stream, a few values apart.
        zero = tf.zeros([], tf.int64)
        self._get_generator().state.assign(tf.stack([zero, zero, tf.cast(seed, tf.int64)]))

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """(batch, ...) of the inputs' shape; the inputs themselves outside training."""
        if not training or not self.rate:
            return tf.identity(inputs)
        uniform = self._get_generator().uniform(tf.shape(inputs), dtype=tf.float32)
        scaled = inputs / tf.cast(1 - self.rate, inputs.dtype)
        return tf.where(uniform >= self.rate, scaled, tf.zeros_like(scaled))

    def get_config(self) -> dict[str, Any]:
        """See `tf.keras.layers.Layer.get_config`."""
        return {**super().get_config(), "rate": self.rate}
