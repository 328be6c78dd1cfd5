"""Models, losses and settings that cannot be clipped exactly are rejected with a remedy."""

import numpy as np
import pytest

from ecgexp.settings.declaration import ConfigError


def model_with(*layers):
    import tensorflow as tf

    return tf.keras.Sequential(
        [
            tf.keras.layers.Input((6, 2)),
            *layers,
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(3),
        ]
    )


def assert_rejected(model, loss_fn, match, **kwargs):
    from ecgexp.clipping.build import build_clipper

    with pytest.raises(ConfigError, match=match):
        build_clipper(model, loss_fn, **{"l2_norm_clip": 1.0, **kwargs})


@pytest.mark.parametrize("method", ["ghost", "vectorized", "microbatch"])
def test_batch_normalization_is_rejected(method, loss_fn):
    import tensorflow as tf

    model = model_with(tf.keras.layers.BatchNormalization(name="norm0"))
    assert_rejected(
        model,
        loss_fn,
        r"'norm0' \(BatchNormalization\) mixes the examples.*model\.normalization=group",
        method=method,
    )


def test_batch_normalization_in_a_nested_model_is_rejected(loss_fn):
    import tensorflow as tf

    inner = tf.keras.Sequential(
        [tf.keras.layers.Input((6, 2)), tf.keras.layers.BatchNormalization(name="deep")]
    )
    assert_rejected(model_with(inner), loss_fn, "'deep'")


@pytest.mark.parametrize(
    "code",
    [
        "L.LayerNormalization(axis=0)",
        "L.Softmax(axis=0)",
        "L.Softmax(axis=-3)",
        "L.LayerNormalization(axis=[0, 2])",
    ],
)
def test_layer_along_the_batch_axis_is_rejected(code, loss_fn):
    import tensorflow as tf

    x = tf.keras.Input((6, 2), batch_size=4)
    layer = eval(code, {"L": tf.keras.layers})  # noqa: S307
    model = tf.keras.Model(x, tf.keras.layers.Dense(3)(tf.keras.layers.Flatten()(layer(x))))
    assert_rejected(model, loss_fn, "mixes the examples.*use axis=-1")


def test_concatenation_of_examples_is_rejected(loss_fn):
    import tensorflow as tf

    x = tf.keras.Input((4,))
    model = tf.keras.Model(
        x, tf.keras.layers.Dense(3)(tf.keras.layers.Concatenate(axis=0, name="joined")([x, x]))
    )
    assert_rejected(model, loss_fn, "'joined' .*use axis=-1")


def test_weight_regularizers_need_public_penalty(loss_fn):
    import numpy as np
    import tensorflow as tf

    from ecgexp.clipping.build import build_clipper
    from ecgexp.clipping.checks import public_penalty_gradients

    model = model_with(
        tf.keras.layers.Conv1D(4, 3, kernel_regularizer=tf.keras.regularizers.l2(0.1))
    )
    assert_rejected(model, loss_fn, r"1 regularization loss.*model\.l2=0.*public_penalty=True")
    build_clipper(model, loss_fn, l2_norm_clip=1.0, public_penalty=True)
    penalty = public_penalty_gradients(model)
    np.testing.assert_allclose(penalty[0], 0.2 * model.trainable_variables[0].numpy(), rtol=1e-6)
    assert all(not np.any(gradient) for gradient in penalty[1:])


def test_activity_regularizers_are_always_rejected(loss_fn):
    import tensorflow as tf

    model = model_with(tf.keras.layers.Dense(4, name="active", activity_regularizer="l2"))
    assert_rejected(
        model, loss_fn, "'active' .*activity_regularizer.*remove it", public_penalty=True
    )


@pytest.mark.parametrize("method", ["ghost", "vectorized", "microbatch"])
def test_reduced_losses_are_rejected(method):
    import tensorflow as tf

    from ecgexp.clipping.build import build_clipper

    model = model_with()
    mean = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for loss in (mean, lambda y, p: mean(y, p)[tf.newaxis]):
        with pytest.raises(ConfigError, match=r"already reduced.*reduction='none'"):
            build_clipper(model, loss, l2_norm_clip=1.0, method=method)


def test_settings_out_of_bounds_are_rejected(loss_fn):
    model = model_with()
    for clip in (0.0, -1.0, float("nan")):
        assert_rejected(
            model, loss_fn, r"privacy\.l2_norm_clip=.* must be above 0", l2_norm_clip=clip
        )
    assert_rejected(model, loss_fn, r"trainer\.clipping=fast", method="fast")
    assert_rejected(model, loss_fn, r"trainer\.augmentation_multiplicity=0", views=0)


