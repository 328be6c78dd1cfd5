"""The rules of convolutions: in one and two dimensions, and depthwise."""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator

import tensorflow as tf

from ecgexp.clipping.convolution import (
    FactoredKernelGradient,
    WeightGradient,
    instantiate_by_patches,
    instantiate_by_unit,
)
from ecgexp.clipping.convolution_geometry import Geometry, split_phases
from ecgexp.clipping.gradients import Instantiated, PerUnitGradient, sum_views
from ecgexp.clipping.rules import activate, add_bias, bias_gradient, refuse_channels_first

GRAM_ADVANTAGE = 0.5
"""A Gram norm is used below this ratio of its multiplications to those of instantiated gradients.

Below 1, because a Gram norm is computed in addition to the weighted sum, while instantiated
gradients are most of the work of that sum. Step time of `cnn1d` / `resnet1d` (batch 256, two busy
CPU cores): equal within noise for values from 0.25 to 2; +11 % / +21 % without Gram norms, +86 % /
+48 % with Gram norms only. In `cnn2d` both forms are equally fast; the Gram norm needs less
memory."""

PATCH_NUMBERS = 2**17
"""Largest number of values in the patches of one row for which a 2D convolution instantiates them.

Above it, one ordinary convolution gradient per unit is computed, which needs no memory for patches.
Step time of `cnn2d` (batch 50, two busy CPU cores): +12 % with patches only, the same with one
convolution gradient per unit only."""


class ConvolutionRule(ABC):
    """The `rules.Rule` of convolutions; subclasses choose the form of the kernel's gradient."""

    def refusal(self, layer: tf.keras.layers.Layer) -> str | None:
        """See `rules.Rule`."""
        return refuse_channels_first(layer)

    def linear(
        self, layer: tf.keras.layers.Layer, inputs: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `rules.Rule`; saves the inputs, including the zeros of causal padding."""
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
        """Return the kernel's gradient for each unit, in the cheapest form for its shape.

        Args:
          layer: the convolution.
          inputs: (rows, *inputs, channels).
          upstream: (rows, *outputs, filters).
          geometry: geometry of the convolution.
          views: adjacent rows of one unit.
        """


class Conv1DRule(ConvolutionRule):
    """The `rules.Rule` of one-dimensional convolutions."""

    def kernel_gradient(
        self,
        layer: tf.keras.layers.Layer,
        inputs: tf.Tensor,
        upstream: tf.Tensor,
        geometry: Geometry,
        views: int,
    ) -> PerUnitGradient:
        """See `ConvolutionRule`."""
        if layer.groups == 1 and gram_products(
            inputs, upstream, geometry, views
        ) < GRAM_ADVANTAGE * instantiated_products(layer, geometry, views):
            return FactoredKernelGradient(
                inputs=inputs,
                upstream=upstream,
                geometry=geometry,
                gradient=summed_gradient(layer),
                views=views,
            )
        return instantiate_by_patches(inputs, upstream, geometry, groups=layer.groups, views=views)


class Conv2DRule(ConvolutionRule):
    """The `rules.Rule` of two-dimensional convolutions."""

    def kernel_gradient(
        self,
        layer: tf.keras.layers.Layer,
        inputs: tf.Tensor,
        upstream: tf.Tensor,
        geometry: Geometry,
        views: int,
    ) -> PerUnitGradient:
        """See `ConvolutionRule`."""
        if layer.groups > 1:
            return instantiate_by_patches(
                inputs, upstream, geometry, groups=layer.groups, views=views
            )
        if gram_products(
            inputs, upstream, geometry, views
        ) < GRAM_ADVANTAGE * instantiated_products(layer, geometry, views):
            return FactoredKernelGradient(
                inputs=inputs,
                upstream=upstream,
                geometry=geometry,
                gradient=summed_gradient(layer),
                views=views,
            )
        if geometry.positions * geometry.taps * inputs.shape[-1] > PATCH_NUMBERS:
            return instantiate_by_unit(inputs, upstream, summed_gradient(layer), views=views)
        return instantiate_by_patches(inputs, upstream, geometry, groups=1, views=views)


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


def gram_products(inputs: tf.Tensor, upstream: tf.Tensor, geometry: Geometry, views: int) -> int:
    """Count the multiplications of the Gram norm of one unit."""
    met = math.prod(geometry.phases) * math.prod(geometry.phase_lengths) ** 2
    return views**2 * (
        met * (inputs.shape[-1] + sum(geometry.kernel)) + geometry.positions**2 * upstream.shape[-1]
    )


def instantiated_products(layer: tf.keras.layers.Layer, geometry: Geometry, views: int) -> int:
    """Count the multiplications of the instantiated kernel gradient of one unit."""
    return views * geometry.positions * layer.kernel.shape.num_elements()


def convolve(layer: tf.keras.layers.Layer, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Compute the layer's convolution, without bias.

    TensorFlow has no gradient of grouped convolutions on CPU. Keras compiles such layers with XLA,
    which is several times slower here than one convolution for each group.

    Args:
      layer: the convolution.
      inputs: (rows, *inputs, channels).
      kernel: (*kernel, channels / groups, filters).

    Returns:
      (rows, *outputs, filters).
    """
    if layer.groups == 1:
        return layer.convolution_op(inputs, kernel)
    pairs = zip(tf.split(inputs, layer.groups, -1), tf.split(kernel, layer.groups, -1), strict=True)
    return tf.concat([layer.convolution_op(part, part_kernel) for part, part_kernel in pairs], -1)


def summed_gradient(layer: tf.keras.layers.Layer) -> WeightGradient:
    """Return a function that computes the layer's kernel gradient, summed over rows.

    The function has the arguments `inputs` and `upstream` and uses TensorFlow's operation.
    """

    def gradient(inputs: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
        kernel = tf.convert_to_tensor(layer.kernel)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(kernel)
            # In a tf.function, the graph optimizer removes this convolution: its result is not
            # used.
            outputs = layer.convolution_op(inputs, kernel)
        return tape.gradient(outputs, kernel, output_gradients=upstream)

    return gradient


def _of_split(place: tuple[tuple[int, slice], ...]) -> Iterator[int | slice]:
    """Yield the positions and the phase of each dimension, in the order of `split_phases`."""
    return itertools.chain(*((window, phase) for phase, window in place))
