"""Runs a Keras model node by node, so that layers with weights can be watched at their pre-activation."""

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
    """One use of one layer with weights in the forward pass; see `rules.Rule`."""

    layer: tf.keras.layers.Layer
    rule: Rule
    saved: tf.Tensor
    preactivation: tf.Tensor


def run_recorded(
    model: tf.keras.Model, inputs: list[tf.Tensor], tape: tf.GradientTape
) -> tuple[tf.Tensor, list[Use]]:
    """The training-mode outputs of `model`, and every use of a layer with weights, its pre-activation watched by `tape`.

    One pass: the dropout masks of the outputs are those of the gradients.

    Args:
      model: accepted by `checks.check_model`.
      inputs: in the order of `model.inputs`.
      tape: recording, and watching nothing by itself.
    """
    uses: list[Use] = []
    return _run(model, inputs, tape, uses), uses


def ordered_inputs(model: tf.keras.Model, features: Mapping[str, tf.Tensor]) -> list[tf.Tensor]:
    """The features that `model` takes, in the order of `model.inputs`."""
    names = sorted(model.input) if isinstance(model.input, Mapping) else model.input_names
    if missing := [name for name in names if name not in features]:
        raise ConfigError(
            f"the model's inputs {missing} are not among the features {sorted(features)}."
        )
    return [tf.convert_to_tensor(features[name]) for name in names]


def models_of(model: tf.keras.Model) -> Iterator[tf.keras.Model]:
    """`model` and the models nested in it."""
    yield model
    for layer in getattr(model, "layers", []):
        if isinstance(layer, tf.keras.Model):
            yield from models_of(layer)


def layers_of(model: tf.keras.Model) -> Iterator[tf.keras.layers.Layer]:
    """The layers of `model` and of the models nested in it, which are not layers here."""
    for owner in models_of(model):
        yield from (layer for layer in owner.layers if not isinstance(layer, tf.keras.Model))


def nodes(model: tf.keras.Model) -> Iterator[Node]:
    """The layer calls of `model` in the order Keras itself runs them, those that bring the inputs left out."""
    for depth in sorted(model._nodes_by_depth, reverse=True):
        yield from (node for node in model._nodes_by_depth[depth] if not node.is_input)


def _run(
    model: tf.keras.Model, inputs: list[tf.Tensor], tape: tf.GradientTape, uses: list[Use]
) -> Any:
    counts = model._tensor_usage_count
    computed: dict[str, list[tf.Tensor]] = {}

    def store(key: str, value: tf.Tensor) -> None:
        computed[key] = [value] * counts[
            key
        ]  # Keras pops one for each reader, which frees what is not needed any more

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
