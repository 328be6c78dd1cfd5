"""One private step on this machine: sum the clipped gradients of the units drawn, add noise, divide by a constant, update.

The sum is built up over physical batches in accumulators, so a logical batch of any size fits in memory; clipping is per unit, so
how it is cut changes nothing. Rows that pad a physical batch carry mask 0 and contribute exactly nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ecgexp.clipping.base import ClippedSum, build_clipper, clip_factors
from ecgexp.clipping.checks import check_model, public_penalty_gradients
from ecgexp.training.base import TrainingData
from ecgexp.training.resident import ResidentFeatures

_PAD_TO = 32  # batch lengths are rounded up to this, so that their number of distinct shapes stays small


class Tally(NamedTuple):
    """What the steps since the last reset saw: sums computed from private data without noise."""

    units: float
    clipped: float
    nonfinite: float
    loss: float
    norm: float

    def metrics(self) -> dict[str, float]:
        """For the log; marked in the privacy statement as not covered."""
        units = max(self.units, 1.0)
        return {
            "loss": self.loss / units,
            "clipped_fraction": self.clipped / units,
            "gradient_norm": self.norm / units,
            "nonfinite_gradients": self.nonfinite,
        }


class PrivateUpdate:
    """Accumulated clipped gradients, and the noised update that empties them.

    Args:
      model: updated in place.
      optimizer: a Keras optimizer, built.
    """

    def __init__(self, model: Any, optimizer: Any):
        self._model, self._variables, self._optimizer = model, model.trainable_variables, optimizer
        self._sums = [tf.Variable(tf.zeros_like(v), trainable=False) for v in self._variables]
        self._tally = tf.Variable(tf.zeros(len(Tally._fields)), trainable=False)
        self.num_parameters = int(sum(np.prod(v.shape) for v in self._variables))
        self.executed = 0
        self._apply = tf.function(
            self._noised_update, input_signature=[tf.TensorSpec([self.num_parameters]), tf.TensorSpec([])]
        )

    def add(self, clipped: ClippedSum, mask: Any) -> None:
        """Adds the sum of one physical batch; to be called inside a `tf.function`."""
        for total, gradient in zip(self._sums, clipped.gradients, strict=True):
            total.assign_add(gradient)
        finite = tf.math.is_finite(clipped.norms)
        sums = [
            tf.reduce_sum(mask), tf.cast(clipped.num_clipped, tf.float32), tf.cast(clipped.num_nonfinite, tf.float32),
            tf.reduce_sum(tf.where(tf.math.is_finite(clipped.losses), clipped.losses, 0.0)),
            tf.reduce_sum(tf.where(finite, clipped.norms, 0.0)),
        ]  # fmt: skip
        self._tally.assign_add(tf.stack(sums))

    def apply(self, noise: np.ndarray, divisor: float) -> None:
        """Takes one optimizer step along (sum + noise) / divisor and empties the accumulators.

        Args:
          noise: (num_parameters,) float32, as it comes from the noise source.
          divisor: the expected number of units; never the number drawn.
        """
        self._apply(tf.constant(noise), tf.constant(divisor, tf.float32))
        self.executed += 1

    def take_tally(self) -> Tally:
        """What was seen since the last call."""
        tally = Tally(*self._tally.numpy().tolist())
        self._tally.assign(tf.zeros_like(self._tally))
        return tally

    def _noised_update(self, noise: Any, divisor: Any) -> None:
        pieces = tf.split(noise, [int(np.prod(v.shape)) for v in self._variables])
        gradients = [
            (total + tf.reshape(piece, total.shape)) / divisor for total, piece in zip(self._sums, pieces, strict=True)
        ]
        if self._model.losses:  # weight decay depends on published weights alone: a public term, added after the noise
            gradients = [a + b for a, b in zip(gradients, public_penalty_gradients(self._model), strict=True)]
        self._optimizer.apply_gradients(zip(gradients, self._variables, strict=True))
        for total in self._sums:
            total.assign(tf.zeros_like(total))


class BeatGradients:
    """The clipped gradients of single beats, each with its views, by per-example clipping.

    Args:
      model: see `clipping.build_clipper`.
      update: where the sums go.
      data: the resident features.
      loss: per example.
      augment: see `augmentation`; makes the views of a beat.
      l2_norm_clip: of one beat.
      method: of clipping.
      views: augmentation multiplicity K.
      physical_batch_size: beats clipped at once.
      augmentation_seed: of the views' random numbers.
    """

    def __init__(
        self, model: Any, update: PrivateUpdate, data: TrainingData, *, loss: Any, augment: Callable[..., Mapping[str, Any]],
        l2_norm_clip: float, method: str, views: int, physical_batch_size: int, augmentation_seed: int,
    ):  # fmt: skip
        self._resident, self._augment, self._update, self._views = (
            ResidentFeatures(data.features, data.labels),
            augment,
            update,
            views,
        )
        self._clip = build_clipper(
            model, loss, l2_norm_clip=l2_norm_clip, method=method, views=views, public_penalty=True
        )
        self._size, self._seed = physical_batch_size, augmentation_seed
        rows = tf.TensorSpec([None], tf.int32)
        self._accumulate = tf.function(
            self._add_batch, input_signature=[rows, rows, tf.TensorSpec([None]), tf.TensorSpec([2], tf.int32)]
        )

    def accumulate(self, units: list[np.ndarray], views: np.ndarray, step: int) -> None:
        """Adds the clipped gradients of the beats drawn for `step`; none is fine.

        Args:
          units: for each beat its one row.
          views: (len(units) * K,) the view of each copy.
          step: distinguishes the random numbers of the views.
        """
        rows = np.concatenate(units) if units else np.zeros(0, np.int64)
        for at in range(0, len(rows), self._size):
            part = rows[at : at + self._size]
            pad = -len(part) % min(_PAD_TO, self._size)
            mask = np.pad(np.ones(len(part), np.float32), (0, pad))
            copies = np.pad(views[at * self._views : (at + len(part)) * self._views], (0, pad * self._views))
            padded = np.repeat(np.pad(part, (0, pad), mode="edge"), self._views)
            seed = (self._seed, (step * 8191 + at) % 2**31)
            self._accumulate(
                *(tf.constant(a, tf.int32) for a in (padded, copies)), tf.constant(mask), tf.constant(seed, tf.int32)
            )

    def _add_batch(self, rows: Any, views: Any, mask: Any, seed: Any) -> None:
        features = self._augment(self._resident.gather(rows), views, seed)
        self._update.add(self._clip(features, tf.gather(self._resident.labels, rows), mask), mask)


class GroupGradients:
    """One clipped gradient for all beats of a record or patient: their mean, clipped as one.

    Nothing per example is needed: the gradient of each unit is summed over its beats, then clipped.
    """

    def __init__(
        self, model: Any, update: PrivateUpdate, data: TrainingData, *, loss: Any, augment: Callable[..., Mapping[str, Any]],
        l2_norm_clip: float, views: int, physical_batch_size: int, augmentation_seed: int,
    ):  # fmt: skip
        check_model(model, public_penalty=True)
        self._model, self._loss, self._augment, self._update = model, loss, augment, update
        self._resident, self._views = ResidentFeatures(data.features, data.labels), views
        self._clip, self._size, self._seed = l2_norm_clip, physical_batch_size, augmentation_seed
        self._unit_sums = [tf.Variable(tf.zeros_like(v), trainable=False) for v in model.trainable_variables]
        self._unit_loss = tf.Variable(0.0, trainable=False)
        rows = tf.TensorSpec([None], tf.int32)
        self._add_rows = tf.function(self._add_to_unit, input_signature=[rows, rows, tf.TensorSpec([2], tf.int32)])
        self._close = tf.function(self._close_unit, input_signature=[tf.TensorSpec([])])

    def accumulate(self, units: list[np.ndarray], views: np.ndarray, step: int) -> None:
        """As `BeatGradients.accumulate`; each unit has as many rows as it has training beats."""
        at = 0
        for position, rows in enumerate(units):
            copies = np.repeat(rows, self._views)
            for begin in range(0, len(copies), self._size):
                part = slice(begin, begin + self._size)
                seed = (self._seed, (step * 8191 + position * 127 + begin) % 2**31)
                self._add_rows(
                    tf.constant(copies[part], tf.int32),
                    tf.constant(views[at : at + len(copies)][part], tf.int32),
                    tf.constant(seed, tf.int32),
                )
            self._close(tf.constant(float(len(copies))))
            at += len(copies)

    def _add_to_unit(self, rows: Any, views: Any, seed: Any) -> None:
        features = self._augment(self._resident.gather(rows), views, seed)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(
                self._loss(tf.gather(self._resident.labels, rows), self._model(features, training=True))
            )
        for total, gradient in zip(self._unit_sums, tape.gradient(loss, self._model.trainable_variables), strict=True):
            total.assign_add(gradient)
        self._unit_loss.assign_add(loss)

    def _close_unit(self, num_rows: Any) -> None:
        means = [total / num_rows for total in self._unit_sums]
        norms = tf.linalg.global_norm(means)[None]
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
