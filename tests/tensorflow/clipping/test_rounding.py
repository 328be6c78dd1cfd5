"""Norms whose terms cancel in float32 are bounded from above, and contributions by the clip.

All comparisons are made in float64.
"""

import numpy as np
import pytest

CLIP = 1.0
ALLOWED = CLIP * (1 + 1e-5)


def length(arrays):
    return np.sqrt(sum(np.sum(np.asarray(value, np.float64) ** 2) for value in arrays))


def common_part(rng, units, positions, size, common):
    """Return (units, positions, size) values with one large vector at all positions of a unit."""
    return common * rng.standard_normal((units, 1, size)) + rng.standard_normal(
        (units, positions, size)
    )


def constant_channels(rng, units, positions, size, common):
    """Return values with equal channels, so that each product is rounded in the same direction."""
    return common * rng.uniform(1, 2, (units, positions, 1)) * np.ones(size)


def two_clusters(rng, units, positions, size, common):
    """Return values with two large vectors, each at half of the positions."""
    return common * rng.standard_normal((units, 2, size))[
        :, np.arange(positions) % 2
    ] + rng.standard_normal((units, positions, size))


def canceling(rng, left, size):
    """Return (units, positions, size) whose sum of outer products with `left` is almost 0."""
    right = rng.standard_normal((*left.shape[:2], size))
    # The direction over positions of the largest part.
    largest = np.linalg.svd(left, full_matrices=False)[0][:, :, :1]
    return right - largest @ (largest.transpose(0, 2, 1) @ right)


@pytest.mark.parametrize("common", [0.0, 1e2, 1e4, 1e6])
@pytest.mark.parametrize("make", [common_part, constant_channels, two_clusters])
def test_gram_norm_is_an_upper_bound_in_float32(make, common):
    import tensorflow as tf

    from ecgexp.clipping.gradients import OuterProducts
    from ecgexp.clipping.rounding import squared_norms

    rng = np.random.default_rng(0)
    for positions, inputs, outputs in ((2, 96, 7), (8, 32, 32), (45, 64, 96), (256, 64, 16)):
        left = make(rng, 16, positions, inputs, common or 1.0).astype(np.float32)
        right = canceling(rng, left.astype(np.float64), outputs).astype(np.float32)
        form = OuterProducts(tf.constant(left), tf.constant(right))
        exact = np.einsum(
            "uti,uto->uio", left.astype(np.float64), right.astype(np.float64)
        ).reshape(16, -1)
        bound = np.sqrt(squared_norms([form.part()]).upper.numpy().astype(np.float64))
        assert (np.linalg.norm(exact, axis=1) <= bound).all()
        for unit in range(16):
            assert length([form.weighted_sum(tf.one_hot(unit, 16))]) <= bound[unit]


@pytest.mark.parametrize("scale", [1e-15, 1e-6, 1e6, 1e15])
def test_gram_norm_is_an_upper_bound_at_any_scale(scale):
    import tensorflow as tf

    from ecgexp.clipping.gradients import OuterProducts
    from ecgexp.clipping.rounding import squared_norms

    rng = np.random.default_rng(1)
    for positions in (1, 6):
        left = (rng.standard_normal((4, positions, 5)) * scale).astype(np.float32)
        right = (rng.standard_normal((4, positions, 3)) / scale).astype(np.float32)
        exact = np.einsum(
            "uti,uto->uio", left.astype(np.float64), right.astype(np.float64)
        ).reshape(4, -1)
        part = OuterProducts(tf.constant(left), tf.constant(right)).part()
        bound = np.sqrt(squared_norms([part]).upper.numpy().astype(np.float64))
        assert (np.linalg.norm(exact, axis=1) <= bound).all()
        assert (bound <= np.linalg.norm(exact, axis=1) * (1 + 1e-4)).all()


