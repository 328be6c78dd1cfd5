"""Clipping by book-keeping: one forward pass, one backward pass to the pre-activations, norms, one weighted sum."""

from collections.abc import Mapping
from dataclasses import dataclass

import tensorflow as tf

from ecgexp.clipping.base import (
    ClippedSum,
    PerExampleLoss,
    clip_factors,
    norms_from,
    per_example_losses,
    summarize,
)
from ecgexp.clipping.gradients import PerUnitGradient, merge
from ecgexp.clipping.graph import Use, ordered_inputs, run_recorded
from ecgexp.clipping.rounding import squared_norms

MOST_ROUNDING = 2e-3
"""Share of a squared norm that may be a bound on its rounding, which shortens a clipped gradient by up to half of that; a unit
with more is computed in float64. In the networks of this project it is 5e-5, in `cnn2d` 1e-3."""


@dataclass(frozen=True, kw_only=True)
class GhostClipper:
    """See `base.Clipper`; Bu et al. 2022, arXiv:2210.00038. The settings are those of `build.build_clipper`."""

    model: tf.keras.Model
    loss_fn: PerExampleLoss
    l2_norm_clip: float
    views: int

    def __call__(
        self, features: Mapping[str, tf.Tensor], labels: tf.Tensor, mask: tf.Tensor
    ) -> ClippedSum:
        """See `base.Clipper`."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            outputs, uses = run_recorded(self.model, ordered_inputs(self.model, features), tape)
            losses = per_example_losses(self.loss_fn, labels, outputs)
            total = tf.reduce_sum(losses) / self.views
        upstream = tape.gradient(
            total, [use.preactivation for use in uses], unconnected_gradients="zero"
        )
        gradients = _by_variable(self.model, uses, upstream, self.views)
        sums, norms = _clipped(gradients, tf.convert_to_tensor(mask), self.l2_norm_clip)
        return summarize(
            sums, norms, losses, mask, l2_norm_clip=self.l2_norm_clip, views=self.views
        )


def _by_variable(
    model: tf.keras.Model, uses: list[Use], upstream: list[tf.Tensor], views: int
) -> list[PerUnitGradient]:
    """The gradients of `model.trainable_variables`, in that order; those of a weight used twice are added before any norm."""
    found: dict[int, list[PerUnitGradient]] = {
        id(variable): [] for variable in model.trainable_variables
    }
    for use, gradient in zip(uses, upstream, strict=True):
        for variable, per_unit in use.rule.gradients(use.layer, use.saved, gradient, views):
            if id(variable) in found:  # else it is frozen
                found[id(variable)].append(per_unit)
    return [merge(per_unit) for per_unit in found.values()]


def _clipped(
    gradients: list[PerUnitGradient], mask: tf.Tensor, l2_norm_clip: float
) -> tuple[list[tf.Tensor], tf.Tensor]:
    """The sum of the clipped gradients, and the units' norms."""
    squares = squared_norms([gradient.part() for gradient in gradients])
    norms = norms_from(squares.upper)
    factors, finite = clip_factors(norms, mask, l2_norm_clip)
    # A unit that is not clipped needs no better bound than the one that says so.
    too_rounded = squares.rounding > MOST_ROUNDING * squares.upper
    doubtful = (mask > 0) & finite & (norms > l2_norm_clip) & too_rounded

    def as_computed() -> tuple[list[tf.Tensor], tf.Tensor]:
        return [gradient.weighted_sum(factors) for gradient in gradients], norms

    # Not inlined: in each step the executor visits every operation of the branch not taken, which takes it longer than a small
    # network's whole bound.
    @tf.function(autograph=False, experimental_attributes={"_noinline": True})
    def some_apart() -> tuple[list[tf.Tensor], tf.Tensor]:
        units = tf.where(doubtful)
        kept = finite & ~doubtful
        sums = [
            gradient.keep(kept).weighted_sum(tf.where(kept, factors, 0)) for gradient in gradients
        ]
        exact_sums, exact_norms = _in_float64(gradients, units[:, 0], l2_norm_clip)
        summed = [
            total + tf.cast(exact, total.dtype)
            for total, exact in zip(sums, exact_sums, strict=True)
        ]
        return summed, tf.tensor_scatter_nd_update(norms, units, tf.cast(exact_norms, norms.dtype))

    # One branch for both exceptions, because copying every tensor without some rows would cost each step what a rare one needs.
    return tf.cond(tf.reduce_any(doubtful | ~finite), some_apart, as_computed)


def _in_float64(
    gradients: list[PerUnitGradient], units: tf.Tensor, l2_norm_clip: float
) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Sums and norms of `units` (num_units,) with their gradients written out one unit after the other, all in float64."""

    def add_unit(number: tf.Tensor, sums: list[tf.Tensor], norms: tf.TensorArray) -> tuple:
        written = [gradient.in_float64(units[number]) for gradient in gradients]
        norm = tf.linalg.global_norm(written)
        factor = tf.where(
            norm > 0, tf.minimum(tf.ones_like(norm), l2_norm_clip / norm), tf.zeros_like(norm)
        )
        sums = [total + factor * value for total, value in zip(sums, written, strict=True)]
        return number + 1, sums, norms.write(number, norm)

    num_units = tf.size(units)
    start = (
        tf.constant(0),
        [tf.zeros(gradient.shape, tf.float64) for gradient in gradients],
        tf.TensorArray(tf.float64, size=num_units, element_shape=[]),
    )
    _, sums, norms = tf.while_loop(
        lambda number, *_: number < num_units, add_unit, start, parallel_iterations=1
    )
    return sums, norms.stack()
