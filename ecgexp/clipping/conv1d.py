"""Convolutions along time."""

import math
from abc import ABC, abstractmethod

import tensorflow as tf

from ecgexp.clipping.convolution import (
    Geometry,
    UnwrittenKernelGradient,
    WeightGradient,
    written_out,
)
from ecgexp.clipping.gradients import PerUnitGradient
from ecgexp.clipping.rules import activate, add_bias, bias_gradient, refuse_channels_first

GRAM_ADVANTAGE = 0.5
"""A Gram norm is taken where its products number less than this fraction of those of the gradients written out.

Below 1, because a Gram norm comes on top of the weighted sum, while gradients written out are most of it. Measured on two busy
CPU cores, step time of `cnn1d` / `resnet1d` (batch 256): flat within noise from 0.25 to 2; never a Gram norm +11 % / +21 %,
always one +86 % / +48 %."""


class ConvolutionRule(ABC):
    """See `rules.Rule`; what convolutions of all dimensions share. Subclasses choose the form of the kernel's gradient."""

    def refusal(self, layer: tf.keras.layers.Layer) -> str | None:
        """See `rules.Rule`."""
        return refuse_channels_first(layer)

    def linear(
        self, layer: tf.keras.layers.Layer, inputs: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `rules.Rule`; saves the inputs, with the zeros of causal padding."""
        if layer.padding == "causal":
            inputs = tf.pad(
                inputs, [(0, 0), (layer.dilation_rate[0] * (layer.kernel_size[0] - 1), 0), (0, 0)]
            )
        return inputs, add_bias(layer, convolve(layer, inputs, layer.kernel))

    def activate(self, layer: tf.keras.layers.Layer, preactivation: tf.Tensor) -> tf.Tensor:
        """See `rules.Rule`."""
        return activate(layer, preactivation)

    def gradients(
        self, layer: tf.keras.layers.Layer, saved: tf.Tensor, upstream: tf.Tensor, views: int
    ) -> list[tuple[tf.Variable, PerUnitGradient]]:
        """See `rules.Rule`."""
        geometry = Geometry.of(layer, saved, upstream)
        return [
            (layer.kernel, self.kernel_gradient(layer, saved, upstream, geometry, views)),
            *bias_gradient(layer, upstream, views),
        ]

    @abstractmethod
    def kernel_gradient(
        self,
        layer: tf.keras.layers.Layer,
        inputs: tf.Tensor,
        upstream: tf.Tensor,
        geometry: Geometry,
        views: int,
    ) -> PerUnitGradient:
        """The kernel's gradient for each unit, in the form that is cheapest for its shape."""


class Conv1DRule(ConvolutionRule):
    """See `rules.Rule`."""

    def kernel_gradient(
        self,
        layer: tf.keras.layers.Conv1D,
        inputs: tf.Tensor,
        upstream: tf.Tensor,
        geometry: Geometry,
        views: int,
    ) -> PerUnitGradient:
        """See `ConvolutionRule`."""
        if layer.groups == 1 and gram_products(
            inputs, upstream, geometry, views
        ) < GRAM_ADVANTAGE * written_products(layer, geometry, views):
            return UnwrittenKernelGradient(
                inputs=inputs,
                upstream=upstream,
                geometry=geometry,
                gradient=summed_gradient(layer),
                views=views,
            )
        return written_out(inputs, upstream, geometry, groups=layer.groups, views=views)


def gram_products(inputs: tf.Tensor, upstream: tf.Tensor, geometry: Geometry, views: int) -> int:
    """Multiplications that a unit's Gram norm takes."""
    met = math.prod(geometry.phases) * math.prod(geometry.phase_lengths) ** 2
    return views**2 * (
        met * (inputs.shape[-1] + sum(geometry.kernel)) + geometry.positions**2 * upstream.shape[-1]
    )


def written_products(layer: tf.keras.layers.Layer, geometry: Geometry, views: int) -> int:
    """Multiplications that a unit's written-out kernel gradient takes."""
    return views * geometry.positions * layer.kernel.shape.num_elements()


def convolve(layer: tf.keras.layers.Layer, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """The layer's convolution, without bias.

    TensorFlow has no gradient of a grouped convolution on CPU; Keras compiles such a layer with XLA, which is several
    times slower here than one convolution for each group.
    """
    if layer.groups == 1:
        return layer.convolution_op(inputs, kernel)
    pairs = zip(tf.split(inputs, layer.groups, -1), tf.split(kernel, layer.groups, -1), strict=True)
    return tf.concat([layer.convolution_op(part, part_kernel) for part, part_kernel in pairs], -1)


def summed_gradient(layer: tf.keras.layers.Layer) -> WeightGradient:
    """(inputs, upstream) -> the gradient of the layer's kernel, summed over rows, by TensorFlow's own operation."""

    def gradient(inputs: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
        kernel = tf.convert_to_tensor(layer.kernel)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(kernel)
            outputs = layer.convolution_op(
                inputs, kernel
            )  # inside a tf.function it is pruned: nothing reads it
        return tape.gradient(outputs, kernel, output_gradients=upstream)

    return gradient
