"""TFF's learning algorithms, built from the settings.

All are implemented by TFF except for the proximal term of FedProx (Li et al. 2020), which is an
optimizer around another one, `Proximal`. SCAFFOLD is not available: its clients keep control
variates between rounds, and TFF's learning templates give clients no state.
"""

import collections
import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from ecgexp.training.federated.settings import FederatedSettings, OptimizerKind, Schedule

_ADAPTIVITY = 1e-3  # epsilon of the server's adaptive optimizers, from Reddi et al. (2021)


def build_process(
    settings: FederatedSettings,
    model_fn: Callable[[], tff.learning.models.VariableModel],
    aggregator: Any,
    *,
    weighted: bool,
) -> tff.learning.templates.LearningProcess:
    """Build the learning process that `settings` describes.

    Args:
      settings: of the trainer.
      model_fn: returns a new client model.
      aggregator: a TFF aggregation factory of updates, weighted or not as `weighted` says.
      weighted: whether an update is weighted by the client's number of beats; under privacy all
        have the same weight.

    Returns:
      A process of TFF that is initialized and run by a `Runtime`.
    """
    common: dict[str, Any] = {
        "model_fn": model_fn,
        "model_aggregator": aggregator,
        # On a CPU, iterating over the batches takes nearly half the time of TFF's default, a
        # reduction of the dataset.
        "loop_implementation": tff.learning.LoopImplementation.DATASET_ITERATOR,
    }
    server = _server_optimizer(settings)
    algorithms = tff.learning.algorithms
    if settings.algorithm == "fedsgd":
        return algorithms.build_fed_sgd(server_optimizer_fn=server, **common)
    if settings.algorithm == "mime_lite":
        return _mime_lite(settings, server, common)
    common |= {"server_optimizer_fn": server}
    if settings.client_schedule == "constant":
        build = (
            algorithms.build_weighted_fed_avg if weighted else algorithms.build_unweighted_fed_avg
        )
        return build(
            client_optimizer_fn=_client_optimizer(settings, settings.client_learning_rate), **common
        )
    return algorithms.build_weighted_fed_avg_with_optimizer_schedule(
        client_learning_rate_fn=_rates(
            settings.client_schedule, settings.client_learning_rate, settings.num_rounds
        ),
        client_optimizer_fn=lambda rate: _client_optimizer(settings, rate),
        **common,
    )


def _mime_lite(
    settings: FederatedSettings, server: Any, common: dict[str, Any]
) -> tff.learning.templates.LearningProcess:
    """Build Mime Lite: clients use the server's optimizer statistics and do not change them."""
    common |= {"server_optimizer": server}
    if settings.client_schedule == "constant":
        base = _optimizer(
            settings.client_optimizer, settings.client_learning_rate, settings.client_momentum
        )
        return tff.learning.algorithms.build_weighted_mime_lite(base_optimizer=base, **common)
    return tff.learning.algorithms.build_mime_lite_with_optimizer_schedule(
        learning_rate_fn=_rates(
            settings.client_schedule, settings.client_learning_rate, settings.num_rounds
        ),
        base_optimizer=_optimizer(
            settings.client_optimizer, settings.client_learning_rate, settings.client_momentum
        ),
        **common,
    )


def _client_optimizer(settings: FederatedSettings, rate: Any) -> tff.learning.optimizers.Optimizer:
    optimizer = _optimizer(settings.client_optimizer, rate, settings.client_momentum)
    return (
        Proximal(optimizer, settings.proximal_strength)
        if settings.algorithm == "fedprox"
        else optimizer
    )


def _server_optimizer(settings: FederatedSettings) -> tff.learning.optimizers.Optimizer:
    optimizer = _optimizer(
        settings.server_kind, settings.server_rate, settings.server_momentum, epsilon=_ADAPTIVITY
    )
    if settings.server_schedule == "constant":
        return optimizer
    rates = _rates(settings.server_schedule, settings.server_rate, settings.num_rounds)
    # The schedule counts the steps of the optimizer, which are the rounds.
    return tff.learning.optimizers.schedule_learning_rate(optimizer, rates)


def _optimizer(
    kind: OptimizerKind, rate: Any, momentum: float, epsilon: float = 1e-7
) -> tff.learning.optimizers.Optimizer:
    optimizers = tff.learning.optimizers
    if kind == "sgd":
        return optimizers.build_sgdm(rate, momentum or None)
    if kind == "adagrad":
        return optimizers.build_adagrad(rate, epsilon=epsilon)
    build = optimizers.build_adam if kind == "adam" else optimizers.build_yogi
    # 0.99, not 0.999: a run has only tens of rounds (Reddi et al. 2021).
    return build(rate, beta_2=0.99 if epsilon == _ADAPTIVITY else 0.999, epsilon=epsilon)


def _rates(schedule: Schedule, rate: float, num_rounds: int) -> Callable[[Any], Any]:
    """Return the function from the 0-based round to the learning rate, for use in a graph."""
    if schedule == "constant":
        return lambda round_num: rate
    return (
        lambda round_num: rate
        * 0.5
        * (1 + tf.cos(math.pi * tf.cast(round_num, tf.float32) / num_rounds))
    )


class Proximal(tff.learning.optimizers.Optimizer):
    """Adds μ (w - w₀) to each gradient, where w₀ are the weights before the first step.

    TFF's own `build_*_fed_prox` adds μ (w₀ - w) to the gradient, but the gradient of
    μ/2 ‖w - w₀‖² is μ (w - w₀): it moves clients away from the initial weights (0.87.0,
    `learning/templates/proximal_client_work.py`, and every earlier version that was examined).
    With this optimizer FedProx is TFF's FedAvg, which also has schedules and resets the metrics of
    a client whose update is not finite.

    Args:
      inner: the optimizer that takes the step.
      strength: μ.
    """

    def __init__(self, inner: tff.learning.optimizers.Optimizer, strength: float):
        self._inner, self._strength = inner, strength

    def initialize(self, specs: Any) -> Any:
        """See `tff.learning.optimizers.Optimizer`."""
        start = tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), specs)
        return collections.OrderedDict(
            inner=self._inner.initialize(specs), is_first=tf.constant(True), start=start
        )

    def next(self, state: Any, weights: Any, gradients: Any) -> tuple[Any, Any]:
        """See `tff.learning.optimizers.Optimizer`."""
        is_first = state["is_first"]
        start = tf.nest.map_structure(
            lambda now, kept: tf.where(is_first, now, kept), weights, state["start"]
        )
        pulled = tf.nest.map_structure(
            lambda g, w, w0: g + self._strength * (w - w0), gradients, weights, start
        )
        inner, weights = self._inner.next(state["inner"], weights, pulled)
        return collections.OrderedDict(
            inner=inner, is_first=tf.constant(False), start=start
        ), weights

    def get_hparams(self, state: Any) -> Any:
        """See `tff.learning.optimizers.Optimizer`."""
        return self._inner.get_hparams(state["inner"])

    def set_hparams(self, state: Any, hparams: Any) -> Any:
        """See `tff.learning.optimizers.Optimizer`."""
        return collections.OrderedDict(
            state, inner=self._inner.set_hparams(state["inner"], hparams)
        )
