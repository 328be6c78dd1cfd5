"""Each layer rule, in each of its modes and forms, agrees with a loop over examples."""

import pytest

ALL = ("ghost", "vectorized", "microbatch")

SEQUENCE_LAYERS = {
    "same": "L.Conv1D(5, 3, padding='same')",
    "valid": "L.Conv1D(5, 3)",
    "causal": "L.Conv1D(5, 3, padding='causal', dilation_rate=2)",
    "even kernel": "L.Conv1D(5, 4, padding='same')",
    "stride": "L.Conv1D(5, 3, strides=2, padding='same')",
    "stride 3 valid": "L.Conv1D(5, 4, strides=3)",
    "stride over kernel": "L.Conv1D(5, 1, strides=2, padding='same')",
    "dilation": "L.Conv1D(5, 3, padding='same', dilation_rate=3)",
    "groups": "L.Conv1D(6, 3, padding='same', groups=2)",
    "groups, stride": "L.Conv1D(4, 3, strides=2, groups=4)",
    "no bias": "L.Conv1D(5, 3, use_bias=False)",
    "activation": "L.Conv1D(5, 3, activation='tanh')",
    "many filters": "L.Conv1D(64, 5, padding='same')",
    "many filters, stride": "L.Conv1D(128, 7, strides=2, padding='same')",
    "many filters, dilation": "L.Conv1D(64, 5, padding='same', dilation_rate=2)",
    "many filters, causal": "L.Conv1D(64, 5, padding='causal')",
    "dense on sequence": "L.Dense(3, activation='relu')",
    "wide dense on sequence": "L.Dense(64)",
    "depthwise": "L.DepthwiseConv1D(3, padding='same', depth_multiplier=2)",
    "depthwise stride": "L.DepthwiseConv1D(3, strides=2, activation='elu')",
    "depthwise dilation": "L.DepthwiseConv1D(3, dilation_rate=2, padding='same', use_bias=False)",
    "group norm": "L.GroupNormalization(2)",
    "instance norm": "L.GroupNormalization(-1, scale=False)",
    "layer norm": "L.LayerNormalization()",
    "layer norm, two axes": "L.LayerNormalization(axis=[1, 2], center=False)",
    "layer norm, time": "L.LayerNormalization(axis=1)",
    "separable": "L.SeparableConv1D(5, 3)",
    "transposed": "L.Conv1DTranspose(3, 3, strides=2)",
    "prelu": "L.PReLU(shared_axes=[1])",
}

IMAGE_LAYERS = {
    "same": "L.Conv2D(4, (3, 2), padding='same')",
    "valid": "L.Conv2D(4, 3, activation='relu')",
    "stride": "L.Conv2D(4, 3, strides=(2, 1), padding='same')",
    "dilation": "L.Conv2D(4, 3, dilation_rate=(1, 2), padding='same')",
    "groups": "L.Conv2D(4, 3, groups=2, padding='same')",
    "many filters": "L.Conv2D(96, 4, padding='same')",
    "many filters, stride": "L.Conv2D(128, 4, strides=2, padding='same')",
    "many filters, dilation": "L.Conv2D(96, 3, dilation_rate=2, padding='valid')",
    "dense on image": "L.Dense(3)",
    "depthwise": "L.DepthwiseConv2D(3, strides=2, padding='same', depth_multiplier=2)",
    "depthwise dilation": "L.DepthwiseConv2D((2, 3), dilation_rate=2)",
    "group norm": "L.GroupNormalization(2)",
    "layer norm": "L.LayerNormalization(axis=[1, 2, 3])",
    "transposed": "L.Conv2DTranspose(3, 3)",
}


def with_layer(code, shape):
    """Build a small model with one layer of interest; layers with weights precede and follow it."""
    import tensorflow as tf

    L = tf.keras.layers
    pool = L.GlobalAveragePooling1D() if len(shape) == 2 else L.GlobalAveragePooling2D()
    tf.keras.utils.set_random_seed(0)
    layer = eval(code, {"L": L})  # noqa: S307
    model = tf.keras.Sequential(
        [L.Input(shape, name="x"), L.Dense(4), layer, L.Activation("tanh"), pool, L.Dense(3)]
    )
    for variable in model.trainable_variables:  # so that no weight is 0 or 1
        variable.assign_add(tf.random.stateless_normal(variable.shape, [1, 2], stddev=0.1))
    return model


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("code", SEQUENCE_LAYERS.values(), ids=SEQUENCE_LAYERS.keys())
def test_sequence_layer_agrees_with_the_loop(code, views, random_batch, assert_agrees):
    model = with_layer(code, (12, 2))
    assert_agrees(model, *random_batch(model, 4), views=views)


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("code", IMAGE_LAYERS.values(), ids=IMAGE_LAYERS.keys())
def test_image_layer_agrees_with_the_loop(code, views, random_batch, assert_agrees):
    model = with_layer(code, (7, 6, 2))
    assert_agrees(model, *random_batch(model, 4), views=views)


