"""What a layer family must know so that its per-example gradients come from one forward and one backward pass."""

from typing import Protocol

import tensorflow as tf

from ecgexp.clipping.gradients import Instantiated, PerUnitGradient, sum_views


class Rule(Protocol):
    """One layer family. The layer is split at its pre-activation, the last tensor that is linear in its weights."""

    def refusal(self, layer: tf.keras.layers.Layer) -> str | None:
        """Why this layer, with its settings, cannot be handled; None if it can."""

    def linear(
        self, layer: tf.keras.layers.Layer, inputs: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Runs the part with weights.

        Args:
          layer: the layer.
          inputs: (rows, ...).

        Returns:
          What `gradients` needs of the forward pass, (rows, ...), and the pre-activation, (rows, ...).
        """

    def activate(self, layer: tf.keras.layers.Layer, preactivation: tf.Tensor) -> tf.Tensor:
        """Runs the rest of the layer."""

    def gradients(
        self, layer: tf.keras.layers.Layer, saved: tf.Tensor, upstream: tf.Tensor, views: int
    ) -> list[tuple[tf.Variable, PerUnitGradient]]:
        """Each weight with its gradient for each unit.

        Args:
          layer: the layer.
          saved: from `linear`.
          upstream: (rows, ...) gradient of the loss with respect to the pre-activation.
          views: adjacent rows that make one unit.
        """


def refuse_channels_first(layer: tf.keras.layers.Layer) -> str | None:
    """The `Rule.refusal` of convolutions, whose gradients are written for channels in the last axis."""
    if layer.data_format != "channels_last":
        return f"data_format={layer.data_format} has no rule; type data_format='channels_last'"
    return None


def activate(layer: tf.keras.layers.Layer, preactivation: tf.Tensor) -> tf.Tensor:
    """The layer's own activation, which may be none."""
    return preactivation if layer.activation is None else layer.activation(preactivation)


def add_bias(layer: tf.keras.layers.Layer, outputs: tf.Tensor) -> tf.Tensor:
    """`outputs` plus the layer's bias, where it has one."""
    return tf.nn.bias_add(outputs, layer.bias) if layer.use_bias else outputs


def bias_gradient(
    layer: tf.keras.layers.Layer, upstream: tf.Tensor, views: int
) -> list[tuple[tf.Variable, PerUnitGradient]]:
    """The bias with its gradient: the upstream gradient summed over positions; nothing for a layer without bias."""
    if not layer.use_bias:
        return []
    positions = list(range(1, upstream.shape.rank - 1))
    return [
        (
            layer.bias,
            Instantiated(
                sum_views(tf.reduce_sum(upstream, positions) if positions else upstream, views)
            ),
        )
    ]
