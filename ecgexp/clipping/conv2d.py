"""The rule of two-dimensional convolutions."""

import tensorflow as tf

from ecgexp.clipping.conv1d import (
    ConvolutionRule,
    gram_products,
    instantiated_products,
    summed_gradient,
)
from ecgexp.clipping.convolution import (
    FactoredKernelGradient,
    Geometry,
    instantiate_by_patches,
    instantiate_by_unit,
)
from ecgexp.clipping.gradients import PerUnitGradient

GRAM_ADVANTAGE = 0.5
"""As in `conv1d`. In `cnn2d` both forms are equally fast; the Gram norm needs less memory."""

PATCH_NUMBERS = 2**17
"""Largest number of values in the patches of one row for which patches are instantiated.

Above it, one ordinary convolution gradient per unit is computed, which needs no memory for patches.
Step time of `cnn2d` (batch 50, two busy CPU cores): +12 % with patches only, the same with one
convolution gradient per unit only."""


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
