"""Runs a model on random batches to find layers and losses that mix the examples of a batch.

What the allow-list of layers says is checked against what the layers do. A probe proves nothing: what mixes only beyond some
value can escape it. So functions that are not known (see `callables`) never see more than one unit at a time.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from ecgexp.clipping.base import PerExampleLoss, per_example_losses
from ecgexp.clipping.callables import check_augmentation, check_loss
from ecgexp.clipping.graph import layers_of, run_recorded
from ecgexp.models.dropout import Dropout
from ecgexp.settings.declaration import ConfigError

BATCHES = (3, 8)
_SCALES = (1.0, 100.0)  # of the row that is changed

Run = Callable[[list[np.ndarray], tf.Tensor], dict[str, np.ndarray]]


def check_rows_apart(model: tf.keras.Model, loss_fn: PerExampleLoss, *, recorded: bool) -> None:
    """Refuses a model and a loss in which one row of a batch changes what is computed for another.

    Random batches of `BATCHES` rows run in training mode, each with the same dropout masks, before and after one row and its
    label are changed. Nothing that belongs to another row may change by a bit.

    Args:
      model: accepted by `checks.check_model`.
      loss_fn: one loss for each row.
      recorded: also compare the pre-activations of all layers with weights, as book-keeping runs them.

    Raises:
      ConfigError: names what changed; or the loss is reduced, keeps state or draws random numbers.
    """
    rng = np.random.default_rng(0)
    with _random_weights(model, rng), _same_masks(model) as restart:
        for rows in BATCHES:
            inputs = [_random(tensor, rows, rng) for tensor in model.inputs]
            outputs = _outputs(model, inputs)
            # The loss by itself as well: outputs of small weights may be too alike to show what it does.
            outputs = tf.constant(rng.standard_normal(outputs.shape), outputs.dtype)
            labels = _labels_that_fit(loss_fn, outputs, rng)
            check_loss(loss_fn, labels, outputs)
            _compare(
                lambda values, labels: _named(tf.constant(values[0]), loss_fn, labels),
                [outputs.numpy()],
                labels,
                rng,
            )
            run = (
                _recorded(model, loss_fn, restart)
                if recorded
                else _as_called(model, loss_fn, restart)
            )
            _compare(run, inputs, labels, rng)


def check_views_apart(
    augment: Callable[..., Mapping[str, tf.Tensor]], features: Mapping[str, np.ndarray]
) -> None:
    """Refuses an augmentation in which one row of a batch changes another: its gradient would not be its own.

    Args:
      augment: see `augmentation.base.Augmentation.build`.
      features: name -> (num_beats, ...), of which only the shapes are used.

    Raises:
      ConfigError: names the feature; or the augmentation keeps state or draws random numbers of its own.
    """
    check_augmentation(augment, features)
    rng = np.random.default_rng(0)
    views, seed = tf.zeros([8], tf.int32), tf.constant([1, 2], tf.int32)
    batch = {
        name: rng.random((8, *array.shape[1:]), np.float32) for name, array in features.items()
    }
    changed = {
        name: np.concatenate([array[:3], 1 - array[3:4], array[4:]])
        for name, array in batch.items()
    }
    before, after = (
        augment({name: tf.constant(array) for name, array in rows.items()}, views, seed)
        for rows in (batch, changed)
    )
    others = np.arange(8) != 3
    for name in before:
        if not np.array_equal(
            before[name].numpy()[others], after[name].numpy()[others], equal_nan=True
        ):
            raise ConfigError(
                f"augmentation: one row of a batch changes {name!r} of another, so no clip bounds one beat's influence; use an "
                "augmentation that changes each row by itself"
            )


def _compare(
    run: Run, inputs: list[np.ndarray], labels: tf.Tensor, rng: np.random.Generator
) -> None:
    """Changes one row and looks at what `run` makes of the others."""
    rows = len(inputs[0])
    before = run(inputs, labels)
    for scale in _SCALES:
        changed = int(rng.integers(rows))
        others = np.arange(rows) != changed
        after = run(*_with_row_changed(inputs, labels, changed, scale))
        moved = [name for name in before if not _same(before[name][others], after[name][others])]
        again = run(inputs, labels) if moved else before  # a device may repeat nothing to the bit
        moved = [name for name in moved if _same(before[name][others], again[name][others])]
        if moved:
            raise ConfigError(
                f"{moved[0]} of one example changes when another example of the batch does, so no clip bounds one example's "
                "influence; use activations and a loss that work on each example by itself."
            )


def _as_called(model: tf.keras.Model, loss_fn: PerExampleLoss, restart: Callable[[], None]) -> Run:
    def run(inputs: list[np.ndarray], labels: tf.Tensor) -> dict[str, np.ndarray]:
        restart()
        return _named(_outputs(model, inputs), loss_fn, labels)

    return run


def _recorded(model: tf.keras.Model, loss_fn: PerExampleLoss, restart: Callable[[], None]) -> Run:
    def run(inputs: list[np.ndarray], labels: tf.Tensor) -> dict[str, np.ndarray]:
        restart()
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            outputs, uses = run_recorded(model, [tf.constant(value) for value in inputs], tape)
        found = {
            f"the pre-activation of layer {use.layer.name!r} (use {number})": use.preactivation.numpy()
            for number, use in enumerate(uses)
        }
        return found | _named(outputs, loss_fn, labels)

    return run


def _named(outputs: tf.Tensor, loss_fn: PerExampleLoss, labels: tf.Tensor) -> dict[str, np.ndarray]:
    return {
        "the output": outputs.numpy(),
        "the loss": per_example_losses(loss_fn, labels, outputs).numpy(),
    }


def _outputs(model: tf.keras.Model, inputs: list[np.ndarray]) -> tf.Tensor:
    tensors = [tf.constant(value) for value in inputs]
    return model(tf.nest.pack_sequence_as(model.input, tensors), training=True)


def _random(tensor: Any, rows: int, rng: np.random.Generator) -> np.ndarray:
    shape = (rows, *tensor.shape[1:])
    dtype = tensor.dtype.as_numpy_dtype
    return (
        rng.standard_normal(shape).astype(dtype)
        if tensor.dtype.is_floating
        else rng.integers(0, 2, shape).astype(dtype)
    )


def _labels_that_fit(
    loss_fn: PerExampleLoss, outputs: tf.Tensor, rng: np.random.Generator
) -> tf.Tensor:
    """Labels that the loss takes: classes, or the same one-hot.

    Raises:
      ConfigError: the loss is reduced, or takes neither, so that nothing could be found out about it.
    """
    classes, width = rng.integers(0, max(outputs.shape[-1], 1), len(outputs)), outputs.shape[-1]
    kinds = [
        tf.constant(classes, tf.int32),
        tf.constant(classes, tf.int64),
        tf.one_hot(classes, width, dtype=outputs.dtype),
    ]
    for labels in kinds:
        try:
            per_example_losses(loss_fn, labels, outputs)
        except ConfigError:
            raise
        except Exception as error:  # noqa: BLE001  what a loss says of labels that are not its own is its own affair
            why = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        return labels
    raise ConfigError(
        f"the loss takes neither class numbers nor one-hot labels, so whether it keeps the examples of a batch apart cannot be "
        f"tried ({why}); use a function of labels (rows,) or (rows, classes) and outputs (rows, classes)."
    )


def _with_row_changed(
    inputs: list[np.ndarray], labels: tf.Tensor, row: int, scale: float
) -> tuple[list[np.ndarray], tf.Tensor]:
    changed = [value.copy() for value in inputs]
    for value in changed:
        value[row] = (
            1 - value[row] if np.issubdtype(value.dtype, np.integer) else scale * (1 - value[row])
        )
    others = labels.numpy()
    others[row] = others[row - 1]
    return changed, tf.constant(others)


def _same(left: np.ndarray, right: np.ndarray) -> bool:
    return np.array_equal(left, right, equal_nan=True)


@contextmanager
def _random_weights(model: tf.keras.Model, rng: np.random.Generator) -> Iterator[None]:
    """Adds random numbers to the weights within the block: a layer that starts at zero would hide what is before it."""
    saved = [variable.numpy() for variable in model.trainable_variables]
    try:
        for variable, values in zip(model.trainable_variables, saved, strict=True):
            variable.assign(values + 0.1 * rng.standard_normal(values.shape).astype(values.dtype))
        yield
    finally:
        for variable, values in zip(model.trainable_variables, saved, strict=True):
            variable.assign(values)


@contextmanager
def _same_masks(model: tf.keras.Model) -> Iterator[Callable[[], None]]:
    """A function that puts the dropout generators where they are now, where they also are when the block ends."""
    generators = [
        layer._get_generator() for layer in layers_of(model) if isinstance(layer, Dropout)
    ]
    states = [generator.state.numpy() for generator in generators]

    def restart() -> None:
        for generator, state in zip(generators, states, strict=True):
            generator.state.assign(state)

    try:
        yield restart
    finally:
        restart()
