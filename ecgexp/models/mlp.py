"""A multilayer perceptron on the handcrafted features of a beat, with about 1 400 weights."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from ecgexp.models.base import Activation, Shape, dropout, input_layers, logits
from ecgexp.settings.declaration import Fraction, Width, settings

if TYPE_CHECKING:
    import tensorflow as tf


@settings
class Mlp:
    """Dense layers, logits.

    Attributes:
      units: of each layer.
      dropout: after each.
      activation: of each.

    Example:
      >>> sorted(Mlp(units=(32, 32)).required_features)
      ['handcrafted']
    """

    units: Annotated[tuple[Width, ...], Field(min_length=1, max_length=64)] = (32, 32)
    dropout: Fraction = 0.2
    activation: Activation = "relu"

    required_features: ClassVar[frozenset[str]] = frozenset({"handcrafted"})
    optional_features: ClassVar[frozenset[str]] = frozenset()

    @property
    def has_batch_normalization(self) -> bool:
        """See `ModelBuilder`."""
        return False

    def build(self, feature_shapes: Mapping[str, Shape], num_classes: int) -> "tf.keras.Model":
        """See `ModelBuilder.build`; `handcrafted` is (num_features,)."""
        import tensorflow as tf

        inputs = input_layers(feature_shapes)
        x = inputs["handcrafted"]
        for layer, units in enumerate(self.units):
            x = tf.keras.layers.Dense(units, activation=self.activation, name=f"dense{layer}")(x)
            if self.dropout:
                x = dropout(self.dropout, name=f"dropout{layer}")(x)
        return tf.keras.Model(inputs, logits(x, num_classes), name="mlp")
