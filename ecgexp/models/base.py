"""What the architectures share: the contract of a builder, and the choice of a normalization layer.

The settings classes import no TensorFlow; only `build` does, so a misspelt key is answered before
it is loaded. Every model takes a dict of named inputs and returns logits: losses are stable on
them, and `serving` applies the softmax.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from ecgexp.features.inputs import Shape

if TYPE_CHECKING:
    import tensorflow as tf

Normalization = Literal["batch", "group", "none"]
Activation = Literal["relu", "elu", "gelu", "silu", "tanh"]


class ModelBuilder(Protocol):
    """The settings of a model: a network (`NetworkBuilder`), or a classical one.

    `models.estimator.EstimatorBuilder` is the protocol of classical models.
    """

    required_features: ClassVar[frozenset[str]]
    """Features without which it cannot be built."""

    optional_features: ClassVar[frozenset[str]]
    """Features that it takes where the run has them."""

    @property
    def has_batch_normalization(self) -> bool:
        """Whether it normalizes over a batch, so that an output depends on other examples."""
        ...


class NetworkBuilder(ModelBuilder, Protocol):
    """An architecture, before the data decide the shapes of its ends."""

    def build(self, feature_shapes: Mapping[str, Shape], num_classes: int) -> "tf.keras.Model":
        """Return the `tf.keras.Model`: `{name: (batch, *shape)}` -> (batch, num_classes) logits."""
        ...


def normalization_layer(
    kind: Normalization, channels: int, *, name: str
) -> "tf.keras.layers.Layer | None":
    """The layer between a convolution and its activation, or None.

    Batch normalization mixes the examples of a batch, so it is refused under differential privacy,
    and its moving statistics are not averaged by federated algorithms; group normalization (Wu & He
    2018) has neither trouble.
    """
    import tensorflow as tf

    if kind == "batch":
        return tf.keras.layers.BatchNormalization(name=name)
    if kind == "group":
        # Of at least four channels each: a group of one would take every channel's amplitude away.
        groups = next(
            g for g in (8, 4, 2, 1) if channels % g == 0 and channels // g >= min(4, channels)
        )
        return tf.keras.layers.GroupNormalization(groups, name=name)
    return None


def dropout(rate: float, *, name: str) -> "tf.keras.layers.Layer":
    """Return dropout whose generator can be set, so that a resumed run repeats its masks."""
    from ecgexp.models.dropout import Dropout

    return Dropout(rate, name=name)


def restart_dropout(model: "tf.keras.Model", seed: Any) -> None:
    """Set every dropout generator of `model` to the start of its own stream, derived from `seed`.

    Args:
      model: its dropout layers are those of `dropout`, wherever they stand: in nested models and in
        layers around layers too.
      seed: an integer below 2^63 or a scalar int64 tensor; called before each step, or a few.
    """
    from ecgexp.models.dropout import Dropout

    for position, layer in enumerate(model._flatten_layers(include_self=False)):
        if isinstance(layer, Dropout):
            layer.restart(seed + position)


def input_layers(feature_shapes: Mapping[str, Shape]) -> "dict[str, tf.Tensor]":
    """One named Keras input for each feature."""
    import tensorflow as tf

    return {name: tf.keras.Input(shape, name=name) for name, shape in feature_shapes.items()}


def join_rr(
    pooled: "tf.Tensor", inputs: "Mapping[str, tf.Tensor]", units: int, activation: Activation
) -> "tf.Tensor":
    """Append an embedding of the RR features, if there are any, to `pooled` (batch, channels)."""
    import tensorflow as tf

    if "rr" not in inputs:
        return pooled
    embedded = tf.keras.layers.Dense(units, activation=activation, name="rr_dense")(inputs["rr"])
    return tf.keras.layers.Concatenate(name="join_rr")([pooled, embedded])


def logits(features: "tf.Tensor", num_classes: int) -> "tf.Tensor":
    """Return the last layer, in float32 also with mixed precision.

    A float16 softmax would lose small classes.
    """
    import tensorflow as tf

    return tf.keras.layers.Dense(num_classes, dtype="float32", name="logits")(features)
