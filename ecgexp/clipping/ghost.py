"""Clipping by book-keeping (Bu et al. 2022, arXiv:2210.00038).

One forward pass, one backward pass to the pre-activations, the norms of all units, and one weighted
sum of gradients.
"""

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
"""Largest share of rounding in the bound of a squared norm; units with a larger share use float64.

The share shortens a clipped gradient by up to half of it. It is 5e-5 in the networks of this
project,
and 1e-3 in `cnn2d`."""


@dataclass(frozen=True, kw_only=True)
class GhostClipper:
    """A `base.Clipper` by book-keeping.

    Attributes:
      model: accepted by `checks.check_model` and `checks.check_rules`.
      loss_fn: (labels, outputs) -> (rows,).
      l2_norm_clip: largest norm of one unit's contribution.
      views: rows of one unit.
    """

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
    """Return the gradients of `model.trainable_variables`, in that order.

    Gradients of a weight that is used several times are added before norms are computed.
    """
    found: dict[int, list[PerUnitGradient]] = {
        id(variable): [] for variable in model.trainable_variables
    }
    for use, gradient in zip(uses, upstream, strict=True):
        for variable, per_unit in use.rule.gradients(use.layer, use.saved, gradient, views):
            if id(variable) in found:  # a frozen variable is not
                found[id(variable)].append(per_unit)
    return [merge(per_unit) for per_unit in found.values()]


def _clipped(
    gradients: list[PerUnitGradient], mask: tf.Tensor, l2_norm_clip: float
) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Return the sum of the clipped gradients, and the (units,) norms."""
    squares = squared_norms([gradient.part() for gradient in gradients])
    norms = norms_from(squares.upper)
    factors, finite = clip_factors(norms, mask, l2_norm_clip)
    # A bound below the clip is accurate enough, because the unit is not clipped.
    too_rounded = squares.rounding > MOST_ROUNDING * squares.upper
    inaccurate = (mask > 0) & finite & (norms > l2_norm_clip) & too_rounded

    def as_computed() -> tuple[list[tf.Tensor], tf.Tensor]:
        return [gradient.weighted_sum(factors) for gradient in gradients], norms

    # Not inlined: otherwise the executor visits every operation of this branch in each step, even
    # if
    # it is not taken, which takes longer than all bounds of a small network.
    @tf.function(autograph=False, experimental_attributes={"_noinline": True})
    def with_exceptions() -> tuple[list[tf.Tensor], tf.Tensor]:
        units = tf.where(inaccurate)
        kept = finite & ~inaccurate
        sums = [
            gradient.keep(kept).weighted_sum(tf.where(kept, factors, 0)) for gradient in gradients
        ]
        exact_sums, exact_norms = _in_float64(gradients, units[:, 0], l2_norm_clip)
        summed = [
            total + tf.cast(exact, total.dtype)
            for total, exact in zip(sums, exact_sums, strict=True)
        ]
        return summed, tf.tensor_scatter_nd_update(norms, units, tf.cast(exact_norms, norms.dtype))

    # Rows are removed in this branch only, because doing so copies every tensor and is rarely
    # needed.
    return tf.cond(tf.reduce_any(inaccurate | ~finite), with_exceptions, as_computed)


def _in_float64(
    gradients: list[PerUnitGradient], units: tf.Tensor, l2_norm_clip: float
) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Return sums and norms for some units, instantiated one after the other, in float64.

    Args:
      gradients: one for each weight.
      units: (num_units,) indices of the units.
      l2_norm_clip: largest norm of one unit's contribution.

    Returns:
      The sum of the units' clipped gradients, one float64 tensor for each weight, and the
      (num_units,) float64 norms.
    """

    def add_unit(number: tf.Tensor, sums: list[tf.Tensor], norms: tf.TensorArray) -> tuple:
        values = [gradient.in_float64(units[number]) for gradient in gradients]
        norm = tf.linalg.global_norm(values)
        factor = tf.where(
            norm > 0, tf.minimum(tf.ones_like(norm), l2_norm_clip / norm), tf.zeros_like(norm)
        )
        sums = [total + factor * value for total, value in zip(sums, values, strict=True)]
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
