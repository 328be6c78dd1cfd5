"""What a model must be so that one unit's contribution is one unit's alone; everything else is refused by name."""

from collections.abc import Iterator

import tensorflow as tf

from ecgexp._validate import ConfigError
from ecgexp.clipping.graph import nodes
from ecgexp.clipping.registry import ROW_WISE, RULES, rule_of


def check_model(model: tf.keras.Model, *, public_penalty: bool = False) -> None:
    """Refuses a model whose per-example gradients are not what clipping needs.

    Args:
      model: to be clipped by any method.
      public_penalty: weight regularisers are allowed, because the caller adds `public_penalty_gradients`.

    Raises:
      ConfigError: a layer may mix the examples of a batch, keeps state, is unknown or adds a loss; the message names it.
    """
    _check_graph(model)
    for layer in _layers(model):
        _check_layer(layer)
    if model.losses and not public_penalty:
        raise ConfigError(
            f"the model adds {len(model.losses)} regularisation loss(es), whose gradients would bypass clipping; type "
            "model.l2=0, or pass public_penalty=True and add public_penalty_gradients(model) after the noise."
        )
    if not model.trainable_variables:
        raise ConfigError("the model has no trainable weights, so there is nothing to clip; set layer.trainable=True.")


def check_rules(model: tf.keras.Model) -> None:
    """Refuses a model with a layer that book-keeping cannot handle; the other methods may.

    Raises:
      ConfigError: names the layer, its setting and what to type.
    """
    for owner in _models(model):
        for node in nodes(owner):
            rule = rule_of(node.layer)
            if rule is None:
                continue
            others = [name for name, value in node.call_kwargs.items() if value is not None]
            if len(node.call_args) != 1 or others or tf.nest.is_nested(node.call_args[0]):
                raise ConfigError(
                    _sentence(node.layer, "is called with more than one tensor", "type trainer.clipping=vectorized")
                )
            if (reason := rule.refusal(node.layer)) is not None:
                raise ConfigError(
                    _sentence(
                        node.layer, f"cannot be clipped by book-keeping: {reason}", "or trainer.clipping=vectorized"
                    )
                )


def public_penalty_gradients(model: tf.keras.Model) -> list[tf.Tensor]:
    """Gradients of the model's weight regularisers, in the order of `model.trainable_variables`.

    They depend on the weights alone, which under differential privacy are already published, so they cost nothing: add them
    to the noised mean, never to the clipped sum.
    """
    with tf.GradientTape() as tape:
        penalty = tf.add_n(model.losses)
    found = tape.gradient(penalty, model.trainable_variables, unconnected_gradients="zero")
    return [tf.convert_to_tensor(gradient) for gradient in found]


def _check_graph(model: tf.keras.Model) -> None:
    for owner in _models(model):
        own_call = not type(owner).call.__module__.startswith("keras.")
        if own_call or not owner._is_graph_network:
            raise ConfigError(
                f"model {owner.name!r} is not a graph of layers that can be read; build it as tf.keras.Model(inputs, outputs), "
                "or as a Sequential that begins with an Input, without overriding call."
            )
    if len(model.outputs) != 1:
        raise ConfigError(
            f"model {model.name!r} has {len(model.outputs)} outputs; a model with one output can be clipped."
        )
    unknown = [tensor.name for tensor in model.inputs if not tensor.shape[1:].is_fully_defined()]
    if unknown:
        raise ConfigError(f"inputs {unknown} have an axis of unknown length; give tf.keras.Input its full shape.")


def _check_layer(layer: tf.keras.layers.Layer) -> None:
    if "BatchNormalization" in type(layer).__name__:
        raise ConfigError(
            _sentence(
                layer,
                "mixes the examples of a batch, so no clip bounds one example's influence",
                "type model.normalization=group",
            )
        )
    if type(layer) not in ROW_WISE and type(layer) not in RULES:
        state = "has weights but no rule" if layer.weights else "is not known to keep the examples of a batch apart"
        raise ConfigError(
            _sentence(layer, state, "use a layer listed in ecgexp/clipping/registry.py, or add its rule there")
        )
    axes = getattr(layer, "axis", getattr(layer, "axes", -1))
    rank = layer._inbound_nodes[0].output_shapes
    rank = len(rank) if isinstance(rank, tuple) else 0
    if any(axis in (0, -rank) for axis in tf.nest.flatten(axes)):
        raise ConfigError(
            _sentence(layer, f"works along axis {axes}, which mixes the examples of a batch", "type axis=-1")
        )
    if getattr(layer, "stateful", False):
        raise ConfigError(_sentence(layer, "carries state from one batch to the next", "type stateful=False"))
    if getattr(layer, "activity_regularizer", None) is not None:
        raise ConfigError(
            _sentence(layer, "has an activity_regularizer, a loss of the data that would bypass clipping", "remove it")
        )
    if layer.compute_dtype not in ("float32", "float64"):
        raise ConfigError(
            _sentence(
                layer, f"computes in {layer.compute_dtype}, whose loss scaling skips steps by the data", "type float32"
            )
        )


def _models(model: tf.keras.Model) -> Iterator[tf.keras.Model]:
    yield model
    for layer in getattr(model, "layers", []):
        if isinstance(layer, tf.keras.Model):
            yield from _models(layer)


def _layers(model: tf.keras.Model) -> Iterator[tf.keras.layers.Layer]:
    for owner in _models(model):
        yield from (layer for layer in owner.layers if not isinstance(layer, tf.keras.Model))


def _sentence(layer: tf.keras.layers.Layer, trouble: str, remedy: str) -> str:
    return f"layer {layer.name!r} ({type(layer).__name__}) {trouble}; {remedy}."
