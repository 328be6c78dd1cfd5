"""Which layer has which rule, and which layers without weights are known to keep the rows of a batch apart."""

import tensorflow as tf

from ecgexp.clipping.conv1d import Conv1DRule
from ecgexp.clipping.conv2d import Conv2DRule
from ecgexp.clipping.dense import DenseRule
from ecgexp.clipping.depthwise import DepthwiseRule
from ecgexp.clipping.fallback import FallbackRule
from ecgexp.clipping.normalization import GroupNormalizationRule, LayerNormalizationRule
from ecgexp.clipping.rules import Rule
from ecgexp.models.dropout import Dropout

layers = tf.keras.layers

RULES: dict[type, Rule] = {
    layers.Dense: DenseRule(),
    layers.Conv1D: Conv1DRule(),
    layers.Conv2D: Conv2DRule(),
    layers.DepthwiseConv1D: DepthwiseRule(),
    layers.DepthwiseConv2D: DepthwiseRule(),
    layers.GroupNormalization: GroupNormalizationRule(),
    layers.LayerNormalization: LayerNormalizationRule(),
    **dict.fromkeys(
        (
            layers.SeparableConv1D, layers.SeparableConv2D, layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Embedding,
            layers.EinsumDense, layers.PReLU,
        ),
        FallbackRule(),
    ),
}  # fmt: skip
"""By exact class: a subclass may do anything, so it inherits no rule. A new layer with weights needs one entry here."""

ROW_WISE = frozenset({
    layers.InputLayer, layers.Activation, layers.ReLU, layers.LeakyReLU, layers.ELU, layers.ThresholdedReLU, layers.Softmax,
    Dropout,
    layers.MaxPooling1D, layers.MaxPooling2D, layers.AveragePooling1D, layers.AveragePooling2D,
    layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D,
    layers.ZeroPadding1D, layers.ZeroPadding2D, layers.Cropping1D, layers.Cropping2D, layers.UpSampling1D, layers.UpSampling2D,
    layers.Flatten, layers.Reshape, layers.Permute, layers.RepeatVector, layers.Rescaling, layers.UnitNormalization,
    layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum, layers.Concatenate, layers.Dot,
})  # fmt: skip
"""Layers without weights whose output row depends on the same input row alone, along any axis but 0."""


def rule_of(layer: tf.keras.layers.Layer) -> Rule | None:
    """The rule of a layer that has weights to train; None for one that has not, or that has no rule."""
    return RULES.get(type(layer)) if layer.trainable_weights else None
