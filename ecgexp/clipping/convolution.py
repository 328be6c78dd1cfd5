"""Per-unit gradients of a convolution kernel, in one, two or more dimensions.

A kernel's gradient is a sum over output positions t of (patch at t) x (upstream gradient at t).
There are three exact ways to compute its norm: instantiate it as a product of transposed patches
(small kernels, many positions); instantiate it with one ordinary convolution gradient per unit
(large patches); or sum a Gram matrix of the inputs along its diagonals, without instantiating it
(large kernels, few positions). The rules in `convolution_rules` choose.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from ecgexp.clipping.convolution_geometry import Geometry, split_phases
from ecgexp.clipping.gradients import Instantiated, gram, keep_rows, scale_smaller, sum_views
from ecgexp.clipping.rounding import GramProduct, Part

WeightGradient = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def instantiate_by_patches(
    inputs: tf.Tensor, upstream: tf.Tensor, geometry: Geometry, *, groups: int, views: int
) -> Instantiated:
    """Compute per-unit kernel gradients as one batched product of transposed patches.

    Channels come before positions, so that the slice of each tap is contiguous and the product
    needs no transposed operand. Positions are ordered by phase; see `split_phases`.

    Args:
      inputs: (rows, *inputs, channels).
      upstream: (rows, *outputs, filters).
      geometry: geometry of the convolution.
      groups: number of channel groups; each group has its own filters.
      views: adjacent rows of one unit.
    """
    dimensions = len(geometry.kernel)
    channels, filters = inputs.shape[-1] // groups, upstream.shape[-1] // groups
    split = split_phases(inputs, geometry)
    lengths, phases = range(1, 2 * dimensions, 2), range(2, 2 * dimensions + 1, 2)
    by_channel = tf.transpose(split, [0, *phases, 2 * dimensions + 1, *lengths])
    by_channel = tf.reshape(
        by_channel, [-1, *geometry.phases, groups, channels, *geometry.phase_lengths]
    )
    places = [zip(*place, strict=True) for place in geometry.places()]
    slices = [
        by_channel[(slice(None), *phase, slice(None), slice(None), *window)]
        for phase, window in places
    ]
    patches = tf.reshape(
        tf.concat(slices, axis=2), [-1, groups, geometry.taps * channels, geometry.positions]
    )
    right = tf.reshape(upstream, [-1, geometry.positions, groups, filters])
    right = tf.transpose(right, [0, 2, 1, 3]) if groups > 1 else right[:, tf.newaxis, :, 0]
    # (units, groups, taps * channels, filters)
    products = sum_views(tf.matmul(patches, right), views)
    products = tf.transpose(products, [0, 2, 1, 3]) if groups > 1 else products
    return Instantiated(tf.reshape(products, [-1, *geometry.kernel, channels, groups * filters]))


def instantiate_by_unit(
    inputs: tf.Tensor, upstream: tf.Tensor, gradient: WeightGradient, *, views: int
) -> Instantiated:
    """Compute per-unit kernel gradients with one ordinary convolution gradient for each unit.

    Args:
      inputs: (rows, *inputs, channels).
      upstream: (rows, *outputs, filters).
      gradient: (inputs, upstream) of some rows -> the kernel's gradient, summed over these rows.
      views: adjacent rows of one unit.
    """
    units = tf.shape(inputs)[0] // views

    def of_unit(unit: tf.Tensor) -> tf.Tensor:
        rows = slice(unit * views, (unit + 1) * views)
        return gradient(inputs[rows], upstream[rows])

    return Instantiated(
        tf.map_fn(of_unit, tf.range(units), fn_output_signature=inputs.dtype, parallel_iterations=2)
    )


@dataclass(frozen=True, kw_only=True)
class FactoredKernelGradient:
    """A `gradients.PerUnitGradient` of a kernel that is not instantiated.

    Attributes:
      inputs: (rows, *inputs, channels).
      upstream: (rows, *outputs, filters).
      geometry: geometry of the convolution, which has one group.
      gradient: (inputs, upstream) -> the kernel's gradient, summed over rows: the layer's ordinary
        gradient.
      views: adjacent rows of one unit.
    """

    inputs: tf.Tensor
    upstream: tf.Tensor
    geometry: Geometry
    gradient: WeightGradient
    views: int

    @property
    def shape(self) -> tf.TensorShape:
        """See `gradients.PerUnitGradient`."""
        return tf.TensorShape(
            [*self.geometry.kernel, self.inputs.shape[-1], self.upstream.shape[-1]]
        )

    def part(self) -> Part:
        """See `PerUnitGradient`.

        The Gram matrix of patches is the sum over taps of the Gram matrix of the inputs, shifted by
        the tap along both axes. The dimensions can be summed one after the other, which takes
        kernel height + width additions instead of height * width. A tap reads one phase (see
        `split_phases`), so only products within a phase are needed.
        """
        geometry, views = self.geometry, self.views
        dimensions, split = len(geometry.kernel), split_phases(self.inputs, geometry)
        if any(phases > 1 for phases in geometry.phases):
            split = tf.reshape(split, [-1, views, *split.shape[1:]])
            lengths, phases = range(2, 2 * dimensions + 1, 2), range(3, 2 * dimensions + 2, 2)
            split = tf.transpose(split, [0, *phases, 1, *lengths, 2 * dimensions + 2])
        flat = tf.reshape(
            split,
            [
                -1,
                *geometry.phases,
                views * math.prod(geometry.phase_lengths),
                self.inputs.shape[-1],
            ],
        )
        one_side = [views, *geometry.phase_lengths] if views > 1 else list(geometry.phase_lengths)
        patches = tf.reshape(gram(flat), [-1, *geometry.phases, *one_side, *one_side])
        for dimension, taps in enumerate(geometry.kernel):
            # Axes: phases of the dimensions not yet summed, then the positions of both sides.
            first = dimensions + (views > 1)
            patches = _add_shifts(
                patches,
                [geometry.place(tap, dimension) for tap in range(taps)],
                first,
                first + len(one_side),
            )
        total = views * geometry.positions
        upstream = gram(tf.reshape(self.upstream, [-1, total, self.upstream.shape[-1]]))
        # An entry is an inner product over channels, then a sum over the taps of each dimension.
        return GramProduct(
            left=tf.reshape(patches, [-1, total, total]),
            right=upstream,
            left_length=self.inputs.shape[-1] + sum(geometry.kernel),
            right_length=self.upstream.shape[-1],
        )

    def weighted_sum(self, factors: tf.Tensor) -> tf.Tensor:
        """See `PerUnitGradient`."""
        rows = tf.repeat(factors, self.views) if self.views > 1 else factors
        return self.gradient(*scale_smaller(self.inputs, self.upstream, rows))

    def instantiated(self) -> tf.Tensor:
        """See `PerUnitGradient`."""
        return instantiate_by_patches(
            self.inputs, self.upstream, self.geometry, groups=1, views=self.views
        ).values

    def in_float64(self, unit: tf.Tensor) -> tf.Tensor:
        """See `PerUnitGradient`."""
        rows = slice(unit * self.views, (unit + 1) * self.views)
        inputs, upstream = (
            tf.cast(self.inputs[rows], tf.float64),
            tf.cast(self.upstream[rows], tf.float64),
        )
        return instantiate_by_patches(
            inputs, upstream, self.geometry, groups=1, views=self.views
        ).values[0]

    def keep(self, finite: tf.Tensor) -> "FactoredKernelGradient":
        """See `PerUnitGradient`."""
        rows = tf.repeat(finite, self.views)
        return FactoredKernelGradient(
            inputs=keep_rows(self.inputs, rows),
            upstream=keep_rows(self.upstream, rows),
            geometry=self.geometry,
            gradient=self.gradient,
            views=self.views,
        )


def _add_shifts(values: tf.Tensor, places: list[tuple[int, slice]], *axes: int) -> tf.Tensor:
    """Sum `values` over `places`: the phase indexes axis 1, the positions slice both `axes`.

    Args:
      values: (units, phases, ...).
      places: (phase, positions) of each tap; see `Geometry.place`.
      *axes: axes of `values` without axis 1 that are sliced, the positions of both sides.
    """

    def shifted(phase: int, window: slice) -> tf.Tensor:
        rest = (window if axis in axes else slice(None) for axis in range(1, values.shape.rank - 1))
        return values[(slice(None), phase, *rest)]

    total = shifted(*places[0])
    for place in places[1:]:
        total = total + shifted(*place)
    return total
