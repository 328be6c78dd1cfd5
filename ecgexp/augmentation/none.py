"""No augmentation: every beat once, as it is."""

from collections.abc import Sequence

import numpy as np

from ecgexp.augmentation.base import AugmentFn, one_view_each
from ecgexp.settings.declaration import settings


@settings
class NoAugmentation:
    """See `Augmentation`."""

    name = "none"
    features = frozenset[str]()
    num_views = 1

    def expand(
        self, labels: np.ndarray, class_names: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Augmentation.expand`."""
        return one_view_each(labels)

    def build(self) -> AugmentFn:
        """See `Augmentation.build`."""
        return lambda features, views, seed: features
