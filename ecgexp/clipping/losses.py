"""The mark of a loss that is known to keep the examples of a batch apart; imports no TensorFlow."""

from collections.abc import Callable
from typing import Any


class RowWiseLoss:
    """A loss of which each value depends on the same row of labels and outputs alone.

    Args:
      function: (labels (rows, ...), outputs (rows, ...)) -> (rows,), written so.
    """

    def __init__(self, function: Callable[[Any, Any], Any]):
        self._function = function

    def __call__(self, labels: Any, outputs: Any) -> Any:
        """(rows,) losses."""
        return self._function(labels, outputs)
