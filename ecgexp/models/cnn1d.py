"""A small convolutional network on the signal window: the default, about 100 000 parameters."""

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
from ecgexp.settings.declaration import Fraction, Span, Width, settings

if TYPE_CHECKING:
    import tensorflow as tf


@settings
class Cnn1d:
    """Convolution blocks, average pooling and one dense layer.

    A block: convolution, max-pool 2, normalization, activation.

    Attributes:
      filters: channels of each block.
      kernel_sizes: kernel length in samples of each block; as many as `filters`.
      pooled_length: positions along the window that average pooling leaves (at most; equal spans);
        1 averages over all of it and forgets where in the beat a feature was.
      dense_units: units between the pooled features and the logits.
      rr_units: units that embed the RR features, where the input has them.
      normalization: `group` and `none` also work under privacy and federation; `batch` does not.
      dropout: before the logits.
      activation: after each normalization.

    Example:
      >>> sorted(Cnn1d().required_features), sorted(Cnn1d().optional_features)
      (['signal'], ['rr'])
      >>> Cnn1d(normalization="batch").has_batch_normalization
      True
    """

    filters: Annotated[tuple[Width, ...], Field(min_length=1, max_length=64)] = (32, 64, 96, 128)
    kernel_sizes: Annotated[tuple[Span, ...], Field(min_length=1, max_length=64)] = (7, 5, 5, 3)
    pooled_length: Span = 1
    dense_units: Width = 128
    rr_units: Width = 16
    normalization: Normalization = "group"
    dropout: Fraction = 0.2
    activation: Activation = "relu"

    required_features: ClassVar[frozenset[str]] = frozenset({"signal"})
    optional_features: ClassVar[frozenset[str]] = frozenset({"rr"})

    @property
    def has_batch_normalization(self) -> bool:
        """See `ModelBuilder`."""
        return self.normalization == "batch"

    def __post_init__(self):
        if len(self.filters) != len(self.kernel_sizes):
            raise ValueError(
                f"model.kernel_sizes={list(self.kernel_sizes)} must have one entry for "
                f"each of model.filters={list(self.filters)}"
            )

    def build(self, feature_shapes: Mapping[str, Shape], num_classes: int) -> "tf.keras.Model":
        """See `ModelBuilder.build`; `signal` is (window, leads)."""
        import tensorflow as tf

        inputs = input_layers(feature_shapes)
        x = inputs["signal"]
        last = len(self.filters) - 1
        for block, (channels, kernel) in enumerate(
            zip(self.filters, self.kernel_sizes, strict=True)
        ):
            x = tf.keras.layers.Conv1D(channels, kernel, padding="same", name=f"conv{block}")(x)
            # Before the normalization, which is slow on a CPU: half the positions are left.
            if block < last:
                x = tf.keras.layers.MaxPooling1D(2, name=f"pool{block}")(x)
            if (
                normalize := normalization_layer(self.normalization, channels, name=f"norm{block}")
            ) is not None:
                x = normalize(x)
            x = tf.keras.layers.Activation(self.activation, name=f"act{block}")(x)
        span = -(-x.shape[1] // self.pooled_length)
        x = tf.keras.layers.AveragePooling1D(span, padding="same", name="pool")(x)
        x = tf.keras.layers.Flatten(name="flatten")(x)
        x = join_rr(x, inputs, self.rr_units, self.activation)
        x = tf.keras.layers.Dense(self.dense_units, activation=self.activation, name="dense")(x)
        if self.dropout:
            x = dropout(self.dropout, name="dropout")(x)
        return tf.keras.Model(inputs, logits(x, num_classes), name="cnn1d")
