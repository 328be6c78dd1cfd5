"""The rules of layers other than convolutions: dense, normalization, and all others.

Group and layer normalization compute statistics within one example, then apply a scale and an
offset for each channel. Gradients of layers without a specialized rule are instantiated unit by
unit.
"""

from collections.abc import Callable

import tensorflow as tf

from ecgexp.clipping.gradients import Instantiated, PerUnitGradient, outer_products, sum_views
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


class GroupNormalizationRule:
    """The `rules.Rule` of group normalization (Wu & He 2018, arXiv:1803.08494).

    Saves the normalized inputs; given these, the outputs are linear in scale and offset.
    """

    def refusal(self, layer: tf.keras.layers.GroupNormalization) -> str | None:
        """See `rules.Rule`."""
        rank = layer.input_spec.ndim
        return (
            None
            if layer.axis in (-1, rank - 1)
            else f"axis={layer.axis} is not the last axis; use axis=-1"
        )

    def linear(
        self, layer: tf.keras.layers.GroupNormalization, inputs: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `rules.Rule`."""
        channels, positions = inputs.shape[-1], inputs.shape[1:-1].num_elements()
        grouped = tf.reshape(inputs, [-1, positions, layer.groups, channels // layer.groups])
        normalized = tf.reshape(
            _standardize(grouped, [1, 3], layer.epsilon), [-1, *inputs.shape[1:]]
        )
        return normalized, _scale_and_offset(layer, normalized)

    def activate(self, layer: tf.keras.layers.Layer, preactivation: tf.Tensor) -> tf.Tensor:
        """See `rules.Rule`; the layer has no activation."""
        return preactivation

    def gradients(
        self,
        layer: tf.keras.layers.GroupNormalization,
        saved: tf.Tensor,
        upstream: tf.Tensor,
        views: int,
    ) -> list[tuple[tf.Variable, PerUnitGradient]]:
        """See `rules.Rule`."""
        return _affine_gradients(
            layer, saved, upstream, views, positions=list(range(1, saved.shape.rank - 1))
        )


class LayerNormalizationRule:
    """The `rules.Rule` of layer normalization (Ba et al. 2016, arXiv:1607.06450).

    All axes except that of the batch are supported.
    """

    def refusal(self, layer: tf.keras.layers.LayerNormalization) -> str | None:
        """See `rules.Rule`."""
        return "axis 0 mixes the examples of a batch; use axis=-1" if 0 in layer.axis else None

    def linear(
        self, layer: tf.keras.layers.LayerNormalization, inputs: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `rules.Rule`."""
        normalized = _standardize(inputs, layer.axis, layer.epsilon)
        shape = [
            inputs.shape[axis] if axis in layer.axis else 1 for axis in range(inputs.shape.rank)
        ]
        return normalized, _scale_and_offset(layer, normalized, shape)

    def activate(self, layer: tf.keras.layers.Layer, preactivation: tf.Tensor) -> tf.Tensor:
        """See `rules.Rule`; the layer has no activation."""
        return preactivation

    def gradients(
        self,
        layer: tf.keras.layers.LayerNormalization,
        saved: tf.Tensor,
        upstream: tf.Tensor,
        views: int,
    ) -> list[tuple[tf.Variable, PerUnitGradient]]:
        """See `rules.Rule`."""
        positions = [axis for axis in range(1, saved.shape.rank) if axis not in layer.axis]
        return _affine_gradients(layer, saved, upstream, views, positions=positions)


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
        values = tf.vectorized_map(of_unit, tuple(units))
        shaped = [
            tf.ensure_shape(value, [None, *weight.shape])
            for value, weight in zip(values, weights, strict=True)
        ]
        return [
            (weight, Instantiated(value)) for weight, value in zip(weights, shaped, strict=True)
        ]


def _standardize(values: tf.Tensor, axes: list[int], epsilon: float) -> tf.Tensor:
    """Compute (values - mean) / sqrt(variance + epsilon), with mean and variance over `axes`.

    The custom gradient needs only the result and the scale; TensorFlow's automatic gradient would
    keep every intermediate tensor in memory.
    """

    @tf.custom_gradient
    def standardize(values: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        centered = values - tf.reduce_mean(values, axes, keepdims=True)
        scale = tf.math.rsqrt(tf.reduce_mean(tf.square(centered), axes, keepdims=True) + epsilon)
        normalized = centered * scale

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            along = normalized * tf.reduce_mean(upstream * normalized, axes, keepdims=True)
            return scale * (upstream - tf.reduce_mean(upstream, axes, keepdims=True) - along)

        return normalized, gradient

    return standardize(values)


def _scale_and_offset(
    layer: tf.keras.layers.Layer, normalized: tf.Tensor, shape: list[int] | None = None
) -> tf.Tensor:
    outputs = normalized
    if layer.scale:
        outputs *= layer.gamma if shape is None else tf.reshape(layer.gamma, shape)
    if layer.center:
        outputs += layer.beta if shape is None else tf.reshape(layer.beta, shape)
    return outputs if layer.scale or layer.center else tf.identity(outputs)


def _affine_gradients(
    layer: tf.keras.layers.Layer,
    normalized: tf.Tensor,
    upstream: tf.Tensor,
    views: int,
    *,
    positions: list[int],
) -> list[tuple[tf.Variable, PerUnitGradient]]:
    """Compute the gradients of scale (upstream * normalized) and offset (upstream).

    Both are summed over `positions`, the axes that share a weight.
    """
    found = []
    if layer.scale:
        found.append(
            (
                layer.gamma,
                Instantiated(sum_views(tf.reduce_sum(upstream * normalized, positions), views)),
            )
        )
    if layer.center:
        found.append(
            (layer.beta, Instantiated(sum_views(tf.reduce_sum(upstream, positions), views)))
        )
    return found
