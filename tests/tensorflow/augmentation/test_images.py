import numpy as np
import pytest

from ecgexp.augmentation import Chain, Crops9, ImageAugmentation
from ecgexp.settings.declaration import ConfigError

OFF = {
    "rotation_probability": 0,
    "flip_probability": 0,
    "crop_probability": 0,
    "shift_probability": 0,
}
SEED = (3, 14)


def some_images(num=4, size=64, seed=0):
    return np.random.default_rng(seed).random((num, size, size, 1), dtype=np.float32)


def augment(augmentation, images, views=None, seed=SEED):
    import tensorflow as tf

    views = np.zeros(len(images), np.int32) if views is None else np.asarray(views, np.int32)
    features = {"image": tf.constant(images), "rr": tf.ones([len(images), 4])}
    changed = tf.function(augmentation.build())(features, tf.constant(views), tf.constant(seed))
    assert changed.keys() == features.keys()
    assert np.array_equal(changed["rr"], features["rr"])
    assert changed["image"].dtype == tf.float32
    return changed["image"].numpy()


def test_crops_equal_slices_enlarged_by_tensorflow():
    import tensorflow as tf

    images = np.repeat(some_images(1), 10, axis=0)
    found = augment(Crops9(), images, views=range(10))
    assert np.array_equal(found[0], images[0])
    corners = [(y, x) for y in (0, 8, 16) for x in (0, 8, 16)]
    for view, (y, x) in enumerate(corners, start=1):
        expected = tf.image.resize(images[0, y : y + 48, x : x + 48], (64, 64)).numpy()
        np.testing.assert_allclose(found[view], expected, atol=1e-6)


def test_crops_too_large_for_the_image_are_refused():
    with pytest.raises(
        ConfigError,
        match=r"crop_size=48 must be below features\.size=32; try augmentation\.crop_size=24",
    ):
        Crops9().build()({"image": some_images(1, 32)}, np.zeros(1, np.int32), SEED)


def test_with_all_probabilities_0_or_all_bounds_0_nothing_changes():
    images = some_images()
    assert np.array_equal(augment(ImageAugmentation(**OFF), images), images)
    still = ImageAugmentation(
        rotation_probability=1,
        max_rotation_degrees=0,
        crop_probability=1,
        min_crop_fraction=1,
        shift_probability=1,
        max_shift_fraction=0,
    )
    np.testing.assert_allclose(augment(still, images), images, atol=1e-6)


@pytest.mark.parametrize(
    ("flip", "axes"), [("horizontal", (2,)), ("vertical", (1,)), ("both", (1, 2))]
)
def test_flips_are_numpys(flip, axes):
    images = some_images()
    found = augment(ImageAugmentation(**OFF | {"flip_probability": 1, "flips": (flip,)}), images)
    assert np.array_equal(found, np.flip(images, axes))


def test_the_affine_map_turns_counter_clockwise_and_moves_right_and_down():
    from ecgexp.augmentation.image_ops import affine, resample

    images = some_images(1, 8)

    def apply(degrees=0.0, crop=1.0, crop_center=(0.0, 0.0), shift=(0.0, 0.0)):
        vectors = [
            np.array([v], np.float32) for v in (degrees, (1.0, 1.0), crop, crop_center, shift)
        ]
        return resample(images, affine(*vectors, center=np.array([3.5, 3.5], np.float32))).numpy()[
            0, ..., 0
        ]

    image = images[0, ..., 0]
    np.testing.assert_allclose(apply(degrees=90.0), np.rot90(image), atol=1e-5)
    moved = apply(shift=(2.0, 1.0))
    np.testing.assert_allclose(moved[1:, 2:], image[:-1, :-2], atol=1e-6)
    assert (moved[0] == 1).all()
    assert (moved[:, :2] == 1).all()
    upper_left = apply(crop=0.5, crop_center=(-2.0, -2.0))
    np.testing.assert_allclose(
        upper_left[1:-1, 1:-1], enlarged(image[:4, :4])[1:-1, 1:-1], atol=1e-5
    )


def enlarged(image):
    import tensorflow as tf

    return tf.image.resize(image[..., None], (8, 8)).numpy()[..., 0]


def test_what_comes_in_is_white_and_stays_within_0_and_1():
    wild = ImageAugmentation(
        **OFF | {"rotation_probability": 1, "max_rotation_degrees": 180, "shift_probability": 1}
    )
    black = np.zeros((64, 64, 64, 1), np.float32)
    found = augment(wild, black)
    assert found.min() == 0
    assert found.max() == 1
    assert (augment(wild, 1 - black) == 1).mean() > 0.999  # white remains white, whatever moves


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rotation_probability", 0.3),
        ("flip_probability", 0.3),
        ("crop_probability", 0.7),
        ("shift_probability", 0.5),
    ],
)
def test_each_change_comes_with_its_probability(name, value):
    images = np.repeat(some_images(1, 16), 4000, axis=0)
    changed = (augment(ImageAugmentation(**OFF | {name: value}), images) != images).any(
        axis=(1, 2, 3)
    )
    # 4.5 standard deviations of a binomial share: < 1 seed in 100 000 would fail, and the seed is
    # fixed.
    assert abs(changed.mean() - value) < 4.5 * np.sqrt(value * (1 - value) / 4000)


def test_the_flips_come_alike_often():
    images = np.repeat(some_images(1, 8), 3000, axis=0)
    found = augment(ImageAugmentation(**OFF | {"flip_probability": 1}), images)
    for axes in ((2,), (1,), (1, 2)):
        share = (found == np.flip(images, axes)).all(axis=(1, 2, 3)).mean()
        assert abs(share - 1 / 3) < 4.5 * np.sqrt(2 / 9 / 3000)  # < 1 seed in 100 000


@pytest.mark.parametrize(
    "augmentation", [ImageAugmentation(), Chain(steps=(Crops9(), ImageAugmentation()))]
)
def test_the_seed_alone_decides(augmentation):
    images = some_images(16)
    views = np.arange(16) % 10
    first = augment(augmentation, images, views)
    assert first.shape == images.shape
    assert np.array_equal(first, augment(augmentation, images, views))
    assert not np.array_equal(first, augment(augmentation, images, views, seed=(3, 15)))
    assert not np.array_equal(first, augment(augmentation, images, views, seed=(4, 14)))


def test_equal_images_of_a_batch_are_changed_differently():
    found = augment(
        ImageAugmentation(rotation_probability=1), np.repeat(some_images(1), 16, axis=0)
    )
    assert len(np.unique(found.reshape(16, -1), axis=0)) == 16


def test_no_example_depends_on_another():
    images = some_images(8)
    others = np.concatenate([images[:1], some_images(7, seed=1)])
    augmentation = Chain(steps=(Crops9(), ImageAugmentation()))
    views = np.full(8, 5)
    assert np.array_equal(
        augment(augmentation, images, views)[0], augment(augmentation, others, views)[0]
    )


def test_a_chain_applies_its_steps_in_order():
    crop_only, flip_only = (
        Crops9(),
        ImageAugmentation(**OFF | {"flip_probability": 1, "flips": ("horizontal",)}),
    )
    images = some_images(2)
    found = augment(Chain(steps=(crop_only, flip_only)), images, views=[1, 9])
    assert np.array_equal(found, np.flip(augment(crop_only, images, views=[1, 9]), 2))
