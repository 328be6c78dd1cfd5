"""DP-FedAvg (McMahan et al. 2018): clip, sum and noise updates, as a query of TF Privacy.

The Gaussian query of TF Privacy draws its noise inside the graph, in float32, from a generator that
can be neither seeded nor inspected. Here the noise enters the graph with the server's state: one
set of unit Gaussian values of `privacy.noise.NoiseSource` per round, which the graph scales, adds,
counts and then removes from the state, so that a checkpoint contains none of it. The unit values
come from the same source as the noise of DP-SGD; they are rounded to float32 and scaled in float32,
where DP-SGD scales in float64 and rounds afterwards.
"""

import collections
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff
import tensorflow_privacy as tfp

from ecgexp.privacy import dp_events
from ecgexp.privacy.plan import PrivacyPlan
from ecgexp.training.federated.settings import FederatedSettings


@dataclass(frozen=True, kw_only=True)
class Mechanism:
    """The mechanism that one round applies to the clients' updates.

    Attributes:
      l2_norm_clip: largest L2 norm of one client's update; with an adaptive clip, that of the first
        round.
      noise_multiplier: of the noise on the sum of updates.
      divisor: expected number of clients in a round.
      event: privacy event of one round for a client that takes part.
      quantile: of the updates' norms that the clip follows; None: the clip is fixed.
      rate: learning rate of the clip.
      count_stddev: standard deviation of the noise on the number of clients below the clip.
    """

    l2_norm_clip: float
    noise_multiplier: float
    divisor: float
    event: Any
    quantile: float | None = None
    rate: float = 0.0
    count_stddev: float = 0.0


def mechanism_of(settings: FederatedSettings, plan: PrivacyPlan) -> Mechanism:
    """Return the mechanism whose every round has the privacy loss that `plan` assumes.

    Args:
      settings: of the trainer.
      plan: of the run.

    Returns:
      The mechanism of each round; see `AdaptiveClip` for that of an adaptive clip.

    Raises:
      ConfigError: the noise on the count alone would exceed the privacy loss of the plan.
    """
    adaptive = settings.adaptive_clip(plan)
    fixed = Mechanism(
        l2_norm_clip=plan.l2_norm_clip,
        noise_multiplier=plan.noise_multiplier,
        divisor=plan.divisor,
        event=dp_events.gaussian(plan.noise_multiplier),
    )
    if adaptive is None:
        return fixed
    return replace(
        fixed,
        noise_multiplier=adaptive.update_noise_multiplier,
        quantile=adaptive.quantile,
        rate=adaptive.rate,
        count_stddev=adaptive.count_stddev,
    )


def dp_aggregator(mechanism: Mechanism, shapes: Sequence[Sequence[int]]) -> Any:
    """Build TFF's DP aggregation factory around the query.

    Args:
      mechanism: clip, noise and divisor.
      shapes: of the update's tensors, in order.

    Returns:
      A TFF factory of unweighted aggregation processes.
    """
    return tff.aggregators.DifferentiallyPrivateFactory(SuppliedNoiseQuery(mechanism, shapes))


