"""The rule of dense layers, applied to vectors or to each position of a sequence or image."""

import tensorflow as tf

from ecgexp.clipping.gradients import PerUnitGradient, outer_products
from ecgexp.clipping.rules import activate, add_bias, bias_gradient


class DenseRule:
    """The `rules.Rule` of dense layers.

    The kernel's gradient is a sum of outer products over positions and views.
    """

    def refusal(self, layer: tf.keras.layers.Layer) -> str | None:
        """See `rules.Rule`."""
        return None

    def linear(
        self, layer: tf.keras.layers.Layer, inputs: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `rules.Rule`; saves the inputs."""
        return inputs, add_bias(
            layer,
            tf.tensordot(inputs, layer.kernel, 1)
            if inputs.shape.rank > 2
            else inputs @ layer.kernel,
        )

    def activate(self, layer: tf.keras.layers.Layer, preactivation: tf.Tensor) -> tf.Tensor:
        """See `rules.Rule`."""
        return activate(layer, preactivation)

    def gradients(
        self, layer: tf.keras.layers.Layer, saved: tf.Tensor, upstream: tf.Tensor, views: int
    ) -> list[tuple[tf.Variable, PerUnitGradient]]:
        """See `rules.Rule`."""
        positions = views * saved.shape[1:-1].num_elements()
        inputs, outputs = layer.kernel.shape
        left, right = (
            tf.reshape(saved, [-1, positions, inputs]),
            tf.reshape(upstream, [-1, positions, outputs]),
        )
        return [(layer.kernel, outer_products(left, right)), *bias_gradient(layer, upstream, views)]
