"""Per-unit gradients of one weight, in the cheapest form for its shape."""

from dataclasses import dataclass
from typing import Protocol

import tensorflow as tf

from ecgexp.clipping.rounding import Explicit, GramProduct, OuterProduct, Part


class PerUnitGradient(Protocol):
    """One gradient of a weight for each unit, instantiated or factored.

    Every form provides what clipping needs: the norm of each unit's gradient, and their weighted
    sum.

    **Guarantees**: the term that `weighted_sum` adds for one unit has a norm of at most its factor
    times the norm that `rounding.squared_norms` derives from `part`, including the rounding of both
    computations (`tests/tensorflow/clipping/test_rounding.py`).
    """

    @property
    def shape(self) -> tf.TensorShape:
        """Shape of the weight."""
        ...

    def part(self) -> Part:
        """Return what `rounding.squared_norms` needs for the squared L2 norm of each unit."""
        ...

    def weighted_sum(self, factors: tf.Tensor) -> tf.Tensor:
        """Sum `factors` (units,) times the gradients over units.

        Args:
          factors: (units,) factor of each unit.

        Returns:
          A tensor of the weight's shape.
        """
        ...

    def instantiated(self) -> tf.Tensor:
        """Return the instantiated gradients, (units, *weight shape)."""
        ...

    def in_float64(self, unit: tf.Tensor) -> tf.Tensor:
        """Return the instantiated gradient of one unit in float64, in the weight's shape.

        Args:
          unit: () index of the unit.
        """
        ...

    def keep(self, finite: tf.Tensor) -> "PerUnitGradient":
        """Return the gradients with some units set to 0, because 0 times infinity is not 0.

        Args:
          finite: (units,) bool; units where it is False are set to 0.
        """
        ...


@dataclass(frozen=True)
class Instantiated:
    """Instantiated gradients, the cheapest form for small weights that are used at many positions.

    Attributes:
      values: (units, *weight shape).
    """

    values: tf.Tensor

    @property
    def shape(self) -> tf.TensorShape:
        """See `PerUnitGradient`."""
        return self.values.shape[1:]

    def part(self) -> Part:
        """See `PerUnitGradient`; only the sum of squares is rounded, as `values` are summed."""
        return Explicit(values=self.values)

    def weighted_sum(self, factors: tf.Tensor) -> tf.Tensor:
        """See `PerUnitGradient`."""
        shape = self.values.shape[1:]
        flat = tf.reshape(self.values, [-1, shape.num_elements()])
        return tf.reshape(tf.matmul(factors[tf.newaxis], flat), shape)

    def instantiated(self) -> tf.Tensor:
        """See `PerUnitGradient`."""
        return self.values

    def in_float64(self, unit: tf.Tensor) -> tf.Tensor:
        """See `PerUnitGradient`."""
        return tf.cast(self.values[unit], tf.float64)

    def keep(self, finite: tf.Tensor) -> "Instantiated":
        """See `PerUnitGradient`."""
        return Instantiated(keep_rows(self.values, finite))


@dataclass(frozen=True)
class OuterProducts:
    """Sums over positions of outer products: factored gradients of a matrix used at each position.

    With Gram matrices, ||sum_t l_t r_t'||^2 = sum_ts (l_t . l_s)(r_t . r_s) (Goodfellow 2015,
    arXiv:1510.01799; Li et al. 2022, arXiv:2110.05679), so the gradients of a large matrix are not
    instantiated.

    Attributes:
      left: (units, positions, inputs).
      right: (units, positions, outputs).
    """

    left: tf.Tensor
    right: tf.Tensor

    @property
    def shape(self) -> tf.TensorShape:
        """See `PerUnitGradient`."""
        return tf.TensorShape([self.left.shape[2], self.right.shape[2]])

    def part(self) -> Part:
        """See `PerUnitGradient`."""
        if self.left.shape[1] == 1:
            return OuterProduct(left=self.left, right=self.right)
        lengths = {"left_length": self.left.shape[2], "right_length": self.right.shape[2]}
        return GramProduct(left=gram(self.left), right=gram(self.right), **lengths)

    def weighted_sum(self, factors: tf.Tensor) -> tf.Tensor:
        """See `PerUnitGradient`."""
        left, right = scale_smaller(self.left, self.right, factors)
        inputs, outputs = left.shape[-1], right.shape[-1]
        return tf.matmul(
            tf.reshape(left, [-1, inputs]), tf.reshape(right, [-1, outputs]), transpose_a=True
        )

    def instantiated(self) -> tf.Tensor:
        """See `PerUnitGradient`."""
        return tf.matmul(self.left, self.right, transpose_a=True)

    def in_float64(self, unit: tf.Tensor) -> tf.Tensor:
        """See `PerUnitGradient`."""
        left, right = tf.cast(self.left[unit], tf.float64), tf.cast(self.right[unit], tf.float64)
        return tf.matmul(left, right, transpose_a=True)

    def keep(self, finite: tf.Tensor) -> "OuterProducts":
        """See `PerUnitGradient`."""
        return OuterProducts(keep_rows(self.left, finite), keep_rows(self.right, finite))


def outer_products(left: tf.Tensor, right: tf.Tensor) -> PerUnitGradient:
    """Return the cheaper form of a sum of outer products: instantiated or factored.

    Args:
      left: (units, positions, inputs).
      right: (units, positions, outputs).
    """
    _, positions, inputs = left.shape
    outputs = right.shape[-1]
    factored = OuterProducts(left, right)
    if positions * (inputs + outputs) < inputs * outputs or positions == 1:
        return factored
    return Instantiated(factored.instantiated())


def merge(uses: list[PerUnitGradient]) -> PerUnitGradient:
    """Add the gradients of a weight over its uses in the model, before norms are computed."""
    if len(uses) == 1:
        return uses[0]
    products = [use for use in uses if isinstance(use, OuterProducts)]
    if len(products) == len(uses):
        return outer_products(
            tf.concat([use.left for use in products], 1),
            tf.concat([use.right for use in products], 1),
        )
    return Instantiated(tf.add_n([use.instantiated() for use in uses]))


def gram(vectors: tf.Tensor) -> tf.Tensor:
    """Compute the inner products of each unit's positions.

    Args:
      vectors: (units, positions, size).

    Returns:
      (units, positions, positions) Gram matrices.
    """
    return tf.matmul(vectors, vectors, transpose_b=True)


def sum_views(rows: tf.Tensor, views: int) -> tf.Tensor:
    """Sum the adjacent views of each unit.

    Args:
      rows: (units * views, ...).
      views: rows of one unit.

    Returns:
      (units, ...).
    """
    if views == 1:
        return rows
    return tf.reduce_sum(tf.reshape(rows, [-1, views, *rows.shape[1:]]), axis=1)


def keep_rows(values: tf.Tensor, keep: tf.Tensor) -> tf.Tensor:
    """Set the rows of `values` (rows, ...) to 0 where `keep` (rows,) is False."""
    return tf.where(_per_row(keep, values), values, tf.zeros_like(values))


def scale_smaller(
    left: tf.Tensor, right: tf.Tensor, factors: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Multiply the rows of the smaller one of `left` and `right` by `factors` (rows,)."""
    if left.shape[1:].num_elements() <= right.shape[1:].num_elements():
        return left * _per_row(factors, left), right
    return left, right * _per_row(factors, right)


def _per_row(factors: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    return tf.reshape(factors, [-1] + [1] * (like.shape.rank - 1))
