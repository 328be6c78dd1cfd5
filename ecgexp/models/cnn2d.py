"""The replicated convolutional network on beat images (after Jun et al. 2018)."""

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
from ecgexp.settings.declaration import Fraction, Number, Span, Whole, Width, settings

if TYPE_CHECKING:
    import tensorflow as tf


@settings
class Cnn2d:
    """Two pairs of convolutions, each pair pooled, then a dense layer.

    Attributes:
      filters: channels of the first and of the second pair.
      kernel_size: side of every kernel, pixels.
      pool_sizes: max-pooling after each pair.
      dropouts: after the first pool, after the second pool, before the logits.
      dense_units: units of the dense layer.
      rr_units: units that embed the RR features, where the input has them.
      normalization: after the first convolution; the replicated implementation used `batch`.
      l2: weight decay on kernels, as a term of the loss; the replicated implementation used 1e-4.
        Public: it does not depend on data.
      activation: of every layer but the last.

    Example:
      >>> sorted(Cnn2d().required_features)
      ['image']
    """

    filters: tuple[Width, Width] = (64, 256)
    kernel_size: Annotated[Whole, Field(ge=1, le=64)] = 4
    pool_sizes: tuple[Span, Span] = (4, 2)
    dropouts: tuple[Fraction, Fraction, Fraction] = (0.2, 0.2, 0.5)
    dense_units: Width = 256
    rr_units: Width = 16
    normalization: Normalization = "group"
    l2: Annotated[Number, Field(ge=0, le=1000)] = 0.0
    activation: Activation = "relu"

    required_features: ClassVar[frozenset[str]] = frozenset({"image"})
    optional_features: ClassVar[frozenset[str]] = frozenset({"rr"})

    @property
    def has_batch_normalization(self) -> bool:
        """See `ModelBuilder`."""
        return self.normalization == "batch"

    def build(self, feature_shapes: Mapping[str, Shape], num_classes: int) -> "tf.keras.Model":
        """See `ModelBuilder.build`; `image` is (height, width, 1)."""
        import tensorflow as tf

        layers = tf.keras.layers
        decay = tf.keras.regularizers.l2(self.l2) if self.l2 else None
        inputs = input_layers(feature_shapes)
        x = inputs["image"]
        for pair, channels in enumerate(self.filters):
            for half in "ab":
                name = f"{pair}{half}"
                conv = layers.Conv2D(
                    channels,
                    self.kernel_size,
                    padding="same",
                    kernel_regularizer=decay,
                    name=f"conv{name}",
                )
                x = conv(x)
                if (
                    name == "0a"
                    and (norm := normalization_layer(self.normalization, channels, name="norm0a"))
                    is not None
                ):
                    x = norm(x)
                x = layers.Activation(self.activation, name=f"act{name}")(x)
            x = layers.MaxPooling2D(self.pool_sizes[pair], name=f"pool{pair}")(x)
            if self.dropouts[pair]:
                x = dropout(self.dropouts[pair], name=f"dropout{pair}")(x)
        x = join_rr(layers.Flatten(name="flatten")(x), inputs, self.rr_units, self.activation)
        x = layers.Dense(
            self.dense_units, activation=self.activation, kernel_regularizer=decay, name="dense"
        )(x)
        if self.dropouts[2]:
            x = dropout(self.dropouts[2], name="dropout2")(x)
        return tf.keras.Model(inputs, logits(x, num_classes), name="cnn2d")
