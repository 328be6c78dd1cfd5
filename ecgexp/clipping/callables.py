"""The functions inside layers, and the loss: which are known to keep the rows of a batch apart, and what no other may do."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from ecgexp.clipping.graph import layers_of
from ecgexp.clipping.losses import RowWiseLoss
from ecgexp.settings.declaration import ConfigError

ROW_WISE_ACTIVATIONS = (
    *(
        getattr(tf.keras.activations, name)
        for name in (
            "elu", "exponential", "gelu", "hard_sigmoid", "linear", "mish", "relu", "selu", "sigmoid", "softmax", "softplus",
            "softsign", "swish", "tanh",
        )
    ),
    tf.nn.silu, tf.nn.relu6, tf.nn.leaky_relu,  # what Keras makes of these names
)  # fmt: skip

_ROW_WISE_LOSSES = (
    tf.keras.losses.SparseCategoricalCrossentropy,
    tf.keras.losses.CategoricalCrossentropy,
    tf.keras.losses.BinaryCrossentropy,
    tf.keras.losses.MeanSquaredError,
    tf.keras.losses.MeanAbsoluteError,
)
_HARMLESS = frozenset(
    {
        "Assert",
        "ReadVariableOp",
        "VarHandleOp",
        "Placeholder",
        "If",
        "While",
        "StatefulPartitionedCall",
    }
)
"""Stateful by TensorFlow's definition; they change nothing, or what they call is looked through by itself."""


def foreign_callables(model: tf.keras.Model, loss_fn: Callable[..., Any]) -> list[str]:
    """Names the activations of `model` and the loss that are not known to keep rows apart.

    What they do with a batch cannot be read off them, nor found by trying: they may mix rows only beyond some value. Where
    each unit is computed by itself, they have nothing to mix.
    """
    named = [f"the activation of layer {layer.name!r}" for layer, _ in _foreign_activations(model)]
    return named if _is_row_wise(loss_fn) else [*named, "the loss"]


def check_activations(model: tf.keras.Model) -> None:
    """Refuses activations that keep state, draw random numbers or leave TensorFlow, at any of their uses.

    State carries one example to another even where each is computed by itself, and random numbers would follow from the run's
    logged seed. So they may do neither in their gradients, which `tf.custom_gradient` lets them choose.

    Raises:
      ConfigError: names the layer and the operation.
    """
    for layer, shapes in _foreign_activations(model):
        for shape in shapes:
            spec = tf.TensorSpec([None, *shape[1:]], layer.compute_dtype)
            graph = _with_gradients(layer.activation, spec, wrt=0)
            _check_graph(graph, f"layer {layer.name!r} ({type(layer).__name__}): its activation")


def check_loss(loss_fn: Callable[..., Any], labels: tf.Tensor, outputs: tf.Tensor) -> None:
    """The same for the loss, which is given rows of its arguments.

    Raises:
      ConfigError: names the operation.
    """
    if _is_row_wise(loss_fn):
        return
    specs = [tf.TensorSpec([None, *value.shape[1:]], value.dtype) for value in (labels, outputs)]
    _check_graph(_with_gradients(loss_fn, *specs, wrt=1), "the loss")


def check_augmentation(augment: Callable[..., Any], features: Mapping[str, np.ndarray]) -> None:
    """The same for an augmentation; its random numbers are to follow from the seed that it is given.

    Args:
      augment: see `augmentation.base.Augmentation.build`.
      features: name -> (num_beats, ...), of which only the shapes are used.

    Raises:
      ConfigError: names the operation.
    """
    specs = {
        name: tf.TensorSpec([None, *array.shape[1:]], tf.float32)
        for name, array in features.items()
    }
    traced = tf.function(lambda *args: augment(*args), autograph=False)
    graph = traced.get_concrete_function(
        specs, tf.TensorSpec([None], tf.int32), tf.TensorSpec([2], tf.int32)
    ).graph
    _check_graph(graph, "augmentation:")


def _with_gradients(function: Callable[..., Any], *specs: tf.TensorSpec, wrt: int) -> Any:
    """The graph of `function` and of its gradient with respect to argument number `wrt`."""

    def both(*args: tf.Tensor) -> tuple:
        with tf.GradientTape() as tape:
            tape.watch(args[wrt])
            outputs = function(*args)
        return outputs, tape.gradient(outputs, args[wrt])

    return tf.function(both, autograph=False).get_concrete_function(*specs).graph


def _is_row_wise(loss_fn: Callable[..., Any]) -> bool:
    if isinstance(loss_fn, RowWiseLoss):
        return True
    if type(loss_fn) not in _ROW_WISE_LOSSES:
        return False
    replaced = "call" in vars(loss_fn) or not getattr(loss_fn.fn, "__module__", "").startswith(
        "keras."
    )
    return not replaced and loss_fn._fn_kwargs.get("axis", -1) == -1


def _foreign_activations(
    model: tf.keras.Model,
) -> Iterator[tuple[tf.keras.layers.Layer, list[tuple]]]:
    """Layers with such an activation, and the shapes of what it is given, one a use."""
    for layer in layers_of(model):
        activation = getattr(layer, "activation", None)
        if activation is not None and not any(
            activation is known for known in ROW_WISE_ACTIVATIONS
        ):
            yield (
                layer,
                list(dict.fromkeys(tuple(node.output_shapes) for node in layer._inbound_nodes)),
            )


def _check_graph(graph: Any, what: str) -> None:
    from tensorflow.python.framework import (
        op_def_registry,
    )  # nothing public says which operations keep state

    definition = graph.as_graph_def()
    nodes = [
        *definition.node,
        *(node for function in definition.library.function for node in function.node_def),
    ]
    own = {function.signature.name for function in definition.library.function}
    for node in nodes:
        if node.op in own or node.op in _HARMLESS:
            continue
        known = op_def_registry.get(node.op)
        if known is None or known.is_stateful:
            raise ConfigError(
                f"{what} runs {node.op}, which keeps state or draws random numbers and so ties the examples of a batch together; "
                "use a function of tensors alone."
            )
