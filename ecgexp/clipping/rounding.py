"""Upper bounds of gradient norms that are computed in floating point.

**Guarantees**: with u the unit roundoff (2^-24 for float32) and gamma(n) = n u / (1 - n u), a
computed sum of n products, in any order and with or without fused operations, differs from the
exact sum by at most gamma(n) times the sum of the products' absolute values (Higham 2002, *Accuracy
and Stability of Numerical Algorithms*, section 3.1), plus n times the smallest normal number if
products underflow. Every bound in this module follows from this statement; none assumes that
rounding errors cancel. The bounds hold for float32 products; `build.build_clipper` excludes TF32
and bfloat16 (`tests/tensorflow/clipping/test_rounding.py` compares the bounds with float64).

A model has dozens of weights, most of them small, and an operation on a small tensor takes as long
as on a larger one. Therefore all weights of one form are bounded in one operation. TensorFlow's
graph optimizer merges trees of additions in an order that differs between processes. Therefore no
sum in this module is an argument of another sum, except within one operation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf

SAFETY = 1.07
"""Factor for the rounding of the bounds themselves and for terms of higher order; gamma < 0.03."""

_BLOCK = 64  # terms that one operation adds; longer sums are split, which keeps their bounds small


class SquaredNorms(NamedTuple):
    """Squared norms of each unit's gradient.

    Attributes:
      upper: (units,) upper bounds of the exact squared norms.
      rounding: (units,) difference between `upper` and the computed squared norms.
    """

    upper: tf.Tensor
    rounding: tf.Tensor


@dataclass(frozen=True, kw_only=True)
class Explicit:
    """Gradients of one weight that are instantiated.

    Attributes:
      values: (units, ...) gradients.
    """

    values: tf.Tensor


@dataclass(frozen=True, kw_only=True)
class OuterProduct:
    """Gradients that are outer products of two vectors: a matrix that is used at one position.

    Attributes:
      left: (units, 1, inputs).
      right: (units, 1, outputs).
    """

    left: tf.Tensor
    right: tf.Tensor


@dataclass(frozen=True, kw_only=True)
class GramProduct:
    """Gradients that are sums over positions t of outer products l_t r_t', given by Gram matrices.

    Attributes:
      left: (units, positions, positions) Gram matrix of the l_t.
      right: (units, positions, positions) Gram matrix of the r_t.
      left_length: number of products and additions that one entry of `left` results from.
      right_length: number of products and additions that one entry of `right` results from.
    """

    left: tf.Tensor
    right: tf.Tensor
    left_length: int
    right_length: int


Part = Explicit | OuterProduct | GramProduct


def gamma(length: int, dtype: tf.DType) -> float:
    """Bound the relative error of a sum of `length` products, times `SAFETY`."""
    unit = _unit(dtype)
    return SAFETY * length * unit / (1 - min(length * unit, 0.5))


def smallest(dtype: tf.DType) -> float:
    """Return the smallest normal number, the largest absolute error of an underflow."""
    return float(np.finfo(dtype.as_numpy_dtype).tiny)


def squared_norms(parts: Sequence[Part]) -> SquaredNorms:
    """Bound the squared norm of each unit's gradient over all weights.

    Args:
      parts: one or more for each weight.

    Returns:
      Upper bounds, with the rounding that they contain.
    """
    written = [part.values for part in parts if isinstance(part, Explicit)]
    outer = [part for part in parts if isinstance(part, OuterProduct)]
    grams = [part for part in parts if isinstance(part, GramProduct)]
    rows = [_products_of_grams(grams)] if grams else []
    if written or outer:
        rows += _sums_of_squares(written, outer)
    computed, upper = (
        side[0] if len(side) == 1 else tf.concat(side, axis=0) for side in zip(*rows, strict=True)
    )
    total = (1 + gamma(len(parts) + 1, upper.dtype)) * tf.reduce_sum(upper, axis=0)
    return SquaredNorms(total, total - tf.reduce_sum(computed, axis=0))


def sum_of_squares(values: Sequence[tf.Tensor]) -> SquaredNorms:
    """Bound the squared norm of each unit's rows in all `values` together, (units, ...) each."""
    return squared_norms([Explicit(values=value) for value in values])


class _Rows(NamedTuple):
    """Squared norms of parts, (parts, units); their sums over parts are those of the gradient.

    Attributes:
      computed: values without a bound on rounding.
      upper: upper bounds of the exact values.
    """

    computed: tf.Tensor
    upper: tf.Tensor


def _sums_of_squares(written: list[tf.Tensor], outer: list[OuterProduct]) -> list[_Rows]:
    """Bound sums of squares, whose terms do not cancel; for outer products, |l r'|^2 = |l|^2 |r|^2.

    The bound on underflow is added before the product, because the other side may be large.
    """
    sides = [*(part.left for part in outer), *(part.right for part in outer), *written]
    dtype, number = sides[0].dtype, len(outer)
    sums, lengths = zip(*(_sum_of_squares(side) for side in sides), strict=True)
    computed = tf.stack(sums)
    underflow = 2 * max(side.shape[1:].num_elements() for side in sides) * smallest(dtype)
    upper = (1 + gamma(max(lengths) + 4, dtype)) * computed + underflow
    lefts, rights, rest = zip(
        *(tf.split(rows, [number, number, len(written)]) for rows in (computed, upper)), strict=True
    )
    products = (
        [_Rows(*(left * right for left, right in zip(lefts, rights, strict=True)))] if outer else []
    )
    return products + ([_Rows(*rest)] if written else [])


