"""Augmentations of beat images: random rotations, flips, crops and shifts, and nine crops."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ecgexp.augmentation.base import AugmentFn, one_view_each
from ecgexp.settings.declaration import (
    ConfigError,
    Number,
    Probability,
    Span,
    check_named_once,
    settings,
)

_PLACES = 3  # along each side: start, middle, end


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

    Example:
      >>> sorted(ImageAugmentation(flip_probability=0.5).features)
      ['image']
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


@settings
class Crops9:
    """Nine crops: corners, midpoints of edges and center (Jun et al. 2018, section 2.2).

    View 0 is the image itself, views 1 … 9 are its crops, row by row from the upper left. They cut
    the epoch's class imbalance down, and cut amplitude and timing off; a beat so becomes ten
    images, and stays one beat.

    Attributes:
      crop_size: side of the crops in pixels; they are enlarged bilinearly.
      except_classes: classes that are shown as they are: the frequent ones.

    Example:
      >>> labels, class_names = np.array([0, 1]), ("N", "V")
      >>> rows, views = Crops9(except_classes=("N",)).expand(labels, class_names)
      >>> rows.tolist()
      [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    """

    crop_size: Span = 48
    except_classes: tuple[str, ...] = ("N",)

    name = "crops9"
    features = frozenset({"image"})
    num_views = 1 + _PLACES**2

    def __post_init__(self):
        check_named_once("augmentation.except_classes", self.except_classes)

    def expand(
        self, labels: np.ndarray, class_names: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Augmentation.expand`.

        Raises:
          ConfigError: when `except_classes` names a class that the grouping does not make.
        """
        if unknown := sorted(set(self.except_classes) - set(class_names)):
            raise ConfigError(
                f"augmentation.except_classes names {', '.join(unknown)}, "
                f"and the classes are {', '.join(class_names)}; "
                f"try augmentation.except_classes=[{class_names[0]}]"
            )
        is_cropped = ~np.isin(class_names, self.except_classes)
        views_of_row = np.where(is_cropped[labels], self.num_views, 1)
        rows = np.repeat(np.arange(len(labels), dtype=np.int64), views_of_row)
        first_pair_of_row = np.cumsum(views_of_row) - views_of_row
        return rows, (np.arange(len(rows)) - first_pair_of_row[rows]).astype(np.int32)

    def build(self) -> AugmentFn:
        """See `Augmentation.build`; the crops are not random, so the seed is not used."""
        import tensorflow as tf

        def augment(features: dict[str, Any], views: Any, seed: Any) -> dict[str, Any]:
            images = features["image"]
            crops = tf.image.resize(self._crop(images, views), images.shape[1:3])
            return {
                **features,
                "image": tf.where(tf.equal(views, 0)[:, None, None, None], images, crops),
            }

        return augment

    def _crop(self, images: Any, views: Any) -> Any:
        """Return the crop of each image that `views` names: (batch, crop_size, crop_size, 1)."""
        import tensorflow as tf

        sides = np.array(images.shape[1:3])
        if self.crop_size >= sides.min():
            raise ConfigError(
                f"augmentation.crop_size={self.crop_size} must be below "
                f"features.size={sides.min()}; "
                f"try augmentation.crop_size={max(1, 3 * sides.min() // 4)}"
            )
        place = tf.maximum(views - 1, 0)
        places = tf.stack([place // _PLACES, place % _PLACES], axis=1)
        corners = places * ((sides - self.crop_size) // (_PLACES - 1)).astype(np.int32)
        rows, columns = (corners[:, axis, None] + tf.range(self.crop_size) for axis in (0, 1))
        return tf.gather(tf.gather(images, rows, batch_dims=1), columns, axis=2, batch_dims=1)
