"""Layers that have no clipping rule and are not known to process each row independently.

A plug-in's layer classes, operations on tensors and shipped layers without a rule, such as
recurrent ones, are such layers. A model with one is called with one unit at a time, so that it
cannot mix units whatever the layer computes from a batch. What remains is state: a layer that kept
some would let one unit depend on another even so.
"""

from typing import Any

import tensorflow as tf

from ecgexp.clipping.callables import check_stateless, operations_of
from ecgexp.clipping.graph import Node, layers_of
from ecgexp.clipping.registry import is_known
from ecgexp.settings.declaration import ConfigError


def unknown_layers(model: tf.keras.Model) -> list[tf.keras.layers.Layer]:
    """List the layers of a model and of nested models that are not known.

    Args:
      model: a graph of layers.
    """
    return [layer for layer in layers_of(model) if not is_known(layer)]


def has_loop(layer: tf.keras.layers.Layer) -> bool:
    """Return whether a layer has a loop, as recurrent layers do, which cannot be vectorized.

    Args:
      layer: accepted by `check_unknown_layer`.
    """
    return any(
        operation in ("While", "StatelessWhile")
        for node in layer._inbound_nodes
        for operation in operations_of(_graph_of(layer, node, layer.name))
    )


def check_unknown_layer(layer: tf.keras.layers.Layer) -> None:
    """Reject a layer that keeps state, draws random numbers, adds a loss or leaves TensorFlow.

    Every use in the model is checked, with its gradient, because a layer may depend on the shape.

    **Guarantees**: what an accepted layer computes, and its gradient, depend on its arguments and
    its weights only (`tests/tensorflow/clipping/test_unknown_layers.py`).

    Args:
      layer: a layer of a graph of layers.

    Raises:
      ConfigError: it does so; the message names the layer, and the operation if there is one.
    """
    subject = f"model: layer {layer.name!r} ({type(layer).__name__})"
    for node in layer._inbound_nodes:
        check_stateless(_graph_of(layer, node, subject), subject)
        if any(part._losses or part._eager_losses for part in layer._flatten_layers()):
            raise ConfigError(
                f"{subject} adds a loss of the data, which would bypass clipping; use a loss= "
                "instead, and no add_loss in the layer."
            )


def _graph_of(layer: tf.keras.layers.Layer, node: Node, subject: str) -> tf.Graph:
    """Return the graph of one use of `layer` in training, and of its gradient."""
    tensors = node.keras_inputs

    def both(*values: tf.Tensor) -> Any:
        given = {
            str(id(tensor)): [value] * len(values)
            for tensor, value in zip(tensors, values, strict=True)
        }
        args, kwargs = node.map_arguments(given)
        with tf.GradientTape() as tape:
            tape.watch(values)
            outputs = layer(*args, **{**kwargs, **_in_training(layer)})
        sources = [*values, *layer.trainable_weights]
        return outputs, tape.gradient(outputs, sources, unconnected_gradients="none")

    try:
        specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in tensors]
        return tf.function(both, autograph=False).get_concrete_function(*specs).graph
    except Exception as error:
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ConfigError(
            f"{subject} cannot be compiled, so whether it keeps state is unknown ({why}); use "
            "TensorFlow operations on its inputs alone."
        ) from error


def _in_training(layer: tf.keras.layers.Layer) -> dict[str, bool]:
    return {"training": True} if layer._expects_training_arg else {}
