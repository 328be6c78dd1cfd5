"""The interface of a clipping rule: per-example gradients of a layer family for book-keeping.

With a rule, one forward and one backward pass are enough for all per-example gradients.
"""

from typing import Protocol

import tensorflow as tf

from ecgexp.clipping.gradients import Instantiated, PerUnitGradient, sum_views


class Rule(Protocol):
    """The clipping rule of one layer family.

    A rule splits a layer at its pre-activation, the last tensor that is linear in its weights.
    """

    def refusal(self, layer: tf.keras.layers.Layer) -> str | None:
        """Return why the rule does not cover this layer's settings, with a remedy; None if it does.

        Args:
          layer: a layer of the family.
        """

    def linear(
        self, layer: tf.keras.layers.Layer, inputs: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Compute the part of the layer that has weights.

        Args:
          layer: the layer.
          inputs: (rows, ...).

        Returns:
          The tensor of the forward pass that `gradients` needs, (rows, ...), and the
          pre-activation, (rows, ...).
        """
        ...

    def activate(self, layer: tf.keras.layers.Layer, preactivation: tf.Tensor) -> tf.Tensor:
        """Compute the rest of the layer.

        Args:
          layer: the layer.
          preactivation: (rows, ...), from `linear`.

        Returns:
          (rows, ...) outputs of the layer.
        """
        ...

    def gradients(
        self, layer: tf.keras.layers.Layer, saved: tf.Tensor, upstream: tf.Tensor, views: int
    ) -> list[tuple[tf.Variable, PerUnitGradient]]:
        """Compute the gradient of each weight for each unit.

        Args:
          layer: the layer.
          saved: (rows, ...), from `linear`.
          upstream: (rows, ...) gradient of the loss with respect to the pre-activation.
          views: adjacent rows of one unit.

        Returns:
          Each weight with its gradients.
        """
        ...


def refuse_channels_first(layer: tf.keras.layers.Layer) -> str | None:
    """Return the `Rule.refusal` of convolutions: their rules need channels in the last axis."""
    if layer.data_format != "channels_last":
        return f"data_format={layer.data_format} has no rule; use data_format='channels_last'"
    return None


def activate(layer: tf.keras.layers.Layer, preactivation: tf.Tensor) -> tf.Tensor:
    """Apply the layer's activation, if it has one."""
    return preactivation if layer.activation is None else layer.activation(preactivation)


def add_bias(layer: tf.keras.layers.Layer, outputs: tf.Tensor) -> tf.Tensor:
    """Add the layer's bias to `outputs`, if it has one."""
    return tf.nn.bias_add(outputs, layer.bias) if layer.use_bias else outputs


def bias_gradient(
    layer: tf.keras.layers.Layer, upstream: tf.Tensor, views: int
) -> list[tuple[tf.Variable, PerUnitGradient]]:
    """Compute the gradient of the bias: the upstream gradient, summed over positions.

    Args:
      layer: the layer.
      upstream: (rows, ..., outputs) gradient with respect to the pre-activation.
      views: adjacent rows of one unit.

    Returns:
      The bias with its gradients; empty for a layer without bias.
    """
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
