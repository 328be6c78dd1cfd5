"""What runs a TFF learning process round by round, and what all ways of doing so share."""

import atexit
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff


class _NoContext(tff.framework.SyncContext):
    def invoke(self, comp: Any, arg: Any) -> Any:
        raise RuntimeError("the process is ending")


# TFF's default context, which no runtime here uses and whose worker is never started, looks for that worker when it is deleted;
# as the interpreter ends it no longer finds its own module, and complains on stderr (0.87,
# `executor_factory.ServiceManager.__del__`). So it goes a little earlier.
atexit.register(lambda: tff.framework.set_default_context(_NoContext()))


class Runtime(Protocol):
    """Runs rounds."""

    def initialize(self, weights: Sequence[np.ndarray]) -> Any:
        """The server's state before the first round, with `weights` (trainable, then the others) in it."""

    def next(
        self, state: Any, datasets: Sequence[tf.data.Dataset]
    ) -> tuple[Any, Mapping[str, Any]]:
        """One round over the cohort's `datasets`, which may be none: the new state and TFF's metrics."""

    def weights(self, state: Any) -> list[np.ndarray]:
        """The global model's weights: trainable, then the others."""

    def close(self) -> None:
        """Frees threads and processes; nothing of it outlives this."""


def weights_of(state: Any) -> list[np.ndarray]:
    """The global model's weights in a state: trainable, then the others."""
    model = state.global_model_weights
    return [np.asarray(value) for value in (*model.trainable, *model.non_trainable)]


def put_in_weights(state: Any, weights: Sequence[np.ndarray]) -> Any:
    """`state` with `weights` as the global model's: the trainable ones, and after them, if at all, the others.

    Raises:
      ValueError: arrays are missing, or their shapes are not the model's.
    """
    model = state.global_model_weights
    split, old = len(model.trainable), [*model.trainable, *model.non_trainable]
    if len(weights) not in (split, len(old)):
        raise ValueError(
            f"{len(weights)} arrays do not fit a model of {split} trainable and {len(old) - split} others"
        )
    new = [*(np.asarray(array) for array in weights), *old[len(weights) :]]
    for index, (ours, theirs) in enumerate(zip(new, old, strict=True)):
        if np.shape(ours) != np.shape(theirs):
            raise ValueError(
                f"array {index} has the shape {np.shape(ours)}; the model's has {np.shape(theirs)}"
            )
    return state._replace(global_model_weights=type(model)(new[:split], new[split:]))
