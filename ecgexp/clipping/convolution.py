"""The gradient of a convolution kernel for each unit, in one, two or more dimensions.

A kernel's gradient is a sum over output positions t of (patch under t) x (upstream gradient at t). Three exact ways
to its norm: write it out through a product of transposed patches (small kernels, many positions); write it out with
one ordinary convolution gradient per unit (when the patches are large); or leave it unwritten and sum a
Gram matrix of the inputs along its diagonals (large kernels, few positions). `conv1d` and `conv2d` choose.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from ecgexp.clipping.gradients import Instantiated, gram, keep_rows, scale_smaller, sum_views
from ecgexp.clipping.rounding import GramProduct, Part

WeightGradient = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Where a convolution's patches lie; one entry for each spatial dimension.

    Attributes:
      kernel: taps.
      strides: steps between outputs.
      dilations: steps between taps.
      inputs: length of the unpadded input.
      outputs: length of the output.
      padding: zeros before the input, as TensorFlow's SAME puts them.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    padding: tuple[int, ...]

    @classmethod
    def of(cls, layer: tf.keras.layers.Layer, inputs: tf.Tensor, outputs: tf.Tensor) -> "Geometry":
        """The geometry of a layer with `kernel_size`, `strides`, `dilation_rate` and `padding`, from (rows, ..., channels)."""
        sizes, lengths = tuple(inputs.shape[1:-1]), tuple(outputs.shape[1:-1])
        spans = [
            (length - 1) * stride + (taps - 1) * dilation + 1
            for length, stride, taps, dilation in zip(
                lengths, layer.strides, layer.kernel_size, layer.dilation_rate, strict=True
            )
        ]
        missing = [
            max(span - size, 0) if layer.padding == "same" else 0
            for span, size in zip(spans, sizes, strict=True)
        ]
        return cls(
            kernel=tuple(layer.kernel_size), strides=tuple(layer.strides), dilations=tuple(layer.dilation_rate),
            inputs=sizes, outputs=lengths, padding=tuple(zeros // 2 for zeros in missing),
        )  # fmt: skip

    @property
    def taps(self) -> int:
        """Taps of the kernel, over all dimensions."""
        return math.prod(self.kernel)

    @property
    def positions(self) -> int:
        """Output positions, over all dimensions."""
        return math.prod(self.outputs)

    @property
    def phases(self) -> tuple[int, ...]:
        """How many remainders of a padded position by the stride the taps meet, at most, counted from 0."""
        return tuple(
            1 + max(tap * dilation % stride for tap in range(taps))
            for taps, dilation, stride in zip(
                self.kernel, self.dilations, self.strides, strict=True
            )
        )

    @property
    def phase_lengths(self) -> tuple[int, ...]:
        """Positions of one phase that the taps meet."""
        return tuple(
            outputs + (taps - 1) * dilation // stride
            for outputs, taps, dilation, stride in zip(
                self.outputs, self.kernel, self.dilations, self.strides, strict=True
            )
        )

    def place(self, tap: int, dimension: int) -> tuple[int, slice]:
        """The phase that `tap` of `dimension` meets, and the positions in it: adjacent ones, one for each output."""
        start, phase = divmod(tap * self.dilations[dimension], self.strides[dimension])
        return phase, slice(start, start + self.outputs[dimension])

    def places(self) -> list[tuple[tuple[int, slice], ...]]:
        """`place` in each dimension, for each tap in the kernel's order."""
        return [
            tuple(self.place(tap, dimension) for dimension, tap in enumerate(taps))
            for taps in itertools.product(*(range(size) for size in self.kernel))
        ]


def split_phases(inputs: tf.Tensor, geometry: Geometry) -> tf.Tensor:
    """(rows, *inputs, channels) -> (rows, length, phases, length, phases, ..., channels), padded, a pair for each dimension.

    Position i of a dimension stands at i // stride, i % stride. The positions that a tap meets are then adjacent: TensorFlow
    reads a slice with steps number by number, which took most of the time of a convolution with strides.
    """
    sizes = [
        length * stride
        for length, stride in zip(geometry.phase_lengths, geometry.strides, strict=True)
    ]
    zeros = [
        (before, max(size - before - length, 0))
        for size, length, before in zip(sizes, geometry.inputs, geometry.padding, strict=True)
    ]
    padded = tf.pad(inputs, [(0, 0), *zeros, (0, 0)])[
        (slice(None), *(slice(size) for size in sizes))
    ]
    shape = itertools.chain(*zip(geometry.phase_lengths, geometry.strides, strict=True))
    split = tf.reshape(padded, [-1, *shape, inputs.shape[-1]])
    return split[
        (
            slice(None),
            *itertools.chain(*((slice(None), slice(phases)) for phases in geometry.phases)),
        )
    ]


