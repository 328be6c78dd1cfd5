"""Upper bounds of norms that are computed in floating point: what rounding may have taken away is added.

**Guarantees.** With u the unit roundoff (2^-24 for float32) and gamma(n) = n u / (1 - n u), a sum of n products, in any order and
with or without fused operations, differs from the exact one by at most gamma(n) times the sum of the products' sizes (Higham
2002, *Accuracy and Stability of Numerical Algorithms*, section 3.1), and by n times the smallest normal number where products
underflow. Every bound here follows from that; none assumes that rounding errors cancel. They hold for float32 products: TF32
and bfloat16 are excluded by `base.build_clipper`. Checked in float64 by `tests/clipping/test_rounding.py`.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

SAFETY = 1.07
"""Covers that the bounds are themselves computed in floating point, and their terms of higher order, where gamma < 0.03."""

_BLOCK, _SMALL_BLOCK = 64, 8  # summands that are added one after the other: a longer sum is a sum of sums
_SMALL = 4096  # summands that are few enough for the small blocks, which round less and take more passes


class SquaredNorms(NamedTuple):
    """Squared norms of each unit's gradient.

    Attributes:
      upper: (units,) not smaller than the exact ones.
      rounding: (units,) by how much `upper` exceeds what was computed.
    """

    upper: tf.Tensor
    rounding: tf.Tensor


def gamma(length: int, dtype: tf.DType) -> float:
    """The relative error of a sum of `length` products, with `SAFETY`."""
    unit = np.finfo(dtype.as_numpy_dtype).eps / 2
    return SAFETY * length * unit / (1 - min(length * unit, 0.5))


def smallest(dtype: tf.DType) -> float:
    """The smallest normal number: what an underflow may take away."""
    return float(np.finfo(dtype.as_numpy_dtype).tiny)


def sum_of_squares(values: tf.Tensor) -> SquaredNorms:
    """Squared norms of the rows of `values` (units, ...), whose squares do not cancel."""
    size = values.shape[1:].num_elements()
    total, blocks = tf.reshape(tf.square(values), [-1, size]), _blocks(size)
    for block in blocks:
        total = tf.reduce_sum(tf.reshape(total, [-1, total.shape[1] // block, block]), axis=2)
    total = total[:, 0]
    share, underflow = gamma(1 + sum(blocks), values.dtype), 2 * size * smallest(values.dtype)
    # Not `total + rounding`: TensorFlow's graph optimizer joins trees of additions in an order that changes with the process.
    return SquaredNorms((1 + share) * total + underflow, share * total + underflow)


def outer_product(left: tf.Tensor, right: tf.Tensor) -> SquaredNorms:
    """Squared norms of the outer products of the rows of `left` (units, inputs) and `right` (units, outputs)."""
    left_squares, right_squares = sum_of_squares(left), sum_of_squares(right)
    computed = (left_squares.upper - left_squares.rounding) * (right_squares.upper - right_squares.rounding)
    upper = (1 + gamma(3, left.dtype)) * left_squares.upper * right_squares.upper + smallest(left.dtype)
    return SquaredNorms(upper, upper - computed)


def product_of_grams(left: tf.Tensor, right: tf.Tensor, *, left_length: int, right_length: int) -> SquaredNorms:
    """Squared norms of sum_t l_t r_t', as sum_ts (l_t . l_s) (r_t . r_s) = <L, R>, of which the terms may cancel.

    The computed Gram matrices are L + E and R + F. By the module's first sentence |E_ts| <= gamma |l_t| |l_s|, so that
    ||E|| <= gamma tr(L) =: e, and ||F|| <= f alike. From <L, R> = <L + E, R + F> - <E, R + F> - <L + E, F> + <E, F> and the
    inequality of Cauchy and Schwarz, what was computed is wrong by at most e ||R + F|| + f ||L + E|| + e f, and its sum over t
    and s by at most gamma(2 T + 2) ||L + E|| ||R + F||. Nothing of this cancels. All is computed relative to the traces, so that
    it neither overflows nor underflows before the traces do.

    The weighted sum adds up the same outer products, with cancelling terms too: its own rounding, at most
    gamma(T + 2) sum_t |l_t| |r_t| <= gamma(T + 2) sqrt(tr(L) tr(R)), is part of the bound, for it is part of what a unit adds.

    Args:
      left: (units, positions, positions) Gram matrix of the l_t.
      right: (units, positions, positions) of the r_t.
      left_length: products and additions behind an entry of `left`.
      right_length: and of `right`.
    """
    dtype, positions = left.dtype, left.shape[1]
    left, left_trace, left_norm = _scaled(left)
    right, right_trace, right_norm = _scaled(right)
    left_error = gamma(left_length, dtype) + positions * left_length * smallest(dtype) / left_trace
    right_error = gamma(right_length, dtype) + positions * right_length * smallest(dtype) / right_trace
    product = tf.reduce_sum(tf.reduce_sum(left * right, axis=2), axis=1)
    product = tf.where(product < 0, tf.zeros_like(product), product)  # keeps NaN, as a maximum need not
    lost = _sum([
        left_error * right_norm, right_error * left_norm, left_error * right_error,
        gamma(2 * positions + 4, dtype) * left_norm * right_norm,
    ])  # fmt: skip
    of_weighted_sum = gamma(positions + 4, dtype) * (1 + left_error) * (1 + right_error)
    scale = left_trace * right_trace
    upper = tf.square(tf.sqrt(product + SAFETY * lost) + of_weighted_sum) * scale + smallest(dtype)
    return SquaredNorms(upper, upper - product * scale)


def _sum(terms: list[tf.Tensor]) -> tf.Tensor:
    """The sum of `terms` in an order that the graph optimizer leaves alone, so that every process rounds alike."""
    return tf.reduce_sum(tf.stack(terms), axis=0)


def _scaled(gram: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """A Gram matrix divided by its trace, the trace, and the quotient's Frobenius norm."""
    trace = tf.reduce_sum(tf.linalg.diag_part(gram), axis=1)
    trace = tf.where(trace < smallest(gram.dtype), smallest(gram.dtype) * tf.ones_like(trace), trace)
    gram *= (1 / trace)[:, tf.newaxis, tf.newaxis]
    return gram, trace, tf.sqrt(tf.reduce_sum(tf.square(gram), axis=[1, 2]))


def _blocks(size: int) -> list[int]:
    """How many numbers are added at a time, in each pass over what the pass before left, until one is left."""
    blocks = []
    while size > 2 * _SMALL_BLOCK:
        largest = _BLOCK if size > _SMALL else _SMALL_BLOCK
        block = next((block for block in range(largest, 1, -1) if size % block == 0), size)
        blocks.append(block)
        size //= block
    return [*blocks, size] if size > 1 or not blocks else blocks
