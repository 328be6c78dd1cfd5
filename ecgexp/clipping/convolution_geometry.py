"""The geometry of a convolution: which inputs the taps of its kernel read."""

import itertools
import math
from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Positions of the patches of a convolution; each field has one entry per spatial dimension.

    Attributes:
      kernel: number of taps.
      strides: input positions between two outputs.
      dilations: input positions between two taps.
      inputs: length of the unpadded input.
      outputs: length of the output.
      padding: zeros before the input, as in TensorFlow's SAME.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    padding: tuple[int, ...]

    @classmethod
    def of(cls, layer: tf.keras.layers.Layer, inputs: tf.Tensor, outputs: tf.Tensor) -> "Geometry":
        """Return the geometry of a layer.

        Args:
          layer: has `kernel_size`, `strides`, `dilation_rate` and `padding`.
          inputs: (rows, *inputs, channels).
          outputs: (rows, *outputs, filters).
        """
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
            kernel=tuple(layer.kernel_size),
            strides=tuple(layer.strides),
            dilations=tuple(layer.dilation_rate),
            inputs=sizes,
            outputs=lengths,
            padding=tuple(zeros // 2 for zeros in missing),
        )

    @property
    def taps(self) -> int:
        """Number of taps of the kernel, over all dimensions."""
        return math.prod(self.kernel)

    @property
    def positions(self) -> int:
        """Number of output positions, over all dimensions."""
        return math.prod(self.outputs)

    @property
    def phases(self) -> tuple[int, ...]:
        """Number of phases in each dimension.

        The phase of a padded position is its remainder modulo the stride. Phases up to the largest
        one that a tap reads are counted.
        """
        return tuple(
            1 + max(tap * dilation % stride for tap in range(taps))
            for taps, dilation, stride in zip(
                self.kernel, self.dilations, self.strides, strict=True
            )
        )

    @property
    def phase_lengths(self) -> tuple[int, ...]:
        """Number of positions of one phase that the taps read."""
        return tuple(
            outputs + (taps - 1) * dilation // stride
            for outputs, taps, dilation, stride in zip(
                self.outputs, self.kernel, self.dilations, self.strides, strict=True
            )
        )

    def place(self, tap: int, dimension: int) -> tuple[int, slice]:
        """Return the phase that a tap reads, and the adjacent positions in it, one for each output.

        Args:
          tap: index of the tap in its dimension.
          dimension: index of the dimension.
        """
        start, phase = divmod(tap * self.dilations[dimension], self.strides[dimension])
        return phase, slice(start, start + self.outputs[dimension])

    def places(self) -> list[tuple[tuple[int, slice], ...]]:
        """Return `place` in each dimension, for each tap in the kernel's order."""
        return [
            tuple(self.place(tap, dimension) for dimension, tap in enumerate(taps))
            for taps in itertools.product(*(range(size) for size in self.kernel))
        ]


def split_phases(inputs: tf.Tensor, geometry: Geometry) -> tf.Tensor:
    """Pad the inputs and split each dimension by phase.

    Position i of a dimension moves to (i // stride, i % stride), so that the positions that a tap
    reads are adjacent. TensorFlow reads strided slices one value at a time, which took most of the
    time of a strided convolution.

    Args:
      inputs: (rows, *inputs, channels).
      geometry: geometry of the convolution.

    Returns:
      (rows, length, phases, length, phases, ..., channels), one pair for each dimension.
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
