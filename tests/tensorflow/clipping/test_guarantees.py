"""The properties of a clipper that the privacy guarantee relies on.

Mutants that violate one property show that its test can fail.
"""

import numpy as np
import pytest

from ecgexp.clipping.losses import RowWiseLoss

CLIP = 0.7
METHODS = ["ghost", "vectorized", "microbatch"]


def project_model(name, *, dropout=0.3, normalization="group"):
    """Build a small model of the project, with dropout."""
    import tensorflow as tf

    from ecgexp.models.cnn1d import Cnn1d
    from ecgexp.models.cnn2d import Cnn2d
    from ecgexp.models.resnet1d import Resnet1d

    tf.keras.utils.set_random_seed(0)
    signal = {"signal": (48, 1)}
    if name == "cnn1d":
        cnn1d = Cnn1d(
            filters=(8, 16, 64),
            kernel_sizes=(7, 5, 5),
            pooled_length=3,
            dropout=dropout,
            normalization=normalization,
        )
        return cnn1d.build(signal, 5)
    if name == "resnet1d":
        return Resnet1d(filters=(8, 16), dropout=dropout, normalization=normalization).build(
            signal, 5
        )
    cnn2d = Cnn2d(
        filters=(8, 32), dense_units=16, dropouts=(dropout,) * 3, normalization=normalization
    )
    return cnn2d.build({"image": (16, 16, 1)}, 5)


def restart(model, seed=3):
    from ecgexp.models.base import restart_dropout

    restart_dropout(model, seed)


def clip_with(model, loss_fn, clip=CLIP, method="ghost", **kwargs):
    from ecgexp.clipping.build import build_clipper

    return build_clipper(model, loss_fn, l2_norm_clip=clip, method=method, **kwargs)


def length(gradients):
    return np.sqrt(sum(np.sum(np.asarray(value, np.float64) ** 2) for value in gradients))


def assert_no_unit_exceeds_the_clip(clipper, model, features, labels):
    """Check each unit's contribution alone; dropout masks are equal in all calls."""
    import tensorflow as tf

    units = len(labels)
    for unit in range(units):
        restart(model)
        alone = clipper(features, labels, tf.one_hot(unit, units))
        assert length(alone.gradients) <= CLIP * (1 + 1e-6)


def assert_adjacent_batches_are_within_the_clip(clipper, model, features, labels):
    """Check ||S(D) - S(D + x)|| <= C, where x is the last row.

    The unit mask adds or removes x, so all other rows have the same dropout masks.
    """
    import tensorflow as tf

    sums = []
    for last in (0.0, 1.0):
        restart(model)
        mask = tf.concat([tf.ones(len(labels) - 1), [last]], 0)
        sums.append(
            [np.asarray(value, np.float64) for value in clipper(features, labels, mask).gradients]
        )
    moved = length([a - b for a, b in zip(*sums, strict=True)])
    rounding = 1e-7 * length(sums[0])  # of the two float32 sums
    assert moved <= CLIP * (1 + 1e-6) + rounding


def with_outlier(features, times):
    import tensorflow as tf

    scale = lambda value: tf.concat([value[:-1], times * value[-1:]], 0)  # noqa: E731
    return {name: scale(value) for name, value in features.items()}


@pytest.mark.parametrize("times", [1.0, 50.0, 1000.0])
@pytest.mark.parametrize("name", ["cnn1d", "cnn2d", "resnet1d"])
def test_one_more_beat_moves_the_sum_by_at_most_the_clip(name, times, loss_fn, random_batch):
    model = project_model(name)
    features, labels = random_batch(model, 4)
    assert_adjacent_batches_are_within_the_clip(
        clip_with(model, loss_fn), model, with_outlier(features, times), labels
    )


@pytest.mark.parametrize("name", ["cnn1d", "cnn2d", "resnet1d"])
def test_no_contribution_exceeds_the_clip_with_dropout(name, loss_fn, random_batch):
    model = project_model(name)
    features, labels = random_batch(model, 4, scale=5.0)
    assert_no_unit_exceeds_the_clip(clip_with(model, loss_fn), model, features, labels)


@RowWiseLoss
def prediction(labels, outputs):
    return outputs[:, 0]


def _linear_model(size):
    import tensorflow as tf

    layers = [
        tf.keras.Input((size,), name="x"),
        tf.keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros"),
    ]
    return tf.keras.Sequential(layers)


