"""What a model must be so that one unit's contribution is one unit's alone; everything else is refused by name."""

import re

import tensorflow as tf

from ecgexp.clipping.callables import check_activations
from ecgexp.clipping.graph import Node, layers_of, models_of, nodes
from ecgexp.clipping.registry import ROW_WISE, RULES, rule_of
from ecgexp.settings.declaration import ConfigError

_NOISE = tuple(
    getattr(tf.keras.layers, name)
    for name in (
        "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianNoise", "GaussianDropout",
        "AlphaDropout", "RandomBrightness", "RandomContrast", "RandomCrop", "RandomFlip", "RandomHeight", "RandomRotation",
        "RandomTranslation", "RandomWidth", "RandomZoom",
    )
)  # fmt: skip


def check_model(model: tf.keras.Model, *, public_penalty: bool = False) -> None:
    """Refuses a model whose per-example gradients are not what clipping needs.

    Args:
      model: to be clipped by any method.
      public_penalty: weight regularisers are allowed, because the caller adds `public_penalty_gradients`.

    Raises:
      ConfigError: a layer may mix the examples of a batch, keeps state, is unknown or adds a loss; the message names it.
    """
    _check_graph(model)
    for layer in layers_of(model):
        _check_layer(layer)
    for owner in models_of(model):
        for node in nodes(owner):
            _check_use(node)
    check_noise_layers(model)
    check_activations(model)
    if model.losses and not public_penalty:
        raise ConfigError(
            f"the model adds {len(model.losses)} regularisation loss(es), whose gradients would bypass clipping; type "
            "model.l2=0, or pass public_penalty=True and add public_penalty_gradients(model) after the noise."
        )
    if not model.trainable_variables:
        raise ConfigError(
            "the model has no trainable weights, so there is nothing to clip; set layer.trainable=True."
        )


