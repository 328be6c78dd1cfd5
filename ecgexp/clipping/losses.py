"""A wrapper that marks a loss as row-wise; imports no TensorFlow."""

from collections.abc import Callable
from typing import Any


class RowWiseLoss:
    """A loss whose values each depend on the same row of labels and outputs only.

    The wrapper declares this property and does not check it; `callables` relies on it.

    Args:
      function: (labels (rows, ...), outputs (rows, ...)) -> (rows,), with this property.
    """

    def __init__(self, function: Callable[[Any, Any], Any]):
        self._function = function

    def __call__(self, labels: Any, outputs: Any) -> Any:
        """Return one loss for each row, (rows,)."""
        return self._function(labels, outputs)
