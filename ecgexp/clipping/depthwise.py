"""The rule of depthwise convolutions, in which each channel has its own small kernel."""

import itertools
from collections.abc import Iterator

import tensorflow as tf

from ecgexp.clipping.convolution import Geometry, split_phases
from ecgexp.clipping.gradients import Instantiated, PerUnitGradient, sum_views
from ecgexp.clipping.rules import activate, add_bias, bias_gradient, refuse_channels_first


class DepthwiseRule:
    """The `rules.Rule` of depthwise convolutions in one or two dimensions.

    The kernels are small, so their gradients are always instantiated.
    """

    def refusal(self, layer: tf.keras.layers.Layer) -> str | None:
        """See `rules.Rule`."""
        return refuse_channels_first(layer)

    def linear(
        self, layer: tf.keras.layers.Layer, inputs: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `rules.Rule`; saves the inputs."""
        images, kernel = inputs, layer.depthwise_kernel
        strides, dilations = tuple(layer.strides), tuple(layer.dilation_rate)
        if layer.rank == 1:  # computed as an image of height 1; TensorFlow requires equal strides
            images, kernel = inputs[:, tf.newaxis], kernel[tf.newaxis]
            strides, dilations = strides * 2, (1, *dilations)
        outputs = tf.nn.depthwise_conv2d(
            images, kernel, [1, *strides, 1], layer.padding.upper(), dilations=dilations
        )
        return inputs, add_bias(layer, outputs[:, 0] if layer.rank == 1 else outputs)

    def activate(self, layer: tf.keras.layers.Layer, preactivation: tf.Tensor) -> tf.Tensor:
        """See `rules.Rule`."""
        return activate(layer, preactivation)

    def gradients(
        self, layer: tf.keras.layers.Layer, saved: tf.Tensor, upstream: tf.Tensor, views: int
    ) -> list[tuple[tf.Variable, PerUnitGradient]]:
        """See `rules.Rule`.

        The gradient of a tap is the inputs that it reads times the upstream gradient, summed over
        positions.
        """
        geometry = Geometry.of(layer, saved, upstream)
        channels, multiplier = layer.depthwise_kernel.shape[-2:]
        split = split_phases(saved, geometry)[..., tf.newaxis]
        by_channel = tf.reshape(upstream, [-1, *geometry.outputs, channels, multiplier])
        positions = list(range(1, 1 + len(geometry.outputs)))
        taps = [
            sum_views(
                tf.reduce_sum(split[(slice(None), *_of_split(place))] * by_channel, positions),
                views,
            )
            for place in geometry.places()
        ]
        values = tf.reshape(tf.stack(taps, axis=1), [-1, *layer.depthwise_kernel.shape])
        return [
            (layer.depthwise_kernel, Instantiated(values)),
            *bias_gradient(layer, upstream, views),
        ]


def _of_split(place: tuple[tuple[int, slice], ...]) -> Iterator[int | slice]:
    """Yield the positions and the phase of each dimension, in the order of `split_phases`."""
    return itertools.chain(*((window, phase) for phase, window in place))
