"""The rule of each layer class, and the layers without weights that are known to be row-wise."""

import tensorflow as tf

from ecgexp.clipping.convolution_rules import Conv1DRule, Conv2DRule, DepthwiseRule
from ecgexp.clipping.layer_rules import DenseRule, FallbackRule
from ecgexp.clipping.normalization_rules import GroupNormalizationRule, LayerNormalizationRule
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
            layers.SeparableConv1D,
            layers.SeparableConv2D,
            layers.Conv1DTranspose,
            layers.Conv2DTranspose,
            layers.Embedding,
            layers.EinsumDense,
            layers.PReLU,
        ),
        FallbackRule(),
    ),
}
"""Layer class -> rule. A subclass may compute anything, so it does not inherit a rule.

To support a new layer with weights by book-keeping, add one entry here."""

ROW_WISE = frozenset(
    {
        layers.InputLayer,
        layers.Activation,
        layers.ReLU,
        layers.LeakyReLU,
        layers.ELU,
        layers.ThresholdedReLU,
        layers.Softmax,
        Dropout,
        layers.MaxPooling1D,
        layers.MaxPooling2D,
        layers.AveragePooling1D,
        layers.AveragePooling2D,
        layers.GlobalMaxPooling1D,
        layers.GlobalMaxPooling2D,
        layers.GlobalAveragePooling1D,
        layers.GlobalAveragePooling2D,
        layers.ZeroPadding1D,
        layers.ZeroPadding2D,
        layers.Cropping1D,
        layers.Cropping2D,
        layers.UpSampling1D,
        layers.UpSampling2D,
        layers.Flatten,
        layers.Reshape,
        layers.Permute,
        layers.RepeatVector,
        layers.Rescaling,
        layers.UnitNormalization,
        layers.Add,
        layers.Subtract,
        layers.Multiply,
        layers.Average,
        layers.Maximum,
        layers.Minimum,
        layers.Concatenate,
        layers.Dot,
    }
)
"""Layers without weights whose output rows depend on the same input row only, for axes but 0."""


def rule_of(layer: tf.keras.layers.Layer) -> Rule | None:
    """Return the rule of a layer; None if it has no trainable weights or no rule."""
    return RULES.get(type(layer)) if layer.trainable_weights else None


def is_known(layer: tf.keras.layers.Layer) -> bool:
    """Return whether a layer has a rule, or is known to process each row independently."""
    return type(layer) in RULES or type(layer) in ROW_WISE
