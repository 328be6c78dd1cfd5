"""A model with weights that were read from a file, which computes probabilities of features."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ecgexp.features.inputs import Shape
from ecgexp.models.base import ModelBuilder, NetworkBuilder
from ecgexp.models.damaged import FIX
from ecgexp.models.estimator import EstimatorBuilder, as_network, is_estimator
from ecgexp.settings.declaration import DataError
from ecgexp.storage.json_text import quoted


class Computed(Protocol):
    """Features -> probabilities."""

    @property
    def weight_names(self) -> list[str]:
        """Name of each of the weights."""
        ...

    def __call__(self, features: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return (num_beats, num_classes) float64 probabilities, rows summing to 1."""
        ...


def computed(
    model: ModelBuilder,
    weights: Sequence[np.ndarray],
    feature_shapes: Mapping[str, Shape],
    num_classes: int,
) -> Computed:
    """Return a model with its weights; TensorFlow is imported for a network only.

    Args:
      model: its settings.
      weights: in its order.
      feature_shapes: shape of one row of each feature.
      num_classes: columns of the probabilities.

    Raises:
      DataError: the weights are not those of such a model.
    """
    if is_estimator(model):
        return _Estimator(model, weights, feature_shapes, num_classes)
    return _Network(as_network(model), weights, feature_shapes, num_classes)


class _Network:
    def __init__(
        self,
        builder: NetworkBuilder,
        weights: Sequence[np.ndarray],
        feature_shapes: Mapping[str, Shape],
        num_classes: int,
    ):
        self._model: Any = builder.build(feature_shapes, num_classes)
        expected, found = (
            [tuple(weight.shape) for weight in self._model.weights],
            [weight.shape for weight in weights],
        )
        if expected != found:
            raise DataError(
                f"the weights of the model have the shapes {quoted(found)}, and its "
                f"architecture has {quoted(expected)}; {FIX}"
            )
        self._model.set_weights(weights)

    @property
    def weight_names(self) -> list[str]:
        return [weight.name.removesuffix(":0") for weight in self._model.weights]

    def __call__(self, features: Mapping[str, np.ndarray]) -> np.ndarray:
        import tensorflow as tf

        from ecgexp.models.resident import as_model_input

        inputs = {name: as_model_input(tf.constant(array)) for name, array in features.items()}
        logits = self._model(inputs, training=False)
        return tf.nn.softmax(tf.cast(logits, tf.float64)).numpy()


class _Estimator:
    def __init__(
        self,
        builder: EstimatorBuilder,
        weights: Sequence[np.ndarray],
        feature_shapes: Mapping[str, Shape],
        num_classes: int,
    ):
        builder.check_weights(weights, feature_shapes, num_classes)
        self._builder, self._weights = builder, weights

    @property
    def weight_names(self) -> list[str]:
        return list(self._builder.weight_names)

    def __call__(self, features: Mapping[str, np.ndarray]) -> np.ndarray:
        return self._builder.probabilities(self._weights, features)
