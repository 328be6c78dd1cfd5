"""Tests on random batches that find layers, losses and augmentations that mix examples.

They verify the lists of known layers and functions empirically. They prove nothing: a function that
mixes examples for some values only can pass. Therefore functions that are not known (see
`callables`) are called with one unit at a time.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
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
_SCALES = (1.0, 100.0)  # magnitudes of the changed row

Run = Callable[[list[np.ndarray], tf.Tensor], dict[str, np.ndarray]]


def check_rows_apart(model: tf.keras.Model, loss_fn: PerExampleLoss, *, recorded: bool) -> None:
    """Reject a model and a loss in which one row of a batch affects another row.

    The model runs in training mode on random batches of `BATCHES` rows, with the same dropout
    masks, before and after one row and its label are changed. The values of all other rows must be
    equal bit by bit.

    Args:
      model: accepted by `checks.check_model`.
      loss_fn: (labels, outputs) -> (rows,).
      recorded: whether to also compare the pre-activations of all layers with weights, computed as
        book-keeping does.

    Raises:
      ConfigError: a value of another row changed, or the loss is reduced, keeps state or draws
        random numbers; the message says which.
    """
    rng = np.random.default_rng(0)
    with _random_weights(model, rng), _same_masks(model) as restart:
        for rows in BATCHES:
            inputs = [_random(tensor, rows, rng) for tensor in model.inputs]
            outputs = _outputs(model, inputs)
            # Also test the loss alone: outputs of a model with small weights may be too similar.
            outputs = tf.constant(rng.standard_normal(tuple(outputs.shape)), outputs.dtype)
            labels = _accepted_labels(loss_fn, outputs, rng)
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


def check_loss_apart(loss_fn: PerExampleLoss, *, num_classes: int) -> None:
    """Reject a loss in which one example of a batch affects the value of another.

    Args:
      loss_fn: (labels (rows,) int32, logits (rows, classes) float32) -> (rows,).
      num_classes: classes of the logits.

    Raises:
      ConfigError: it is reduced, the value of another row changed, it keeps state or draws random
        numbers, or it fails for such arguments; the message says which.
    """
    rng = np.random.default_rng(0)
    for rows in BATCHES:
        logits = tf.constant(rng.standard_normal((rows, num_classes)), tf.float32)
        labels = tf.constant(np.arange(rows) % num_classes, tf.int32)
        try:
            per_example_losses(loss_fn, labels, logits)
        except ConfigError:
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ConfigError(
                f"loss: it fails for class numbers (rows,) and logits (rows, {num_classes}) "
                f"({why}); use a function of these."
            ) from error
        check_loss(loss_fn, labels, logits)
        _compare(
            lambda values, labels: _named(tf.constant(values[0]), loss_fn, labels),
            [logits.numpy()],
            labels,
            rng,
            changes=range(rows),
        )


def check_views_apart(
    augment: Callable[..., Mapping[str, tf.Tensor]], features: Mapping[str, np.ndarray]
) -> None:
    """Reject an augmentation in which one row of a batch affects another row.

    The gradient of a unit would depend on other units, which clipping does not bound.

    Args:
      augment: see `augmentation.base.Augmentation.build`.
      features: name -> (num_beats, ...), of which only the shapes are used.

    Raises:
      ConfigError: a feature of another row changed, or the augmentation keeps state or draws its
        own random numbers; the message says which.
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
                f"augmentation: one row of a batch changes {name!r} of another, so clipping does "
                "not bound the influence of one beat; use an augmentation that processes each row "
                "independently."
            )


def _compare(
    run: Run,
    inputs: list[np.ndarray],
    labels: tf.Tensor,
    rng: np.random.Generator,
    *,
    changes: Iterable[int] | None = None,
) -> None:
    """Change one row and compare the results of `run` for the other rows.

    Args:
      run: computes the results.
      inputs: of the model, (rows, ...).
      labels: (rows,) or (rows, classes).
      rng: draws the changed row.
      changes: rows that are changed, one after the other; None: a random one.
    """
    rows = len(inputs[0])
    before = run(inputs, labels)
    given = None if changes is None else tuple(changes)
    for scale, changed in (
        (scale, changed)
        for scale in _SCALES
        for changed in (given if given is not None else (int(rng.integers(rows)),))
    ):
        others = np.arange(rows) != changed
        after = run(*_with_row_changed(inputs, labels, changed, scale))
        moved = [name for name in before if not _same(before[name][others], after[name][others])]
        # Some devices do not repeat a computation bit by bit.
        again = run(inputs, labels) if moved else before
        moved = [name for name in moved if _same(before[name][others], again[name][others])]
        if moved:
            setting = "loss" if moved[0] == "the loss" else "model"
            raise ConfigError(
                f"{setting}: {moved[0]} of one example changes when another example of the batch "
                "does, so clipping does not bound the influence of one example; use activations "
                "and a loss that process each example independently."
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
        found = {}
        for number, use in enumerate(uses):
            name = f"the pre-activation of layer {use.layer.name!r} (use {number})"
            found[name] = use.preactivation.numpy()
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


def _accepted_labels(
    loss_fn: PerExampleLoss, outputs: tf.Tensor, rng: np.random.Generator
) -> tf.Tensor:
    """Return random labels of a kind that the loss accepts: class numbers or one-hot.

    Raises:
      ConfigError: the loss is reduced, or accepts neither kind and so cannot be tested.
    """
    width = max(outputs.shape[-1], 1)
    classes = rng.permutation(len(outputs)) % width  # as many classes as there can be
    kinds = [
        tf.constant(classes, tf.int32),
        tf.constant(classes, tf.int64),
        tf.one_hot(classes, width, dtype=outputs.dtype),
        # Of `training.loss.with_teacher`.
        tf.constant(np.column_stack([classes, rng.dirichlet(np.ones(width), len(classes))])),
    ]
    kinds[-1] = tf.cast(kinds[-1], outputs.dtype)
    why = ""
    for labels in kinds:
        try:
            per_example_losses(loss_fn, labels, outputs)
        except ConfigError:
            raise
        except Exception as error:  # noqa: BLE001  a loss may raise anything for other labels
            why = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        return labels
    raise ConfigError(
        "loss: it accepts neither class numbers nor one-hot labels, so whether it mixes examples "
        f"cannot be tested ({why}); use a function of labels (rows,) or (rows, classes) and "
        "outputs (rows, classes)."
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
    # Another label, if there is one: with the same, a loss could mix labels and not be found.
    differs = np.flatnonzero((others != others[row]).reshape(len(others), -1).any(axis=1))
    if len(differs):
        others[row] = others[differs[0]]
    return changed, tf.constant(others)


def _same(left: np.ndarray, right: np.ndarray) -> bool:
    return np.array_equal(left, right, equal_nan=True)


@contextmanager
def _random_weights(model: tf.keras.Model, rng: np.random.Generator) -> Iterator[None]:
    """Add random numbers to the weights within the block; zero weights hide earlier layers."""
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
    """Yield a function that restores the dropout generators; also restore them at the end."""
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