def check_rules(model: tf.keras.Model) -> None:
    """Refuses a model with a layer that book-keeping cannot handle; the other methods may.

    Raises:
      ConfigError: names the layer, its setting and what to type.
    """
    for owner in models_of(model):
        for node in nodes(owner):
            rule = rule_of(node.layer)
            if rule is None:
                continue
            others = [name for name, value in node.call_kwargs.items() if value is not None]
            if len(node.call_args) != 1 or others or tf.nest.is_nested(node.call_args[0]):
                raise ConfigError(
                    _sentence(
                        node.layer,
                        "is called with more than one tensor",
                        "type trainer.clipping=vectorized",
                    )
                )
            if (reason := rule.refusal(node.layer)) is not None:
                raise ConfigError(
                    _sentence(
                        node.layer,
                        f"cannot be clipped by book-keeping: {reason}",
                        "or trainer.clipping=vectorized",
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
    for owner in models_of(model):
        own_call = any(
            not getattr(type(owner), name).__module__.startswith("keras.") or name in vars(owner)
            for name in ("call", "__call__")
        )
        if own_call or not owner._is_graph_network:
            raise ConfigError(
                f"model {owner.name!r} is not a graph of layers that can be read; build it as tf.keras.Model(inputs, outputs), "
                "or as a Sequential that begins with an Input, without overriding or replacing call."
            )
    if len(model.outputs) != 1:
        raise ConfigError(
            f"model {model.name!r} has {len(model.outputs)} outputs; a model with one output can be clipped."
        )
    unknown = [tensor.name for tensor in model.inputs if not tensor.shape[1:].is_fully_defined()]
    if unknown:
        raise ConfigError(
            f"inputs {unknown} have an axis of unknown length; give tf.keras.Input its full shape."
        )


def check_noise_layers(model: tf.keras.Model) -> None:
    """Refuses Keras's own layers that draw random numbers, wherever they stand.

    Their numbers follow from the run's logged seed and go by place in the batch: to someone who knows the seed, one more
    example changes the masks of all examples after it.

    Raises:
      ConfigError: names the layer and what to use.
    """
    for layer in model._flatten_layers():
        if (
            isinstance(layer, _NOISE)
            or getattr(layer, "dropout", 0)
            or getattr(layer, "recurrent_dropout", 0)
        ):
            raise ConfigError(
                _sentence(
                    layer,
                    "draws random numbers that follow from the run's logged seed",
                    "use ecgexp.models.dropout.Dropout",
                )
            )


def _check_layer(layer: tf.keras.layers.Layer) -> None:
    if "BatchNormalization" in type(layer).__name__:
        raise ConfigError(
            _sentence(
                layer,
                "mixes the examples of a batch, so no clip bounds one example's influence",
                "type model.normalization=group",
            )
        )
    if type(layer) not in ROW_WISE and type(layer) not in RULES and not isinstance(layer, _NOISE):
        state = (
            "has weights but no rule"
            if layer.weights
            else "is not known to keep the examples of a batch apart"
        )
        raise ConfigError(
            _sentence(
                layer,
                state,
                "use a layer listed in ecgexp/clipping/registry.py, or add its rule there",
            )
        )
    if changed := [name for name in vars(layer) if callable(getattr(type(layer), name, None))]:
        raise ConfigError(
            _sentence(
                layer,
                f"has its method {changed[0]} replaced, so its class says nothing about it",
                "use it as it is",
            )
        )
    if inner := [sub.name for sub in layer._flatten_layers(include_self=False)]:
        raise ConfigError(
            _sentence(
                layer,
                f"has another layer, {inner[0]!r}, inside it",
                f"call {inner[0]!r} on its output instead",
            )
        )
    if getattr(layer, "stateful", False):
        raise ConfigError(
            _sentence(layer, "carries state from one batch to the next", "type stateful=False")
        )
    if layer.dynamic:
        raise ConfigError(_sentence(layer, "runs Python code on each batch", "use dynamic=False"))
    if getattr(layer, "activity_regularizer", None) is not None:
        raise ConfigError(
            _sentence(
                layer,
                "has an activity_regularizer, a loss of the data that would bypass clipping",
                "remove it",
            )
        )
    if isinstance(layer, tf.keras.layers.EinsumDense) and not _keeps_rows(layer.equation):
        raise ConfigError(
            _sentence(
                layer, f"has the equation {layer.equation}, which mixes the examples of a batch",
                "use one whose first index is the first of the output, and no index of the kernel",
            )
        )  # fmt: skip
    if layer.compute_dtype not in ("float32", "float64"):
        raise ConfigError(
            _sentence(
                layer,
                f"computes in {layer.compute_dtype}, whose loss scaling skips steps by the data",
                "type float32",
            )
        )


def _check_use(node: Node) -> None:
    """One use of a layer: an axis that is harmless at one may be that of the examples at another."""
    axes = getattr(node.layer, "axis", getattr(node.layer, "axes", None))
    if axes is None:
        return
    shapes = [
        *_shapes(node.input_shapes),
        *([] if isinstance(node.layer, tf.keras.layers.Dot) else _shapes(node.output_shapes)),
    ]
    batch_axes = {0, *(-len(shape) for shape in shapes)}
    if any(int(axis) in batch_axes for axis in tf.nest.flatten(axes)):
        raise ConfigError(
            _sentence(
                node.layer,
                f"works along axis {axes}, which mixes the examples of a batch",
                "type axis=-1",
            )
        )


def _shapes(shapes: object) -> list[tuple]:
    """One shape, or a structure of them, as a list."""
    if isinstance(shapes, tf.TensorShape):
        return [tuple(shapes)]
    if isinstance(shapes, tuple) and all(size is None or isinstance(size, int) for size in shapes):
        return [shapes]
    parts = shapes.values() if isinstance(shapes, dict) else shapes
    return [shape for part in parts for shape in _shapes(part)]


def _keeps_rows(equation: str) -> bool:
    """Whether an einsum keeps its first index, that of the examples, in its place and out of the kernel."""
    if (
        parsed := re.fullmatch(
            r"(\.\.\.|[a-zA-Z])([a-zA-Z]*),([a-zA-Z]*)->(\.\.\.|[a-zA-Z])([a-zA-Z]*)", equation
        )
    ) is None:
        return False
    first, others, kernel, first_out, others_out = parsed.groups()
    return first == first_out and first not in others + kernel + others_out


def _sentence(layer: tf.keras.layers.Layer, trouble: str, remedy: str) -> str:
    return f"layer {layer.name!r} ({type(layer).__name__}) {trouble}; {remedy}."