def test_models_without_a_layer_graph_are_rejected(loss_fn):
    import tensorflow as tf

    L = tf.keras.layers
    deferred = tf.keras.Sequential([L.Dense(3)])

    class Own(tf.keras.Model):
        def call(self, inputs):
            return super().call(inputs)

    class Called(tf.keras.Model):
        def __call__(self, inputs, training=None):
            return super().__call__(inputs, training=training)

    x = tf.keras.Input((4,))
    assert_rejected(deferred, loss_fn, "not a graph of layers")
    assert_rejected(Own(x, L.Dense(3)(x)), loss_fn, "without overriding or replacing call")
    assert_rejected(Called(x, L.Dense(3)(x)), loss_fn, "without overriding or replacing call")
    for replaced in (inner := model_with(), tf.keras.Model(x, L.Dense(3)(x))):
        replaced.call = lambda inputs, training=None, mask=None: inputs
    assert_rejected(replaced, loss_fn, "without overriding or replacing call")
    whole = L.Input((6, 2))
    assert_rejected(
        tf.keras.Model(whole, L.Dense(3)(inner(whole))),
        loss_fn,
        "without overriding or replacing call",
    )
    assert_rejected(tf.keras.Model(x, [L.Dense(3)(x), L.Dense(3)(x)]), loss_fn, "2 outputs")
    length = tf.keras.Input((None, 2))
    assert_rejected(
        tf.keras.Model(length, L.Dense(3)(L.GlobalMaxPooling1D()(length))),
        loss_fn,
        "unknown length",
    )
    assert_rejected(
        model_with(L.Conv1D(2, 3, dtype="float16", name="half")), loss_fn, "'half' .*float16"
    )
    assert_rejected(model_with(L.Embedding(5, 2, mask_zero=True)), loss_fn, "mask_zero")


def test_missing_feature_is_named_in_the_error(loss_fn, random_batch):
    import tensorflow as tf

    from ecgexp.clipping.build import build_clipper

    x = tf.keras.Input((4,), name="signal")
    model = tf.keras.Model({"signal": x}, tf.keras.layers.Dense(3)(x))
    with pytest.raises(ConfigError, match=r"features: .*'signal'.*not among.*'image'.*use"):
        build_clipper(model, loss_fn, l2_norm_clip=1.0)(
            {"image": tf.zeros([2, 4])}, tf.zeros(2), tf.ones(2)
        )


MIXING = {
    "norm of the batch": "L.Activation(lambda x: tf.nn.l2_normalize(x) * 8)",
    "mean of the batch": "L.Activation(lambda x: x - tf.reduce_mean(x, 0))",
    "softmax over the batch in a dense layer": (
        "L.Dense(4, activation=lambda x: tf.nn.softmax(x, axis=0))"
    ),
    "neighbor in a convolution": "L.Conv1D(4, 3, activation=lambda x: x + tf.roll(x, 1, 0))",
    "sorted batch": "L.SeparableConv1D(4, 3, activation=lambda x: tf.sort(x, axis=0))",
    "largest of the batch": (
        "L.EinsumDense('btc,cd->btd', (None, 4),"
        " activation=lambda x: x / (1 + tf.reduce_max(tf.abs(x))))"
    ),
    "running sum": "L.DepthwiseConv1D(3, activation=lambda x: tf.cumsum(x, 0))",
}


@pytest.mark.parametrize("method", ["ghost", "vectorized"])
@pytest.mark.parametrize("code", MIXING.values(), ids=MIXING.keys())
def test_activation_that_mixes_examples_is_rejected(code, method, loss_fn):
    import tensorflow as tf

    layer = eval(code, {"L": tf.keras.layers, "tf": tf})  # noqa: S307
    assert_rejected(
        model_with(layer),
        loss_fn,
        "model: .*one example changes when another.*use activations",
        method=method,
    )


HIDDEN = {
    "a layer as activation": (
        "L.Dense(4, activation=L.BatchNormalization())",
        "another layer.*inside it",
    ),
    "state": (
        "L.Activation(lambda x: x + state.assign_add(1.0))",
        "AssignAddVariableOp.*use a function of tensors",
    ),
    "random numbers": (
        "L.Activation(lambda x: x + tf.random.normal([]))",
        "RandomStandardNormal.*use a function",
    ),
    "state in its gradient": (
        "L.Activation(gradient(lambda g: g * state.assign_add(1.0)))",
        "AssignAddVariableOp",
    ),
    "random numbers in its gradient": (
        "L.Dense(4, activation=gradient(lambda g: g * tf.random.normal([])))",
        "RandomStandard",
    ),
    "python": (
        "L.Activation(lambda x: tf.ensure_shape(tf.py_function(np.abs, [x], x.dtype), x.shape))",
        "EagerPyFunc",
    ),
    "Keras's dropout": ("L.Dropout(0.5)", "logged seed.*ecgexp.models.dropout"),
    "Keras's noise": ("L.GaussianNoise(1.0)", "logged seed"),
    "Keras's multiplied noise": ("L.GaussianDropout(0.5)", "logged seed"),
    "Keras's alpha dropout": ("L.AlphaDropout(0.5)", "logged seed"),
    "Keras's dropout of channels": ("L.SpatialDropout1D(0.5)", "logged seed"),
    "wrapped dropout": ("L.TimeDistributed(L.Dropout(0.5))", "logged seed"),
}


