"""Checks that a unit's contribution depends on that unit only; all other models are rejected."""

import re
from typing import Any

import tensorflow as tf

from ecgexp.clipping.callables import check_activations
from ecgexp.clipping.graph import Node, layers_of, models_of, nodes
from ecgexp.clipping.registry import is_known, rule_of
from ecgexp.clipping.unknown_layers import check_unknown_layer
from ecgexp.settings.declaration import ConfigError

_NOISE = tuple(
    getattr(tf.keras.layers, name)
    for name in (
        "Dropout",
        "SpatialDropout1D",
        "SpatialDropout2D",
        "SpatialDropout3D",
        "GaussianNoise",
        "GaussianDropout",
        "AlphaDropout",
        "RandomBrightness",
        "RandomContrast",
        "RandomCrop",
        "RandomFlip",
        "RandomHeight",
        "RandomRotation",
        "RandomTranslation",
        "RandomWidth",
        "RandomZoom",
    )
)


def check_model(model: tf.keras.Model, *, public_penalty: bool = False) -> None:
    """Reject a model whose per-example gradients are not defined or cannot be clipped exactly.

    **Guarantees**: in an accepted model, all known layers (`registry`), apart from their
    activations, process each row of a batch independently, at every use and in nested models.
    Activations and all other layers keep no state, draw no random numbers and add no loss of the
    data (`tests/tensorflow/clipping/test_checks.py`, `test_unknown_layers.py`). Whether these and
    the loss mix rows is tested by `probe`; whatever the probe misses, `build.build_clipper` calls
    such a model with one unit at a time.

    Args:
      model: model to clip, by any method.
      public_penalty: whether weight regularizers are allowed, because the caller adds
        `public_penalty_gradients`.

    Raises:
      ConfigError: a layer mixes the examples of a batch, keeps state, draws random numbers or adds
        a loss; the message names the layer.
    """
    _check_graph(model)
    check_noise_layers(model)
    for layer in layers_of(model):
        _check_layer(layer)
    for owner in models_of(model):
        for node in nodes(owner):
            if is_known(node.layer):
                _check_use(node)
    check_activations(model)
    if model.losses and not public_penalty:
        raise ConfigError(
            f"model: it adds {len(model.losses)} regularization loss(es), whose gradients would "
            "bypass clipping; use model.l2=0, or pass public_penalty=True and add "
            "public_penalty_gradients(model) after the noise."
        )
    if not model.trainable_variables:
        raise ConfigError(
            "model: it has no trainable weights, so there is nothing to clip; set "
            "layer.trainable=True."
        )


def check_rules(model: tf.keras.Model) -> None:
    """Reject a model with a layer that book-keeping cannot handle.

    Args:
      model: accepted by `check_model`.

    Raises:
      ConfigError: a layer has a setting or a use without a rule; the message names it. The methods
        `vectorized` and `microbatch` may still be possible.
    """
    for owner in models_of(model):
        for node in nodes(owner):
            rule = rule_of(node.layer)
            if rule is None:
                continue
            others = [name for name, value in node.call_kwargs.items() if value is not None]
            if len(node.call_args) != 1 or others or tf.nest.is_nested(node.call_args[0]):
                raise ConfigError(
                    _message(
                        node.layer,
                        "is called with more than one tensor",
                        "use trainer.clipping=vectorized",
                    )
                )
            if (reason := rule.refusal(node.layer)) is not None:
                raise ConfigError(
                    _message(
                        node.layer,
                        f"cannot be clipped by book-keeping: {reason}",
                        "or use trainer.clipping=vectorized",
                    )
                )