@pytest.mark.parametrize("shape", [(7,), (100_003,), (3_000_000,), (48, 64, 96)])
def test_sum_of_squares_is_an_upper_bound_and_tight(shape):
    import tensorflow as tf

    from ecgexp.clipping.rounding import sum_of_squares

    rng = np.random.default_rng(2)
    for values in (
        np.full((2, *shape), 0.1, np.float32),
        rng.standard_normal((2, *shape)).astype(np.float32),
    ):
        exact = np.sum(values.reshape(2, -1).astype(np.float64) ** 2, axis=1)
        upper = sum_of_squares([tf.constant(values)]).upper.numpy().astype(np.float64)
        assert (exact <= upper).all()
        assert (upper <= exact * (1 + 1e-4)).all()


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_parts_of_all_forms_are_bounded_together(scale):
    import tensorflow as tf

    from ecgexp.clipping.gradients import Instantiated, OuterProducts
    from ecgexp.clipping.rounding import squared_norms

    rng = np.random.default_rng(5)
    exact, parts = np.zeros(4), []
    for positions, inputs, outputs in ((1, 700, 3), (6, 5, 4), (1, 2, 40), (33, 9, 8)):
        left = (rng.standard_normal((4, positions, inputs)) * scale).astype(np.float32)
        right = (rng.standard_normal((4, positions, outputs)) / scale).astype(np.float32)
        parts.append(OuterProducts(tf.constant(left), tf.constant(right)).part())
        exact += np.sum(
            np.einsum("uti,uto->uio", *(x.astype(np.float64) for x in (left, right))) ** 2,
            axis=(1, 2),
        )
    for shape in ((), (3,), (7, 41), (5, 32, 64)):
        values = rng.standard_normal((4, *shape)).astype(np.float32)
        parts.insert(0, Instantiated(tf.constant(values)).part())
        exact += np.sum(values.reshape(4, -1).astype(np.float64) ** 2, axis=1)
    found = squared_norms(parts)
    upper, rounding = (value.numpy().astype(np.float64) for value in found)
    assert (exact <= upper).all()
    assert (upper <= exact * (1 + 5e-4)).all()
    assert (upper - exact <= rounding * (1 + 1e-2) + 1e-6 * exact).all()


@pytest.mark.parametrize("common", [1e3, 1e5, 1e6])
def test_units_that_cancel_keep_their_norm(common):
    """Computed in float64, they reach the clip; the float32 bound would shrink them to almost 0."""
    import tensorflow as tf

    from ecgexp.clipping.ghost import _clipped
    from ecgexp.clipping.gradients import Instantiated, OuterProducts

    rng = np.random.default_rng(3)
    left = common_part(rng, 6, 8, 32, common).astype(np.float32)
    right = canceling(rng, left.astype(np.float64), 32).astype(np.float32)
    forms = [OuterProducts(tf.constant(left), tf.constant(right)), Instantiated(tf.ones([6, 3]))]
    exact = np.einsum("uti,uto->uio", left.astype(np.float64), right.astype(np.float64)).reshape(
        6, -1
    )
    for unit in range(6):
        sums, norms = tf.function(lambda mask: _clipped(forms, mask, CLIP))(tf.one_hot(unit, 6))
        assert CLIP * (1 - 2e-3) <= length(sums) <= ALLOWED
        assert float(norms[unit]) == pytest.approx(np.sqrt(np.sum(exact[unit] ** 2) + 3), rel=1e-3)


def test_canceling_and_infinite_units_leave_others_unchanged():
    import tensorflow as tf

    from ecgexp.clipping.ghost import _clipped
    from ecgexp.clipping.gradients import Instantiated, OuterProducts

    rng = np.random.default_rng(6)
    left = common_part(rng, 4, 8, 32, 1e5).astype(np.float32)
    right = canceling(rng, left.astype(np.float64), 32).astype(np.float32)
    right[1] = np.inf
    left[2:] = rng.standard_normal((2, 8, 32))
    forms = [OuterProducts(tf.constant(left), tf.constant(right)), Instantiated(tf.ones([4, 3]))]
    clip = tf.function(lambda mask: _clipped(forms, mask, CLIP))
    together, norms = clip(tf.ones(4))
    apart = [clip(tf.one_hot(unit, 4))[0] for unit in range(4)]
    assert not np.isfinite(norms[1])
    assert length(apart[1]) == 0
    for unit in (0, 2, 3):
        assert CLIP * (1 - 2e-3) <= length(apart[unit]) <= ALLOWED
    for weight, total in enumerate(together):
        np.testing.assert_allclose(total, sum(unit[weight] for unit in apart), rtol=1e-5, atol=1e-7)


def test_norm_that_is_not_positive_gets_factor_zero():
    import tensorflow as tf

    from ecgexp.clipping.base import clip_factors

    norms = tf.constant([0.0, -1.0, np.nan, np.inf, 0.5, 4.0])
    factors = clip_factors(norms, tf.ones(6), CLIP).factors.numpy()
    np.testing.assert_allclose(factors, [0, 0, 0, 0, 1, 0.25], rtol=1e-6)
    assert factors[-1] < 0.25


