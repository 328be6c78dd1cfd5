import numpy as np
import pytest

from ecgexp.training.loss import CrossEntropy

COUNTS = np.array([90, 9, 1])


def value(loss, label, logits):
    return float(loss.build(COUNTS)(np.array([label]), np.array([logits], np.float32))[0])


def test_one_value_for_each_example():
    losses = CrossEntropy().build(COUNTS)(np.array([0, 2]), np.zeros((2, 3), np.float32))
    np.testing.assert_allclose(losses, [np.log(3)] * 2, rtol=1e-6)


def test_focal_loss_is_that_of_its_paper():
    p = np.exp([2.0, 1.0, 0.0]) / np.exp([2.0, 1.0, 0.0]).sum()
    assert value(CrossEntropy(focal_gamma=2.0), 0, [2, 1, 0]) == pytest.approx(
        -((1 - p[0]) ** 2) * np.log(p[0]), rel=1e-5
    )


def test_label_smoothing_spreads_the_mass():
    log_p = np.log(np.exp([2.0, 1.0, 0.0]) / np.exp([2.0, 1.0, 0.0]).sum())
    assert value(CrossEntropy(label_smoothing=0.3), 0, [2, 1, 0]) == pytest.approx(
        -(0.8 * log_p[0] + 0.1 * log_p[1] + 0.1 * log_p[2]), rel=1e-5
    )


def test_balanced_weights_give_every_class_the_same_sum():
    weights = CrossEntropy(class_weights="balanced").weights(COUNTS)
    np.testing.assert_allclose(weights * COUNTS, [100 / 3] * 3, rtol=1e-6)
    assert CrossEntropy().weights(COUNTS).tolist() == [1, 1, 1]


def test_a_class_without_training_beats_does_not_divide_by_zero():
    assert np.isfinite(CrossEntropy(class_weights="balanced").weights(np.array([5, 0]))).all()
