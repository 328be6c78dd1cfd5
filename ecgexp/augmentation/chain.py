"""No augmentation, and several ones after each other."""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from ecgexp.augmentation.base import Augmentation, AugmentFn, one_view_each
from ecgexp.settings.declaration import ConfigError, Part, check_named_once, settings


@settings
class NoAugmentation:
    """See `Augmentation`.

    Example:
      >>> NoAugmentation().num_views
      1
    """

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


@settings
class Chain:
    """Applies `steps` in their order, each with a seed of its own.

    Attributes:
      steps: the augmentations; at most one of them shows several views of a beat, since a view's
        number means one thing.

    Example:
      >>> from ecgexp.augmentation import Crops9, ImageAugmentation
      >>> Chain(steps=(Crops9(), ImageAugmentation())).num_views
      10
    """

    steps: Annotated[tuple[Part[Augmentation], ...], Field(min_length=1)]

    def __post_init__(self):
        if invalid := [repr(step) for step in self.steps if not isinstance(step, Augmentation)]:
            raise ConfigError(
                f"augmentation.steps holds {', '.join(invalid)}, which is no augmentation; "
                "name one by its _target_"
            )
        check_named_once("augmentation.steps", [step.name for step in self.steps])
        if len(several := [step.name for step in self.steps if step.num_views > 1]) > 1:
            raise ConfigError(
                f"augmentation.steps has {' and '.join(several)}, which both show several "
                "views; keep one of them"
            )

    @property
    def name(self) -> str:
        """The names of the steps, joined by `+`."""
        return "+".join(step.name for step in self.steps)

    @property
    def features(self) -> frozenset[str]:
        """What any step changes."""
        return frozenset().union(*(step.features for step in self.steps))

    @property
    def num_views(self) -> int:
        """Those of the one step that shows several, or 1."""
        return max(step.num_views for step in self.steps)

    def expand(
        self, labels: np.ndarray, class_names: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Augmentation.expand`."""
        for step in self.steps:
            if step.num_views > 1:
                return step.expand(labels, class_names)
        return one_view_each(labels)

    def build(self) -> AugmentFn:
        """See `Augmentation.build`."""
        import tensorflow as tf

        augment_steps = [step.build() for step in self.steps]

        def augment(features: dict[str, Any], views: Any, seed: Any) -> dict[str, Any]:
            seeds = tf.unstack(tf.random.experimental.stateless_split(seed, len(augment_steps)))
            for augment_step, step_seed in zip(augment_steps, seeds, strict=True):
                features = augment_step(features, views, step_seed)
            return features

        return augment
