"""One private step: sum the clipped gradients of the sampled units, add noise, divide, update.

The sum is accumulated over physical batches, so a logical batch of any size fits in memory;
clipping is per unit, so the division into physical batches does not change the result. The compiled
function that makes a step also counts it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ecgexp.clipping.base import ClippedSum
from ecgexp.clipping.checks import public_penalty_gradients
from ecgexp.privacy.noise_checks import NoiseStatistics

_COMPARED = 4096  # noise values of each step that are compared with those of the step before


class Tally(NamedTuple):
    """Statistics of the steps since the last reset: sums of private data, without noise."""

    units: float
    clipped: float
    nonfinite: float
    loss: float
    norm: float

    def metrics(self) -> dict[str, float]:
        """Return the metrics; the privacy statement lists them as not covered."""
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

    def __init__(self, model: "tf.keras.Model", optimizer: Any):
        self._model, self._variables, self._optimizer = model, model.trainable_variables, optimizer
        self.num_parameters = int(sum(np.prod(tuple(v.shape)) for v in self._variables))
        self._sums = [tf.Variable(tf.zeros_like(v), trainable=False) for v in self._variables]
        self._tally = tf.Variable(tf.zeros(len(Tally._fields), tf.float64), trainable=False)
        self._executed = tf.Variable(0, trainable=False, dtype=tf.int64)
        self._noise_seen = tf.Variable(tf.zeros(4, tf.float64), trainable=False)
        self._last_noise = tf.Variable(
            tf.zeros(min(_COMPARED, self.num_parameters)), trainable=False
        )
        self._apply = tf.function(
            self._noised_update,
            input_signature=[tf.TensorSpec([self.num_parameters]), tf.TensorSpec([])],
            autograph=False,
        )

    @property
    def executed(self) -> int:
        """Executed updates, over all sessions of the run; waits for pending ones."""
        return int(self._executed.numpy())

    def seen(self, *, with_noise: bool) -> dict[str, np.ndarray]:
        """Return, for a checkpoint, the sums since the last `take_…`, by name.

        Args:
          with_noise: include the sums of the noise; only for simulations, since the exact norm of
            the noise reveals more than its standard deviation.
        """
        return {"seen/tally": self._tally.numpy()} | (
            {"seen/noise": self._noise_seen.numpy()} if with_noise else {}
        )

    def restore(self, executed: int, seen: Mapping[str, np.ndarray]) -> None:
        """Restore the state after `executed` updates, with the sums that `seen` returned."""
        self._executed.assign(executed)
        self._tally.assign(seen["seen/tally"])
        if "seen/noise" in seen:
            self._noise_seen.assign(seen["seen/noise"])

    def add(self, clipped: ClippedSum, mask: Any) -> None:
        """Add the clipped sum of one physical batch; call it inside a `tf.function`."""
        for total, gradient in zip(self._sums, clipped.gradients, strict=True):
            total.assign_add(gradient)
        finite = tf.math.is_finite(clipped.norms)
        seen = {
            "units": tf.reduce_sum(mask),
            "clipped": clipped.num_clipped,
            "nonfinite": clipped.num_nonfinite,
            "loss": tf.reduce_sum(tf.where(tf.math.is_finite(clipped.losses), clipped.losses, 0.0)),
            "norm": tf.reduce_sum(tf.where(finite, clipped.norms, 0.0)),
        }
        self._tally.assign_add(
            tf.stack([tf.cast(seen[name], tf.float64) for name in Tally._fields])
        )

    def apply(self, noise: np.ndarray, divisor: float) -> None:
        """Make one optimizer step with (sum + noise) / divisor and reset the accumulators.

        Args:
          noise: (num_parameters,) float32, from the noise source.
          divisor: the expected number of units, never the sampled number.
        """
        self._apply(tf.constant(noise), tf.constant(divisor, tf.float32))

    def take_tally(self) -> Tally:
        """Return and reset the statistics since the last call."""
        tally = Tally(*self._tally.numpy().tolist())
        self._tally.assign(tf.zeros_like(self._tally))
        return tally

    def take_noise_statistics(self) -> NoiseStatistics:
        """Return and reset the statistics of the noise added since the last call."""
        values, squares, pairs, products = self._noise_seen.numpy().tolist()
        self._noise_seen.assign(tf.zeros_like(self._noise_seen))
        return NoiseStatistics(values=values, squares=squares, pairs=pairs, products=products)

    def _noised_update(self, noise: Any, divisor: Any) -> None:
        pieces = tf.split(noise, [int(np.prod(tuple(v.shape))) for v in self._variables])
        gradients = [
            (total + tf.reshape(piece, total.shape)) / divisor
            for total, piece in zip(self._sums, pieces, strict=True)
        ]
        self._record(noise)
        # Weight decay depends on published weights only: a public term, added after the noise.
        if self._model.losses:
            gradients = [
                a + b for a, b in zip(gradients, public_penalty_gradients(self._model), strict=True)
            ]
        self._optimizer.apply_gradients(zip(gradients, self._variables, strict=True))
        for total in self._sums:
            total.assign(tf.zeros_like(total))

    def _record(self, noise: Any) -> None:
        first = noise[: self._last_noise.shape[0]]
        compared = tf.where(self._executed > 0, tf.size(first), 0)
        sums = [
            tf.size(noise),
            tf.reduce_sum(tf.square(noise)),
            compared,
            tf.reduce_sum(first * self._last_noise),
        ]
        self._noise_seen.assign_add(tf.stack([tf.cast(value, tf.float64) for value in sums]))
        self._last_noise.assign(first)
        self._executed.assign_add(1)
