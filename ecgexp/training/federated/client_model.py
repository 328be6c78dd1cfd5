"""The run's model and loss as a model of TFF: a forward pass, and metrics summed per client."""

import collections
import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from ecgexp.models.base import restart_dropout
from ecgexp.models.resident import as_model_input
from ecgexp.training.loss import classes_of

COUNTS = ("examples", "loss", "correct")

# The functions have no Python control flow over tensors, and to look for it in Keras' layers takes
# seconds.
_function = functools.partial(tf.function, autograph=False)


@contextlib.contextmanager
def keras_in_graphs(build_model: Callable[[], tf.keras.Model]) -> Iterator[None]:
    """Let `build_model` run in TFF's graphs within the block, and restore Keras' classes after it.

    Keras has one class for layers in graphs and outside them. It swaps the bases of the class
    whenever a layer is made in the other kind of graph, and existing layers of that class change
    with it (Keras 2.15, `keras.src.utils.version_utils.swap_class`). Making one layer of each class
    outside a graph swaps them back.

    Args:
      build_model: builds the model of the run.
    """
    try:
        yield
    finally:
        build_model()


class ClientModel(tff.learning.models.VariableModel):
    """One client's copy of the model.

    A batch contains, beside features and labels, the view of each beat, the seed of its random
    numbers and the number of its client. So what a client computes depends on its data alone, on
    every runtime, thread and device.

    The metrics are sums per client: (num_clients,) vectors that are zero except at the client's own
    position, so that their sum over clients holds the metrics of each. TFF replaces an update that
    is not finite by zero and resets the metrics of its client (except with FedSGD): a client that
    took part and has no examples, or whose loss is NaN or infinite, is such a client.

    Args:
      keras_model: `{name: (batch, ...)} -> (batch, num_classes)` logits, without state other than
        its weights.
      loss: `(labels (batch,), logits) -> (batch,)`.
      augment: see `Augmentation.build`.
      input_spec: of a batch, see `batches.ClientBatches`.
      num_clients: length of the metric vectors.
    """

    def __init__(
        self,
        keras_model: tf.keras.Model,
        loss: Callable[..., Any],
        augment: Callable[..., Any],
        input_spec: Any,
        num_clients: int,
    ):
        self._model, self._loss, self._augment, self._input_spec = (
            keras_model,
            loss,
            augment,
            input_spec,
        )
        self._sums = collections.OrderedDict(
            (name, tf.Variable(tf.zeros(num_clients), trainable=False, name=name))
            for name in COUNTS
        )

    @property
    def trainable_variables(self) -> Sequence[tf.Variable]:
        """See `VariableModel`."""
        return self._model.trainable_variables

    @property
    def non_trainable_variables(self) -> Sequence[tf.Variable]:
        """See `VariableModel`."""
        return self._model.non_trainable_variables

    @property
    def local_variables(self) -> Sequence[tf.Variable]:
        """See `VariableModel`."""
        return list(self._sums.values())

    @property
    def input_spec(self) -> Any:
        """See `VariableModel`."""
        return self._input_spec

    @_function
    def predict_on_batch(self, x: Mapping[str, Any], training: bool = True) -> Any:
        """See `VariableModel`; returns logits."""
        return self._model(
            {name: as_model_input(value) for name, value in x.items()}, training=training
        )

    @_function
    def forward_pass(
        self, batch_input: Mapping[str, Any], training: bool = True
    ) -> tff.learning.models.BatchOutput:
        """See `VariableModel`; the loss is the mean of the batch plus the model's penalties."""
        labels, features = (
            batch_input["y"],
            {name: as_model_input(value) for name, value in batch_input["x"].items()},
        )
        examples = tf.shape(labels)[0]
        if training:
            features = self._augment(features, batch_input["view"], batch_input["seed"])
            restart_dropout(
                self._model, tf.reduce_sum(tf.cast(batch_input["seed"], tf.int64) * [1 << 31, 1])
            )
        # A batch of one row gets a copy of it, whose loss is not used: TensorFlow 2.15 with oneDNN
        # corrupts the heap in the gradient of a strided convolution over one row.
        alone = tf.maximum(0, 2 - examples)
        features = {
            name: tf.concat([value, value[:alone]], axis=0) for name, value in features.items()
        }
        logits = self._model(features, training=training)[:examples]
        losses = self._loss(labels, logits)
        # In graphs of the TensorFlow 1 kind, `==` on tensors compares objects, not values.
        predicted = tf.argmax(logits, -1, output_type=tf.int32)
        correct = tf.cast(tf.equal(predicted, classes_of(labels)), tf.float32)
        sums = {
            "examples": tf.cast(examples, tf.float32),
            "loss": tf.reduce_sum(losses),
            "correct": tf.reduce_sum(correct),
        }
        for name, variable in self._sums.items():
            place = tf.one_hot(
                batch_input["client"], variable.shape[0], on_value=True, off_value=False
            )
            # Not a product, since 0 times NaN is NaN.
            variable.assign_add(tf.where(place, sums[name], 0.0))
        objective = tf.reduce_mean(losses) + tf.add_n(self._model.losses or [0.0])
        return tff.learning.models.BatchOutput(
            loss=objective, predictions=logits, num_examples=examples
        )

    @_function
    def report_local_unfinalized_metrics(self) -> Mapping[str, Any]:
        """See `VariableModel`."""
        return collections.OrderedDict(
            (name, variable.read_value()) for name, variable in self._sums.items()
        )

    def metric_finalizers(self) -> collections.OrderedDict[str, Callable[..., Any]]:
        """See `VariableModel`; returns the sums unchanged."""
        return collections.OrderedDict((name, tf.function(lambda value: value)) for name in COUNTS)

    @_function
    def reset_metrics(self) -> None:
        """See `VariableModel`."""
        for variable in self._sums.values():
            variable.assign(tf.zeros_like(variable))