def _sum_of_squares(values: tf.Tensor) -> tuple[tf.Tensor, int]:
    """Sum the squares of each row of `values` (units, ...); also return the roundings per sum."""
    size, length = values.shape[1:].num_elements(), 0
    squares = tf.square(tf.reshape(values, [-1, size]))
    while size > 4 * _BLOCK:
        if missing := -size % _BLOCK:
            squares = tf.pad(squares, [(0, 0), (0, missing)])
        size = (size + missing) // _BLOCK
        squares, length = (
            tf.reduce_sum(tf.reshape(squares, [-1, size, _BLOCK]), axis=2),
            length + _BLOCK,
        )
    return tf.reduce_sum(squares, axis=1), length + size


def _products_of_grams(parts: list[GramProduct]) -> _Rows:
    """Bound ||sum_t l_t r_t'||^2 = sum_ts (l_t . l_s) (r_t . r_s) = <L, R>, whose terms may cancel.

    The computed Gram matrices are L + E and R + F. By the statement at the top of this module,
    |E_ts| <= gamma |l_t| |l_s|, so ||E|| <= gamma tr(L) =: e, and likewise ||F|| <= f. From
    <L, R> = <L + E, R + F> - <E, R + F> - <L + E, F> + <E, F> and the Cauchy-Schwarz inequality,
    the inner product <L + E, R + F> differs from <L, R> by at most e ||R + F|| + f ||L + E|| + e f.
    The sum over t and s adds a rounding error of at most gamma(2 T + 2) ||L + E|| ||R + F||. No
    term of this bound cancels.

    The weighted sum of gradients adds the same outer products, whose terms may cancel too. Its
    rounding error is part of a unit's contribution, so the bound includes it: at most
    gamma(T + 2) sum_t |l_t| |r_t| <= gamma(T + 2) sqrt(tr(L) tr(R)).
    """
    dtype = parts[0].left.dtype
    left = _GramNorms.of([part.left for part in parts], [part.left_length for part in parts])
    right = _GramNorms.of([part.right for part in parts], [part.right_length for part in parts])
    positions = [part.left.shape[1] for part in parts]
    products = [
        tf.reduce_sum(tf.reduce_sum(part.left * part.right, axis=2), axis=1) for part in parts
    ]
    product = tf.stack(products)
    underflow = _column([4 * length**2 * smallest(dtype) for length in positions], dtype)
    # tf.where keeps NaN; tf.maximum may not.
    positive = tf.where(product < 0, underflow, product + underflow)
    of_sum = _column([gamma(2 * length + 4, dtype) for length in positions], dtype)
    lost = (left.error + of_sum * left.norm) * (right.norm + right.error) + left.norm * right.error
    of_weighted_sum = _column([gamma(length + 4, dtype) for length in positions], dtype)
    root = tf.sqrt(positive + SAFETY * lost) + of_weighted_sum * (
        tf.sqrt(left.trace) * tf.sqrt(right.trace)
    )
    return _Rows(product, (1 + gamma(8, dtype)) * tf.square(root))


class _GramNorms(NamedTuple):
    """Upper bounds for Gram matrices, each (parts, units).

    Attributes:
      trace: trace of the exact matrix.
      norm: Frobenius norm of the computed matrix.
      error: Frobenius norm of the difference of both.
    """

    trace: tf.Tensor
    norm: tf.Tensor
    error: tf.Tensor

    @classmethod
    def of(cls, grams: list[tf.Tensor], lengths: list[int]) -> "_GramNorms":
        """Bound Gram matrices.

        The underflow of an entry is at most length times the smallest normal number. It is
        expressed as gamma(length) times a number, which is added to the trace.

        Args:
          grams: (units, positions, positions) each.
          lengths: as in `GramProduct`, one for each matrix.
        """
        dtype, positions = grams[0].dtype, [gram.shape[1] for gram in grams]
        share = [gamma(length, dtype) for length in lengths]
        trace = tf.stack([tf.reduce_sum(tf.linalg.diag_part(gram), axis=1) for gram in grams])
        lowest = _column([length * smallest(dtype) / _unit(dtype) for length in positions], dtype)
        several = _column([1 + gamma(length + 5, dtype) for length in positions], dtype) * (
            1 + _column(share, dtype)
        )
        trace = several * trace + lowest
        squares = tf.stack([tf.reduce_sum(tf.square(gram), axis=[1, 2]) for gram in grams])
        longer = _column([1 + gamma(length**2 + 6, dtype) for length in positions], dtype)
        underflow = _column([2 * length**2 * smallest(dtype) for length in positions], dtype)
        # Twice the trace is also a bound, and stays finite where the squares overflow.
        norm = tf.minimum(tf.sqrt(longer * squares + underflow), 2 * trace)
        return cls(trace, norm, _column(share, dtype) * trace)


def _column(values: list[float], dtype: tf.DType) -> tf.Tensor:
    """Return `values` as (parts, 1), for broadcasting with (parts, units)."""
    return tf.constant(values, dtype, [len(values), 1])


def _unit(dtype: tf.DType) -> float:
    return float(np.finfo(dtype.as_numpy_dtype).eps / 2)