@pytest.mark.parametrize("views", [1, 3])
@pytest.mark.parametrize("code", ["L.Conv2D(4, 3, padding='same')", "L.Conv2D(4, 2, strides=2)"])
def test_gradients_by_unit_agree_with_the_loop(
    code, views, random_batch, assert_agrees, monkeypatch
):
    monkeypatch.setattr("ecgexp.clipping.convolution_rules.PATCH_NUMBERS", 0)
    monkeypatch.setattr("ecgexp.clipping.convolution_rules.GRAM_ADVANTAGE", 0)
    model = with_layer(code, (7, 6, 2))
    assert_agrees(model, *random_batch(model, 6), views=views)


@pytest.mark.parametrize("advantage", [0.0, 1e9], ids=["instantiated", "gram"])
@pytest.mark.parametrize(
    "code",
    [
        code
        for name, code in SEQUENCE_LAYERS.items()
        if "Conv1D(" in code and "L.Conv1D" in code and "groups" not in name
    ],
)
def test_both_kernel_gradient_forms_agree_with_the_loop(
    code, advantage, random_batch, assert_agrees, monkeypatch
):
    monkeypatch.setattr("ecgexp.clipping.convolution_rules.GRAM_ADVANTAGE", advantage)
    model = with_layer(code, (12, 2))
    assert_agrees(model, *random_batch(model, 3))


def test_small_kernels_are_instantiated_large_are_factored():
    import tensorflow as tf

    from ecgexp.clipping.convolution import FactoredKernelGradient
    from ecgexp.clipping.gradients import Instantiated
    from ecgexp.clipping.registry import RULES

    def form(length, channels, filters):
        layer = tf.keras.layers.Conv1D(filters, 5, padding="same")
        inputs = tf.zeros([2, length, channels])
        outputs = layer(inputs)
        return type(RULES[type(layer)].gradients(layer, inputs, outputs, 1)[0][1])

    assert form(180, 1, 32) is Instantiated
    assert form(22, 96, 128) is FactoredKernelGradient


def _shared(kind):
    import tensorflow as tf

    L = tf.keras.layers
    inputs = {"x": L.Input((8, 4), name="x"), "z": L.Input((8, 4), name="z")}
    layer = {
        "dense": L.Dense(4),
        "conv": L.Conv1D(4, 3, padding="same"),
        "norm": L.GroupNormalization(2),
    }[kind]
    x = L.Activation("tanh")(layer(inputs["x"]))
    outputs = [layer(x), layer(inputs["z"])]
    return tf.keras.Model(inputs, L.Dense(3)(L.Flatten()(L.Add()(outputs))))


@pytest.mark.parametrize("kind", ["dense", "conv", "norm"])
def test_layer_used_three_times_is_clipped_by_its_sum(kind, random_batch, assert_agrees):
    model = _shared(kind)
    assert_agrees(model, *random_batch(model, 4), methods=ALL)


def test_conv_used_at_two_lengths_is_clipped_by_its_sum(random_batch, assert_agrees):
    import tensorflow as tf

    L = tf.keras.layers
    x = L.Input((12, 3), name="x")
    conv = L.Conv1D(64, 5, padding="same")  # large enough for a Gram norm if used once
    joined = L.Concatenate(axis=1)([conv(x), conv(L.MaxPooling1D(2)(x))])
    model = tf.keras.Model(x, L.Dense(3)(L.GlobalMaxPooling1D()(joined)))
    assert_agrees(model, *random_batch(model, 4))


def test_nested_model_and_frozen_layer_agree_with_the_loop(random_batch, assert_agrees):
    import tensorflow as tf

    L = tf.keras.layers
    inner = tf.keras.Sequential([L.Input((6, 2)), L.Conv1D(4, 3), L.LeakyReLU()])
    x = L.Input((6, 2), name="x")
    frozen = L.Dense(4, trainable=False)
    model = tf.keras.Model(x, L.Dense(3)(L.Flatten()(frozen(inner(x)))))
    assert len(model.trainable_variables) == 4
    assert_agrees(model, *random_batch(model, 4), methods=ALL)


def test_embedding_agrees_with_the_loop(assert_agrees):
    import numpy as np
    import tensorflow as tf

    L = tf.keras.layers
    model = tf.keras.Sequential(
        [L.Input((5,), name="x", dtype="int32"), L.Embedding(7, 3), L.Flatten(), L.Dense(2)]
    )
    symbols = tf.constant(np.random.default_rng(0).integers(0, 7, (4, 5)), tf.int32)
    assert_agrees(model, {"x": symbols}, tf.constant([0, 1, 1, 0]))
