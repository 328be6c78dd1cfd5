"""What clipping is here: one call that turns a batch into the sum of its units' clipped gradients."""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, Protocol

import tensorflow as tf

from ecgexp.clipping.rounding import gamma, sum_of_squares
from ecgexp.settings.declaration import ConfigError

_UNDERFLOW = 1e-15  # the squares of a gradient this short are below what float32 holds, so nothing is known about it

Method = Literal["ghost", "vectorized", "microbatch"]
PerExampleLoss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


class ClippedSum(NamedTuple):
    """The sum of the clipped gradients of one batch, before noise and before any division.

    Attributes:
      gradients: in the order of `model.trainable_variables`: the sum over units of `gradient * min(1, clip / norm)`.
      norms: (units,) norms before clipping; 0 where the mask is 0, not finite where the gradient is not.
      losses: (units,) mean loss over the unit's views; 0 where the mask is 0.
      num_clipped: () int32, units whose norm exceeded the clip.
      num_nonfinite: () int32, units whose gradient was not finite and so contributed nothing. Like the norms and the
        losses it is computed from private data without noise.
    """

    gradients: list[tf.Tensor]
    norms: tf.Tensor
    losses: tf.Tensor
    num_clipped: tf.Tensor
    num_nonfinite: tf.Tensor


class Clipper(Protocol):
    """Clips one physical batch; may be called inside a `tf.function`, and the sums of several batches add up."""

    def __call__(
        self, features: Mapping[str, tf.Tensor], labels: tf.Tensor, mask: tf.Tensor
    ) -> ClippedSum:
        """Sums the clipped gradients of the units whose mask is 1.

        Args:
          features: input name -> (units * views, ...); the views of one unit are adjacent rows.
          labels: (units * views, ...), one for each row.
          mask: (units,) 1 for a unit that was drawn, 0 for padding, which contributes exactly nothing.
        """


def per_example_losses(loss_fn: PerExampleLoss, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """The losses of the rows, (rows,); refuses a loss that was reduced, for its clipping would clip a mean."""
    losses = tf.convert_to_tensor(loss_fn(labels, outputs))
    rows = outputs.shape[0]
    if losses.shape.rank != 1 or (None not in (rows, losses.shape[0]) and rows != losses.shape[0]):
        error = ConfigError(
            f"the loss has shape {losses.shape} for outputs {outputs.shape}, so it is already reduced and cannot be clipped "
            "per example: return one value for each row; with a Keras loss class, type reduction='none'."
        )
        error.ag_pass_through = (
            True  # else a tf.function would wrap it in an error of AutoGraph's own
        )
        raise error
    return losses


class ClipFactors(NamedTuple):
    """What each unit's gradient is multiplied by.

    Attributes:
      factors: (units,) in [0, 1].
      finite: (units,) bool; where False even a product with 0 would not be 0.
    """

    factors: tf.Tensor
    finite: tf.Tensor


def clip_factors(norms: tf.Tensor, mask: tf.Tensor, l2_norm_clip: float) -> ClipFactors:
    """min(1, clip / norm) for the units that were drawn and whose gradient is finite, 0 for all others.

    Args:
      norms: (units,) upper bounds of the gradients' norms. One that is 0 or less bounds nothing, so its factor is 0.
      mask: (units,) 1 for a unit that was drawn.
      l2_norm_clip: above 0.

    **Guarantees.** A gradient times its factor, each product rounded, is no longer than the clip.
    """
    finite = tf.math.is_finite(norms)
    clip = tf.constant(l2_norm_clip, norms.dtype)
    shrink = 1 - gamma(
        3, norms.dtype
    )  # for the roundings of the quotient, this product and the gradient's
    usable = finite & (norms > 0) & (mask > 0)
    factors = tf.where(norms <= clip, tf.ones_like(norms), shrink * (clip / norms))
    return ClipFactors(tf.where(usable, factors, tf.zeros_like(norms)), finite)


def norm_bound(gradients: list[tf.Tensor]) -> tf.Tensor:
    """(units,) norms, rounded up, of gradients that are written out: one (units, ...) tensor for each weight."""
    return norms_from(sum_of_squares(gradients).upper)


def norms_from(squares: tf.Tensor) -> tf.Tensor:
    """(units,) norms, rounded up, from bounds of their squares; 0 where the squares underflow."""
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
    """Puts a `ClippedSum` together; `row_losses` is (units * views,)."""
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