@pytest.mark.parametrize(
    ("equation", "keeps"),
    [
        ("btc,cd->btd", True),
        ("...x,xy->...y", True),
        ("abc,cde->abde", True),
        ("btc,cd->tbd", False),
        ("btc,bc->btc", False),
        ("bbc,cd->bd", False),
        ("btc,cd->dbt", False),
        ("...x,...y->...y", False),
    ],
)
def test_einsum_keeps_rows_if_the_first_index_stays_first(equation, keeps):
    from ecgexp.clipping.checks import _keeps_rows

    assert _keeps_rows(equation) is keeps


@pytest.mark.parametrize("method", ["ghost", "vectorized", "microbatch"])
@pytest.mark.parametrize(("code", "match"), HIDDEN.values(), ids=HIDDEN.keys())
def test_state_and_randomness_in_known_layers_are_rejected(code, match, method, loss_fn):
    import numpy as np
    import tensorflow as tf

    def gradient(of_upstream):
        return tf.custom_gradient(lambda x: (tf.identity(x), of_upstream))

    names = {
        "L": tf.keras.layers,
        "tf": tf,
        "np": np,
        "state": tf.Variable(0.0),
        "gradient": gradient,
    }
    layer = eval(code, names)  # noqa: S307
    assert_rejected(model_with(layer), loss_fn, match, method=method)


def test_replaced_method_of_a_known_layer_is_rejected(loss_fn):
    import tensorflow as tf

    layer = tf.keras.layers.ReLU(name="mine")
    layer.call = lambda inputs: inputs - tf.reduce_mean(inputs, 0)
    assert_rejected(model_with(layer), loss_fn, "'mine' .*method call replaced")


def test_axis_is_checked_at_every_use_of_a_layer(loss_fn):
    """Axis -2 holds positions at the first use and the batch at the second; also when nested."""
    import tensorflow as tf

    L = tf.keras.layers
    softmax = L.Softmax(axis=-2, name="shared")
    x = L.Input((6, 2))
    flat = L.Flatten()(softmax(x))
    assert_rejected(
        tf.keras.Model(x, L.Dense(3)(softmax(L.Dense(4)(flat)))), loss_fn, "'shared' .*use axis=-1"
    )
    inner = L.Input((12,))
    nested = tf.keras.Model(inner, softmax(L.Dense(4)(inner)))
    assert_rejected(tf.keras.Model(x, L.Dense(3)(nested(flat))), loss_fn, "'shared' .*use axis=-1")


def test_keras_noise_in_a_nested_model_is_rejected(loss_fn):
    import tensorflow as tf

    L = tf.keras.layers
    assert_rejected(
        model_with(tf.keras.Sequential([L.Input((6, 2)), L.GaussianDropout(0.5, name="deep")])),
        loss_fn,
        "'deep'",
    )


def _by_class_counts(labels, outputs):
    import tensorflow as tf

    counts = tf.math.bincount(tf.cast(labels, tf.int32), minlength=3, dtype=tf.float32)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=outputs)
    return losses * tf.gather(1 / tf.maximum(counts, 1), labels)


def _above_batch_mean(labels, outputs):
    import tensorflow as tf

    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=outputs)
    return losses - tf.reduce_mean(losses)


def _ranking(labels, outputs):
    import tensorflow as tf

    return tf.reduce_mean(tf.nn.relu(1 - outputs[:, :1] + outputs[None, :, 0]), axis=1)


@pytest.mark.parametrize("loss", [_by_class_counts, _above_batch_mean, _ranking])
def test_loss_that_mixes_examples_is_rejected(loss):
    assert_rejected(
        model_with(), loss, "the loss of one example changes.*use activations and a loss"
    )


@pytest.mark.parametrize("seed", range(1, 9))
def test_loss_that_mixes_labels_alone_is_rejected_whatever_is_drawn(seed, monkeypatch):
    drawn = np.random.default_rng
    monkeypatch.setattr("numpy.random.default_rng", lambda _: drawn(seed))
    assert_rejected(model_with(), _by_class_counts, "the loss of one example changes")


def test_loss_with_random_numbers_is_rejected():
    import tensorflow as tf

    assert_rejected(
        model_with(),
        lambda y, p: p[:, 0] + tf.random.uniform([]),
        "loss: it runs RandomUniform.*use a function of tensors",
    )


