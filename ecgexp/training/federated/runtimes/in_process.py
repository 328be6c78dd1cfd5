"""A runtime that executes TFF's learning process in this process, on its GPU if it has one.

TFF compiles a round to MapReduceForm: TensorFlow functions that compute what clients receive, work
on one client, accumulate what the clients send, and update the server. This module calls them in
order.

**Guarantees**: a round gives what TFF's own C++ executor computes, up to rounding, and starts no
process and opens no port (`tests/tensorflow/training/federated/test_goldens.py`).
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from ecgexp.interruption import postponed
from ecgexp.training.federated.runtimes.base import put_in_weights, weights_of
from ecgexp.training.federated.runtimes.graphs import (
    ImportedComputation,
    concrete,
    count_leaves,
    elements,
    flatten,
    member_type,
    pack,
)

_PARTS = ("prepare", "zero", "accumulate", "report", "secure_modular_sum_modulus", "update")

# TFF would optimize each graph before the import, and TensorFlow optimizes it again when it first
# runs.
_AS_WRITTEN = tf.compat.v1.ConfigProto()
_AS_WRITTEN.graph_options.rewrite_options.disable_meta_optimizer = True


class InProcess:
    """See `base.Runtime`.

    Clients run on a few threads, each with its own copy of the client's graph, because the calls of
    a graph share its variables. What the clients send is accumulated in the order of the cohort, so
    the result does not depend on the threads.

    Args:
      process: made by `algorithms.build_process`.
      num_threads: clients that train at the same time; None: one per core, but at most two, since
        on a CPU one client uses several cores.

    Raises:
      TypeError, ValueError, NotImplementedError: the process aggregates in a way that MapReduceForm
        does not support. No setting of the trainer leads to such a process.
    """

    def __init__(
        self, process: tff.learning.templates.LearningProcess, *, num_threads: int | None = None
    ):
        mapreduce = tff.backends.mapreduce
        initialize = mapreduce.get_state_initialization_computation(
            concrete(process.initialize), _AS_WRITTEN
        )
        form = mapreduce.get_map_reduce_form_for_computation(
            concrete(process.next), grappler_config=_AS_WRITTEN
        )
        num_threads = num_threads or min(2, os.cpu_count() or 1)
        self._initialize = ImportedComputation(concrete(initialize))
        self._parts = {name: ImportedComputation(getattr(form, name)) for name in _PARTS}
        self._works = [ImportedComputation(form.work) for _ in range(num_threads)]
        self._pool = ThreadPoolExecutor(num_threads, thread_name_prefix="client")
        # The types of the process contain their Python containers; those of the form do not.
        self._state_type = member_type(process.initialize.type_signature.result)
        result = cast(Any, process.next.type_signature.result)  # a structure with these names
        self._metrics_type = member_type(result.metrics)
        # What a client sends: values for the plain sums, then for the three kinds of secure sums.
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
        from_server = self._parts["prepare"](leaves)
        accumulated, secure = self._parts["zero"]([]), None
        for sent in self._work(datasets, from_server):
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

    def _work(self, datasets: Sequence[tf.data.Dataset], from_server: list[Any]) -> Any:
        """Yield what each client sends, in order; a copy of the graph runs one client."""
        width = len(self._works)
        for at in range(0, len(datasets), width):
            batch = datasets[at : at + width]
            with postponed():  # a task may start a thread
                sent = self._pool.map(
                    lambda pair: pair[0]([pair[1], *from_server]),
                    zip(self._works, batch, strict=False),
                )
            yield from sent

    def _reduced(self, sums: list[Any]) -> list[Any]:
        head, modular = sums[: self._first_modular], sums[self._first_modular :]
        pairs = zip(modular, self._moduli, strict=True) if modular else ()
        return head + [
            tf.math.floormod(value, tf.cast(modulus, value.dtype)) for value, modulus in pairs
        ]

    def _moduli_of_leaves(self, form: Any, sent: tff.Type) -> list[int]:
        """Return the modulus of each leaf of the modular sums."""
        moduli = [int(leaf) for leaf in self._parts["secure_modular_sum_modulus"]([])]
        repeats = _leaves_under_each(form.secure_modular_sum_modulus.type_signature.result, sent)
        return [
            modulus for modulus, times in zip(moduli, repeats, strict=True) for _ in range(times)
        ]


def _leaves_under_each(moduli: tff.Type, values: tff.Type) -> list[int]:
    """Return for each leaf of `moduli` how many leaves of `values` it applies to."""
    if not isinstance(moduli, tff.StructType):
        return [count_leaves(values)]
    pairs = zip(elements(moduli), elements(values), strict=True)
    return [count for modulus, value in pairs for count in _leaves_under_each(modulus, value)]
