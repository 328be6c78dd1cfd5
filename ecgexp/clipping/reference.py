"""Reference clippers: each unit's gradient is instantiated, clipped and added.

They are slow and short, and serve as the reference for `ghost`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from ecgexp.clipping.base import (
    ClippedSum,
    PerExampleLoss,
    clip_factors,
    norm_bound,
    per_example_losses,
    summarize,
)
from ecgexp.clipping.graph import ordered_inputs


class _Unit(NamedTuple):
    """The clipped gradient of one unit, its norm before clipping, and the (views,) losses."""

    gradients: list[tf.Tensor]
    norm: tf.Tensor
    losses: tf.Tensor


@dataclass(frozen=True, kw_only=True)
class _UnitByUnit:
    """What both reference clippers share.

    Attributes:
      model: accepted by `checks.check_model`.
      loss_fn: (labels, outputs) -> (rows,).
      l2_norm_clip: largest norm of one unit's contribution.
      views: rows of one unit.
    """

    model: tf.keras.Model
    loss_fn: PerExampleLoss
    l2_norm_clip: float
    views: int

    def rows_of_units(
        self, features: Mapping[str, tf.Tensor], labels: tf.Tensor, mask: tf.Tensor
    ) -> tuple:
        """Return inputs and labels as (units, views, ...), and the mask; see `base.Clipper`."""
        labels = tf.convert_to_tensor(labels)
        rows = [
            tf.reshape(value, [-1, self.views, *value.shape[1:]])
            for value in (*ordered_inputs(self.model, features), labels)
        ]
        return rows[:-1], rows[-1], tf.convert_to_tensor(mask)

    def clip_unit(self, inputs: list[tf.Tensor], labels: tf.Tensor, drawn: tf.Tensor) -> _Unit:
        """Clip the gradient of the mean loss over the views of one unit.

        Args:
          inputs: (views, ...) each, in the order of `model.inputs`.
          labels: (views, ...).
          drawn: () 1 for a sampled unit, 0 for padding.
        """
        with tf.GradientTape() as tape:
            outputs = self.model(tf.nest.pack_sequence_as(self.model.input, inputs), training=True)
            losses = per_example_losses(self.loss_fn, labels, outputs)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(
            loss, self.model.trainable_variables, unconnected_gradients="zero"
        )
        # The gradient of an embedding is sparse.
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        norm = norm_bound([gradient[tf.newaxis] for gradient in gradients])[0]
        factors, finite = clip_factors(norm[tf.newaxis], drawn[tf.newaxis], self.l2_norm_clip)
        return _Unit(
            [tf.where(finite[0], factors[0] * g, tf.zeros_like(g)) for g in gradients], norm, losses
        )


class VectorizedClipper(_UnitByUnit):
    """A `base.Clipper` with `tf.vectorized_map` over units, as TF-Privacy's `DPSequential`."""

    def __call__(
        self, features: Mapping[str, tf.Tensor], labels: tf.Tensor, mask: tf.Tensor
    ) -> ClippedSum:
        """See `base.Clipper`."""
        rows = self.rows_of_units(features, labels, mask)
        # Without a line on each operation that becomes a loop: notes on layers say what is slow.
        units = tf.vectorized_map(lambda unit: self.clip_unit(*unit), rows, warn=False)
        sums = [tf.reduce_sum(gradient, axis=0) for gradient in units.gradients]
        losses = tf.reshape(units.losses, [-1])
        return summarize(
            sums, units.norm, losses, rows[-1], l2_norm_clip=self.l2_norm_clip, views=self.views
        )


@dataclass(frozen=True, kw_only=True)
class MicrobatchClipper(_UnitByUnit):
    """A `base.Clipper` with a loop over units, as TF-Privacy's `DPKerasSGDOptimizer`.

    It needs the least memory.

    Attributes:
      doubles: whether a unit of one row is computed from two copies of it, which changes neither
        its gradient nor its loss: oneDNN in TensorFlow 2.15 writes out of bounds in the gradient of
        a strided convolution over one row.
    """

    doubles: bool = False

    def __call__(
        self, features: Mapping[str, tf.Tensor], labels: tf.Tensor, mask: tf.Tensor
    ) -> ClippedSum:
        """See `base.Clipper`."""
        inputs, labels, mask = self.rows_of_units(features, labels, mask)
        units, dtype = tf.shape(mask)[0], self.model.trainable_variables[0].dtype

        def add_unit(index, sums, norms, losses):
            rows = [value[index] for value in (*inputs, labels)]
            if self.doubles and self.views == 1:
                rows = [tf.repeat(value, 2, axis=0) for value in rows]
            unit = self.clip_unit(rows[:-1], rows[-1], mask[index])
            sums = [total + gradient for total, gradient in zip(sums, unit.gradients, strict=True)]
            return (
                index + 1,
                sums,
                norms.write(index, unit.norm),
                losses.write(index, unit.losses[: self.views]),
            )

        start = (
            tf.constant(0),
            [
                tf.zeros(variable.shape, variable.dtype)
                for variable in self.model.trainable_variables
            ],
            tf.TensorArray(dtype, size=units, element_shape=[]),
            tf.TensorArray(dtype, size=units, element_shape=[self.views]),
        )
        _, sums, norms, losses = tf.while_loop(
            lambda index, *_: index < units, add_unit, start, parallel_iterations=1
        )
        rows = tf.reshape(losses.stack(), [-1])
        return summarize(
            sums, norms.stack(), rows, mask, l2_norm_clip=self.l2_norm_clip, views=self.views
        )
