"""The references: each unit's gradient is written out, clipped and added. Slow, and short enough to be believed."""

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
    """One unit's clipped gradient, its norm before, and the losses of its views (views,)."""

    gradients: list[tf.Tensor]
    norm: tf.Tensor
    losses: tf.Tensor


@dataclass(frozen=True, kw_only=True)
class _UnitByUnit:
    """What the references share; the settings are those of `build.build_clipper`."""

    model: tf.keras.Model
    loss_fn: PerExampleLoss
    l2_norm_clip: float
    views: int

    def rows_of_units(
        self, features: Mapping[str, tf.Tensor], labels: tf.Tensor, mask: tf.Tensor
    ) -> tuple:
        """(inputs, labels, mask), the rows of the first two as (units, views, ...)."""
        labels = tf.convert_to_tensor(labels)
        rows = [
            tf.reshape(value, [-1, self.views, *value.shape[1:]])
            for value in (*ordered_inputs(self.model, features), labels)
        ]
        return rows[:-1], rows[-1], tf.convert_to_tensor(mask)

    def clip_unit(self, inputs: list[tf.Tensor], labels: tf.Tensor, drawn: tf.Tensor) -> _Unit:
        """Clips the gradient of the mean loss over one unit's views."""
        with tf.GradientTape() as tape:
            outputs = self.model(tf.nest.pack_sequence_as(self.model.input, inputs), training=True)
            losses = per_example_losses(self.loss_fn, labels, outputs)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(
            loss, self.model.trainable_variables, unconnected_gradients="zero"
        )
        gradients = [
            tf.convert_to_tensor(gradient) for gradient in gradients
        ]  # an embedding's is sparse
        norm = norm_bound([gradient[tf.newaxis] for gradient in gradients])[0]
        factors, finite = clip_factors(norm[tf.newaxis], drawn[tf.newaxis], self.l2_norm_clip)
        return _Unit(
            [tf.where(finite[0], factors[0] * g, tf.zeros_like(g)) for g in gradients], norm, losses
        )


class VectorizedClipper(_UnitByUnit):
    """See `base.Clipper`; all units at once by `tf.vectorized_map`, the way of TF-Privacy's `DPSequential`."""

    def __call__(
        self, features: Mapping[str, tf.Tensor], labels: tf.Tensor, mask: tf.Tensor
    ) -> ClippedSum:
        """See `base.Clipper`."""
        rows = self.rows_of_units(features, labels, mask)
        units = tf.vectorized_map(lambda unit: self.clip_unit(*unit), rows)
        sums = [tf.reduce_sum(gradient, axis=0) for gradient in units.gradients]
        losses = tf.reshape(units.losses, [-1])
        return summarize(
            sums, units.norm, losses, rows[-1], l2_norm_clip=self.l2_norm_clip, views=self.views
        )


class MicrobatchClipper(_UnitByUnit):
    """See `base.Clipper`; one unit after the other, the way of TF-Privacy's `DPKerasSGDOptimizer` and the least memory."""

    def __call__(
        self, features: Mapping[str, tf.Tensor], labels: tf.Tensor, mask: tf.Tensor
    ) -> ClippedSum:
        """See `base.Clipper`."""
        inputs, labels, mask = self.rows_of_units(features, labels, mask)
        units, dtype = tf.shape(mask)[0], self.model.trainable_variables[0].dtype

        def add_unit(index, sums, norms, losses):
            unit = self.clip_unit([value[index] for value in inputs], labels[index], mask[index])
            sums = [total + gradient for total, gradient in zip(sums, unit.gradients, strict=True)]
            return index + 1, sums, norms.write(index, unit.norm), losses.write(index, unit.losses)

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
