"""The interface of clipping: one call returns the sum of the clipped gradients of a batch's units.

A unit is here one example (one row of a beat, with all its augmented views). Training with records
or patients as units uses `clip_factors` alone (`ecgexp.training.dp.unit_gradients`).
"""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, Protocol

import tensorflow as tf

from ecgexp.clipping.rounding import gamma, sum_of_squares
from ecgexp.settings.declaration import ConfigError

# Norms below this count as 0: the squares of such a gradient underflow in float32, so its norm is
# unknown.
_UNDERFLOW = 1e-15

Method = Literal["ghost", "vectorized", "microbatch"]
PerExampleLoss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


class ClippedSum(NamedTuple):
    """The sum of the clipped gradients of one batch, before noise and before division.

    Only `gradients` has bounded sensitivity. The other fields are computed from private data
    without noise and are not covered by a privacy guarantee.

    Attributes:
      gradients: sum over units of `gradient * factor`, with factors of at most
        min(1, clip / norm), see `clip_factors`; one tensor for each of
        `model.trainable_variables`, in that order.
      norms: (units,) upper bounds of the L2 norms before clipping; 0 where the mask is 0 or the
        norm underflows, not finite where the gradient is not finite or its squares overflow.
      losses: (units,) mean loss over the unit's views; 0 where the mask is 0.
      num_clipped: () int32, units whose norm exceeded the clip.
      num_nonfinite: () int32, units whose norm was not finite, by overflow too, and which
        therefore contributed nothing.
    """

    gradients: list[tf.Tensor]
    norms: tf.Tensor
    losses: tf.Tensor
    num_clipped: tf.Tensor
    num_nonfinite: tf.Tensor


class Clipper(Protocol):
    """Clips the gradients of one physical batch.

    A clipper may be called inside a `tf.function`. The sums of several physical batches can be
    added to the sum of one logical batch.
    """

    def __call__(
        self, features: Mapping[str, tf.Tensor], labels: tf.Tensor, mask: tf.Tensor
    ) -> ClippedSum:
        """Sum the clipped gradients of the units whose mask is 1.

        Args:
          features: input name -> (units * views, ...); the views of one unit are adjacent rows.
          labels: (units * views, ...), one label for each row.
          mask: (units,) 1 for a sampled unit, 0 for padding, which contributes exactly 0.

        Returns:
          The sum, with norms and losses for each unit.
        """
        ...


def per_example_losses(loss_fn: PerExampleLoss, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Compute one loss for each row, and reject a loss that is reduced over rows.

    Clipping the gradient of a reduced loss would clip a mean instead of each example.

    Args:
      loss_fn: (labels, outputs) -> (rows,).
      labels: (rows, ...).
      outputs: (rows, ...) outputs of the model.

    Returns:
      (rows,) losses.

    Raises:
      ConfigError: the loss does not return one value for each row.
    """
    losses = tf.convert_to_tensor(loss_fn(labels, outputs))
    rows = outputs.shape[0]
    if losses.shape.rank != 1 or (None not in (rows, losses.shape[0]) and rows != losses.shape[0]):
        error = ConfigError(
            f"loss: its values have shape {losses.shape} for outputs {outputs.shape}, so it is "
            "already reduced and cannot be clipped per example; return one value for each row (a "
            "Keras loss class: use reduction='none')."
        )
        # Without this attribute, a tf.function wraps the error in one of AutoGraph.
        vars(error)["ag_pass_through"] = True
        raise error
    return losses


class ClipFactors(NamedTuple):
    """The factor for each unit's gradient.

    Attributes:
      factors: (units,) in [0, 1].
      finite: (units,) bool, whether the norm is finite. Where False, set the gradient to 0 before
        the product, because 0 times infinity is NaN.
    """

    factors: tf.Tensor
    finite: tf.Tensor


def clip_factors(norms: tf.Tensor, mask: tf.Tensor, l2_norm_clip: float) -> ClipFactors:
    """Compute factors of at most min(1, clip / norm), and 0 for units that contribute nothing.

    The factor is clip / norm rounded down, or 1 where the norm is at most the clip. It is 0 for
    units that are not sampled, and where the norm is not finite or not above 0.

    **Guarantees**: a gradient times its factor, each product rounded to floating point, has an L2
    norm of at most the clip, provided that `norms` are upper bounds
    (`tests/tensorflow/clipping/test_guarantees.py`, `test_rounding.py`).

    Args:
      norms: (units,) upper bounds of the gradients' norms. A value that is not above 0 bounds
        nothing, so its factor is 0.
      mask: (units,) 1 for a sampled unit.
      l2_norm_clip: largest norm of a contribution, above 0.

    Returns:
      The factors, and which norms are finite.
    """
    finite = tf.math.is_finite(norms)
    clip = tf.constant(l2_norm_clip, norms.dtype)
    # Covers three roundings: the quotient, its product with `shrink`, and the gradient times the
    # factor.
    shrink = 1 - gamma(3, norms.dtype)
    usable = finite & (norms > 0) & (mask > 0)
    factors = tf.where(norms <= clip, tf.ones_like(norms), shrink * (clip / norms))
    return ClipFactors(tf.where(usable, factors, tf.zeros_like(norms)), finite)


def norm_bound(gradients: list[tf.Tensor]) -> tf.Tensor:
    """Compute upper bounds of the norms of instantiated gradients.

    Args:
      gradients: one (units, ...) tensor for each weight.

    Returns:
      (units,) norms, rounded up.
    """
    return norms_from(sum_of_squares(gradients).upper)


def norms_from(squares: tf.Tensor) -> tf.Tensor:
    """Compute upper bounds of norms from upper bounds of their squares.

    Args:
      squares: (units,) upper bounds of squared norms.

    Returns:
      (units,) norms, rounded up; 0 where the squares underflow.
    """
    norms = tf.sqrt(squares * (1 + gamma(4, squares.dtype)))
    return tf.where(norms < _UNDERFLOW, tf.zeros_like(norms), norms)


def summarize(
    gradients: list[tf.Tensor],
    norms: tf.Tensor,
    row_losses: tf.Tensor,
    mask: tf.Tensor,
    *,
    l2_norm_clip: float,
    views: int,
) -> ClippedSum:
    """Build a `ClippedSum` from the results of a clipper.

    Args:
      gradients: sum of the clipped gradients, one tensor for each weight.
      norms: (units,) norms before clipping.
      row_losses: (units * views,) loss of each row.
      mask: (units,) 1 for a sampled unit.
      l2_norm_clip: largest norm of a contribution.
      views: rows of one unit.

    Returns:
      The sum, with norms and losses set to 0 where the mask is 0, and the counts.
    """
    drawn = mask > 0
    losses = tf.reduce_mean(tf.reshape(row_losses, [-1, views]), axis=1)
    finite = tf.math.is_finite(norms)
    return ClippedSum(
        gradients=gradients,
        norms=tf.where(drawn, norms, tf.zeros_like(norms)),
        losses=tf.where(drawn, losses, tf.zeros_like(losses)),
        num_clipped=tf.math.count_nonzero(drawn & finite & (norms > l2_norm_clip), dtype=tf.int32),
        num_nonfinite=tf.math.count_nonzero(drawn & ~finite, dtype=tf.int32),
    )
