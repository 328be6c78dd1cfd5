"""Conversion of a model and its optimizer to plain arrays, for checkpoints, and back."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf


def to_arrays(model: "tf.keras.Model", optimizer: Any) -> dict[str, np.ndarray]:
    """Return the arrays `model/0`, `model/1`, … and `optimizer/0`, …, in the order of Keras."""
    arrays = {f"model/{i}": value for i, value in enumerate(model.get_weights())}
    return arrays | {
        f"optimizer/{i}": variable.numpy() for i, variable in enumerate(optimizer.variables)
    }


def assign_arrays(
    model: "tf.keras.Model", optimizer: Any, arrays: Mapping[str, np.ndarray]
) -> None:
    """Assign the arrays that `to_arrays` returned; the optimizer must be built."""
    model.set_weights([arrays[f"model/{i}"] for i in range(len(model.weights))])
    for i, variable in enumerate(optimizer.variables):
        variable.assign(arrays[f"optimizer/{i}"])
