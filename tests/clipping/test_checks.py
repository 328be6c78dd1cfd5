"""What cannot be clipped exactly is refused, by the name of the layer and with the thing to type."""

import pytest

from ecgexp._validate import ConfigError

pytestmark = pytest.mark.tf


def model_with(*layers):
    import tensorflow as tf

    return tf.keras.Sequential(
        [tf.keras.layers.Input((6, 2)), *layers, tf.keras.layers.Flatten(), tf.keras.layers.Dense(3)]
    )


def refused(model, loss_fn, match, **kwargs):
    from ecgexp.clipping.base import build_clipper

    with pytest.raises(ConfigError, match=match):
        build_clipper(model, loss_fn, **{"l2_norm_clip": 1.0, **kwargs})


@pytest.mark.parametrize("method", ["ghost", "vectorized", "microbatch"])
def test_batch_normalization_is_refused_by_name(method, loss_fn):
    import tensorflow as tf

    model = model_with(tf.keras.layers.BatchNormalization(name="norm0"))
    refused(
        model, loss_fn, r"'norm0' \(BatchNormalization\) mixes the examples.*model\.normalization=group", method=method
    )


def test_batch_normalization_in_a_nested_model_is_refused(loss_fn):
    import tensorflow as tf

    inner = tf.keras.Sequential([tf.keras.layers.Input((6, 2)), tf.keras.layers.BatchNormalization(name="deep")])
    refused(model_with(inner), loss_fn, "'deep'")


def test_unknown_layers_are_refused(loss_fn):
    import tensorflow as tf

    class MeanOverBatch(tf.keras.layers.Layer):
        def call(self, inputs):
            return inputs - tf.reduce_mean(inputs, 0, keepdims=True)

    class MyDense(tf.keras.layers.Dense):
        pass

    refused(
        model_with(MeanOverBatch(name="mean")), loss_fn, "'mean' .* not known to keep the examples of a batch apart"
    )
    refused(model_with(tf.keras.layers.Lambda(lambda x: x, name="any")), loss_fn, "'any' .*not known")
    refused(model_with(MyDense(4, name="mine")), loss_fn, "'mine' .* has weights but no rule")


def test_an_operation_on_tensors_is_refused(loss_fn):
    import tensorflow as tf

    x = tf.keras.Input((4,))
    model = tf.keras.Model(x, tf.keras.layers.Dense(3)(x - tf.reduce_mean(x, 0)))
    refused(model, loss_fn, "not known to keep the examples of a batch apart")


@pytest.mark.parametrize(
    "code",
    ["L.LayerNormalization(axis=0)", "L.Softmax(axis=0)", "L.Softmax(axis=-3)", "L.LayerNormalization(axis=[0, 2])"],
)
def test_the_axis_of_the_examples_is_refused(code, loss_fn):
    import tensorflow as tf

    x = tf.keras.Input((6, 2), batch_size=4)
    layer = eval(code, {"L": tf.keras.layers})  # noqa: S307
    model = tf.keras.Model(x, tf.keras.layers.Dense(3)(tf.keras.layers.Flatten()(layer(x))))
    refused(model, loss_fn, "mixes the examples")


def test_concatenation_of_examples_is_refused(loss_fn):
    import tensorflow as tf

    x = tf.keras.Input((4,))
    model = tf.keras.Model(x, tf.keras.layers.Dense(3)(tf.keras.layers.Concatenate(axis=0, name="joined")([x, x])))
    refused(model, loss_fn, "'joined' .*axis")


def test_weight_regularisers_are_refused_unless_they_are_public_terms(loss_fn):
    import numpy as np
    import tensorflow as tf

    from ecgexp.clipping.base import build_clipper
    from ecgexp.clipping.checks import public_penalty_gradients

    model = model_with(tf.keras.layers.Conv1D(4, 3, kernel_regularizer=tf.keras.regularizers.l2(0.1)))
    refused(model, loss_fn, r"1 regularisation loss.*model\.l2=0.*public_penalty=True")
    build_clipper(model, loss_fn, l2_norm_clip=1.0, public_penalty=True)
    penalty = public_penalty_gradients(model)
    np.testing.assert_allclose(penalty[0], 0.2 * model.trainable_variables[0].numpy(), rtol=1e-6)
    assert all(not np.any(gradient) for gradient in penalty[1:])


def test_activity_regularisers_are_refused_even_with_public_terms(loss_fn):
    import tensorflow as tf

    model = model_with(tf.keras.layers.Dense(4, name="active", activity_regularizer="l2"))
    refused(model, loss_fn, "'active' .*activity_regularizer", public_penalty=True)


@pytest.mark.parametrize("method", ["ghost", "vectorized", "microbatch"])
def test_reduced_losses_are_refused(method, random_batch):
    import tensorflow as tf

    from ecgexp.clipping.base import build_clipper

    model = model_with()
    features, labels = random_batch(model, 4)
    mean = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for loss in (mean, lambda y, p: mean(y, p)[tf.newaxis]):
        if method != "ghost" and loss is not mean:  # in a loop over units, one value is one for each
            continue
        clipper = build_clipper(model, loss, l2_norm_clip=1.0, method=method)
        with pytest.raises(ConfigError, match=r"already reduced.*reduction='none'"):
            clipper(features, labels, tf.ones(4))


def test_settings_out_of_bounds_are_refused(loss_fn):
    model = model_with()
    for clip in (0.0, -1.0, float("nan")):
        refused(model, loss_fn, r"privacy\.l2_norm_clip=.* must be above 0", l2_norm_clip=clip)
    refused(model, loss_fn, r"trainer\.clipping=fast", method="fast")
    refused(model, loss_fn, r"trainer\.augmentation_multiplicity=0", views=0)


def test_models_that_cannot_be_read_are_refused(loss_fn):
    import tensorflow as tf

    L = tf.keras.layers
    deferred = tf.keras.Sequential([L.Dense(3)])

    class Own(tf.keras.Model):
        def call(self, inputs):
            return super().call(inputs)

    x = tf.keras.Input((4,))
    refused(deferred, loss_fn, "not a graph of layers")
    refused(Own(x, L.Dense(3)(x)), loss_fn, "without overriding call")
    refused(tf.keras.Model(x, [L.Dense(3)(x), L.Dense(3)(x)]), loss_fn, "2 outputs")
    length = tf.keras.Input((None, 2))
    refused(tf.keras.Model(length, L.Dense(3)(L.GlobalMaxPooling1D()(length))), loss_fn, "unknown length")
    refused(model_with(L.Conv1D(2, 3, dtype="float16", name="half")), loss_fn, "'half' .*float16")
    refused(model_with(L.Embedding(5, 2, mask_zero=True)), loss_fn, "mask_zero")


def test_a_missing_feature_is_named(loss_fn, random_batch):
    import tensorflow as tf

    from ecgexp.clipping.base import build_clipper

    x = tf.keras.Input((4,), name="signal")
    model = tf.keras.Model({"signal": x}, tf.keras.layers.Dense(3)(x))
    with pytest.raises(ConfigError, match="'signal'.*among the features.*'picture'"):
        build_clipper(model, loss_fn, l2_norm_clip=1.0)({"picture": tf.zeros([2, 4])}, tf.zeros(2), tf.ones(2))
