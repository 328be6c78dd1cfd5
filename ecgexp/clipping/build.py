"""Creation of a clipper, after the checks that no unit can contribute more than the clip."""

import logging
import math
from typing import Any

import tensorflow as tf

from ecgexp.clipping import callables, checks, ghost, probe, reference
from ecgexp.clipping.base import Clipper, Method, PerExampleLoss
from ecgexp.clipping.unknown_layers import has_loop, unknown_layers
from ecgexp.console import NOTE
from ecgexp.settings.declaration import ConfigError

_log = logging.getLogger(__name__)

# Duration of a step of 512 beats of cnn1d and resnet1d against `ghost`, on two CPU cores.
_SLOWER = {"vectorized": "2 to 3", "microbatch": "2 to 5"}


def build_clipper(
    model: tf.keras.Model,
    loss_fn: PerExampleLoss,
    *,
    l2_norm_clip: float,
    method: Method = "ghost",
    views: int = 1,
    public_penalty: bool = False,
) -> Clipper:
    """Build the clipper of a Functional or Sequential model.

    **Guarantees**: the contribution of one unit to the sum has an L2 norm of at most
    `l2_norm_clip`, whatever its rows are, and does not depend on any other unit. A unit whose norm
    is not finite contributes 0. The sum over units is rounded to float32 as a whole, by about 1e-7
    of its own norm; this rounding is not part of the bound
    (`tests/tensorflow/clipping/test_rounding.py`, `test_guarantees.py`, `test_checks.py`).

    Args:
      model: a model whose layers process each row of a batch independently; `checks.check_model`
        rejects all others.
      loss_fn: (labels, outputs) -> (rows,), one loss for each row.
      l2_norm_clip: largest L2 norm of one unit's contribution, above 0; `math.inf`: no clipping.
      method: `ghost`: ghost norms with book-keeping (Bu et al. 2022, arXiv:2210.00038): one
        forward pass, one backward pass (ghost clipping without book-keeping has two), and the
        cheapest form of each norm, bounded from above including its rounding. If a layer has no
        rule, or an activation or the loss is not known to process each row independently,
        `vectorized` is used instead, which passes each of them one unit at a time.
        `vectorized` (as TF-Privacy's `DPSequential`) and `microbatch` (as its
        `DPKerasSGDOptimizer`) are references that compute the same sums more slowly.
      views: rows K of one unit. The unit's gradient is the mean over its rows and is clipped once
        (augmentation multiplicity, De et al. 2022, arXiv:2204.13650).
      public_penalty: whether the caller adds `checks.public_penalty_gradients(model)` outside of
        clipping. If False, a model with weight regularizers is rejected.

    Returns:
      The clipper. A note or a warning is logged if `vectorized` replaces `ghost`.

    Raises:
      ConfigError: the model, the loss or a setting cannot be clipped exactly.
    """
    _check_settings(l2_norm_clip, method, views)
    checks.check_model(model, public_penalty=public_penalty)
    layers = unknown_layers(model) if method != "microbatch" else []
    loops = any(has_loop(layer) for layer in layers)
    if method == "ghost" and layers:
        method = "microbatch" if loops else "vectorized"
        _log.log(
            NOTE,
            "trainer.clipping=ghost: layer %s: no clipping rule, so the gradient of each beat is "
            "computed by itself (trainer.clipping=%s), which is exact, and slower: about %s times "
            "for convolutions, more for small dense models",
            " and ".join(f"{layer.name!r} ({type(layer).__name__})" for layer in layers),
            method,
            _SLOWER[method],
        )
    elif loops:
        raise ConfigError(
            "trainer.clipping=vectorized: a layer of the model has a loop, which cannot be "
            "vectorized; use trainer.clipping=microbatch."
        )
    if method == "ghost" and (unknown := callables.unknown_callables(model, loss_fn)):
        _log.warning(
            "trainer.clipping=ghost: %s may mix the examples of a batch, so the slower "
            "trainer.clipping=vectorized is used; for trainer.clipping=ghost use functions of "
            "tf.keras.activations and losses of ecgexp.training.loss.",
            " and ".join(unknown),
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
    settings: dict[str, Any] = {
        "model": model,
        "loss_fn": loss_fn,
        "l2_norm_clip": l2_norm_clip,
        "views": views,
    }
    if method == "vectorized":
        return reference.VectorizedClipper(**settings)
    return reference.MicrobatchClipper(doubles=loops, **settings)


def _use_float32_products() -> None:
    """Disable TF32, for which the bounds of gradient norms do not hold.

    In TF32, a GPU rounds each factor of a product to 11 bits; the bounds assume float32.

    Raises:
      ConfigError: the device still rounds factors, for example to bfloat16 in oneDNN.
    """
    tf.config.experimental.enable_tensor_float_32_execution(False)
    fine = tf.fill([64, 64], 1 + 2.0**-20)
    if not bool(tf.reduce_all(fine @ tf.eye(64) == fine)):
        raise ConfigError(
            "trainer.clipping=ghost: this device multiplies float32 numbers in a shorter format, "
            "for which the bounds of gradient norms do not hold; unset "
            "ONEDNN_DEFAULT_FPMATH_MODE, or use trainer.clipping=vectorized."
        )


def _check_settings(l2_norm_clip: float, method: str, views: int) -> None:
    if not l2_norm_clip > 0 or math.isnan(l2_norm_clip):
        raise ConfigError(
            f"privacy.l2_norm_clip={l2_norm_clip} must be above 0; use privacy.l2_norm_clip=1.0."
        )
    if method not in ("ghost", "vectorized", "microbatch"):
        raise ConfigError(
            f"trainer.clipping={method} is not a clipping method; use trainer.clipping=ghost, "
            "vectorized or microbatch."
        )
    if views < 1:
        raise ConfigError(
            f"trainer.augmentation_multiplicity={views} must be at least 1; use "
            "trainer.augmentation_multiplicity=1 for one view of each beat."
        )
