import numpy as np
import pytest

from ecgexp.models.base import restart_dropout
from ecgexp.models.cnn1d import Cnn1d
from ecgexp.models.cnn2d import Cnn2d
from ecgexp.models.mlp import Mlp
from ecgexp.models.resnet1d import Resnet1d

SIGNAL, IMAGE, RR = {"signal": (180, 1)}, {"image": (64, 64, 1)}, {"rr": (4,)}
BUILDERS = [(Cnn1d, SIGNAL), (Cnn2d, IMAGE), (Resnet1d, SIGNAL)]


def features(shapes, rows=3):
    rng = np.random.default_rng(0)
    return {
        name: rng.standard_normal((rows, *shape)).astype(np.float32)
        for name, shape in shapes.items()
    }


@pytest.mark.parametrize(("builder", "shapes"), BUILDERS)
@pytest.mark.parametrize("with_rr", [False, True])
def test_every_model_gives_one_logit_a_class(builder, shapes, with_rr):
    shapes = shapes | (RR if with_rr else {})
    assert builder().build(shapes, 5)(features(shapes)).shape == (3, 5)


def test_mlp_takes_handcrafted_features():
    shapes = {"handcrafted": (7,)}
    model = Mlp().build(shapes, 4)
    assert model(features(shapes)).shape == (3, 4)
    assert model.count_params() == 7 * 32 + 32 + 32 * 32 + 32 + 32 * 4 + 4
    assert [layer.name for layer in Mlp(units=(8,), dropout=0.0).build(shapes, 4).layers] == [
        "handcrafted",
        "dense0",
        "logits",
    ]


def test_sizes_are_those_the_documentation_states():
    assert Cnn1d().build(SIGNAL, 5).count_params() == 96_165
    assert Cnn2d(normalization="batch").build(IMAGE, 6).count_params() == pytest.approx(
        5.57e6, rel=0.002
    )
    assert Resnet1d().build(SIGNAL, 5).count_params() == pytest.approx(240_000, rel=0.02)


def test_a_strided_stem_leaves_half_the_positions_and_the_same_weights():
    plain, strided = (Resnet1d(stem_stride=stride).build(SIGNAL, 5) for stride in (1, 2))
    assert strided.get_layer("stem").output.shape[1] == -(
        -plain.get_layer("stem").output.shape[1] // 2
    )
    assert [w.shape for w in strided.get_weights()] == [w.shape for w in plain.get_weights()]


@pytest.mark.parametrize(("pooled_length", "positions"), [(1, 1), (12, 11), (22, 22), (100, 22)])
def test_pooling_leaves_so_many_positions_each_the_mean_of_its_span(pooled_length, positions):
    import tensorflow as tf

    model = Cnn1d(pooled_length=pooled_length).build(SIGNAL, 5)
    both = tf.keras.Model(
        model.inputs, [model.get_layer("act3").output, model.get_layer("pool").output]
    )
    before, after = (value.numpy() for value in both(features(SIGNAL)))
    assert before.shape[1:] == (22, 128)
    assert after.shape[1:] == (positions, 128)
    np.testing.assert_allclose(after, before.reshape(3, positions, -1, 128).mean(2), atol=1e-6)


@pytest.mark.parametrize(("builder", "shapes"), BUILDERS)
def test_group_normalization_keeps_the_rows_apart(builder, shapes):
    model, batch = builder().build(shapes, 5), features(shapes)
    alone = model({name: array[:1] for name, array in batch.items()}, training=False)
    np.testing.assert_allclose(model(batch, training=False)[:1], alone, atol=1e-5)


def test_dropout_masks_repeat_when_restarted():
    model, batch = Cnn1d(dropout=0.5).build(SIGNAL, 5), features(SIGNAL)
    restart_dropout(model, 7)
    first, second = model(batch, training=True).numpy(), model(batch, training=True).numpy()
    restart_dropout(model, 7)
    np.testing.assert_array_equal(model(batch, training=True), first)
    assert not np.array_equal(first, second)


def test_no_two_dropout_layers_share_a_stream():
    """A shared stream would tie the masks of one beat to those of another, and with them their
    parts of a private sum.
    """
    from ecgexp.models.dropout import Dropout

    model = Resnet1d(dropout=0.5).build(SIGNAL, 5)
    restart_dropout(model, 7)
    layers = [layer for layer in model.layers if isinstance(layer, Dropout)]
    first, second = (
        np.asarray(layer(np.ones((1, 4096), np.float32), training=True))[0] > 0
        for layer in layers[:2]
    )
    agreements = [np.mean(first[shift:] == second[: len(second) - shift]) for shift in range(64)]
    assert (
        max(agreements) < 0.6
    )  # chance gives 0.5 ± 0.008; 64 shifts reach 0.6 less than once in 10^30


def test_kernels_must_match_filters():
    with pytest.raises(ValueError, match=r"model\.kernel_sizes=\[3\] must have one entry for each"):
        Cnn1d(filters=(4, 8), kernel_sizes=(3,))


def test_dropout_in_nested_models_is_restarted():
    import tensorflow as tf

    from ecgexp.models.dropout import Dropout

    L = tf.keras.layers
    innermost = tf.keras.Sequential([L.Input((64,)), Dropout(0.5)])
    middle = tf.keras.Sequential([L.Input((64,)), innermost, Dropout(0.5)])
    wrapped = L.TimeDistributed(Dropout(0.5))
    x = L.Input((64,))
    model = tf.keras.Model(x, L.Flatten()(wrapped(L.Reshape((1, 64))(middle(x)))))
    ones = np.ones((2, 64), np.float32)
    masks = []
    for seed in (7, 8, 7):
        restart_dropout(model, seed)
        masks.append(model(ones, training=True).numpy())
    np.testing.assert_array_equal(masks[0], masks[2])
    assert not np.array_equal(masks[0], masks[1])
    states = {
        tuple(layer._get_generator().state.numpy())
        for layer in model._flatten_layers()
        if isinstance(layer, Dropout)
    }
    assert len(states) == 3