SEQUENCES = [
    "L.Conv1D(64, 5), L.Activation('tanh'), L.Conv1D(64, 3, padding='causal')",
    (
        "L.Conv1D(96, 5, padding='same', use_bias=False), L.ReLU(), L.MaxPooling1D(2), "
        "L.Dense(64), L.ELU()"
    ),
    (
        "L.Dense(64), L.LayerNormalization(), L.LeakyReLU(), L.Dense(48, use_bias=False), "
        "L.AveragePooling1D(2)"
    ),
    (
        "L.Conv1D(64, 5), L.GroupNormalization(-1), L.Softmax(axis=1), L.Cropping1D(1), "
        "L.Conv1D(64, 3)"
    ),
    (
        "L.DepthwiseConv1D(3), L.GroupNormalization(2), L.PReLU(shared_axes=[1]), "
        "L.SeparableConv1D(16, 3), L.ThresholdedReLU()"
    ),
    (
        "L.Conv1DTranspose(16, 3), L.UnitNormalization(), L.ZeroPadding1D(1), L.UpSampling1D(2), "
        "L.Conv1D(64, 3, strides=2)"
    ),
    (
        "L.EinsumDense('btc,cd->btd', output_shape=(None, 32)), L.Rescaling(0.5), L.Permute((2, "
        "1)), L.Dense(64, 'gelu')"
    ),
    (
        "L.Reshape((3, 4, 4)), L.Conv2D(96, 2, padding='same'), L.MaxPooling2D(2, "
        "padding='same'), L.Reshape((4, 96)), L.Dense(32)"
    ),
    (
        "L.Reshape((3, 4, 4)), L.DepthwiseConv2D(2), L.SeparableConv2D(8, 2), "
        "L.Conv2DTranspose(8, 2), L.ZeroPadding2D(1), L.AveragePooling2D(2), L.UpSampling2D(2), "
        "L.Cropping2D(1), L.GlobalMaxPooling2D(), L.RepeatVector(4), Dropout(0.3)"
    ),
]


def drawn_model(code, rng):
    """Build the layers of `code` with random weights; the last weights sum to 0 over positions."""
    import tensorflow as tf

    from ecgexp.models.dropout import Dropout

    L = tf.keras.layers
    tf.keras.utils.set_random_seed(0)
    x = start = L.Input((12, 4), name="x")
    for layer in eval(f"[{code}]", {"L": L, "Dropout": Dropout}):  # noqa: S307
        x = layer(x)
    x = L.Dense(1, use_bias=False, trainable=False)(x)
    model = tf.keras.Model({"x": start}, L.Dense(3, use_bias=False, name="out")(L.Flatten()(x)))
    for variable in model.trainable_variables:
        variable.assign_add(0.1 * rng.standard_normal(variable.shape))
    kernel = model.get_layer("out").kernel
    kernel.assign(kernel - tf.reduce_mean(kernel, axis=0))
    return model


@pytest.mark.parametrize("code", SEQUENCES)
def test_no_unit_of_a_drawn_model_exceeds_the_clip(code, loss_fn):
    import tensorflow as tf

    from ecgexp.clipping.build import build_clipper
    from ecgexp.models.base import restart_dropout

    rng = np.random.default_rng(4)
    model = drawn_model(code, rng)
    clipper = tf.function(build_clipper(model, loss_fn, l2_norm_clip=CLIP))
    labels = tf.constant([0, 1, 2, 0, 1])
    for common in (1.0, 1e2, 1e4, 1e5, 1e6):
        features = {"x": tf.constant(common_part(rng, 5, 12, 4, common).astype(np.float32))}
        for unit in range(5):
            restart_dropout(model, 7)
            got = clipper(features, labels, tf.one_hot(unit, 5))
            assert length(got.gradients) <= ALLOWED, (common, unit)


def test_every_accepted_layer_is_tested_in_a_drawn_model():
    import re

    import tensorflow as tf

    from ecgexp.clipping.registry import ROW_WISE, RULES

    merges = {
        "Add",
        "Subtract",
        "Multiply",
        "Average",
        "Maximum",
        "Minimum",
        "Concatenate",
        "Dot",
    }  # several inputs
    elsewhere = merges | {
        "InputLayer",
        "Flatten",
        "Embedding",
        "GlobalAveragePooling1D",
        "GlobalAveragePooling2D",
    }
    drawn = set(re.findall(r"(\w+)\(", " ".join(SEQUENCES)))
    accepted = {layer.__name__ for layer in (*ROW_WISE, *RULES)}
    assert accepted - elsewhere - {"GlobalMaxPooling1D"} == drawn - {tf.keras.Model.__name__}
