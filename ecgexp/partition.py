"""Which client holds which training beats; a pooled run has one holder of all."""

from typing import Protocol

import numpy as np

from ecgexp._validate import settings
from ecgexp.beats import BeatSet


class Partition(Protocol):
    """Deals the training beats out to clients."""

    def clients(self, beats: BeatSet, train: np.ndarray) -> dict[str, np.ndarray]:
        """`{client_id: indices}`: disjoint, and together exactly `train`."""


@settings
class Pooled:
    """All training beats in one place, as centralized training has them."""

    def clients(self, beats: BeatSet, train: np.ndarray) -> dict[str, np.ndarray]:
        """See `Partition`."""
        return {"pooled": train}
