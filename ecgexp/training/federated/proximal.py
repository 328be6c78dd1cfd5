"""The proximal term of FedProx (Li et al. 2020), as an optimizer around another one.

TFF's own `build_*_fed_prox` adds μ (w₀ - w) to the gradient, but the gradient of μ/2 ‖w - w₀‖² is μ
(w - w₀): it moves clients away from the initial weights (0.87.0,
`learning/templates/proximal_client_work.py`, and every earlier version that was examined). With
this optimizer FedProx is TFF's FedAvg, which also has schedules and resets the metrics of a client
whose update is not finite.
"""

import collections
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff


class Proximal(tff.learning.optimizers.Optimizer):
    """Adds μ (w - w₀) to each gradient, where w₀ are the weights before the first step.

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
