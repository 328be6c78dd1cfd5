"""Clipping by book-keeping: one forward pass, one backward pass to the pre-activations, norms, one weighted sum."""

from collections.abc import Mapping
from dataclasses import dataclass

import tensorflow as tf

from ecgexp.clipping.base import ClippedSum, PerExampleLoss, clip_factors, per_example_losses, summarize
from ecgexp.clipping.gradients import PerUnitGradient, merge
from ecgexp.clipping.graph import Use, ordered_inputs, run_recorded


@dataclass(frozen=True, kw_only=True)
class GhostClipper:
    """See `base.Clipper`; Bu et al. 2022, arXiv:2210.00038. The settings are those of `base.build_clipper`."""

    model: tf.keras.Model
    loss_fn: PerExampleLoss
    l2_norm_clip: float
    views: int

    def __call__(self, features: Mapping[str, tf.Tensor], labels: tf.Tensor, mask: tf.Tensor) -> ClippedSum:
        """See `base.Clipper`."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            outputs, uses = run_recorded(self.model, ordered_inputs(self.model, features), tape)
            losses = per_example_losses(self.loss_fn, labels, outputs)
            total = tf.reduce_sum(losses) / self.views
        upstream = tape.gradient(total, [use.preactivation for use in uses], unconnected_gradients="zero")
        gradients = _by_variable(self.model, uses, upstream, self.views)
        norms = tf.sqrt(tf.maximum(tf.add_n([gradient.squared_norms() for gradient in gradients]), 0.0))
        sums = _weighted_sums(gradients, norms, mask, self.l2_norm_clip)
        return summarize(sums, norms, losses, mask, l2_norm_clip=self.l2_norm_clip, views=self.views)


def _by_variable(
    model: tf.keras.Model, uses: list[Use], upstream: list[tf.Tensor], views: int
) -> list[PerUnitGradient]:
    """The gradients of `model.trainable_variables`, in that order; those of a weight used twice are added before any norm."""
    found: dict[int, list[PerUnitGradient]] = {id(variable): [] for variable in model.trainable_variables}
    for use, gradient in zip(uses, upstream, strict=True):
        for variable, per_unit in use.rule.gradients(use.layer, use.saved, gradient, views):
            if id(variable) in found:  # else it is frozen
                found[id(variable)].append(per_unit)
    return [merge(per_unit) for per_unit in found.values()]


def _weighted_sums(
    gradients: list[PerUnitGradient], norms: tf.Tensor, mask: tf.Tensor, l2_norm_clip: float
) -> list[tf.Tensor]:
    factors, finite = clip_factors(norms, mask, l2_norm_clip)

    def as_they_are() -> list[tf.Tensor]:
        return [gradient.weighted_sum(factors) for gradient in gradients]

    def without_the_others() -> list[tf.Tensor]:
        return [gradient.keep(finite).weighted_sum(factors) for gradient in gradients]

    # A branch, because copying every tensor without its non-finite rows would cost each step what only a rare one needs.
    return tf.cond(tf.reduce_all(finite), as_they_are, without_the_others)
