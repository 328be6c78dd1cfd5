"""Features as tensors on the device of the model; batches are gathered by index."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf


class ResidentFeatures:
    """Named (num_beats, ...) tensors.

    Gathering by index inside the compiled step replaces an input pipeline: no per-epoch rebuild, no
    queue, no copy of an array that is small by today's measure (all of MIT-BIH: 70 MB of windows,
    400 MB of images).

    Args:
      features: name -> array; uint8 arrays are images and become float32 in [0, 1] when they are
        gathered.
      labels: (num_beats,) class indices, or (num_beats, ...) what the loss takes instead.
    """

    def __init__(self, features: Mapping[str, np.ndarray], labels: np.ndarray):
        self.tensors = {name: tf.constant(array) for name, array in features.items()}
        self.labels = tf.constant(labels, tf.int32 if labels.ndim == 1 else tf.float32)

    def gather(self, rows: Any) -> dict[str, Any]:
        """The rows of every feature, as the model's inputs take them: float32."""
        return {
            name: as_model_input(tf.gather(tensor, rows)) for name, tensor in self.tensors.items()
        }


def as_model_input(tensor: Any) -> Any:
    """Images stored as uint8 become float32 in [0, 1]; everything else is float32 already."""
    return tf.cast(tensor, tf.float32) / 255.0 if tensor.dtype == tf.uint8 else tensor


class Predictor:
    """Class probabilities of any rows, under any weights of one architecture.

    Args:
      model: returns logits; its weights are overwritten.
      resident: the features the rows index.
      batch_size: rows per call; the result does not depend on it.
    """

    def __init__(
        self, model: tf.keras.Model, resident: ResidentFeatures, *, batch_size: int = 1024
    ):
        self._model, self._resident, self._batch_size = model, resident, batch_size
        self._probabilities = tf.function(
            self._forward, input_signature=[tf.TensorSpec([None], tf.int32)], autograph=False
        )

    def _forward(self, rows: Any) -> Any:
        logits = self._model(self._resident.gather(rows), training=False)
        return tf.nn.softmax(tf.cast(logits, tf.float64))  # float64: rows sum to 1 for scikit-learn

    def __call__(self, weights: list[np.ndarray], rows: np.ndarray) -> np.ndarray:
        """(len(rows), num_classes) float64 probabilities."""
        self._model.set_weights(weights)
        chunks = range(0, len(rows), self._batch_size)
        parts = [
            self._probabilities(tf.constant(rows[at : at + self._batch_size], tf.int32)).numpy()
            for at in chunks
        ]
        return np.concatenate(parts) if parts else np.zeros((0, self._model.output_shape[-1]))