def written_out(
    inputs: tf.Tensor, upstream: tf.Tensor, geometry: Geometry, *, groups: int, views: int
) -> Instantiated:
    """Per-unit kernel gradients as one batched product of transposed patches.

    Channels come before positions, so that each tap's slice is contiguous and the product needs no transposed operand.
    Positions stand by their phase, see `split_phases`.

    Args:
      inputs: (rows, *inputs, channels).
      upstream: (rows, *outputs, filters).
      geometry: of the convolution.
      groups: of channels, each seen by its own part of the filters.
      views: adjacent rows that make one unit.
    """
    dimensions = len(geometry.kernel)
    channels, filters = inputs.shape[-1] // groups, upstream.shape[-1] // groups
    split = split_phases(inputs, geometry)
    lengths, phases = range(1, 2 * dimensions, 2), range(2, 2 * dimensions + 1, 2)
    turned = tf.transpose(split, [0, *phases, 2 * dimensions + 1, *lengths])
    turned = tf.reshape(turned, [-1, *geometry.phases, groups, channels, *geometry.phase_lengths])
    places = [zip(*place, strict=True) for place in geometry.places()]
    slices = [
        turned[(slice(None), *phase, slice(None), slice(None), *window)] for phase, window in places
    ]
    patches = tf.reshape(
        tf.concat(slices, axis=2), [-1, groups, geometry.taps * channels, geometry.positions]
    )
    right = tf.reshape(upstream, [-1, geometry.positions, groups, filters])
    right = tf.transpose(right, [0, 2, 1, 3]) if groups > 1 else right[:, tf.newaxis, :, 0]
    products = sum_views(
        tf.matmul(patches, right), views
    )  # (units, groups, taps * channels, filters)
    products = tf.transpose(products, [0, 2, 1, 3]) if groups > 1 else products
    return Instantiated(tf.reshape(products, [-1, *geometry.kernel, channels, groups * filters]))


def one_by_one(
    inputs: tf.Tensor, upstream: tf.Tensor, gradient: WeightGradient, *, views: int
) -> Instantiated:
    """Per-unit kernel gradients by one ordinary convolution gradient for each unit.

    Args:
      inputs: (rows, *inputs, channels).
      upstream: (rows, *outputs, filters).
      gradient: (inputs, upstream) of some rows -> the kernel's gradient summed over them.
      views: adjacent rows that make one unit.
    """
    units = tf.shape(inputs)[0] // views

    def of_unit(unit: tf.Tensor) -> tf.Tensor:
        rows = slice(unit * views, (unit + 1) * views)
        return gradient(inputs[rows], upstream[rows])

    return Instantiated(
        tf.map_fn(of_unit, tf.range(units), fn_output_signature=inputs.dtype, parallel_iterations=2)
    )


@dataclass(frozen=True, kw_only=True)
class UnwrittenKernelGradient:
    """Per-unit kernel gradients that are never formed; see `gradients.PerUnitGradient`.

    Attributes:
      inputs: (rows, *inputs, channels).
      upstream: (rows, *outputs, filters).
      geometry: of the convolution, which has one group.
      gradient: (inputs, upstream) -> the kernel's gradient summed over rows: the layer's ordinary gradient.
      views: adjacent rows that make one unit.
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

        The Gram matrix of patches is the sum over taps of the inputs' Gram matrix shifted by the tap along both axes,
        and the shifts of the dimensions can be summed one after the other: kernel height + width additions, not their product.
        A tap meets one phase (see `split_phases`), so only products within a phase are needed.
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
            # The phases of the later dimensions stand before the positions, of which those of the earlier ones are summed.
            first = dimensions + (views > 1)
            patches = _add_shifts(
                patches,
                [geometry.place(tap, dimension) for tap in range(taps)],
                first,
                first + len(one_side),
            )
        total = views * geometry.positions
        upstream = gram(tf.reshape(self.upstream, [-1, total, self.upstream.shape[-1]]))
        # An entry is a product over channels, then a sum over the taps of each dimension.
        return GramProduct(
            left=tf.reshape(patches, [-1, total, total]), right=upstream,
            left_length=self.inputs.shape[-1] + sum(geometry.kernel), right_length=self.upstream.shape[-1],
        )  # fmt: skip

    def weighted_sum(self, factors: tf.Tensor) -> tf.Tensor:
        """See `PerUnitGradient`."""
        rows = tf.repeat(factors, self.views) if self.views > 1 else factors
        return self.gradient(*scale_smaller(self.inputs, self.upstream, rows))

    def instantiated(self) -> tf.Tensor:
        """See `PerUnitGradient`."""
        return written_out(
            self.inputs, self.upstream, self.geometry, groups=1, views=self.views
        ).values

    def in_float64(self, unit: tf.Tensor) -> tf.Tensor:
        """See `PerUnitGradient`."""
        rows = slice(unit * self.views, (unit + 1) * self.views)
        inputs, upstream = (
            tf.cast(self.inputs[rows], tf.float64),
            tf.cast(self.upstream[rows], tf.float64),
        )
        return written_out(inputs, upstream, self.geometry, groups=1, views=self.views).values[0]

    def keep(self, finite: tf.Tensor) -> "UnwrittenKernelGradient":
        """See `PerUnitGradient`."""
        rows = tf.repeat(finite, self.views)
        return UnwrittenKernelGradient(
            inputs=keep_rows(self.inputs, rows), upstream=keep_rows(self.upstream, rows),
            geometry=self.geometry, gradient=self.gradient, views=self.views,
        )  # fmt: skip


def _add_shifts(values: tf.Tensor, places: list[tuple[int, slice]], *axes: int) -> tf.Tensor:
    """The sum over `places` of `values` with the phase taken from axis 1, then sliced alike along both `axes` of the rest."""

    def shifted(phase: int, window: slice) -> tf.Tensor:
        rest = (window if axis in axes else slice(None) for axis in range(1, values.shape.rank - 1))
        return values[(slice(None), phase, *rest)]

    total = shifted(*places[0])
    for place in places[1:]:
        total = total + shifted(*place)
    return total
