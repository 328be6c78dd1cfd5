"""What a run computes its model with: Keras for a network, NumPy for a classical model.

The one place that distinguishes the two during a run; TensorFlow is imported for networks only.
"""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ecgexp.experiment.data import RunData
from ecgexp.features.inputs import feature_shapes
from ecgexp.models.base import NetworkBuilder
from ecgexp.models.estimator import EstimatorBuilder, Examples, as_network, is_estimator
from ecgexp.seeding import Seeds
from ecgexp.training.loss import LossFn, build_loss

if TYPE_CHECKING:
    from ecgexp.experiment.experiment import Experiment

_TIMED_ROWS = 1024


class ModelRuntime(Protocol):
    """Builds the model of a run, and computes it under any weights.

    Attributes:
      num_parameters: trainable parameters; 0 for a model whose size is known after training only.
      activations: values of all layers for one row.
      loss: of one example, for the trainer.
    """

    num_parameters: int
    activations: int
    loss: LossFn

    def build(self) -> Any:
        """Return a new model with the initial weights of the run, as the trainer takes it."""
        ...

    def scope(self) -> AbstractContextManager[Any]:
        """Return the context in which the model is trained."""
        ...

    def probabilities(self, weights: list[np.ndarray], rows: np.ndarray) -> np.ndarray:
        """Return (len(rows), num_classes) float64 probabilities of rows of the run's data."""
        ...

    def notes(self, weights: list[np.ndarray]) -> Sequence[str]:
        """Return what the user should know of the trained model itself."""
        ...


def runtime_of(experiment: "Experiment", run_data: RunData, seeds: Seeds) -> ModelRuntime:
    """Return the runtime of a run's model.

    Args:
      experiment: of the run.
      run_data: its data.
      seeds: its random streams.

    Raises:
      ConfigError: TensorFlow cannot use the device, or the model cannot be built.
    """
    if is_estimator(experiment.model):
        return EstimatorRuntime(experiment.model, run_data)
    return NetworkRuntime(experiment, as_network(experiment.model), run_data, seeds)


class NetworkRuntime:
    """A Keras model; see `ModelRuntime`.

    Args:
      experiment: of the run.
      model: its architecture.
      run_data: its data.
      seeds: its random streams.
    """

    def __init__(
        self, experiment: "Experiment", model: NetworkBuilder, run_data: RunData, seeds: Seeds
    ):
        from ecgexp.models.resident import Predictor

        self._builder, self._run_data, self._seeds = model, run_data, seeds
        self._strategy = experiment.device.strategy()
        self.loss = build_loss(experiment.loss, run_data.class_counts)
        network = self.build()
        self.num_parameters = sum(
            int(np.prod(variable.shape)) for variable in network.trainable_variables
        )
        self.activations = sum(
            int(np.prod(shape)) for layer in network.layers for shape in _output_shapes(layer)
        )
        self._predictor = Predictor(network, run_data.data.resident)

    def build(self) -> Any:
        """See `ModelRuntime`."""
        import tensorflow as tf

        # Within a graph, the copy of a client gets its weights from the server.
        if tf.executing_eagerly():
            tf.keras.utils.set_random_seed(self._seeds.integer("initial weights"))
        return self._builder.build(
            feature_shapes(self._run_data.data.features), len(self._run_data.data.class_names)
        )

    def scope(self) -> AbstractContextManager[Any]:
        """See `ModelRuntime`; the `tf.distribute` strategy."""
        return self._strategy.scope()

    def probabilities(self, weights: list[np.ndarray], rows: np.ndarray) -> np.ndarray:
        """See `ModelRuntime`."""
        return self._predictor(weights, rows)

    def notes(self, weights: list[np.ndarray]) -> Sequence[str]:
        """See `ModelRuntime`; none."""
        return ()


class EstimatorRuntime:
    """A classical model, without TensorFlow; see `ModelRuntime`.

    Args:
      model: its settings.
      run_data: the data of the run.
    """

    def __init__(self, model: EstimatorBuilder, run_data: RunData):
        self._model, self._fitted, self._data = model, _Fitted(model), run_data.data
        self.num_parameters = self.activations = 0
        self.loss: LossFn = _no_loss

    def build(self) -> Any:
        """See `ModelRuntime`; an object whose `fit` the trainer calls."""
        return self._fitted

    def scope(self) -> AbstractContextManager[Any]:
        """See `ModelRuntime`; nothing."""
        return nullcontext()

    def probabilities(self, weights: list[np.ndarray], rows: np.ndarray) -> np.ndarray:
        """See `ModelRuntime`."""
        features = {name: array[rows] for name, array in self._data.features.items()}
        return self._model.probabilities(weights, features)

    def notes(self, weights: list[np.ndarray]) -> Sequence[str]:
        """See `ModelRuntime`; size and speed."""
        rows = self._data.train[:_TIMED_ROWS]
        started = time.perf_counter()
        self.probabilities(weights, rows)
        each = 1000 * (time.perf_counter() - started) / max(1, len(rows))
        fitted = "" if self._fitted.seconds is None else f", fitted in {self._fitted.seconds:.1f} s"
        return (f"{self._model.size(weights)}{fitted}; {each:.2g} ms for each beat",)


class _Fitted:
    """What the trainer of a classical model calls: `fit`, whose time is noted."""

    def __init__(self, model: EstimatorBuilder):
        self._model = model
        self.seconds: float | None = None

    def fit(self, examples: Examples, seed: int) -> list[np.ndarray]:
        """See `EstimatorBuilder.fit`."""
        started = time.perf_counter()
        weights = self._model.fit(examples, seed)
        self.seconds = time.perf_counter() - started
        return weights


def _no_loss(labels: Any, logits: Any) -> Any:
    raise TypeError("a classical model has no loss")


def _output_shapes(layer: Any) -> list[tuple[int, ...]]:
    """Return the shapes of a Keras layer's outputs, without the batch."""
    shapes = layer.output_shape
    return [shape[1:] for shape in (shapes if isinstance(shapes, list) else [shapes])]
