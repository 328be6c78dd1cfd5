"""The rule of one-dimensional convolutions, and what the rules of all convolutions share."""

import math
from abc import ABC, abstractmethod

import tensorflow as tf

from ecgexp.clipping.convolution import (
    FactoredKernelGradient,
    Geometry,
    WeightGradient,
    instantiate_by_patches,
)
from ecgexp.clipping.gradients import PerUnitGradient
from ecgexp.clipping.rules import activate, add_bias, bias_gradient, refuse_channels_first

GRAM_ADVANTAGE = 0.5
"""A Gram norm is used below this ratio of its multiplications to those of instantiated gradients.

Below 1, because a Gram norm is computed in addition to the weighted sum, while instantiated
gradients are most of the work of that sum. Step time of `cnn1d` / `resnet1d` (batch 256, two busy
CPU cores): equal within noise for values from 0.25 to 2; +11 % / +21 % without Gram norms, +86 % /
+48 % with
Gram norms only."""


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
