"""Checks of activations, losses and augmentations, whose code a list of layer classes cannot cover.

A function on the lists below is known to be row-wise: each row of its result depends on the same
row of its arguments only. Any other function must not keep state, draw random numbers or leave
TensorFlow, and `trainer.clipping=ghost` falls back to a method that passes it one unit at a time.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from ecgexp.clipping.graph import layers_of
from ecgexp.clipping.losses import RowWiseLoss
from ecgexp.clipping.registry import is_known
from ecgexp.settings.declaration import ConfigError

ROW_WISE_ACTIVATIONS = (
    *(
        getattr(tf.keras.activations, name)
        for name in (
            "elu",
            "exponential",
            "gelu",
            "hard_sigmoid",
            "linear",
            "mish",
            "relu",
            "selu",
            "sigmoid",
            "softmax",
            "softplus",
            "softsign",
            "swish",
            "tanh",
        )
    ),
    tf.nn.silu,
    tf.nn.relu6,
    tf.nn.leaky_relu,  # what Keras makes of these names
)
"""Activations that are known to be row-wise."""

_ROW_WISE_LOSSES = (
    tf.keras.losses.SparseCategoricalCrossentropy,
    tf.keras.losses.CategoricalCrossentropy,
    tf.keras.losses.BinaryCrossentropy,
    tf.keras.losses.MeanSquaredError,
    tf.keras.losses.MeanAbsoluteError,
)
# TensorFlow calls these operations stateful, but they change no state. Functions that they call are
# checked separately.
_ALLOWED_STATEFUL = frozenset(
    {
        "Assert",
        "ReadVariableOp",
        "ResourceGather",
        "VariableShape",
        "VarHandleOp",
        "Placeholder",
        "If",
        "While",
        "StatefulPartitionedCall",
    }
)


# TensorFlow calls them stateful for their dropout alone, which is checked to be 0.
_RECURRENT = ("CudnnRNN",)


def unknown_callables(model: tf.keras.Model, loss_fn: Callable[..., Any]) -> list[str]:
    """List the activations of known layers and the loss that are not known to be row-wise.

    Neither inspection nor trial can show that they are: they may mix rows for some values only. A
    method that passes them one unit at a time is exact for them too.

    Args:
      model: accepted by `checks.check_model`.
      loss_fn: the loss.

    Returns:
      Descriptions for a message; empty if all are known.
    """
    named = [f"the activation of layer {layer.name!r}" for layer, _ in _unknown_activations(model)]
    return named if _is_row_wise(loss_fn) else [*named, "the loss"]


def check_activations(model: tf.keras.Model) -> None:
    """Reject activations that keep state, draw random numbers or leave TensorFlow.

    State passes information from one example to another even if each is computed separately, and
    random numbers would follow from the run's logged seed. Both are also rejected in gradients,
    which an activation can define with `tf.custom_gradient`. Every use of a layer is checked,
    because an activation may depend on the shape.

    Args:
      model: of which the layers that are not known are left out; see `unknown_layers`.

    Raises:
      ConfigError: an activation does so; the message names the layer and the operation.
    """
    for layer, shapes in _unknown_activations(model):
        for shape in shapes:
            spec = tf.TensorSpec([None, *shape[1:]], layer.compute_dtype)
            graph = _with_gradients(layer.activation, spec, wrt=0)
            check_stateless(
                graph, f"model: layer {layer.name!r} ({type(layer).__name__}): its activation"
            )


def check_loss(loss_fn: Callable[..., Any], labels: tf.Tensor, outputs: tf.Tensor) -> None:
    """Reject a loss that keeps state, draws random numbers or leaves TensorFlow.

    Args:
      loss_fn: the loss.
      labels: labels of a batch, of which only shape and dtype are used.
      outputs: outputs of the model for this batch, of which only shape and dtype are used.

    Raises:
      ConfigError: the loss does so; the message names the operation.
    """
    if _is_row_wise(loss_fn):
        return
    specs = [tf.TensorSpec([None, *value.shape[1:]], value.dtype) for value in (labels, outputs)]
    check_stateless(_with_gradients(loss_fn, *specs, wrt=1), "loss: it")


def check_augmentation(augment: Callable[..., Any], features: Mapping[str, np.ndarray]) -> None:
    """Reject an augmentation that keeps state, draws its own random numbers or leaves TensorFlow.

    Its random numbers must follow from the seed that it is called with.

    Args:
      augment: see `augmentation.base.Augmentation.build`.
      features: name -> (num_beats, ...), of which only the shapes are used.

    Raises:
      ConfigError: the augmentation does so; the message names the operation.
    """
    specs = {
        name: tf.TensorSpec([None, *array.shape[1:]], tf.float32)
        for name, array in features.items()
    }
    traced = tf.function(lambda *args: augment(*args), autograph=False)
    graph = traced.get_concrete_function(
        specs, tf.TensorSpec([None], tf.int32), tf.TensorSpec([2], tf.int32)
    ).graph
    check_stateless(graph, "augmentation: it")


def _with_gradients(function: Callable[..., Any], *specs: tf.TensorSpec, wrt: int) -> Any:
    """Return the graph of `function` and of its gradient with respect to argument number `wrt`."""

    def both(*args: tf.Tensor) -> tuple:
        with tf.GradientTape() as tape:
            tape.watch(args[wrt])
            outputs = function(*args)
        return outputs, tape.gradient(outputs, args[wrt])

    return tf.function(both, autograph=False).get_concrete_function(*specs).graph


def _is_row_wise(loss_fn: Any) -> bool:
    if isinstance(loss_fn, RowWiseLoss):
        return True
    if type(loss_fn) not in _ROW_WISE_LOSSES:
        return False
    replaced = "call" in vars(loss_fn) or not getattr(loss_fn.fn, "__module__", "").startswith(
        "keras."
    )
    return not replaced and loss_fn._fn_kwargs.get("axis", -1) == -1


def _unknown_activations(
    model: tf.keras.Model,
) -> Iterator[tuple[tf.keras.layers.Layer, list[tuple]]]:
    """Return known layers with an unknown activation, with its input shape at each use."""
    for layer in layers_of(model):
        activation = getattr(layer, "activation", None) if is_known(layer) else None
        if activation is not None and not any(
            activation is known for known in ROW_WISE_ACTIVATIONS
        ):
            yield (
                layer,
                list(dict.fromkeys(tuple(node.output_shapes) for node in layer._inbound_nodes)),
            )


def check_stateless(graph: Any, subject: str) -> None:
    """Reject a graph with operations that keep state, draw random numbers or leave TensorFlow.

    Args:
      graph: a `tf.Graph`, of which all functions are checked too.
      subject: begins the message, e.g. `"loss: it"`.

    Raises:
      ConfigError: there is one; the message names it.
    """
    # No public interface tells which operations are stateful.
    from tensorflow.python.framework import op_def_registry

    own = {function.signature.name for function in graph.as_graph_def().library.function}
    for node in _nodes_of(graph):
        if node.op in own or node.op in _ALLOWED_STATEFUL:
            continue
        if node.op.startswith(_RECURRENT) and not node.attr["dropout"].f:
            continue
        known = op_def_registry.get(node.op)
        if known is None or known.is_stateful:
            raise ConfigError(
                f"{subject} runs {node.op}, which may keep state or draw random numbers and so "
                "make one example depend on another; use a function of tensors alone."
            )


def operations_of(graph: Any) -> frozenset[str]:
    """Return the names of all operations of a `tf.Graph` and its functions, e.g. `MatMul`."""
    return frozenset(node.op for node in _nodes_of(graph))


def _nodes_of(graph: Any) -> list[Any]:
    definition = graph.as_graph_def()
    functions = definition.library.function
    return [*definition.node, *(node for function in functions for node in function.node_def)]