@pytest.mark.parametrize("method", METHODS)
def test_clipped_sum_equals_the_sum_computed_by_hand(method):
    """The loss is the prediction, so a row's gradient is the row: a clip of 2.5 halves (3, 4)."""
    import tensorflow as tf

    clipper = clip_with(_linear_model(2), prediction, clip=2.5, method=method)
    rows = tf.constant([[3.0, 4.0], [0.5, 0.0], [0.0, 0.0], [0.0, -25.0]])
    got = clipper({"x": rows}, tf.zeros(4), tf.ones(4))
    np.testing.assert_allclose(got.gradients[0][:, 0], [1.5 + 0.5, 2.0 - 2.5], rtol=1e-6)
    np.testing.assert_allclose(got.norms, [5.0, 0.5, 0.0, 25.0], rtol=1e-6)
    assert (int(got.num_clipped), int(got.num_nonfinite)) == (2, 0)


@pytest.mark.parametrize("method", METHODS)
def test_views_are_averaged_and_clipped_once(method):
    import tensorflow as tf

    clipper = clip_with(_linear_model(2), prediction, clip=2.5, method=method, views=2)
    rows = tf.constant([[6.0, 0.0], [0.0, 8.0], [7.0, 0.0], [-7.0, 0.0]])  # means (3, 4) and (0, 0)
    got = clipper({"x": rows}, tf.zeros(4), tf.ones(2))
    np.testing.assert_allclose(got.gradients[0][:, 0], [1.5, 2.0], rtol=1e-6)
    np.testing.assert_allclose(got.norms, [5.0, 0.0], rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_infinite_clip_gives_the_plain_sum(method, loss_fn, random_batch, distance):
    import tensorflow as tf

    model = project_model("cnn1d", dropout=0.0)
    features, labels = random_batch(model, 4)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(loss_fn(labels, model(features, training=True)))
    plain = tape.gradient(loss, model.trainable_variables)
    got = clip_with(model, loss_fn, clip=float("inf"), method=method)(features, labels, tf.ones(4))
    assert distance(got.gradients, plain) <= 1e-5 * length(plain)
    assert int(got.num_clipped) == 0


@pytest.mark.parametrize("method", METHODS)
def test_padding_contributes_exactly_zero(method, loss_fn, random_batch):
    import tensorflow as tf

    model = project_model("cnn1d", dropout=0.0)
    features, labels = random_batch(model, 4)
    clipper, mask = (
        tf.function(clip_with(model, loss_fn, method=method)),
        tf.constant([1.0, 1.0, 1.0, 0.0]),
    )
    clean = clipper(features, labels, mask)
    for poison in (1e3, 1e30, np.nan, np.inf):
        dirty = clipper(with_outlier(features, poison), labels, mask)
        for a, b in zip(clean.gradients, dirty.gradients, strict=True):
            np.testing.assert_array_equal(a, b)
        assert int(dirty.num_nonfinite) == 0
        assert dirty.norms[-1] == dirty.losses[-1] == 0
    empty = clipper(features, labels, tf.zeros(4))
    assert length(empty.gradients) == 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["cnn1d", "cnn2d"])
def test_unit_that_is_not_finite_contributes_zero_is_counted(name, method, loss_fn, random_batch):
    import tensorflow as tf

    model = project_model(name, dropout=0.0)
    features, labels = random_batch(model, 4)
    clipper = tf.function(clip_with(model, loss_fn, method=method))
    without = clipper(features, labels, tf.constant([1.0, 1.0, 1.0, 0.0]))
    for poison in (np.nan, np.inf):
        got = clipper(with_outlier(features, poison), labels, tf.ones(4))
        for a, b in zip(got.gradients, without.gradients, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-9)
        assert int(got.num_nonfinite) == 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("poison", [1e30, np.nan, np.inf])
def test_norm_overflow_contributes_zero_and_is_counted(method, poison):
    import tensorflow as tf

    clipper = clip_with(_linear_model(2), prediction, clip=2.5, method=method)
    got = clipper({"x": tf.constant([[3.0, 4.0], [poison, 1.0]])}, tf.zeros(2), tf.ones(2))
    np.testing.assert_allclose(got.gradients[0][:, 0], [1.5, 2.0], rtol=1e-6)
    assert (int(got.num_clipped), int(got.num_nonfinite)) == (1, 1)


@pytest.mark.parametrize("normalization", ["group", "none"])
@pytest.mark.parametrize("name", ["cnn1d", "cnn2d", "resnet1d"])
def test_huge_row_is_clipped_or_contributes_zero(name, normalization, loss_fn, random_batch):
    model = project_model(name, normalization=normalization)
    features, labels = random_batch(model, 4)
    clipper = clip_with(model, loss_fn)
    assert_adjacent_batches_are_within_the_clip(
        clipper, model, with_outlier(features, 1e30), labels
    )


