"""The `local` runtime: TFF's C++ executor in a worker process of this machine, kept on a leash (see `worker.py`)."""

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from ecgexp.training.federated.runtime import put_in_weights, weights_of
from ecgexp.training.federated.worker import Worker, WorkerError, WorkerLost

_log = logging.getLogger(__name__)
_LONGEST_MESSAGE = 2_000_000_000  # bytes, as TFF's own connection allows
# TFF answers these with retries that have no end; a worker that is gone never comes back by itself.
_RETRIED_FOR_EVER = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.FAILED_PRECONDITION)


class Local:
    """See `runtime.Runtime`; runs every process that TFF can compile.

    A worker that is lost takes nothing along but its round, for states live in our process. So the round is repeated once with
    a new worker: nobody has seen what the lost one computed, and the noise of a private round comes with the state.

    Args:
      process: what to run.
      log_file: what the worker writes; `None` takes a temporary file, which is kept only if the worker fails.
      max_workers: clients computed at once; `None` means one for each core that this process may use.
      start_timeout_s: how long the worker may take to answer.

    Raises:
      WorkerError: the worker cannot be started.
      ConfigError: a value is out of bounds.
    """

    def __init__(
        self, process: tff.learning.templates.LearningProcess, *, log_file: Path | None = None,
        max_workers: int | None = None, start_timeout_s: float = 60.0,
    ):  # fmt: skip
        self._process = process
        self._start = functools.partial(
            Worker, log_file=log_file, max_workers=max_workers, start_timeout_s=start_timeout_s
        )
        self._closed = False
        self._connection: _Connection | None = _Connection(self._start())

    @property
    def worker(self) -> Worker | None:
        """The worker in use; None after one was lost, until the next call starts another."""
        return self._connection.worker if self._connection else None

    def initialize(self, weights: Sequence[np.ndarray] | None = None) -> Any:
        """The server's state before the first round.

        Args:
          weights: what the global model starts from: the trainable arrays in Keras's order, and after them, if at all, the
            others. `None` leaves the process's own.

        Raises:
          ValueError: arrays are missing, or their shapes are not the model's.
          WorkerError: see `next`.
        """
        state = self._call(self._process.initialize)
        return state if weights is None else put_in_weights(state, weights)

    def next(self, state: Any, datasets: Sequence[tf.data.Dataset]) -> tuple[Any, Mapping[str, Any]]:
        """See `Runtime.next`.

        Raises:
          WorkerError: the worker gave up, or a second one was lost before the round's end; the call may be repeated.
        """
        datasets = list(datasets)
        try:
            output = self._call(self._process.next, state, datasets)
        except WorkerLost as error:
            _log.warning("%s. The round is repeated with a new worker.", error)
            output = self._call(self._process.next, state, datasets)
        return output.state, output.metrics

    def weights(self, state: Any) -> list[np.ndarray]:
        """See `Runtime.weights`; asks no worker, so it answers after `close` and after Ctrl-C too."""
        return weights_of(state)

    def close(self) -> None:
        """Ends the worker; no round is possible any more."""
        self._closed = True
        self._drop()

    def _call(self, computation: Callable[..., Any], *arguments: Any) -> Any:
        if self._closed:
            raise WorkerError("this runtime has been closed; make a new one")
        if self._connection is None or not self._connection.worker.alive:
            self._drop()
            self._connection = _Connection(self._start())
        try:
            with tff.framework.get_context_stack().install(self._connection.context):
                return computation(*arguments)
        except (
            BaseException
        ):  # Ctrl-C too: TFF's thread may still wait for the worker's answer, and be waited for itself
            self._drop()
            raise

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class _Connection:
    """One worker and TFF's context that computes in it; made of the parts that TFF publishes, so nothing of it is patched."""

    def __init__(self, worker: Worker):
        self.worker = worker
        lengths = [(f"grpc.max_{way}_message_length", _LONGEST_MESSAGE) for way in ("send", "receive")]
        self._channel = grpc.insecure_channel(worker.target, lengths)
        stub = tff.framework.RemoteExecutorGrpcStub(grpc.intercept_channel(self._channel, _FailWithWords(worker)))

        def make_executor(cardinalities: dict[Any, int]) -> tff.framework.RemoteExecutor:
            executor = tff.framework.RemoteExecutor(stub)
            executor.set_cardinalities({tff.CLIENTS: 0, **cardinalities})
            return executor

        self.context = tff.framework.SyncExecutionContext(
            tff.framework.ResourceManagingExecutorFactory(make_executor),
            _compile,
            transform_args=tff.tensorflow.transform_args,
            transform_result=tff.tensorflow.transform_result,
        )

    def close(self) -> None:
        self.worker.close()
        self._channel.close()


def _compile(computation: tff.Computation) -> tff.Computation:
    # The executor has no secure sums: they are simulated by sums of what would have been sent masked, as TFF's own context for
    # simulations does it.
    computation = tff.backends.test.replace_secure_intrinsics_with_bodies(computation)
    return tff.backends.native.desugar_and_transform_to_native(computation)


class _FailWithWords(grpc.UnaryUnaryClientInterceptor):
    """Makes a `WorkerError` of a call that TFF would repeat for ever."""

    def __init__(self, worker: Worker):
        self._worker = worker

    def intercept_unary_unary(self, continuation: Callable[..., Any], client_call_details: Any, request: Any) -> Any:
        """Called by gRPC for every call."""
        call = continuation(client_call_details, request)
        if call.code() in _RETRIED_FOR_EVER:
            raise self._worker.failure(call.details())
        return call
