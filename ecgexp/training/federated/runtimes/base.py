"""The protocol of a runtime, which executes a TFF learning process round by round."""

import atexit
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff


class _NoContext(tff.framework.SyncContext):
    def invoke(self, comp: Any, arg: Any) -> Any:
        raise RuntimeError("the process is ending")


# No runtime here uses TFF's default context, whose worker is never started. When the context is
# deleted at the end of the interpreter, it looks for that worker, no longer finds its own module
# and prints an error to stderr (0.87, `executor_factory.ServiceManager.__del__`). So it is replaced
# earlier.
atexit.register(lambda: tff.framework.set_default_context(_NoContext()))


class Runtime(Protocol):
    """Executes rounds."""

    def initialize(self, weights: Sequence[np.ndarray]) -> Any:
        """Return the server's state before the first round.

        Args:
          weights: initial weights: the trainable ones, then the others.
        """
        ...

    def next(
        self, state: Any, datasets: Sequence[tf.data.Dataset]
    ) -> tuple[Any, Mapping[str, Any]]:
        """Execute one round.

        Args:
          state: of the server.
          datasets: one per client of the round; may be empty.

        Returns:
          The new state, and TFF's metrics.
        """
        ...

    def weights(self, state: Any) -> list[np.ndarray]:
        """Return the weights of the global model: the trainable ones, then the others."""
        ...

    def close(self) -> None:
        """Free all threads and processes of the runtime."""


def weights_of(state: Any) -> list[np.ndarray]:
    """Return the weights of the global model in a state: the trainable ones, then the others."""
    model = state.global_model_weights
    return [np.asarray(value) for value in (*model.trainable, *model.non_trainable)]


def put_in_weights(state: Any, weights: Sequence[np.ndarray]) -> Any:
    """Return `state` with `weights` as those of the global model.

    Args:
      state: of the server.
      weights: the trainable weights, optionally followed by the others.

    Returns:
      A new state.

    Raises:
      ValueError: an array is missing, or its shape is not that of the model.
    """
    model = state.global_model_weights
    split, old = len(model.trainable), [*model.trainable, *model.non_trainable]
    if len(weights) not in (split, len(old)):
        raise ValueError(
            f"{len(weights)} arrays do not fit a model of {split} trainable and {len(old) - split} "
            "other arrays"
        )
    new = [*(np.asarray(array) for array in weights), *old[len(weights) :]]
    for index, (ours, theirs) in enumerate(zip(new, old, strict=True)):
        if np.shape(ours) != np.shape(theirs):
            raise ValueError(
                f"array {index} has the shape {np.shape(ours)}; the model's has {np.shape(theirs)}"
            )
    return state._replace(global_model_weights=type(model)(new[:split], new[split:]))
