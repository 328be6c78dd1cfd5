"""All clipping methods agree with a loop over examples, on shipped and on random architectures."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ALL = ("ghost", "vectorized", "microbatch")


def _project_model(name):
    from ecgexp.models.cnn1d import Cnn1d
    from ecgexp.models.cnn2d import Cnn2d
    from ecgexp.models.mlp import Mlp
    from ecgexp.models.resnet1d import Resnet1d

    signal = {"signal": (48, 2), "rr": (4,)}
    if name == "mlp":
        return Mlp(units=(8, 6), dropout=0.0).build({"handcrafted": (7,)}, 4)
    if name == "cnn1d":
        return Cnn1d(filters=(8, 16, 64), kernel_sizes=(7, 5, 5), dropout=0.0).build(signal, 5)
    if name == "resnet1d":
        return Resnet1d(filters=(8, 16, 48), dropout=0.0).build(signal, 5)
    if name == "resnet1d, strided stem":
        return Resnet1d(filters=(8, 16), stem_stride=2, dropout=0.0).build(signal, 5)
    return Cnn2d(filters=(8, 32), dense_units=16, dropouts=(0, 0, 0)).build(
        {"image": (16, 16, 1), "rr": (4,)}, 5
    )


@pytest.mark.parametrize("name", ["cnn1d", "cnn2d", "resnet1d", "resnet1d, strided stem", "mlp"])
def test_all_methods_agree_with_the_loop_on_shipped_models(name, random_batch, assert_agrees):
    model = _project_model(name)
    assert_agrees(model, *random_batch(model, 10), views=2, methods=ALL)


def test_recorded_forward_pass_equals_the_model(random_batch):
    import numpy as np
    import tensorflow as tf

    from ecgexp.clipping.graph import ordered_inputs, run_recorded

    for name in ("cnn1d", "cnn2d", "resnet1d"):
        model = _project_model(name)
        features, _ = random_batch(model, 5)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            outputs, uses = run_recorded(model, ordered_inputs(model, features), tape)
        np.testing.assert_allclose(outputs, model(features, training=True), rtol=1e-4, atol=1e-5)
        assert len(uses) == sum(bool(layer.trainable_weights) for layer in model.layers)


BLOCK = st.tuples(
    st.sampled_from(["conv", "depthwise", "dense", "separable"]),
    st.sampled_from([2, 4, 32]),  # channels
    st.integers(1, 4),  # kernel
    st.sampled_from([(1, 1), (2, 1), (1, 2)]),  # stride, dilation
    st.sampled_from(["same", "valid"]),
    st.sampled_from(["none", "group", "layer"]),
    st.booleans(),  # residual
)


def _drawn_model(blocks, dimensions):
    import tensorflow as tf

    L = tf.keras.layers
    tf.keras.utils.set_random_seed(0)
    sizes = {1: (17,), 2: (9, 8)}[dimensions]
    x = start = L.Input((*sizes, 2), name="x")
    for kind, channels, kernel, (stride, dilation), padding, norm, residual in blocks:
        before, kwargs = x, {"strides": stride, "dilation_rate": dilation, "padding": padding}
        if min(x.shape[1:-1]) < (kernel - 1) * dilation + 1:
            kwargs["padding"] = "same"
        if kind == "dense":
            x = L.Dense(channels)(x)
        elif kind == "depthwise":
            x = getattr(L, f"DepthwiseConv{dimensions}D")(kernel, **kwargs)(x)
        else:
            x = getattr(L, f"{kind.title()}{'Conv' if kind == 'separable' else ''}{dimensions}D")(
                channels, kernel, **kwargs
            )(x)
        if norm != "none":
            x = L.GroupNormalization(2)(x) if norm == "group" else L.LayerNormalization()(x)
        x = L.Activation("tanh")(x)
        if residual and x.shape[1:] == before.shape[1:]:
            x = L.Add()([x, before])
    pool = L.GlobalAveragePooling1D if dimensions == 1 else L.GlobalMaxPooling2D
    return tf.keras.Model(start, L.Dense(3)(pool()(x)))


@settings(
    max_examples=12,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    blocks=st.lists(BLOCK, min_size=1, max_size=3),
    dimensions=st.sampled_from([1, 2]),
    views=st.sampled_from([1, 2]),
)
def test_ghost_agrees_with_the_loop_on_random_models(
    blocks, dimensions, views, random_batch, assert_agrees
):
    model = _drawn_model(blocks, dimensions)
    assert_agrees(model, *random_batch(model, 4), views=views)


@settings(
    max_examples=3,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(blocks=st.lists(BLOCK, min_size=1, max_size=2), dimensions=st.sampled_from([1, 2]))
def test_all_methods_agree_with_the_loop_on_random_models(
    blocks, dimensions, random_batch, assert_agrees
):
    model = _drawn_model(blocks, dimensions)
    assert_agrees(model, *random_batch(model, 6), views=2, methods=ALL)
