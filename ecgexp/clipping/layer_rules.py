"""The rules of dense layers, and of layers without a specialized rule.

Gradients of the latter are instantiated unit by unit.
"""

import tensorflow as tf

from ecgexp.clipping.gradients import Instantiated, PerUnitGradient, outer_products
from ecgexp.clipping.rules import activate, add_bias, bias_gradient


class DenseRule:
    """The `rules.Rule` of dense layers, applied to vectors or to each position of a sequence.

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


class FallbackRule:
    """The `rules.Rule` of layers without a specialized rule.

    `linear` runs the layer; `gradients` runs it again for each unit, vectorized over units. This is
    exact only if both runs compute the same, so layers that contain dropout are rejected.
    """

    def refusal(self, layer: tf.keras.layers.Layer) -> str | None:
        """See `rules.Rule`."""
        if getattr(layer, "mask_zero", False):
            return "mask_zero=True passes a mask through the model; use mask_zero=False"
        random = [name for name in ("dropout", "recurrent_dropout") if getattr(layer, name, 0)]
        if random:
            return (
                f"{random[0]}={getattr(layer, random[0])} draws another mask in the second run; "
                "use ecgexp.models.dropout.Dropout as a layer"
            )
        return (
            "stateful=True carries state from one batch to the next; use stateful=False"
            if getattr(layer, "stateful", False)
            else None
        )

    def linear(
        self, layer: tf.keras.layers.Layer, inputs: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `rules.Rule`; saves the inputs and uses the layer's outputs as pre-activation."""
        return inputs, tf.identity(layer(inputs))

    def activate(self, layer: tf.keras.layers.Layer, preactivation: tf.Tensor) -> tf.Tensor:
        """See `rules.Rule`."""
        return preactivation

    def gradients(
        self, layer: tf.keras.layers.Layer, saved: tf.Tensor, upstream: tf.Tensor, views: int
    ) -> list[tuple[tf.Variable, PerUnitGradient]]:
        """See `rules.Rule`."""
        weights = layer.trainable_weights

        def of_unit(rows: tuple[tf.Tensor, tf.Tensor]) -> list[tf.Tensor]:
            inputs, gradient = rows
            with tf.GradientTape() as tape:
                outputs = layer(inputs)
            found = tape.gradient(
                outputs, weights, output_gradients=gradient, unconnected_gradients="zero"
            )
            return [tf.convert_to_tensor(value) for value in found]

        units = [tf.reshape(rows, [-1, views, *rows.shape[1:]]) for rows in (saved, upstream)]
        values = tf.vectorized_map(of_unit, tuple(units), warn=False)
        shaped = [
            tf.ensure_shape(value, [None, *weight.shape])
            for value, weight in zip(values, weights, strict=True)
        ]
        return [
            (weight, Instantiated(value)) for weight, value in zip(weights, shaped, strict=True)
        ]