@pytest.mark.parametrize("chunk", [1, 2, 4])
def test_sum_is_independent_of_physical_batches(chunk, loss_fn, random_batch, distance):
    import tensorflow as tf

    model = project_model("cnn2d", dropout=0.0)
    features, labels = random_batch(model, 8)
    clipper = clip_with(model, loss_fn)
    whole = clipper(features, labels, tf.ones(8))
    parts = [
        clipper(
            {k: v[i : i + chunk] for k, v in features.items()},
            labels[i : i + chunk],
            tf.ones(chunk),
        ).gradients
        for i in range(0, 8, chunk)
    ]
    summed = [np.sum([part[i] for part in parts], 0) for i in range(len(parts[0]))]
    assert distance(summed, whole.gradients) <= 1e-5 * length(whole.gradients)


def test_clipper_runs_in_a_function_with_unknown_batch_size(loss_fn, random_batch, distance):
    import tensorflow as tf

    model = project_model("cnn1d", dropout=0.0)
    features, labels = random_batch(model, 4)
    clipper = clip_with(model, loss_fn)
    signature = [
        {name: tf.TensorSpec([None, *value.shape[1:]]) for name, value in features.items()},
        tf.TensorSpec([None], labels.dtype),
        tf.TensorSpec([None]),
    ]
    compiled = tf.function(lambda f, y, m: clipper(f, y, m), input_signature=signature)
    eager = clipper(features, labels, tf.ones(4))
    assert distance(
        compiled(features, labels, tf.ones(4)).gradients, eager.gradients
    ) <= 1e-5 * length(eager.gradients)


def mean_clip(model, loss_fn):
    """Mutant: clips the gradient of the whole batch once."""
    import tensorflow as tf

    from ecgexp.clipping.base import ClippedSum

    def clipper(features, labels, mask):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(mask * loss_fn(labels, model(features, training=True)))
        gradients, norm = tf.clip_by_global_norm(
            tape.gradient(loss, model.trainable_variables), CLIP
        )
        return ClippedSum(
            [g * tf.reduce_sum(mask) for g in gradients], norm, loss, tf.constant(0), tf.constant(0)
        )

    return clipper


def per_layer_clip(model, loss_fn):
    """Mutant: clips the gradient of each weight separately to the whole clip."""
    import tensorflow as tf

    from ecgexp.clipping.base import ClippedSum

    def clipper(features, labels, mask):
        with tf.GradientTape() as tape:
            losses = loss_fn(labels, model(features, training=True))
        sums = []
        for variable in tape.jacobian(losses, model.trainable_variables):
            flat = tf.reshape(variable, [len(labels), -1])
            sums.append(tf.reduce_sum(mask[:, None] * tf.clip_by_norm(flat, CLIP, axes=[1]), 0))
        return ClippedSum(sums, losses, losses, tf.constant(0), tf.constant(0))

    return clipper


def two_passes(model, loss_fn):
    """Mutant: norms and gradients come from two passes, so dropout draws two masks.

    TF-Privacy 0.9's fast gradient clipping does so.
    """
    import tensorflow as tf

    from ecgexp.clipping.base import ClippedSum

    norms_of = clip_with(model, loss_fn)

    def clipper(features, labels, mask):
        norms = norms_of(features, labels, tf.ones_like(mask)).norms
        factors = tf.minimum(1.0, CLIP / norms) * mask
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(factors * loss_fn(labels, model(features, training=True)))
        return ClippedSum(
            tape.gradient(loss, model.trainable_variables),
            norms,
            norms,
            tf.constant(0),
            tf.constant(0),
        )

    return clipper


def test_adjacency_check_detects_clipping_of_the_mean(loss_fn, random_batch):
    model = project_model("cnn1d")
    features, labels = random_batch(model, 4)
    with pytest.raises(AssertionError):
        assert_adjacent_batches_are_within_the_clip(
            mean_clip(model, loss_fn), model, with_outlier(features, 50.0), labels
        )


def test_unit_check_detects_clipping_of_each_layer(loss_fn, random_batch):
    model = project_model("cnn1d")
    features, labels = random_batch(model, 4, scale=5.0)
    with pytest.raises(AssertionError):
        assert_no_unit_exceeds_the_clip(per_layer_clip(model, loss_fn), model, features, labels)


def test_unit_check_detects_a_second_dropout_mask(loss_fn, random_batch):
    model = project_model("cnn1d", dropout=0.5)
    features, labels = random_batch(model, 8, scale=5.0)
    with pytest.raises(AssertionError):
        assert_no_unit_exceeds_the_clip(two_passes(model, loss_fn), model, features, labels)
