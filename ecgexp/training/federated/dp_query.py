"""DP-FedAvg (McMahan et al. 2018): clients' updates clipped, summed and noised, as a query for TFF's DP aggregator.

TF-Privacy's Gaussian query draws its noise inside the graph, in float32, from a generator that nobody can seed or inspect. Here
the noise comes in with the server's state: unit Gaussian values of `privacy.noise.NoiseSource`, one set a round, which the graph
scales, adds, counts and wipes out again. So the noise is the one that DP-SGD uses, and a checkpoint holds none of it.
"""

import collections
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff
import tensorflow_privacy as tfp

from ecgexp.privacy import accounting
from ecgexp.privacy.plan import PrivacyPlan
from ecgexp.settings.declaration import ConfigError
from ecgexp.training.federated.settings import FederatedSettings


@dataclass(frozen=True, kw_only=True)
class Mechanism:
    """What one round does with the clients' updates.

    Attributes:
      l2_norm_clip: largest norm of one client's update; of the first round, if it adapts.
      noise_multiplier: of the noise on the sum of updates.
      divisor: expected cohort.
      event: of the round's mechanism for a client that takes part.
      quantile: of the updates' norms that the clip follows; None: the clip is fixed.
      rate: how fast it does.
      count_stddev: of the noise on the number of clients below the clip.
    """

    l2_norm_clip: float
    noise_multiplier: float
    divisor: float
    event: Any
    quantile: float | None = None
    rate: float = 0.0
    count_stddev: float = 0.0


def mechanism_of(settings: FederatedSettings, plan: PrivacyPlan) -> Mechanism:
    """The mechanism whose every round costs what `plan` says.

    An adapting clip releases two sums a round, of the updates (noise z_u over the clip) and of ±1/2 for each client (noise σ_b).
    Together they are one Gaussian of multiplier (z_u⁻² + (2 σ_b)⁻²)^(-1/2), Theorem 1 of Andrew et al. 2021, and that is the
    plan's: the noise on the updates is a little larger than `privacy.noise_multiplier`, for the count takes its part.

    Raises:
      ConfigError: the noise on the count alone would not be enough.
    """
    z, cohort = plan.noise_multiplier, plan.divisor
    fixed = Mechanism(
        l2_norm_clip=plan.l2_norm_clip,
        noise_multiplier=z,
        divisor=cohort,
        event=accounting.gaussian(z),
    )
    if settings.clipping == "fixed":
        return fixed
    stddev = settings.clipped_count_stddev or cohort / 20
    if z and 2 * stddev <= z:
        raise ConfigError(
            f"trainer.clipping=adaptive: noise of {stddev:g} on the number of clipped clients spends more than "
            f"privacy.noise_multiplier={z:g} allows; type trainer.clipped_count_stddev={math.ceil(10 * z) / 10:g} or more, or "
            "trainer.clipping=fixed"
        )
    update = (z**-2 - (2 * stddev) ** -2) ** -0.5 if z else 0.0
    return Mechanism(
        l2_norm_clip=plan.l2_norm_clip,
        noise_multiplier=update,
        divisor=cohort,
        event=fixed.event,
        quantile=settings.clipping_quantile,
        rate=settings.clipping_rate,
        count_stddev=stddev if z else 0.0,
    )


def dp_aggregator(mechanism: Mechanism, shapes: Sequence[Sequence[int]]) -> Any:
    """TFF's DP aggregation factory around the query; `shapes` are those of the update's tensors."""
    return tff.aggregators.DifferentiallyPrivateFactory(SuppliedNoiseQuery(mechanism, shapes))


class SuppliedNoiseQuery(tfp.SumAggregationDPQuery):
    """See the module. The state's `noise` must be filled before each round, by `with_noise`.

    Args:
      mechanism: clip, noise, divisor.
      shapes: of the update's tensors, in order.
    """

    def __init__(self, mechanism: Mechanism, shapes: Sequence[Sequence[int]]):
        self._mechanism, self._shapes = mechanism, [tuple(shape) for shape in shapes]

    def initial_global_state(self) -> Mapping[str, Any]:
        """`clip` now; unit Gaussian `noise` and `count_noise` of the next round; `executed` rounds; `squares` of the last."""
        return collections.OrderedDict(
            clip=tf.constant(self._mechanism.l2_norm_clip, tf.float32),
            noise=tuple(tf.zeros(shape) for shape in self._shapes),
            count_noise=tf.zeros([]),
            executed=tf.zeros([], tf.int64),
            squares=tf.zeros([]),
        )

    def derive_sample_params(self, global_state: Mapping[str, Any]) -> Any:
        """The clip."""
        return global_state["clip"]

    def initial_sample_state(self, template: Any = None) -> Any:
        """Zero sums."""
        zeros = super().initial_sample_state(template)
        return collections.OrderedDict(update=zeros, unclipped=tf.zeros([]))

    def preprocess_record(self, params: Any, record: Any) -> Any:
        """The clipped update, and +1/2 if it was below the clip, -1/2 if not."""
        leaves = tf.nest.flatten(record)
        exact = [
            tf.cast(leaf, tf.float64) for leaf in leaves
        ]  # rounded in float32 a clipped norm may exceed the clip
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

    def get_noised_result(
        self, sample_state: Any, global_state: Mapping[str, Any]
    ) -> tuple[Any, Any, Any]:
        """(noised mean of the updates, next state, event)."""
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
        """Geometric steps towards the quantile, by the noised share of clients below the clip."""
        mechanism, clip = self._mechanism, global_state["clip"]
        if mechanism.quantile is None:
            return clip
        share = (
            unclipped + mechanism.count_stddev * global_state["count_noise"]
        ) / mechanism.divisor + 0.5
        return clip * tf.exp(-mechanism.rate * (share - mechanism.quantile))


def query_state(state: Any) -> Mapping[str, Any]:
    """The query's part of a learning process's state."""
    return state.aggregator.query_state


def with_noise(state: Any, noise: Sequence[np.ndarray], count_noise: float) -> Any:
    """`state` with the unit Gaussian values of the next round."""
    query = collections.OrderedDict(query_state(state))
    query["noise"] = type(query["noise"])(noise)
    query["count_noise"] = np.float32(count_noise)
    return state._replace(aggregator=state.aggregator._replace(query_state=query))
