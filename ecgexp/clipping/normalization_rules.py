"""The rules of group and layer normalization.

Both compute statistics within one example, then apply a scale and an offset for each channel.
"""

from collections.abc import Callable

import tensorflow as tf

from ecgexp.clipping.gradients import Instantiated, PerUnitGradient, sum_views


class GroupNormalizationRule:
    """The `rules.Rule` of group normalization (Wu & He 2018, arXiv:1803.08494).

    Saves the centered inputs; the outputs are linear in scale and offset.

    The gradient with respect to the inputs needs, for each example and channel, the sums over
    positions that are the gradients of scale and offset too. Both compute them by
    `_sums_over_positions`, so TensorFlow's graph optimizer computes them once.
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
        """See `rules.Rule`; saves (rows, positions, channels)."""
        channels, positions = inputs.shape[-1], inputs.shape[1:-1].num_elements()
        outputs, centered = _group_normalize(layer, tf.reshape(inputs, [-1, positions, channels]))
        return centered, tf.reshape(outputs, [-1, *inputs.shape[1:]])

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
        of_scale, of_offset = _sums_over_positions(
            saved, _inverse_deviation(layer, saved), tf.reshape(upstream, tf.shape(saved))
        )
        found = []
        if layer.scale:
            found.append((layer.gamma, Instantiated(sum_views(of_scale, views))))
        if layer.center:
            found.append((layer.beta, Instantiated(sum_views(of_offset, views))))
        return found


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


def _group_normalize(
    layer: tf.keras.layers.GroupNormalization, values: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Normalize (rows, positions, channels); also return the centered values.

    Statistics are broadcast as (rows, 1, channels) and sums are taken over positions first, because
    TensorFlow broadcasts and reduces a split last axis several times slower on a CPU.
    """
    scale = tf.convert_to_tensor(layer.gamma) if layer.scale else None
    offset = tf.convert_to_tensor(layer.beta) if layer.center else None

    @tf.custom_gradient
    def normalize(values: tf.Tensor) -> tuple[tuple[tf.Tensor, tf.Tensor], Callable]:
        positions = values.shape[1]
        mean = _group_means(layer, tf.reduce_sum(values, axis=1), positions)
        centered = values - mean[:, tf.newaxis]
        inverse = _inverse_deviation(layer, centered)
        slope = inverse if scale is None else inverse * scale
        outputs = centered * slope[:, tf.newaxis]
        outputs = outputs if offset is None else outputs + offset

        def gradient(upstream: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
            # With z the normalized values and g the scale: (g u - mean(g u) - z mean(g u z)) / std,
            # means over each group.
            of_scale, of_offset = _sums_over_positions(centered, inverse, upstream)
            if scale is not None:
                of_scale, of_offset = of_scale * scale, of_offset * scale
            along = tf.square(inverse) * _group_means(layer, of_scale, positions)
            level = inverse * _group_means(layer, of_offset, positions)
            return (
                upstream * slope[:, tf.newaxis]
                - centered * along[:, tf.newaxis]
                - level[:, tf.newaxis]
            )

        return (outputs, centered), gradient

    return normalize(values)


def _inverse_deviation(layer: tf.keras.layers.GroupNormalization, centered: tf.Tensor) -> tf.Tensor:
    """Return the (rows, channels) reciprocal of the standard deviation of each channel's group."""
    squares = tf.reduce_sum(tf.square(centered), axis=1)
    return tf.math.rsqrt(_group_means(layer, squares, centered.shape[1]) + layer.epsilon)


def _sums_over_positions(
    centered: tf.Tensor, inverse: tf.Tensor, upstream: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Sum upstream * normalized values, and upstream, over positions: both (rows, channels)."""
    return (
        inverse * tf.reduce_sum(upstream * centered, axis=1),
        tf.reduce_sum(upstream, axis=1),
    )


def _group_means(
    layer: tf.keras.layers.GroupNormalization, sums: tf.Tensor, positions: int
) -> tf.Tensor:
    """Return the mean over each group, for each of its channels, from sums over positions.

    Args:
      layer: has the number of groups.
      sums: (rows, channels).
      positions: number of values in each sum.
    """
    size = sums.shape[-1] // layer.groups
    means = tf.reduce_sum(tf.reshape(sums, [-1, layer.groups, size]), axis=2) / (positions * size)
    return tf.repeat(means, size, axis=1)


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
