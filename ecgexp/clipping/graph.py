"""Execution of a Keras model node by node, with access to the pre-activation of each layer."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from ecgexp.clipping.registry import rule_of
from ecgexp.clipping.rules import Rule
from ecgexp.settings.declaration import ConfigError

Node = Any
"""One call of one layer in a Keras model; Keras has no public name for it."""


@dataclass(frozen=True, kw_only=True)
class Use:
    """One use of one layer with weights in the forward pass; see `rules.Rule`.

    Attributes:
      layer: the layer.
      rule: rule of the layer.
      saved: (rows, ...) tensor that the rule needs for gradients.
      preactivation: (rows, ...) pre-activation.
    """

    layer: tf.keras.layers.Layer
    rule: Rule
    saved: tf.Tensor
    preactivation: tf.Tensor


def run_recorded(
    model: tf.keras.Model, inputs: list[tf.Tensor], tape: tf.GradientTape
) -> tuple[tf.Tensor, list[Use]]:
    """Run `model` in training mode and record every use of a layer with weights.

    Outputs and gradients come from one pass, so they have the same dropout masks.

    Args:
      model: accepted by `checks.check_model`.
      inputs: (rows, ...) each, in the order of `model.inputs`.
      tape: active tape with `watch_accessed_variables=False`; watches the pre-activations.

    Returns:
      The (rows, ...) outputs, and the uses in the order of execution.
    """
    uses: list[Use] = []
    return _run(model, inputs, tape, uses), uses


def ordered_inputs(model: tf.keras.Model, features: Mapping[str, tf.Tensor]) -> list[tf.Tensor]:
    """Select the features that `model` has inputs for.

    Args:
      model: the model.
      features: input name -> (rows, ...).

    Returns:
      One tensor for each input, in the order of `model.inputs`.

    Raises:
      ConfigError: a feature is missing.
    """
    names = sorted(model.input) if isinstance(model.input, Mapping) else model.input_names
    if missing := [name for name in names if name not in features]:
        raise ConfigError(
            f"features: the model needs {missing}, which are not among {sorted(features)}; use a "
            "features option that provides them."
        )
    return [tf.convert_to_tensor(features[name]) for name in names]


def models_of(model: tf.keras.Model) -> Iterator[tf.keras.Model]:
    """Yield `model` and the models nested in it."""
    yield model
    for layer in getattr(model, "layers", []):
        if isinstance(layer, tf.keras.Model):
            yield from models_of(layer)


def layers_of(model: tf.keras.Model) -> Iterator[tf.keras.layers.Layer]:
    """Yield the layers of `model` and of nested models, without these models themselves."""
    for owner in models_of(model):
        yield from (layer for layer in owner.layers if not isinstance(layer, tf.keras.Model))


def nodes(model: tf.keras.Model) -> Iterator[Node]:
    """Yield the layer calls of `model`, without inputs, in the order in which Keras runs them."""
    for depth in sorted(model._nodes_by_depth, reverse=True):
        yield from (node for node in model._nodes_by_depth[depth] if not node.is_input)


def _run(
    model: tf.keras.Model, inputs: list[tf.Tensor], tape: tf.GradientTape, uses: list[Use]
) -> Any:
    counts = model._tensor_usage_count
    computed: dict[str, list[tf.Tensor]] = {}

    def store(key: str, value: tf.Tensor) -> None:
        # One reference per reader; each reader pops one, so that unused tensors are freed.
        computed[key] = [value] * counts[key]

    for reference, value in zip(model.inputs, inputs, strict=True):
        store(str(id(reference)), model._conform_to_reference_input(value, ref_input=reference))
    for node in nodes(model):
        args, kwargs = node.map_arguments(computed)
        outputs = _call(node.layer, args, kwargs, tape, uses)
        for key, value in zip(node.flat_output_ids, tf.nest.flatten(outputs), strict=True):
            store(key, value)
    found = [computed[str(id(reference))].pop() for reference in model.outputs]
    return tf.nest.pack_sequence_as(model.output, found)


def _call(
    layer: tf.keras.layers.Layer, args: tuple, kwargs: dict, tape: tf.GradientTape, uses: list[Use]
) -> Any:
    if isinstance(layer, tf.keras.Model):
        return _run(layer, layer._flatten_to_reference_inputs(args[0]), tape, uses)
    rule = rule_of(layer)
    if rule is None:
        return layer(*args, **_in_training(layer, kwargs))
    saved, preactivation = rule.linear(layer, args[0])
    tape.watch(preactivation)
    uses.append(Use(layer=layer, rule=rule, saved=saved, preactivation=preactivation))
    return rule.activate(layer, preactivation)


def _in_training(layer: tf.keras.layers.Layer, kwargs: dict) -> dict:
    if "training" in inspect.signature(layer.call).parameters and kwargs.get("training") is None:
        return {**kwargs, "training": True}
    return kwargs
