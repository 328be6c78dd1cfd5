"""Sum of the clipped gradients of the sampled units, computed in physical batches.

Rows that pad a physical batch have mask 0 and contribute exactly zero.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from ecgexp.augmentation.base import Augmentation, keeps_rows_apart, row_by_row
from ecgexp.clipping.base import ClippedSum, Method, clip_factors, norm_bound, per_example_losses
from ecgexp.clipping.build import build_clipper
from ecgexp.clipping.callables import check_augmentation
from ecgexp.clipping.checks import check_model
from ecgexp.clipping.probe import check_rows_apart, check_views_apart
from ecgexp.training.base import TrainingData
from ecgexp.training.dp.private_step import PrivateUpdate
from ecgexp.training.dp.units import DrawnRows
from ecgexp.training.loss import LossFn

_PARTS = 32
"""Batch lengths are rounded up to a multiple of this share of the expected length.

So there are few distinct shapes (about twelve in a run with 256 units a step), and little is
computed for padding (1.5 % of the rows)."""


class UnitGradients(Protocol):
    """Adds up the clipped gradients of the units of one step."""

    def accumulate(self, drawn: DrawnRows, views: np.ndarray, rng: np.random.Generator) -> None:
        """Add the clipped gradients of the sampled units, which may be none.

        Args:
          drawn: their rows.
          views: (len(drawn.rows) * K,) the view of each copy; the copies of one row are adjacent.
          rng: seeds the augmentation; independent of the data, and secret under a privacy
            guarantee.
        """


class BeatGradients:
    """The clipped gradients of single beats, each with its views, by per-example clipping.

    Args:
      model: see `clipping.build_clipper`.
      update: receives the sums.
      data: the resident features.
      loss: per example.
      augmentation: see `augmentation.base.Augmentation`; makes the views of a beat. An augmentation
        that is not known to treat the rows of a batch separately gets one row at a time.
      l2_norm_clip: of one beat.
      method: of clipping.
      views: augmentation multiplicity K.
      physical_batch_size: beats clipped at once, each with its views.
      expected_batch_size: beats expected in a step.
    """

    def __init__(
        self,
        model: "tf.keras.Model",
        update: PrivateUpdate,
        data: TrainingData,
        *,
        loss: LossFn,
        augmentation: Augmentation,
        l2_norm_clip: float,
        method: Method,
        views: int,
        physical_batch_size: int,
        expected_batch_size: int,
    ):
        self._resident = data.resident
        self._update, self._views, self._size = update, views, physical_batch_size
        self._multiple = max(1, min(physical_batch_size, expected_batch_size) // _PARTS)
        self._clip = build_clipper(
            model, loss, l2_norm_clip=l2_norm_clip, method=method, views=views, public_penalty=True
        )
        augment = augmentation.build()
        check_views_apart(augment, data.features)
        self._augment = augment if keeps_rows_apart(augmentation) else row_by_row(augment)
        rows = tf.TensorSpec([None], tf.int32)
        self._accumulate = tf.function(
            self._add_batch,
            input_signature=[rows, rows, tf.TensorSpec([None]), tf.TensorSpec([2], tf.int32)],
            autograph=False,  # nothing here needs it, and it takes most of the time of a first step
        )

    def accumulate(self, drawn: DrawnRows, views: np.ndarray, rng: np.random.Generator) -> None:
        """See `UnitGradients`."""
        rows = np.repeat(drawn.rows, self._views)
        for part in _parts(len(drawn.rows), self._size):
            units = part.stop - part.start
            padding = -units % self._multiple
            copies = slice(part.start * self._views, part.stop * self._views)
            self._accumulate(
                _padded(rows[copies], padding * self._views),
                _padded(views[copies], padding * self._views),
                tf.constant(np.repeat(np.array([1, 0], np.float32), [units, padding])),
                _seed(rng),
            )

    def _add_batch(self, rows: Any, views: Any, mask: Any, seed: Any) -> None:
        features = self._augment(self._resident.gather(rows), views, seed)
        self._update.add(self._clip(features, tf.gather(self._resident.labels, rows), mask), mask)


class GroupGradients:
    """One clipped gradient for all beats of a record or patient: their mean, clipped as one.

    Nothing per example is needed: the gradient of each unit is summed over its beats, then clipped.
    """

    def __init__(
        self,
        model: "tf.keras.Model",
        update: PrivateUpdate,
        data: TrainingData,
        *,
        loss: LossFn,
        augmentation: Augmentation,
        l2_norm_clip: float,
        views: int,
        physical_batch_size: int,
    ):
        check_model(model, public_penalty=True)
        check_rows_apart(model, loss, recorded=False)
        self._model, self._loss, self._augment, self._update = (
            model,
            loss,
            augmentation.build(),
            update,
        )
        check_augmentation(self._augment, data.features)
        self._resident = data.resident
        self._views, self._clip, self._size = views, l2_norm_clip, physical_batch_size
        self._unit_sums = [
            tf.Variable(tf.zeros_like(v), trainable=False) for v in model.trainable_variables
        ]
        self._unit_loss = tf.Variable(0.0, trainable=False)
        rows = tf.TensorSpec([None], tf.int32)
        self._add_rows = tf.function(
            self._add_to_unit,
            input_signature=[rows, rows, tf.TensorSpec([2], tf.int32)],
            autograph=False,
        )
        self._close = tf.function(
            self._close_unit, input_signature=[tf.TensorSpec([])], autograph=False
        )

    def accumulate(self, drawn: DrawnRows, views: np.ndarray, rng: np.random.Generator) -> None:
        """See `UnitGradients`; each unit has as many rows as it has training beats."""
        rows, ends = np.repeat(drawn.rows, self._views), np.cumsum(drawn.lengths * self._views)
        for end, length in zip(ends, drawn.lengths * self._views, strict=True):
            for part in _parts(length, self._size):
                copies = slice(end - length + part.start, end - length + part.stop)
                self._add_rows(_padded(rows[copies], 0), _padded(views[copies], 0), _seed(rng))
            self._close(tf.constant(length, tf.float32))

    def _add_to_unit(self, rows: Any, views: Any, seed: Any) -> None:
        features = self._augment(self._resident.gather(rows), views, seed)
        variables = self._model.trainable_variables
        with tf.GradientTape() as tape:
            outputs = self._model(features, training=True)
            loss = tf.reduce_sum(
                per_example_losses(self._loss, tf.gather(self._resident.labels, rows), outputs)
            )
        gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
        for total, gradient in zip(self._unit_sums, gradients, strict=True):
            total.assign_add(gradient)
        self._unit_loss.assign_add(loss)

    def _close_unit(self, num_rows: Any) -> None:
        means = [total / num_rows for total in self._unit_sums]
        norms = norm_bound([mean[None] for mean in means])
        factors, finite = clip_factors(norms, tf.ones(1), self._clip)
        clipped = ClippedSum(
            gradients=[tf.where(finite[0], mean, 0.0) * factors[0] for mean in means],
            norms=norms,
            losses=self._unit_loss[None] / num_rows,
            num_clipped=tf.math.count_nonzero(finite & (norms > self._clip), dtype=tf.int32),
            num_nonfinite=tf.math.count_nonzero(~finite, dtype=tf.int32),
        )
        self._update.add(clipped, tf.ones(1))
        for total in self._unit_sums:
            total.assign(tf.zeros_like(total))
        self._unit_loss.assign(0.0)


def _parts(length: int, size: int) -> Iterator[slice]:
    return (slice(begin, min(begin + size, length)) for begin in range(0, length, size))


def _padded(values: np.ndarray, padding: int) -> Any:
    """Return `values` and `padding` copies of the last one: a valid row that mask 0 excludes."""
    return tf.constant(np.append(values, np.repeat(values[-1:], padding)).astype(np.int32))


def _seed(rng: np.random.Generator) -> Any:
    return tf.constant(rng.integers(2**31, size=2), tf.int32)
