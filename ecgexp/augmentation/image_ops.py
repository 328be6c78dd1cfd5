"""One affine map for each image of a batch, and the resampling that applies it.

Composing the maps first means that an image which is cropped, rotated and moved is interpolated
once, not three times:
a line one pixel wide would not survive three.
"""

from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from ecgexp.augmentation.image import ImageAugmentation

WHITE = 1.0
_SIGNS = {"horizontal": (-1.0, 1.0), "vertical": (1.0, -1.0), "both": (-1.0, -1.0)}  # of x, y


def random_transforms(
    settings: "ImageAugmentation", images: tf.Tensor, seed: tf.Tensor
) -> tf.Tensor:
    """Draws one map for each image.

    Args:
      settings: the probabilities and bounds.
      images: (batch, height, width, channels).
      seed: (2,) int32.

    Returns:
      (batch, 8) float32, from output to input pixels, as `ImageProjectiveTransformV3` takes them.
    """
    size = np.array([images.shape[2], images.shape[1]], np.float32)  # x, y, as everywhere below
    draw = _Draws(tf.shape(images)[0], seed)

    degrees = draw.where(
        settings.rotation_probability, draw.uniform(-1, 1) * settings.max_rotation_degrees, 0.0
    )
    signs = tf.constant([_SIGNS[flip] for flip in settings.flips])
    signs = draw.where(
        settings.flip_probability, tf.gather(signs, draw.integers(len(settings.flips))), 1.0
    )
    crop = draw.where(settings.crop_probability, draw.uniform(settings.min_crop_fraction, 1), 1.0)
    crop_center = draw.uniform(-1, 1, 2) * (1 - crop) / 2 * size
    shift = (
        draw.where(
            settings.shift_probability, draw.uniform(-1, 1, 2) * settings.max_shift_fraction, 0.0
        )
        * size
    )
    return affine(degrees[:, 0], signs, crop[:, 0], crop_center, shift, center=(size - 1) / 2)


def affine(
    degrees: tf.Tensor,
    signs: tf.Tensor,
    crop: tf.Tensor,
    crop_center: tf.Tensor,
    shift: tf.Tensor,
    *,
    center: np.ndarray,
) -> tf.Tensor:
    """The maps that crop an image, then rotate, then flip, then shift it.

    Args:
      degrees: (batch,) counter-clockwise as seen.
      signs: (batch, 2) -1 where x, y are mirrored.
      crop: (batch,) side of the part that is kept, as a share.
      crop_center: (batch, 2) its center in pixels from the image's.
      shift: (batch, 2) pixels to the right and down.
      center: (2,) the image's center in pixels.

    Returns:
      (batch, 8) float32, from output to input pixels.
    """
    radians = degrees * (np.pi / 180)
    cosine, sine = tf.cos(radians), tf.sin(radians)
    # y points down, so this turns output coordinates clockwise as seen, and the image the other
    # way.
    back = tf.stack([tf.stack([cosine, -sine], -1), tf.stack([sine, cosine], -1)], 1)
    matrix = crop[:, None, None] * back * signs[:, None, :]
    offset = center + crop_center - tf.linalg.matvec(matrix, center + shift)
    rows = tf.concat([matrix, offset[..., None]], axis=2)
    return tf.concat([tf.reshape(rows, [-1, 6]), tf.zeros_like(shift)], axis=1)


def resample(images: tf.Tensor, transforms: tf.Tensor) -> tf.Tensor:
    """Apply the maps, bilinear, white outside of the image; the shape of `images`."""
    resampled = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=images.shape[1:3],
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=WHITE,
    )
    return tf.ensure_shape(resampled, images.shape)


class _Draws:
    """Independent random numbers for each image: every call takes the next stream of one seed."""

    _STREAMS = 16

    def __init__(self, batch: tf.Tensor, seed: tf.Tensor):
        self._batch = batch
        self._seeds = iter(tf.unstack(tf.random.experimental.stateless_split(seed, self._STREAMS)))

    def uniform(self, low: float, high: float, columns: int = 1) -> tf.Tensor:
        """(batch, columns) uniform in [low, high)."""
        return low + (high - low) * tf.random.stateless_uniform(
            [self._batch, columns], next(self._seeds)
        )

    def integers(self, bound: int) -> tf.Tensor:
        """(batch,) uniform in 0 … bound - 1."""
        return tf.random.stateless_uniform(
            [self._batch], next(self._seeds), maxval=bound, dtype=tf.int32
        )

    def where(self, probability: float, changed: tf.Tensor, unchanged: float) -> tf.Tensor:
        """(batch, columns): a row of `changed` with that probability, else `unchanged`."""
        return tf.where(self.uniform(0, 1) < probability, changed, unchanged)
