"""Builds the clipper of a model once it is known that no unit can add more than the clip."""

import logging
import math

import tensorflow as tf

from ecgexp.clipping import callables, checks, ghost, probe, reference
from ecgexp.clipping.base import Clipper, Method, PerExampleLoss
from ecgexp.settings.declaration import ConfigError

_log = logging.getLogger(__name__)


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
    1e-7 of its own norm. Checked by `tests/tensorflow/clipping/test_rounding.py`, `test_guarantees.py` and `test_checks.py`.
    """
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
        return ghost.GhostClipper(
            model=model, loss_fn=loss_fn, l2_norm_clip=l2_norm_clip, views=views
        )
    loop = {"vectorized": reference.VectorizedClipper, "microbatch": reference.MicrobatchClipper}[
        method
    ]
    return loop(model=model, loss_fn=loss_fn, l2_norm_clip=l2_norm_clip, views=views)


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
        raise ConfigError(
            f"privacy.l2_norm_clip={l2_norm_clip} must be above 0; try privacy.l2_norm_clip=1.0."
        )
    if method not in ("ghost", "vectorized", "microbatch"):
        raise ConfigError(
            f"trainer.clipping={method} is not a way of clipping; type ghost, vectorized or microbatch."
        )
    if views < 1:
        raise ConfigError(
            f"trainer.augmentation_multiplicity={views} must be at least 1; 1 is no augmentation."
        )
