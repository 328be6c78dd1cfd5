"""The loss of a taught network, and that every trainer accepts the teacher's probabilities."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from ecgexp.training.loss import CrossEntropy, Distillation, classes_of, with_teacher

LABELS = np.array([0, 2, 1, 1])
TEACHER = np.random.default_rng(0).dirichlet(np.ones(3), 4).astype(np.float32)
LOGITS = tf.constant(np.random.default_rng(1).standard_normal((4, 3)), tf.float32)


@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_loss_is_the_cross_entropy_of_the_mixed_target(weight):
    labels = tf.constant(with_teacher(LABELS, TEACHER))
    found = Distillation(weight=weight).build(np.ones(3))(labels, LOGITS)
    target = (1 - weight) * np.eye(3)[LABELS] + weight * TEACHER
    wanted = -(target * tf.nn.log_softmax(LOGITS).numpy()).sum(axis=1)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    np.testing.assert_array_equal(classes_of(labels), LABELS)


def test_certain_teacher_gives_the_loss_of_its_labels():
    labels = tf.constant(with_teacher(LABELS, np.eye(3)[LABELS]))
    taught = Distillation().build(np.ones(3))(labels, LOGITS)
    plain = CrossEntropy().build(np.ones(3))(tf.constant(LABELS, tf.int32), LOGITS)
    np.testing.assert_allclose(taught, plain, rtol=1e-5)


def test_labels_without_a_teacher_are_refused():
    with pytest.raises(ValueError, match="no teacher"):
        Distillation().build(np.ones(3))(tf.constant(LABELS, tf.int32), LOGITS)


def test_clipping_accepts_the_loss_and_bounds_each_row():
    from ecgexp.clipping.build import build_clipper

    inputs = tf.keras.Input((2,), name="handcrafted")
    model = tf.keras.Model({"handcrafted": inputs}, tf.keras.layers.Dense(3)(inputs))
    labels = tf.constant(with_teacher(LABELS, TEACHER))
    features = {"handcrafted": tf.constant(100 * np.ones((4, 2)), tf.float32)}
    loss = Distillation().build(np.ones(3))
    found = [
        build_clipper(model, loss, l2_norm_clip=0.5, method=method)(features, labels, tf.ones(4))
        for method in ("ghost", "microbatch")
    ]
    np.testing.assert_allclose(found[0].losses, loss(labels, model(features)), rtol=1e-4)
    for one, other in zip(found[0].gradients, found[1].gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    assert int(found[0].num_clipped) == 4


def test_trainers_take_the_labels_of_the_loss():
    from ecgexp.training.base import TrainingData

    data = TrainingData(
        features={"handcrafted": np.ones((4, 2), np.float32)},
        labels=LABELS,
        train=np.arange(4),
        class_names=("N", "S", "V"),
        record_ids=np.array(["a"] * 4),
        patient_ids=np.array(["a"] * 4),
        clients={"a": np.arange(4)},
    )
    assert data.resident.labels.dtype == tf.int32
    taught = replace(data, teacher=TEACHER)
    np.testing.assert_array_equal(taught.resident.labels, with_teacher(LABELS, TEACHER))
