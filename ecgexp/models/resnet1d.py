"""Residual network on the signal window (after Hannun et al. 2019), with optional RR features."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from ecgexp.models.base import (
    Activation,
    Normalization,
    Shape,
    dropout,
    input_layers,
    join_rr,
    logits,
    normalization_layer,
)
from ecgexp.settings.declaration import Fraction, Span, Whole, Width, settings

if TYPE_CHECKING:
    import tensorflow as tf


@settings
class Resnet1d:
    """A stem, residual blocks that halve the length at each new stage, global average, logits.

    Attributes:
      filters: channels of each stage.
      blocks_per_stage: residual blocks in each stage.
      kernel_size: kernel length in samples.
      stem_stride: samples from one position of the first convolution to the next; 2 halves what all
        else has to do.
      rr_units: units that embed the RR features, where the input has them.
      normalization: `group` and `none` also work under privacy and federation; `batch` does not.
      dropout: inside each block and before the logits.
      activation: after each normalization.

    Example:
      >>> Resnet1d(filters=(16, 32), normalization="group").has_batch_normalization
      False
    """

    filters: Annotated[tuple[Width, ...], Field(min_length=1, max_length=64)] = (32, 64, 128)
    blocks_per_stage: Annotated[Whole, Field(ge=1, le=64)] = 1
    kernel_size: Span = 7
    stem_stride: Span = 1
    rr_units: Width = 32
    normalization: Normalization = "group"
    dropout: Fraction = 0.2
    activation: Activation = "relu"

    required_features: ClassVar[frozenset[str]] = frozenset({"signal"})
    optional_features: ClassVar[frozenset[str]] = frozenset({"rr"})

    @property
    def has_batch_normalization(self) -> bool:
        """See `ModelBuilder`."""
        return self.normalization == "batch"

    def build(self, feature_shapes: Mapping[str, Shape], num_classes: int) -> "tf.keras.Model":
        """See `ModelBuilder.build`; `signal` is (window, leads)."""
        import tensorflow as tf

        inputs = input_layers(feature_shapes)
        stem = tf.keras.layers.Conv1D(
            self.filters[0], self.kernel_size, strides=self.stem_stride, padding="same", name="stem"
        )
        x = stem(inputs["signal"])
        x = self._normalized(x, self.filters[0], name="stem")
        for stage, channels in enumerate(self.filters):
            for block in range(self.blocks_per_stage):
                x = self._block(
                    x, channels, stride=2 if block == 0 else 1, name=f"stage{stage}_{block}"
                )
        x = tf.keras.layers.GlobalAveragePooling1D(name="pool")(x)
        x = join_rr(x, inputs, self.rr_units, self.activation)
        if self.dropout:
            x = dropout(self.dropout, name="dropout")(x)
        return tf.keras.Model(inputs, logits(x, num_classes), name="resnet1d")

    def _block(self, x: "tf.Tensor", channels: int, *, stride: int, name: str) -> "tf.Tensor":
        import tensorflow as tf

        layers = tf.keras.layers
        y = layers.Conv1D(
            channels, self.kernel_size, strides=stride, padding="same", name=f"{name}_conv_a"
        )(x)
        y = self._normalized(y, channels, name=f"{name}_a")
        if self.dropout:
            y = dropout(self.dropout, name=f"{name}_dropout")(y)
        y = layers.Conv1D(channels, self.kernel_size, padding="same", name=f"{name}_conv_b")(y)
        if stride != 1 or x.shape[-1] != channels:
            x = layers.Conv1D(channels, 1, strides=stride, padding="same", name=f"{name}_shortcut")(
                x
            )
        return self._normalized(layers.Add(name=f"{name}_add")([x, y]), channels, name=f"{name}_b")

    def _normalized(self, x: "tf.Tensor", channels: int, *, name: str) -> "tf.Tensor":
        import tensorflow as tf

        if (
            normalize := normalization_layer(self.normalization, channels, name=f"{name}_norm")
        ) is not None:
            x = normalize(x)
        return tf.keras.layers.Activation(self.activation, name=f"{name}_act")(x)
