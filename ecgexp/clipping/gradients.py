"""The gradient of one weight for every unit of a batch, kept in the form that is cheapest for its shape."""

from dataclasses import dataclass
from typing import Protocol

import tensorflow as tf

from ecgexp.clipping.rounding import GramProduct, OuterProduct, Part, Written


class PerUnitGradient(Protocol):
    """One gradient of a weight for each unit, written out or not.

    Every form answers the two questions of clipping: how long is each unit's gradient, and what is their weighted sum.

    **Guarantees.** What `weighted_sum` adds for one unit is no longer than its factor times the norm that
    `rounding.squared_norms` finds from `part`, in the floating point in which both are computed.
    """

    @property
    def shape(self) -> tf.TensorShape:
        """The weight's."""

    def part(self) -> Part:
        """What `rounding.squared_norms` finds the squared Euclidean norm of each unit's gradient from."""

    def weighted_sum(self, factors: tf.Tensor) -> tf.Tensor:
        """The sum over units of `factors` (units,) times the gradient, in the weight's shape."""

    def instantiated(self) -> tf.Tensor:
        """(units, *weight shape), written out."""

    def in_float64(self, unit: tf.Tensor) -> tf.Tensor:
        """The weight's shape, float64: the gradient of the unit number `unit`, written out."""

    def keep(self, finite: tf.Tensor) -> "PerUnitGradient":
        """The same with the units where `finite` (units,) is False set to 0: 0 times infinity is not 0."""


@dataclass(frozen=True)
class Instantiated:
    """Gradients written out: (units, *weight shape). Cheapest for small weights used at many positions."""

    values: tf.Tensor

    @property
    def shape(self) -> tf.TensorShape:
        """See `PerUnitGradient`."""
        return self.values.shape[1:]

    def part(self) -> Part:
        """See `PerUnitGradient`; the values are what is added, so nothing but the sum of their squares is rounded."""
        return Written(values=self.values)

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
    """Sums over positions of outer products, not written out: the gradient of a matrix used at each position.

    With Gram matrices, ||sum_t l_t r_t'||^2 = sum_ts (l_t . l_s)(r_t . r_s) (Goodfellow 2015, arXiv:1510.01799; Li et
    al. 2022, arXiv:2110.05679), so the gradients of a large matrix are never formed.

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
    """The cheaper form of a sum of outer products: written out, or as it is.

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
    """The gradient of a weight that the model uses several times: the sum over its uses, before any norm is taken."""
    if len(uses) == 1:
        return uses[0]
    if all(isinstance(use, OuterProducts) for use in uses):
        return outer_products(
            tf.concat([use.left for use in uses], 1), tf.concat([use.right for use in uses], 1)
        )
    return Instantiated(tf.add_n([use.instantiated() for use in uses]))


def gram(vectors: tf.Tensor) -> tf.Tensor:
    """(units, positions, size) -> (units, positions, positions), the inner products of a unit's positions."""
    return tf.matmul(vectors, vectors, transpose_b=True)


def sum_views(rows: tf.Tensor, views: int) -> tf.Tensor:
    """(units * views, ...) -> (units, ...), the sum over the adjacent views of each unit."""
    if views == 1:
        return rows
    return tf.reduce_sum(tf.reshape(rows, [-1, views, *rows.shape[1:]]), axis=1)


def keep_rows(values: tf.Tensor, keep: tf.Tensor) -> tf.Tensor:
    """`values` (rows, ...) with the rows where `keep` (rows,) is False set to 0."""
    return tf.where(_per_row(keep, values), values, tf.zeros_like(values))


def scale_smaller(
    left: tf.Tensor, right: tf.Tensor, factors: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Multiplies the rows of whichever operand is smaller by `factors` (rows,)."""
    if left.shape[1:].num_elements() <= right.shape[1:].num_elements():
        return left * _per_row(factors, left), right
    return left, right * _per_row(factors, right)


def _per_row(factors: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    return tf.reshape(factors, [-1] + [1] * (like.shape.rank - 1))
