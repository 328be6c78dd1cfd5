"""What clipping is here: one call that turns a batch into the sum of its units' clipped gradients."""

import logging
import math
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, Protocol

import tensorflow as tf

from ecgexp._validate import ConfigError
from ecgexp.clipping.rounding import gamma, sum_of_squares

_log = logging.getLogger(__name__)

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

    def __call__(self, features: Mapping[str, tf.Tensor], labels: tf.Tensor, mask: tf.Tensor) -> ClippedSum:
        """Sums the clipped gradients of the units whose mask is 1.

        Args:
          features: input name -> (units * views, ...); the views of one unit are adjacent rows.
          labels: (units * views, ...), one for each row.
          mask: (units,) 1 for a unit that was drawn, 0 for padding, which contributes exactly nothing.
        """


def build_clipper(
    model: tf.keras.Model,
    loss_fn: PerExampleLoss,
    *,
    l2_norm_clip: float,
    method: Method = "ghost",
    views: int = 1,
    public_penalty: bool = False,
) -> Clipper:
    """Builds the clipper of a Functional or Sequential model.

    Args:
      model: layers that keep the rows of a batch apart; see `checks.check_model` for what is refused.
      loss_fn: (labels, outputs) -> (rows,) one loss for each row.
      l2_norm_clip: the norm no unit's contribution exceeds, above 0; `math.inf` gives the plain sum.
      method: `ghost` is book-keeping (Bu et al. 2022, arXiv:2210.00038): one forward and one backward pass, norms by
        the cheapest way. Activations and losses that are not known to keep rows apart take `vectorized` instead.
        `vectorized` (the way of TF-Privacy's DPSequential) and `microbatch` (the way of its
        DPKerasSGDOptimizer) are references: the same sums, more slowly.
      views: rows of one unit, K; its gradient is the mean over them and is clipped once (augmentation multiplicity,
        De et al. 2022, arXiv:2204.13650).
      public_penalty: the caller adds `checks.public_penalty_gradients(model)` outside of clipping; without this a
        model with weight regularisers is refused.

    Raises:
      ConfigError: the model or a setting cannot be clipped exactly; the message says what to type.

    **Guarantees.** What one unit adds to the sum is at most `l2_norm_clip` long, whatever its rows are, and does not depend on
    any other unit; a unit whose norm is not finite adds nothing. The sum over units is rounded to float32 as a whole, by about
    1e-7 of its own norm. Checked by `tests/clipping/test_rounding.py`, `test_promises.py` and `test_checks.py`.
    """
    from ecgexp.clipping import callables, checks, ghost, probe, reference

    _check_settings(l2_norm_clip, method, views)
    checks.check_model(model, public_penalty=public_penalty)
    if method == "ghost" and (foreign := callables.foreign_callables(model, loss_fn)):
        _log.warning(
            "trainer.clipping=ghost: %s may mix the examples of a batch, so the slower trainer.clipping=vectorized is used; use "
            "functions of tf.keras.activations and losses of ecgexp.training.loss, which are known not to.",
            " and ".join(foreign),
        )
        method = "vectorized"
    if method == "ghost":
        _use_float32_products()
        checks.check_rules(model)
    probe.check_rows_apart(model, loss_fn, recorded=method == "ghost")
    if method == "ghost":
        return ghost.GhostClipper(model=model, loss_fn=loss_fn, l2_norm_clip=l2_norm_clip, views=views)
    loop = {"vectorized": reference.VectorizedClipper, "microbatch": reference.MicrobatchClipper}[method]
    return loop(model=model, loss_fn=loss_fn, l2_norm_clip=l2_norm_clip, views=views)


def per_example_losses(loss_fn: PerExampleLoss, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """The losses of the rows, (rows,); refuses a loss that was reduced, for its clipping would clip a mean."""
    losses = tf.convert_to_tensor(loss_fn(labels, outputs))
    rows = outputs.shape[0]
    if losses.shape.rank != 1 or (None not in (rows, losses.shape[0]) and rows != losses.shape[0]):
        error = ConfigError(
            f"the loss has shape {losses.shape} for outputs {outputs.shape}, so it is already reduced and cannot be clipped "
            "per example: return one value for each row; with a Keras loss class, type reduction='none'."
        )
        error.ag_pass_through = True  # else a tf.function would wrap it in an error of AutoGraph's own
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
    shrink = 1 - gamma(3, norms.dtype)  # for the roundings of the quotient, this product and the gradient's
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


def _use_float32_products() -> None:
    """Turns TF32 off, in which a GPU keeps 11 bits of a factor: the norms' bounds are those of float32.

    Raises:
      ConfigError: something else still shortens the factors, such as oneDNN's bfloat16.
    """
    tf.config.experimental.enable_tensor_float_32_execution(False)
    fine = tf.fill([64, 64], 1 + 2.0**-20)
    if not bool(tf.reduce_all(fine @ tf.eye(64) == fine)):
        raise ConfigError(
            "trainer.clipping=ghost: this device multiplies float32 numbers in a shorter format, for which the bounds of "
            "gradient norms do not hold; unset ONEDNN_DEFAULT_FPMATH_MODE, or use trainer.clipping=vectorized."
        )


def _check_settings(l2_norm_clip: float, method: str, views: int) -> None:
    if not l2_norm_clip > 0 or math.isnan(l2_norm_clip):
        raise ConfigError(f"privacy.l2_norm_clip={l2_norm_clip} must be above 0; try privacy.l2_norm_clip=1.0.")
    if method not in ("ghost", "vectorized", "microbatch"):
        raise ConfigError(f"trainer.clipping={method} is not a way of clipping; type ghost, vectorized or microbatch.")
    if views < 1:
        raise ConfigError(f"trainer.augmentation_multiplicity={views} must be at least 1; 1 is no augmentation.")
