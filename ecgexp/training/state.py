"""A model and its optimizer as plain arrays, for checkpoints, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def to_arrays(model: Any, optimizer: Any) -> dict[str, np.ndarray]:
    """`model/0`, `model/1`, … and `optimizer/0`, …, in Keras' order."""
    arrays = {f"model/{i}": value for i, value in enumerate(model.get_weights())}
    return arrays | {
        f"optimizer/{i}": variable.numpy() for i, variable in enumerate(optimizer.variables)
    }


def assign_arrays(model: Any, optimizer: Any, arrays: Mapping[str, np.ndarray]) -> None:
    """Puts back what `to_arrays` took; the optimizer must be built."""
    model.set_weights([arrays[f"model/{i}"] for i in range(len(model.weights))])
    for i, variable in enumerate(optimizer.variables):
        variable.assign(arrays[f"optimizer/{i}"])
