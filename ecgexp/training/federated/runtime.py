"""What runs a TFF learning process round by round, and what all ways of doing so share."""

import atexit
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff


class _NoContext(tff.framework.SyncContext):
    def invoke(self, comp: Any, arg: Any) -> Any:
        raise RuntimeError("the process is ending")


# TFF's default context, which no runtime here uses, looks for its worker when it is deleted; as the interpreter ends it no longer
# finds its own module, and complains on stderr (0.87, `executor_factory.ServiceManager.__del__`). So it goes a little earlier.
atexit.register(lambda: tff.framework.set_default_context(_NoContext()))


class Runtime(Protocol):
    """Runs rounds."""

    def initialize(self, weights: Sequence[np.ndarray]) -> Any:
        """The server's state before the first round, with `weights` (trainable, then the others) in it."""

    def next(self, state: Any, datasets: Sequence[tf.data.Dataset]) -> tuple[Any, Mapping[str, Any]]:
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
    """`state` with `weights` (trainable, then the others) as the global model's."""
    model = state.global_model_weights
    split, count = len(model.trainable), len(model.trainable) + len(model.non_trainable)
    if len(weights) != count:
        raise ValueError(f"{len(weights)} arrays for a model of {count}")
    values = [np.asarray(value) for value in weights]
    trainable, others = type(model.trainable)(values[:split]), type(model.non_trainable)(values[split:])
    model = tff.learning.models.ModelWeights(trainable=trainable, non_trainable=others)
    return state._replace(global_model_weights=model)


def refill(state: Any, leaves: Sequence[Any]) -> Any:
    """A state of the same structure as `state` with other `leaves`, in the order of `graphs.flatten`.

    Raises:
      ValueError: they are not as many, or of another shape.
    """
    from ecgexp.training.federated.graphs import flatten

    remaining, old = iter(leaves), flatten(state)
    if [np.shape(leaf) for leaf in old] != [np.shape(leaf) for leaf in leaves]:
        raise ValueError("the checkpoint is of another model, algorithm or aggregator: the arrays of its state differ")

    def build(part: Any) -> Any:
        if isinstance(part, Mapping):
            return type(part)((name, build(item)) for name, item in part.items())
        if isinstance(part, tuple) and hasattr(part, "_fields"):
            return type(part)(*(build(item) for item in part))
        if isinstance(part, list | tuple):
            return type(part)(build(item) for item in part)
        if hasattr(part, "__attrs_attrs__"):
            return type(part)(*(build(getattr(part, item.name)) for item in part.__attrs_attrs__))
        return next(remaining)

    return build(state)


def open_runtime(name: str, process: tff.learning.templates.LearningProcess) -> Runtime:
    """The runtime `inprocess` or `local`; what the first cannot express falls back to the second, with a warning."""
    from ecgexp.training.federated.inprocess import InProcess, NotExpressible
    from ecgexp.training.federated.local import Local

    if name == "inprocess":
        try:
            return InProcess(process)
        except NotExpressible as error:
            warnings.warn(f"trainer.runtime=local takes over: {error}", stacklevel=2)
    return Local(process)
