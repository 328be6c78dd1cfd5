"""Convolutions over pictures."""

import tensorflow as tf

from ecgexp.clipping.conv1d import ConvolutionRule, gram_products, summed_gradient, written_products
from ecgexp.clipping.convolution import Geometry, UnwrittenKernelGradient, one_by_one, written_out
from ecgexp.clipping.gradients import PerUnitGradient

GRAM_ADVANTAGE = 0.5
"""As in `conv1d`; in `cnn2d` both forms take the same time within noise, and the Gram norm spares the memory of the gradients."""

PATCH_NUMBERS = 2**17
"""Most numbers in one row's patches for the product of patches; above, one ordinary convolution gradient per unit takes no memory
for them. Measured on two busy CPU cores, step time of `cnn2d` (batch 50): never one by one +12 %, always one by one the same."""


class Conv2DRule(ConvolutionRule):
    """See `rules.Rule`."""

    def kernel_gradient(
        self,
        layer: tf.keras.layers.Conv2D,
        inputs: tf.Tensor,
        upstream: tf.Tensor,
        geometry: Geometry,
        views: int,
    ) -> PerUnitGradient:
        """See `ConvolutionRule`."""
        if layer.groups > 1:
            return written_out(inputs, upstream, geometry, groups=layer.groups, views=views)
        if gram_products(inputs, upstream, geometry, views) < GRAM_ADVANTAGE * written_products(
            layer, geometry, views
        ):
            return UnwrittenKernelGradient(
                inputs=inputs,
                upstream=upstream,
                geometry=geometry,
                gradient=summed_gradient(layer),
                views=views,
            )
        if geometry.positions * geometry.taps * inputs.shape[-1] > PATCH_NUMBERS:
            return one_by_one(inputs, upstream, summed_gradient(layer), views=views)
        return written_out(inputs, upstream, geometry, groups=1, views=views)