def public_penalty_gradients(model: tf.keras.Model) -> list[tf.Tensor]:
    """Compute the gradients of the model's weight regularizers.

    They depend on the weights only, which the guarantee already covers (post-processing), so they
    cause no privacy loss. Add them to the noisy mean, never to the clipped sum.

    Args:
      model: has at least one regularizer.

    Returns:
      One tensor for each of `model.trainable_variables`, in that order.
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
                f"model: {owner.name!r} is not a graph of layers; use tf.keras.Model(inputs, "
                "outputs), or a Sequential that begins with an Input, without overriding or "
                "replacing call."
            )
    if len(model.outputs) != 1:
        raise ConfigError(
            f"model: {model.name!r} has {len(model.outputs)} outputs; use a model with one output."
        )
    unknown = [tensor.name for tensor in model.inputs if not tensor.shape[1:].is_fully_defined()]
    if unknown:
        raise ConfigError(
            f"model: inputs {unknown} have an axis of unknown length; use tf.keras.Input with the "
            "full shape."
        )


def check_noise_layers(model: tf.keras.Model) -> None:
    """Reject Keras layers that draw random numbers, also inside other layers.

    Their numbers follow from the run's logged seed and from the place in the batch. For an observer
    who knows the seed, one more example changes the masks of all examples after it.

    Args:
      model: any Keras model.

    Raises:
      ConfigError: the model has such a layer; the message names it and its replacement.
    """
    for layer in model._flatten_layers():
        if (
            isinstance(layer, _NOISE)
            or getattr(layer, "dropout", 0)
            or getattr(layer, "recurrent_dropout", 0)
        ):
            raise ConfigError(
                _message(
                    layer,
                    "draws random numbers that follow from the run's logged seed",
                    "use ecgexp.models.dropout.Dropout",
                )
            )


def _check_layer(layer: tf.keras.layers.Layer) -> None:
    if "BatchNormalization" in type(layer).__name__:
        raise ConfigError(
            _message(
                layer,
                "mixes the examples of a batch, so clipping does not bound the influence of one "
                "example",
                "use model.normalization=group",
            )
        )
    changed = [name for name in vars(layer) if callable(getattr(type(layer), name, None))]
    if is_known(layer) and changed:
        raise ConfigError(
            _message(
                layer,
                f"has its method {changed[0]} replaced, so it is not known to process each example "
                "independently",
                "use the unchanged layer",
            )
        )
    if getattr(layer, "stateful", False):
        raise ConfigError(
            _message(layer, "carries state from one batch to the next", "use stateful=False")
        )
    if layer.dynamic:
        raise ConfigError(_message(layer, "runs Python code on each batch", "use dynamic=False"))
    if getattr(layer, "activity_regularizer", None) is not None:
        raise ConfigError(
            _message(
                layer,
                "has an activity_regularizer, a loss of the data that would bypass clipping",
                "remove it",
            )
        )
    inner = [sub.name for sub in layer._flatten_layers(include_self=False)]
    if is_known(layer) and inner:
        raise ConfigError(
            _message(
                layer,
                f"has another layer, {inner[0]!r}, inside it",
                f"call {inner[0]!r} on its output instead",
            )
        )
    if isinstance(layer, tf.keras.layers.EinsumDense) and not _keeps_rows(layer.equation):
        raise ConfigError(
            _message(
                layer,
                f"has the equation {layer.equation}, which mixes the examples of a batch",
                "use an equation whose first index is also the first of the output and is not in "
                "the kernel",
            )
        )
    if layer.compute_dtype not in ("float32", "float64"):
        raise ConfigError(
            _message(
                layer,
                f"computes in {layer.compute_dtype}, whose loss scaling skips steps depending on "
                "the data",
                "use dtype=float32",
            )
        )
    if not is_known(layer):
        check_unknown_layer(layer)


def _check_use(node: Node) -> None:
    """Check the axis of one use of a layer; negative axes depend on the rank of the input."""
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
            _message(
                node.layer,
                f"works along axis {axes}, which mixes the examples of a batch",
                "use axis=-1",
            )
        )


def _shapes(shapes: Any) -> list[tuple]:
    """Flatten one shape, or a structure of shapes, to a list."""
    if isinstance(shapes, tf.TensorShape):
        return [tuple(shapes)]
    if isinstance(shapes, tuple) and all(size is None or isinstance(size, int) for size in shapes):
        return [shapes]
    parts = shapes.values() if isinstance(shapes, dict) else shapes
    return [shape for part in parts for shape in _shapes(part)]


def _keeps_rows(equation: str) -> bool:
    """Whether the first index of an einsum, the batch, stays first and is not in the kernel."""
    if (
        parsed := re.fullmatch(
            r"(\.\.\.|[a-zA-Z])([a-zA-Z]*),([a-zA-Z]*)->(\.\.\.|[a-zA-Z])([a-zA-Z]*)", equation
        )
    ) is None:
        return False
    first, others, kernel, first_out, others_out = parsed.groups()
    return first == first_out and first not in others + kernel + others_out


def _message(layer: tf.keras.layers.Layer, problem: str, remedy: str) -> str:
    return f"model: layer {layer.name!r} ({type(layer).__name__}) {problem}; {remedy}."
