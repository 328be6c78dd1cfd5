"""Trainings in a row are what each of them would be alone."""

import numpy as np
import pytest
from toy import CLASSES, build_toy_model, toy_data

from ecgexp.augmentation import NoAugmentation
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.settings import NotPrivate
from ecgexp.seeding import Seeds
from ecgexp.training.centralized import Centralized
from ecgexp.training.loss import CrossEntropy

SETTINGS = Centralized(
    epochs=3, batch_size=32, optimizer="adam", learning_rate=0.02, schedule="constant"
)


def parts(num_train=210):
    data = toy_data(num_train=num_train)
    loss = CrossEntropy().build(np.bincount(data.labels[data.train], minlength=len(CLASSES)))
    return data, {
        "build_model": build_toy_model,
        "loss": loss,
        "augmentation": NoAugmentation(),
        "seeds": Seeds(0),
    }


@pytest.fixture(scope="module")
def retraining():
    from ecgexp.training.retraining import Retraining

    data, rest = parts()
    return Retraining(SETTINGS, data, **rest)


def trained(retraining, rows, rates, start=None):
    *_, last = retraining.train(np.asarray(rows), rates, start=start, on_progress=lambda **_: None)
    return last.weights()


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("num_train", [210, 60])
def test_it_is_centralized_training_of_the_rows_bit_for_bit_whatever_was_trained_before(
    retraining, num_train
):
    trained(retraining, np.arange(100, 150), [0.05])
    data, rest = parts(num_train)
    ledger = Ledger(SETTINGS.plan(NotPrivate(), data))
    *_, last = SETTINGS.train(data, ledger=ledger, on_progress=lambda **_: None, **rest)
    assert same(trained(retraining, np.arange(num_train), [0.02] * 3), last.weights())


def test_each_pass_has_its_own_rate(retraining):
    two = trained(retraining, range(60), [0.02, 0.02])
    still = trained(retraining, range(60), [0.02, 0.02, 0.0])
    assert same(two, still)
    assert not same(two, trained(retraining, range(60), [0.02, 0.01]))


def test_retraining_begins_at_the_given_weights(retraining):
    start = [weight + 1 for weight in build_toy_model().get_weights()]
    assert same(trained(retraining, range(60), [0.0], start=start), start)
    assert same(trained(retraining, range(60), [0.0]), build_toy_model().get_weights())


def test_a_single_row_is_trained_on_like_two_of_it(retraining):
    assert same(trained(retraining, [7], [0.02]), trained(retraining, [7, 7], [0.02]))
