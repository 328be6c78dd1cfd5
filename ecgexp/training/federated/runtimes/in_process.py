"""A TFF learning process run by this process: no other process, no open port, and a GPU where there is one.

TFF compiles a round to MapReduceForm: plain TensorFlow that prepares what clients get, works on one client, accumulates what
they send, and updates the server. Who is called when is all that is left to do here.

**Guarantees**: a round gives what TFF's own C++ executor computes, to rounding, and starts no process
(`tests/tensorflow/training/federated/test_goldens.py`).
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from ecgexp.training.federated.runtimes.base import put_in_weights, weights_of
from ecgexp.training.federated.runtimes.graphs import (
    ImportedComputation,
    count_leaves,
    elements,
    flatten,
    pack,
)

_PARTS = ("prepare", "zero", "accumulate", "report", "secure_modular_sum_modulus", "update")

# TFF would optimise each graph before we import it, and TensorFlow optimises it again when it first runs.
_AS_WRITTEN = tf.compat.v1.ConfigProto()
_AS_WRITTEN.graph_options.rewrite_options.disable_meta_optimizer = True


class InProcess:
    """See `runtime.Runtime`.

    Clients run on a few threads, each with its own copy of the client's graph, because a graph's variables are shared by its
    calls; what they send is accumulated in the order of the cohort, so the result does not depend on the threads.

    Args:
      process: made by `algorithms.build_process`.
      num_threads: clients at a time; None: one per core, two at most on a CPU, where one client fills several cores anyway.

    Raises:
      TypeError, ValueError, NotImplementedError: the process aggregates in a way that MapReduceForm does not know. None that the
        trainer's settings can ask for does.
    """

    def __init__(
        self, process: tff.learning.templates.LearningProcess, *, num_threads: int | None = None
    ):
        mapreduce = tff.backends.mapreduce
        initialize = mapreduce.get_state_initialization_computation(process.initialize, _AS_WRITTEN)
        form = mapreduce.get_map_reduce_form_for_computation(
            process.next, grappler_config=_AS_WRITTEN
        )
        num_threads = num_threads or min(2, os.cpu_count() or 1)
        self._initialize = ImportedComputation(initialize)
        self._parts = {name: ImportedComputation(getattr(form, name)) for name in _PARTS}
        self._works = [ImportedComputation(form.work) for _ in range(num_threads)]
        self._pool = ThreadPoolExecutor(num_threads, thread_name_prefix="client")
        # The process's own types remember their Python containers; those of the form do not.
        self._state_type = process.initialize.type_signature.result.member
        self._metrics_type = process.next.type_signature.result.metrics.member
        # What a client sends: for the plain sums, then for the three kinds of secure sums.
        sent = elements(form.work.type_signature.result)
        self._num_plain, num_bitwidth, num_max_input, _ = (count_leaves(part) for part in sent)
        self._first_modular = num_bitwidth + num_max_input
        self._moduli = self._moduli_of_leaves(form, sent[3])

    def initialize(self, weights: Sequence[np.ndarray]) -> Any:
        """See `Runtime.initialize`."""
        state = pack(self._initialize([]), self._state_type)
        return put_in_weights(state, weights)

    def next(
        self, state: Any, datasets: Sequence[tf.data.Dataset]
    ) -> tuple[Any, Mapping[str, Any]]:
        """See `Runtime.next`."""
        leaves = flatten(state)
        run_data = self._parts["prepare"](leaves)
        accumulated, secure = self._parts["zero"]([]), None
        for sent in self._work(datasets, run_data):
            accumulated = self._parts["accumulate"]([*accumulated, *sent[: self._num_plain]])
            summands = sent[self._num_plain :]
            secure = (
                summands
                if secure is None
                else [a + b for a, b in zip(secure, summands, strict=True)]
            )
        secure = self._reduced(secure or [])
        updated = self._parts["update"]([*leaves, *self._parts["report"](accumulated), *secure])
        return pack(updated[: len(leaves)], self._state_type), pack(
            updated[len(leaves) :], self._metrics_type
        )

    def weights(self, state: Any) -> list[np.ndarray]:
        """See `Runtime.weights`."""
        return weights_of(state)

    def close(self) -> None:
        """See `Runtime.close`."""
        self._pool.shutdown(cancel_futures=True)

    def _work(self, datasets: Sequence[tf.data.Dataset], run_data: list[Any]) -> Any:
        """What each client sends, in order; as many at a time as there are copies of the client's graph."""
        width = len(self._works)
        for at in range(0, len(datasets), width):
            batch = datasets[at : at + width]
            yield from self._pool.map(
                lambda pair: pair[0]([pair[1], *run_data]), zip(self._works, batch, strict=False)
            )

    def _reduced(self, sums: list[Any]) -> list[Any]:
        head, modular = sums[: self._first_modular], sums[self._first_modular :]
        pairs = zip(modular, self._moduli, strict=True) if modular else ()
        return head + [
            tf.math.floormod(value, tf.cast(modulus, value.dtype)) for value, modulus in pairs
        ]

    def _moduli_of_leaves(self, form: Any, sent: tff.Type) -> list[int]:
        """The modulus of each leaf of the modular sums."""
        moduli = [int(leaf) for leaf in self._parts["secure_modular_sum_modulus"]([])]
        repeats = _leaves_under_each(form.secure_modular_sum_modulus.type_signature.result, sent)
        return [
            modulus for modulus, times in zip(moduli, repeats, strict=True) for _ in range(times)
        ]


def _leaves_under_each(moduli: tff.Type, values: tff.Type) -> list[int]:
    """For each leaf of `moduli`, how many leaves of `values` it stands for."""
    if not isinstance(moduli, tff.StructType):
        return [count_leaves(values)]
    pairs = zip(elements(moduli), elements(values), strict=True)
    return [count for modulus, value in pairs for count in _leaves_under_each(modulus, value)]
