"""Layers without a rule are clipped one unit at a time, or refused if they mix or keep state."""

import re

import numpy as np
import pytest

from ecgexp.settings.declaration import ConfigError


def layers():
    """The names that the code of a layer below may use."""
    import tensorflow as tf

    L = tf.keras.layers

    class Attention(L.Layer):
        """Self-attention over the positions of a row, with layers inside it."""

        def __init__(self, axis=1, **kwargs):
            super().__init__(**kwargs)
            self.query, self.value, self.over = L.Dense(3), L.Dense(2), axis

        def call(self, x):
            if self.over == 0:  # over the rows of the batch
                x = tf.transpose(x, [1, 0, 2])
            query = self.query(x)
            found = tf.matmul(
                tf.nn.softmax(tf.matmul(query, query, transpose_b=True)), self.value(x)
            )
            return tf.transpose(found, [1, 0, 2]) if self.over == 0 else found

    class Own(L.Layer):
        """Calls a function, with a weight."""

        def __init__(self, function, **kwargs):
            super().__init__(**kwargs)
            self.function, self.scale = function, self.add_weight("scale", (), initializer="ones")

        def call(self, x):
            return self.function(self, x)

    class Renamed(L.BatchNormalization):
        """Batch normalization under another name."""

    class Dense(L.Dense):
        """A subclass of a known layer."""

    state = tf.Variable(0.0)
    return {"L": L, "tf": tf, "np": np, "Attention": Attention, "Own": Own, "Renamed": Renamed,
            "Dense": Dense, "state": state}  # fmt: skip


def model_with(code):
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)
    names = layers()
    x = names["L"].Input((6, 2), name="signal")
    between = eval(code, names)  # noqa: S307
    y = between(x) if callable(between) else between
    flat = names["L"].Flatten()(y)
    return tf.keras.Model({"signal": x}, names["L"].Dense(3)(flat))


PER_EXAMPLE = {
    "attention with layers inside": "Attention()",
    "a subclass of a dense layer": "Dense(4, activation='relu')",
    # LRN is computed in a loop over units.
    "a function with a weight": "Own(lambda self, x: self.scale * tf.nn.lrn(x[..., None])[..., 0])",
    "a lambda layer": "L.Lambda(lambda x: x * tf.reduce_sum(x, 1, keepdims=True))",
    "operations on tensors": "lambda x: (2.0 * x - tf.reduce_mean(x, axis=1, keepdims=True))",
    "a recurrent layer": "L.SimpleRNN(2)",
    "a layer around another": "L.TimeDistributed(L.Dense(2))",
}

REFUSED = {
    "mean of the batch": (
        "Own(lambda self, x: self.scale * (x - tf.reduce_mean(x, 0, keepdims=True)))",
        r"one example changes when another.*use activations",
    ),
    "attention between examples": ("Attention(axis=0)", "one example changes when another"),
    "operation on tensors": (
        "lambda x: x - tf.reduce_mean(x, axis=0, keepdims=True)",
        "one example changes when another",
    ),
    "neighbor in the batch": ("L.Lambda(lambda x: tf.roll(x, 1, 0))", "one example changes"),
    "batch normalization by another name": ("Renamed()", r"AssignSubVariableOp.*; use a function"),
    "state": (
        "Own(lambda self, x: x + state.assign_add(tf.reduce_mean(x)))",
        "AssignAddVariableOp, which may keep state",
    ),
    "random numbers": (
        "Own(lambda self, x: x + tf.random.normal(tf.shape(x)))",
        "RandomStandardNormal.*; use a function",
    ),
    "Python": (
        "Own(lambda self, x: tf.ensure_shape(tf.numpy_function(np.abs, [x], x.dtype), x.shape))",
        "PyFunc.*; use a function",
    ),
    "a loss of the data": (
        "Own(lambda self, x: self.add_loss(tf.reduce_sum(x)) or x)",
        "adds a loss of the data.*; use a loss=",
    ),
    "a metric": (
        "Own(lambda self, x: self.add_metric(tf.reduce_sum(x), name='sum') or x)",
        "which may keep state",
    ),
    "dropout inside": ("L.Bidirectional(L.LSTM(2, dropout=0.5))", "logged seed.*; use "),
}


@pytest.mark.parametrize("code", PER_EXAMPLE.values(), ids=PER_EXAMPLE.keys())
def test_unknown_layer_of_single_examples_is_clipped_exactly(
    code, random_batch, assert_agrees, caplog
):
    model = model_with(code)
    features, labels = random_batch(model, 4, scale=3.0)
    assert_agrees(model, features, labels, views=1 if "RNN" in code else 2)
    assert "no clipping rule" in caplog.text
    assert "Using a while_loop" not in caplog.text
    assert f"clipping={'microbatch' if 'RNN' in code else 'vectorized'}" in caplog.text
    assert re.search(r"slower: about \d to \d times", caplog.text)


@pytest.mark.parametrize("method", ["ghost", "microbatch"])
@pytest.mark.parametrize(("code", "match"), REFUSED.values(), ids=REFUSED.keys())
def test_unknown_layer_that_mixes_or_keeps_state_is_refused(code, match, method, loss_fn):
    from ecgexp.clipping.build import build_clipper

    with pytest.raises(ConfigError, match=f"^model: .*{match}"):
        build_clipper(
            model_with(code), loss_fn, l2_norm_clip=1.0, method=method, public_penalty=True
        )


def test_layer_that_mixes_only_what_no_probe_tries_is_harmless(random_batch, loss_fn):
    """The probe misses it; each unit is computed alone, so the sum still moves by the clip only."""
    import tensorflow as tf

    from ecgexp.clipping.build import build_clipper

    model = model_with(
        "Own(lambda self, x: tf.where(tf.reduce_max(x) > 1e5, x * tf.reduce_max(x), x))"
    )
    clip = build_clipper(model, loss_fn, l2_norm_clip=1.0)
    features, labels = random_batch(model, 5)
    huge = {"signal": tf.concat([features["signal"][:4], 1e6 * features["signal"][4:]], 0)}
    with_it, without = (
        clip(huge, labels, tf.constant([1.0, 1, 1, 1, last])).gradients for last in (1, 0)
    )
    plain = clip(features, labels, tf.constant([1.0, 1, 1, 1, 0])).gradients
    moved = np.sqrt(
        sum(np.sum((a.numpy() - b.numpy()) ** 2) for a, b in zip(with_it, without, strict=True))
    )
    assert moved <= 1 + 1e-5
    for a, b in zip(without, plain, strict=True):
        np.testing.assert_array_equal(a, b)


def test_added_loss_of_a_model_is_refused(loss_fn):
    import tensorflow as tf

    from ecgexp.clipping.build import build_clipper

    x = tf.keras.Input((4,))
    model = tf.keras.Model(x, tf.keras.layers.Dense(3)(x))
    model.add_loss(tf.reduce_sum(model.output))
    with pytest.raises(ConfigError, match="adds a loss of the data"):
        build_clipper(model, loss_fn, l2_norm_clip=1.0, public_penalty=True)


def test_recurrent_layer_keeps_no_state_and_cannot_be_vectorized(loss_fn):
    from ecgexp.clipping.build import build_clipper
    from ecgexp.clipping.unknown_layers import check_unknown_layer, unknown_layers

    model = model_with("L.LSTM(2)")
    check_unknown_layer(*unknown_layers(model))
    with pytest.raises(ConfigError, match=r"=vectorized: .* a loop.*; use trainer.clipping=micro"):
        build_clipper(model, loss_fn, l2_norm_clip=1.0, method="vectorized")