@pytest.mark.parametrize("method", ["ghost", "vectorized"])
def test_activation_random_at_its_second_use_is_rejected(method, loss_fn):
    import tensorflow as tf

    L = tf.keras.layers
    noisy = L.Activation(lambda x: x + tf.random.normal(tf.shape(x)) if x.shape.rank == 2 else x)
    x = L.Input((6, 2))
    model = tf.keras.Model(x, L.Dense(3)(noisy(L.Flatten()(noisy(x)))))
    assert_rejected(model, loss_fn, "RandomStandardNormal", method=method)


@pytest.mark.parametrize("name", ["call", "fn"])
def test_keras_loss_with_a_replaced_function_is_unknown(name, loss_fn):
    from ecgexp.clipping.build import build_clipper
    from ecgexp.clipping.reference import VectorizedClipper

    own = getattr(loss_fn, name)
    setattr(loss_fn, name, lambda *args, **kwargs: own(*args, **kwargs))
    assert isinstance(build_clipper(model_with(), loss_fn, l2_norm_clip=1.0), VectorizedClipper)


def test_loss_of_other_labels_is_rejected():
    """Such a loss cannot be tested, so it might keep state."""

    def loss(labels, outputs):
        assert labels.shape[-1] == 7
        return outputs[:, 0]

    assert_rejected(
        model_with(), loss, "neither class numbers nor one-hot labels.*use a function of labels"
    )


def test_axis_given_as_a_tensor_is_rejected(loss_fn):
    import tensorflow as tf

    assert_rejected(
        model_with(tf.keras.layers.Softmax(axis=tf.constant(0), name="over")),
        loss_fn,
        "'over' .*axis 0",
    )


def test_unknown_callables_get_one_unit_at_a_time(random_batch, caplog):
    """A function that mixes examples only above a value that no probe reaches is safe too."""
    import numpy as np
    import tensorflow as tf

    from ecgexp.clipping.build import build_clipper
    from ecgexp.clipping.reference import VectorizedClipper
    from ecgexp.training.loss import CrossEntropy

    def mixing_large_values(x):
        return tf.where(tf.reduce_max(tf.abs(x)) > 1e5, x - tf.reduce_mean(x, 0), x)

    known = CrossEntropy().build(np.ones(3))
    model = model_with(tf.keras.layers.Activation(mixing_large_values))
    for loss in (known, lambda y, p: known(y, p)):
        clipper = build_clipper(model, loss, l2_norm_clip=1.0)
        assert isinstance(clipper, VectorizedClipper)
    assert "the activation of layer" in caplog.text
    assert "and the loss" in caplog.text
    features, labels = random_batch(model, 5)
    name, rows = next(iter(features.items()))
    huge = tf.concat([rows[:4], 1e6 * rows[4:]], 0)
    with_it, without = (
        clipper({name: huge}, labels, tf.constant([1.0, 1, 1, 1, last])).gradients
        for last in (1, 0)
    )
    plain = clipper(features, labels, tf.constant([1.0, 1, 1, 1, 0])).gradients
    moved = np.sqrt(
        sum(
            np.sum(np.square(np.float64(a) - np.float64(b)))
            for a, b in zip(with_it, without, strict=True)
        )
    )
    assert moved <= 1 + 1e-5
    for a, b in zip(without, plain, strict=True):
        np.testing.assert_array_equal(a, b)


def test_known_callables_use_book_keeping(loss_fn):
    import numpy as np
    import tensorflow as tf

    from ecgexp.clipping.build import build_clipper
    from ecgexp.clipping.ghost import GhostClipper
    from ecgexp.training.loss import CrossEntropy

    names = (
        "relu",
        "elu",
        "gelu",
        "silu",
        "tanh",
        "softmax",
        "selu",
        "mish",
        "linear",
        "swish",
        "sigmoid",
    )
    model = model_with(*(tf.keras.layers.Dense(4, activation=name) for name in names))
    for loss in (loss_fn, CrossEntropy(focal_gamma=2.0).build(np.ones(3))):
        assert isinstance(build_clipper(model, loss, l2_norm_clip=1.0), GhostClipper)


def test_probe_restores_the_dropout_generators(loss_fn):
    import numpy as np
    import tensorflow as tf

    from ecgexp.clipping.build import build_clipper
    from ecgexp.models.dropout import Dropout

    drop = Dropout(0.5)
    model = model_with(drop)
    drop.restart(5)
    before = drop._get_generator().state.numpy()
    build_clipper(model, loss_fn, l2_norm_clip=1.0)
    np.testing.assert_array_equal(drop._get_generator().state, before)
    assert tf.reduce_any(drop(tf.ones([1, 64]), training=True) == 0)