class SuppliedNoiseQuery(tfp.SumAggregationDPQuery):
    """A sum of clipped updates plus noise that the caller supplies in the server's state.

    `with_noise` must fill the noise before each round. See the docstring of the module.

    **Guarantees**: the norm of a clipped update is at most the clip, up to the rounding of its
    elements to float32, and an update that is not finite counts as zero
    (`tests/tensorflow/training/federated/test_private_rounds.py`).

    Args:
      mechanism: clip, noise and divisor.
      shapes: of the update's tensors, in order.
    """

    def __init__(self, mechanism: Mechanism, shapes: Sequence[Sequence[int]]):
        self._mechanism, self._shapes = mechanism, [tuple(shape) for shape in shapes]

    def initial_global_state(self) -> Mapping[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]  # inferred from a base that has no state
        """Return the server's state before the first round.

        `clip` is the current clip, `noise` and `count_noise` the unit Gaussian values of the next
        round, `executed` the number of noised rounds and `squares` the sum of squares of the last
        noise.
        """
        return collections.OrderedDict(
            clip=tf.constant(self._mechanism.l2_norm_clip, tf.float32),
            noise=tuple(tf.zeros(shape) for shape in self._shapes),
            count_noise=tf.zeros([]),
            executed=tf.zeros([], tf.int64),
            squares=tf.zeros([]),
        )

    def derive_sample_params(self, global_state: Mapping[str, Any]) -> Any:
        """Return the clip."""
        return global_state["clip"]

    def initial_sample_state(self, template: Any = None) -> Any:
        """Return sums of zero."""
        zeros = super().initial_sample_state(template)
        return collections.OrderedDict(update=zeros, unclipped=tf.zeros([]))

    def preprocess_record(self, params: Any, record: Any) -> Any:
        """Return the clipped update, and +1/2 if its norm was at most the clip, otherwise -1/2."""
        leaves = tf.nest.flatten(record)
        # In float64, since rounding in float32 may let the norm of a clipped update exceed the
        # clip.
        exact = [tf.cast(leaf, tf.float64) for leaf in leaves]
        clip, norm = tf.cast(params, tf.float64), tf.linalg.global_norm(exact)
        finite, one = tf.math.is_finite(norm), tf.ones([], tf.float64)
        factor = tf.minimum(one, clip / tf.maximum(norm, 1e-300 * one))
        pairs = zip(exact, leaves, strict=True)
        scaled = [
            tf.where(finite, tf.cast(value * factor, leaf.dtype), tf.zeros_like(leaf))
            for value, leaf in pairs
        ]
        below = tf.logical_and(finite, norm <= clip)
        return collections.OrderedDict(
            update=tf.nest.pack_sequence_as(record, scaled), unclipped=tf.where(below, 0.5, -0.5)
        )

    def get_noised_result(  # pyright: ignore[reportIncompatibleMethodOverride]  # inferred from a base that only raises
        self, sample_state: Any, global_state: Mapping[str, Any]
    ) -> tuple[Any, Any, Any]:
        """Return the noised mean of the updates, the next state and the privacy event."""
        mechanism, clip = self._mechanism, global_state["clip"]
        noise = [mechanism.noise_multiplier * clip * values for values in global_state["noise"]]
        sums = tf.nest.flatten(sample_state["update"])
        mean = [
            (total + added) / mechanism.divisor for total, added in zip(sums, noise, strict=True)
        ]
        state = collections.OrderedDict(
            clip=self._next_clip(sample_state["unclipped"], global_state),
            noise=tuple(tf.zeros_like(values) for values in global_state["noise"]),
            count_noise=tf.zeros([]),
            executed=global_state["executed"] + 1,
            squares=tf.add_n([tf.reduce_sum(tf.square(values)) for values in noise]),
        )
        return tf.nest.pack_sequence_as(sample_state["update"], mean), state, mechanism.event

    def _next_clip(self, unclipped: Any, global_state: Mapping[str, Any]) -> Any:
        """Return the next clip: one geometric step towards the quantile.

        The step depends on the noised share of clients whose update is below the clip.
        """
        mechanism, clip = self._mechanism, global_state["clip"]
        if mechanism.quantile is None:
            return clip
        share = (
            unclipped + mechanism.count_stddev * global_state["count_noise"]
        ) / mechanism.divisor + 0.5
        return clip * tf.exp(-mechanism.rate * (share - mechanism.quantile))


def query_state(state: Any) -> Mapping[str, Any]:
    """Return the state of the query within the state of a learning process."""
    return state.aggregator.query_state


def with_noise(state: Any, noise: Sequence[np.ndarray], count_noise: float) -> Any:
    """Return `state` with the unit Gaussian values of the next round.

    Args:
      state: of the learning process.
      noise: one array per tensor of the update, in order.
      count_noise: for the number of clients below the clip.
    """
    query = collections.OrderedDict(query_state(state))
    query["noise"] = type(query["noise"])(noise)
    query["count_noise"] = np.float32(count_noise)
    return state._replace(aggregator=state.aggregator._replace(query_state=query))
