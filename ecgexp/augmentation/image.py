"""Random rotations, flips, crops and shifts of beat images, all in one resampling."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ecgexp.augmentation.base import AugmentFn, one_view_each
from ecgexp.settings.declaration import Number, Probability, check_named_once, settings


@settings
class ImageAugmentation:
    """Crop, rotate, flip and shift images, each with its own probability.

    Pixels from outside of the image are white.

    The defaults are small: a beat upside down or backwards is another beat, so flips and large
    rotations are there for comparison with work that used them.

    Attributes:
      rotation_probability: that an image is rotated, about its center.
      max_rotation_degrees: the angle is uniform in ± this.
      flip_probability: that an image is flipped, in one of the `flips`, each alike.
      flips: `horizontal` reverses time, `vertical` polarity.
      crop_probability: that a square part, at a uniform place, is enlarged to the whole image.
      min_crop_fraction: the side of that part, as a share of the image's, is uniform between this
        and 1.
      shift_probability: that an image is moved.
      max_shift_fraction: the move is uniform in ± this share of the image's side, independently
        down and right.
    """

    rotation_probability: Probability = 0.5
    max_rotation_degrees: Annotated[Number, Field(ge=0, le=180)] = 5.0
    flip_probability: Probability = 0.0
    flips: Annotated[tuple[Literal["horizontal", "vertical", "both"], ...], Field(min_length=1)] = (
        "horizontal",
        "vertical",
        "both",
    )
    crop_probability: Probability = 0.5
    min_crop_fraction: Annotated[Number, Field(ge=0.01, le=1)] = 0.85
    shift_probability: Probability = 0.5
    max_shift_fraction: Probability = 0.05

    name = "image"
    features = frozenset({"image"})
    num_views = 1

    def __post_init__(self):
        check_named_once("augmentation.flips", self.flips)

    def expand(
        self, labels: np.ndarray, class_names: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Augmentation.expand`."""
        return one_view_each(labels)

    def build(self) -> AugmentFn:
        """See `Augmentation.build`."""
        from ecgexp.augmentation.image_ops import random_transforms, resample

        def augment(features: dict[str, Any], views: Any, seed: Any) -> dict[str, Any]:
            images = features["image"]
            return {**features, "image": resample(images, random_transforms(self, images, seed))}

        return augment
