"""TFF's aggregators, built from the settings; their metrics and the bytes that each transfers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_federated as tff

from ecgexp.training.federated.settings import FederatedSettings

# Elements of a tensor above which TFF's compression quantizes it; smaller tensors are sent as they
# are.
_COMPRESSED_ABOVE = 20_000
_COMPRESSED_BITS = 8


def build_aggregator(settings: FederatedSettings) -> Any:
    """Build the weighted aggregation factory of a run without privacy.

    A run with privacy uses `dp_query.dp_aggregator`.

    Args:
      settings: of the trainer.

    Returns:
      A TFF factory of weighted aggregation processes.
    """
    if settings.aggregator == "robust":
        return tff.learning.robust_aggregator(zeroing=True, clipping=True)
    if settings.aggregator == "secure":
        return tff.learning.secure_aggregator(zeroing=True, clipping=True)
    if settings.aggregator == "compressed":
        return tff.learning.compression_aggregator(zeroing=False, clipping=False)
    return tff.aggregators.MeanFactory()


def bytes_up(settings: FederatedSettings, shapes: Sequence[Sequence[int]]) -> int:
    """Estimate the bytes that one client sends in a round, without protocol overhead.

    Secure aggregation sends numbers of a finite field, here 32 bits each; the masks and shares of a
    real protocol are not counted.

    Args:
      settings: of the trainer.
      shapes: of the update's tensors.

    Returns:
      The size of the update as the aggregator encodes it.
    """
    sizes = [int(np.prod(shape)) for shape in shapes]
    bits = [
        size * _COMPRESSED_BITS + 64  # with the two ends of the tensor's range
        if settings.aggregator == "compressed" and size > _COMPRESSED_ABOVE
        else size * 32
        for size in sizes
    ]
    # Mime Lite also sends the gradient over all beats of the client.
    times = 2 if settings.algorithm == "mime_lite" else 1
    return times * sum(bits) // 8


def bytes_down(settings: FederatedSettings, shapes: Sequence[Sequence[int]]) -> int:
    """Estimate the bytes that one client receives in a round.

    Args:
      settings: of the trainer.
      shapes: of the model's tensors.

    Returns:
      The size of the model, with Mime Lite also of the optimizer's statistics.
    """
    model = 4 * sum(int(np.prod(shape)) for shape in shapes)
    if settings.algorithm != "mime_lite":
        return model
    slots = {"sgd": int(settings.client_momentum > 0), "adam": 2, "yogi": 2, "adagrad": 1}[
        settings.client_optimizer
    ]
    return model * (1 + slots)


def scalar_metrics(measured: Any, name: str) -> Iterator[tuple[str, float]]:
    """Yield the scalar metrics of an aggregator, e.g. `aggregator/zeroed_count`.

    Args:
      measured: what the aggregator measured, possibly nested.
      name: prefix of the metrics.
    """
    if isinstance(measured, Mapping):
        for key, value in measured.items():
            # TFF nests the metrics of an aggregator in those of the aggregators around it.
            wraps_another = key in ("zeroing", "clipping")
            yield from scalar_metrics(value, name if wraps_another else f"{name}/{key}")
    elif np.ndim(measured) == 0 and np.size(measured):
        yield name, float(measured)
