"""Upper bounds of norms that are computed in floating point: what rounding may have taken away is added.

**Guarantees.** With u the unit roundoff (2^-24 for float32) and gamma(n) = n u / (1 - n u), a sum of n products, in any order and
with or without fused operations, differs from the exact one by at most gamma(n) times the sum of the products' sizes (Higham
2002, *Accuracy and Stability of Numerical Algorithms*, section 3.1), and by n times the smallest normal number where products
underflow. Every bound here follows from that; none assumes that rounding errors cancel. They hold for float32 products: TF32
and bfloat16 are excluded by `build.build_clipper`. Checked in float64 by `tests/tensorflow/clipping/test_rounding.py`.

A model has dozens of weights, most of them small, and each operation on a small tensor costs as much as on a larger one. So the
weights of one form are bounded together. TensorFlow's graph optimizer joins trees of additions, in an order that changes with the
process; so no sum here is an argument of a sum, but for the sums that one operation computes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf

SAFETY = 1.07
"""Covers that the bounds are themselves computed in floating point, and their terms of higher order, where gamma < 0.03."""

_BLOCK = 64  # summands that are added one after the other: a longer sum is a sum of sums


class SquaredNorms(NamedTuple):
    """Squared norms of each unit's gradient.

    Attributes:
      upper: (units,) not smaller than the exact ones.
      rounding: (units,) by how much `upper` exceeds what was computed.
    """

    upper: tf.Tensor
    rounding: tf.Tensor


@dataclass(frozen=True, kw_only=True)
class Written:
    """Gradients of one weight that are written out.

    Attributes:
      values: (units, ...).
    """

    values: tf.Tensor


@dataclass(frozen=True, kw_only=True)
class OuterProduct:
    """The outer products of the rows of `left` and `right`.

    Attributes:
      left: (units, ..., inputs), of one position.
      right: (units, ..., outputs).
    """

    left: tf.Tensor
    right: tf.Tensor


@dataclass(frozen=True, kw_only=True)
class GramProduct:
    """Sums over positions t of outer products l_t r_t', by the inner products of either side.

    Attributes:
      left: (units, positions, positions) Gram matrix of the l_t.
      right: (units, positions, positions) of the r_t.
      left_length: products and additions behind an entry of `left`.
      right_length: and of `right`.
    """

    left: tf.Tensor
    right: tf.Tensor
    left_length: int
    right_length: int


Part = Written | OuterProduct | GramProduct


def gamma(length: int, dtype: tf.DType) -> float:
    """The relative error of a sum of `length` products, with `SAFETY`."""
    unit = _unit(dtype)
    return SAFETY * length * unit / (1 - min(length * unit, 0.5))


def smallest(dtype: tf.DType) -> float:
    """The smallest normal number: what an underflow may take away."""
    return float(np.finfo(dtype.as_numpy_dtype).tiny)


def squared_norms(parts: Sequence[Part]) -> SquaredNorms:
    """Squared norms of the gradient whose parts are `parts`, one or more for each weight."""
    written = [part.values for part in parts if isinstance(part, Written)]
    outer = [part for part in parts if isinstance(part, OuterProduct)]
    grams = [part for part in parts if isinstance(part, GramProduct)]
    rows = [_products_of_grams(grams)] if grams else []
    if written or outer:
        rows += _sums_of_squares(written, outer)
    computed, upper = (
        tf.concat(side, axis=0) if len(side) > 1 else side[0] for side in zip(*rows, strict=True)
    )
    total = (1 + gamma(len(parts) + 1, upper.dtype)) * tf.reduce_sum(upper, axis=0)
    return SquaredNorms(total, total - tf.reduce_sum(computed, axis=0))


def sum_of_squares(values: Sequence[tf.Tensor]) -> SquaredNorms:
    """Squared norms of the rows of all `values` (units, ...) taken together."""
    return squared_norms([Written(values=value) for value in values])


class _Rows(NamedTuple):
    """Squared norms whose sums over parts, both (parts, units), are the squared norms of the gradient.

    Attributes:
      computed: as they are.
      upper: not smaller than the exact ones.
    """

    computed: tf.Tensor
    upper: tf.Tensor


def _sums_of_squares(written: list[tf.Tensor], outer: list[OuterProduct]) -> list[_Rows]:
    """Sums of squares, which do not cancel; of outer products |l r'|^2 = |l|^2 |r|^2.

    A square that underflows may be that of a side whose other side is large, so this is counted before the product.
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
    """(units,) sums of the squares of the rows of `values` (units, ...), and the number of roundings of one of them."""
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
    """||sum_t l_t r_t'||^2 = sum_ts (l_t . l_s) (r_t . r_s) = <L, R>, of which the terms may cancel.

    The computed Gram matrices are L + E and R + F. By the module's first sentence |E_ts| <= gamma |l_t| |l_s|, so that
    ||E|| <= gamma tr(L) =: e, and ||F|| <= f alike. From <L, R> = <L + E, R + F> - <E, R + F> - <L + E, F> + <E, F> and the
    inequality of Cauchy and Schwarz, what was computed is wrong by at most e ||R + F|| + f ||L + E|| + e f, and its sum over t
    and s by at most gamma(2 T + 2) ||L + E|| ||R + F||. Nothing of this cancels.

    The weighted sum adds up the same outer products, with cancelling terms too: its own rounding, at most
    gamma(T + 2) sum_t |l_t| |r_t| <= gamma(T + 2) sqrt(tr(L) tr(R)), is part of the bound, for it is part of what a unit adds.
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
    positive = tf.where(
        product < 0, underflow, product + underflow
    )  # keeps NaN, as a maximum need not
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
      trace: of the exact matrix.
      norm: Frobenius norm of the computed one.
      error: Frobenius norm of their difference.
    """

    trace: tf.Tensor
    norm: tf.Tensor
    error: tf.Tensor

    @classmethod
    def of(cls, grams: list[tf.Tensor], lengths: list[int]) -> "_GramNorms":
        """Of `grams`, (units, positions, positions) each, with `lengths` as in `GramProduct`.

        The underflow of an entry, length times the smallest number, is gamma(length) times a number that is added to the trace.
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
        # Twice the trace is a bound too, where the squares leave the range of numbers.
        norm = tf.minimum(tf.sqrt(longer * squares + underflow), 2 * trace)
        return cls(trace, norm, _column(share, dtype) * trace)


def _column(values: list[float], dtype: tf.DType) -> tf.Tensor:
    """(parts, 1), to go with (parts, units)."""
    return tf.constant(values, dtype, [len(values), 1])


def _unit(dtype: tf.DType) -> float:
    return float(np.finfo(dtype.as_numpy_dtype).eps / 2)
