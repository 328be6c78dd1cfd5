"""How clients' updates become one: TFF's aggregators, and what each sends up and down."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow_federated as tff

from ecgexp.training.federated.settings import FederatedSettings

_COMPRESSED_ABOVE = 20_000  # elements of a tensor from which TFF's compression quantises it; smaller ones are sent as they are
_COMPRESSED_BITS = 8


def build_aggregator(settings: FederatedSettings) -> Any:
    """The weighted aggregation factory of a run without privacy; see `dp_query` for one with."""
    if settings.aggregator == "robust":
        return tff.learning.robust_aggregator(zeroing=True, clipping=True)
    if settings.aggregator == "secure":
        return tff.learning.secure_aggregator(zeroing=True, clipping=True)
    if settings.aggregator == "compressed":
        return tff.learning.compression_aggregator(zeroing=False, clipping=False)
    return tff.aggregators.MeanFactory()


def bytes_up(settings: FederatedSettings, shapes: Sequence[Sequence[int]]) -> int:
    """Bytes that one client sends: its update, as the aggregator encodes it; an estimate, without protocol overhead.

    Secure aggregation sends numbers of a finite field, here 32 bits each; the masks and shares of a real protocol come on top.
    """
    sizes = [int(np.prod(shape)) for shape in shapes]
    bits = [
        size * _COMPRESSED_BITS + 64  # and the two ends of its range
        if settings.aggregator == "compressed" and size > _COMPRESSED_ABOVE
        else size * 32
        for size in sizes
    ]
    times = (
        2 if settings.algorithm == "mime_lite" else 1
    )  # a gradient of all its beats beside the update
    return times * sum(bits) // 8


def bytes_down(settings: FederatedSettings, shapes: Sequence[Sequence[int]]) -> int:
    """Bytes that one client gets: the model, and with Mime Lite the optimizer's statistics."""
    model = 4 * sum(int(np.prod(shape)) for shape in shapes)
    if settings.algorithm != "mime_lite":
        return model
    slots = {"sgd": int(settings.client_momentum > 0), "adam": 2, "yogi": 2, "adagrad": 1}[
        settings.client_optimizer
    ]
    return model * (1 + slots)
