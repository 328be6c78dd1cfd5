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
from ecgexp.clipping.rounding import SquaredNorms, product_of_grams

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
      padding: zeros before and after the input, as TensorFlow's SAME puts them.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]

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
            max(span - size, 0) if layer.padding == "same" else 0 for span, size in zip(spans, sizes, strict=True)
        ]
        return cls(
            kernel=tuple(layer.kernel_size), strides=tuple(layer.strides), dilations=tuple(layer.dilation_rate),
            inputs=sizes, outputs=lengths, padding=tuple((zeros // 2, zeros - zeros // 2) for zeros in missing),
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
    def padded(self) -> tuple[int, ...]:
        """Length of the padded input."""
        return tuple(size + sum(zeros) for size, zeros in zip(self.inputs, self.padding, strict=True))

    def window(self, tap: int, dimension: int) -> slice:
        """The padded positions that `tap` of `dimension` meets, one for each output."""
        start = tap * self.dilations[dimension]
        return slice(
            start, start + (self.outputs[dimension] - 1) * self.strides[dimension] + 1, self.strides[dimension]
        )

    def windows(self) -> list[tuple[slice, ...]]:
        """For each tap, in the kernel's order, the padded positions that it meets."""
        return [
            tuple(self.window(tap, dimension) for dimension, tap in enumerate(taps))
            for taps in itertools.product(*(range(size) for size in self.kernel))
        ]


def pad(inputs: tf.Tensor, geometry: Geometry) -> tf.Tensor:
    """(rows, *inputs, channels) -> (rows, *padded, channels)."""
    if not any(itertools.chain(*geometry.padding)):
        return inputs
    return tf.pad(inputs, [(0, 0), *geometry.padding, (0, 0)])


def written_out(inputs: tf.Tensor, upstream: tf.Tensor, geometry: Geometry, *, groups: int, views: int) -> Instantiated:
    """Per-unit kernel gradients as one batched product of transposed patches.

    Channels come before positions, so that each tap's slice is contiguous and the product needs no transposed operand.

    Args:
      inputs: (rows, *inputs, channels).
      upstream: (rows, *outputs, filters).
      geometry: of the convolution.
      groups: of channels, each seen by its own part of the filters.
      views: adjacent rows that make one unit.
    """
    dimensions = len(geometry.kernel)
    channels, filters = inputs.shape[-1] // groups, upstream.shape[-1] // groups
    turned = tf.transpose(pad(inputs, geometry), [0, dimensions + 1, *range(1, dimensions + 1)])
    turned = tf.reshape(turned, [-1, groups, channels, *geometry.padded])
    slices = [turned[(slice(None), slice(None), slice(None), *window)] for window in geometry.windows()]
    patches = tf.reshape(tf.concat(slices, axis=2), [-1, groups, geometry.taps * channels, geometry.positions])
    right = tf.reshape(upstream, [-1, geometry.positions, groups, filters])
    right = tf.transpose(right, [0, 2, 1, 3]) if groups > 1 else right[:, tf.newaxis, :, 0]
    products = sum_views(tf.matmul(patches, right), views)  # (units, groups, taps * channels, filters)
    products = tf.transpose(products, [0, 2, 1, 3]) if groups > 1 else products
    return Instantiated(tf.reshape(products, [-1, *geometry.kernel, channels, groups * filters]))


def one_by_one(inputs: tf.Tensor, upstream: tf.Tensor, gradient: WeightGradient, *, views: int) -> Instantiated:
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

    return Instantiated(tf.map_fn(of_unit, tf.range(units), fn_output_signature=inputs.dtype, parallel_iterations=2))


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
        return tf.TensorShape([*self.geometry.kernel, self.inputs.shape[-1], self.upstream.shape[-1]])

    def squared_norms(self) -> tf.Tensor:
        """See `PerUnitGradient`."""
        return self.bound().upper

    def bound(self) -> SquaredNorms:
        """See `PerUnitGradient`.

        The Gram matrix of patches is the sum over taps of the inputs' Gram matrix shifted by the tap along both axes,
        and the shifts of the dimensions can be summed one after the other: kernel height + width additions, not their product.
        """
        geometry, views = self.geometry, self.views
        flat = tf.reshape(pad(self.inputs, geometry), [-1, views * math.prod(geometry.padded), self.inputs.shape[-1]])
        one_side = [views, *geometry.padded] if views > 1 else list(geometry.padded)
        patches = tf.reshape(gram(flat), [-1, *one_side, *one_side])
        for dimension, taps in enumerate(geometry.kernel):
            first = 1 + (views > 1) + dimension
            patches = _add_shifts(
                patches, [geometry.window(tap, dimension) for tap in range(taps)], first, first + len(one_side)
            )
        total = views * geometry.positions
        upstream = gram(tf.reshape(self.upstream, [-1, total, self.upstream.shape[-1]]))
        # An entry is a product over channels, then a sum over the taps of each dimension.
        return product_of_grams(
            tf.reshape(patches, [-1, total, total]), upstream,
            left_length=self.inputs.shape[-1] + sum(geometry.kernel), right_length=self.upstream.shape[-1],
        )  # fmt: skip

    def weighted_sum(self, factors: tf.Tensor) -> tf.Tensor:
        """See `PerUnitGradient`."""
        rows = tf.repeat(factors, self.views) if self.views > 1 else factors
        return self.gradient(*scale_smaller(self.inputs, self.upstream, rows))

    def instantiated(self) -> tf.Tensor:
        """See `PerUnitGradient`."""
        return written_out(self.inputs, self.upstream, self.geometry, groups=1, views=self.views).values

    def in_float64(self, unit: tf.Tensor) -> tf.Tensor:
        """See `PerUnitGradient`."""
        rows = slice(unit * self.views, (unit + 1) * self.views)
        inputs, upstream = tf.cast(self.inputs[rows], tf.float64), tf.cast(self.upstream[rows], tf.float64)
        return written_out(inputs, upstream, self.geometry, groups=1, views=self.views).values[0]

    def keep(self, finite: tf.Tensor) -> "UnwrittenKernelGradient":
        """See `PerUnitGradient`."""
        rows = tf.repeat(finite, self.views)
        return UnwrittenKernelGradient(
            inputs=keep_rows(self.inputs, rows), upstream=keep_rows(self.upstream, rows),
            geometry=self.geometry, gradient=self.gradient, views=self.views,
        )  # fmt: skip


def _add_shifts(values: tf.Tensor, windows: list[slice], *axes: int) -> tf.Tensor:
    """The sum over `windows` of `values` sliced by the same window along both `axes`."""
    everything = [slice(None)] * values.shape.rank

    def shifted(window: slice) -> tf.Tensor:
        return values[tuple(window if axis in axes else all_ for axis, all_ in enumerate(everything))]

    total = shifted(windows[0])
    for window in windows[1:]:
        total = total + shifted(window)
    return total
