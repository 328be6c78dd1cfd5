"""The computations of a federated round, compiled for the runtime."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from ecgexp.augmentation.base import Augmentation
from ecgexp.training.federated import dp_query
from ecgexp.training.federated.aggregators import build_aggregator
from ecgexp.training.federated.algorithms import build_process
from ecgexp.training.federated.client_model import ClientModel, keras_in_graphs
from ecgexp.training.federated.runtimes.base import Runtime
from ecgexp.training.federated.runtimes.graphs import member_type
from ecgexp.training.federated.runtimes.in_process import InProcess
from ecgexp.training.federated.settings import FederatedSettings
from ecgexp.training.loss import LossFn


def compile_round(
    settings: FederatedSettings,
    build_model: "Callable[[], tf.keras.Model]",
    loss: LossFn,
    augmentation: Augmentation,
    *,
    spec: Any,
    num_clients: int,
    mechanism: dp_query.Mechanism | None,
    shapes: Sequence[tuple[int, ...]],
) -> tuple[Runtime, tff.Type]:
    """Compile the computations of a round, which takes seconds; they depend on the arguments only.

    Args:
      settings: of the trainer.
      build_model: see `Trainer.train`.
      loss: see `Trainer.train`.
      augmentation: see `Trainer.train`.
      spec: of a client's batches, as `ClientBatches.spec`.
      num_clients: number of all clients.
      mechanism: clip and noise of the sum of updates; None: the aggregator of `settings`.
      shapes: of the trainable weights, in order.

    Returns:
      The runtime, and the type of the server's state.
    """

    def client_model() -> ClientModel:
        return ClientModel(build_model(), loss, augmentation.build(), spec, num_clients)

    with keras_in_graphs(build_model):
        process = build_process(
            settings,
            client_model,
            dp_query.dp_aggregator(mechanism, shapes) if mechanism else build_aggregator(settings),
            weighted=mechanism is None,
        )
        return InProcess(process), member_type(process.initialize.type_signature.result)
