"""One private step through the real loop, against numbers by hand and its statistics."""

import numpy as np
import pytest
from linear import Training, canaries, linear_data, prediction_loss, sgd, train_linear
from probes import CLIP, PROBES, UNITS, TenfoldViews

from ecgexp.privacy.settings import PrivacySpec
from ecgexp.settings.declaration import ConfigError


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.__name__)
def test_the_training_loop_passes_the_probe(probe):
    assert probe() is None


@pytest.mark.parametrize("method", ["vectorized", "microbatch"])
def test_the_slower_ways_of_clipping_take_the_same_step(method):
    rows = np.random.default_rng(0).normal(size=(UNITS, 6)) * np.linspace(0.1, 3, UNITS)[:, None]
    ghost, other = (
        train_linear(rows, clip=CLIP, clipping=way, physical_batch_size=7)
        for way in ("ghost", method)
    )
    np.testing.assert_allclose(other.weights, ghost.weights, rtol=1e-5)
    norms = np.linalg.norm(rows, axis=1)
    by_hand = -(rows * np.minimum(1, CLIP / norms)[:, None]).mean(axis=0)
    np.testing.assert_allclose(ghost.weights, by_hand, rtol=1e-5)
    assert ghost.epoch_results[0].train_metrics["clipped_fraction"] == pytest.approx(
        (norms > CLIP).mean()
    )
    assert ghost.epoch_results[0].train_metrics["gradient_norm"] == pytest.approx(
        norms.mean(), rel=1e-5
    )


@pytest.mark.parametrize("multiplicity", [1, 5])
def test_a_beats_gradient_is_the_mean_over_its_views(multiplicity):
    """Of size 1, 10 or 100 each.

    The mean of K is among the means there can be, and few beats have the same.
    """
    weights = train_linear(
        canaries(UNITS, UNITS, 1e-3),
        augmentation=TenfoldViews(),
        augmentation_multiplicity=multiplicity,
    ).weights
    means = -weights * UNITS / 1e-3 * multiplicity  # sums of K powers of ten
    assert np.abs(means - means.round()).max() < 1e-2
    digits = [sum(int(digit) for digit in str(int(mean.round()))) for mean in means]
    assert digits == [multiplicity] * UNITS
    assert len(set(means.round())) > 1


def test_the_divisor_is_the_expected_number_of_units_whatever_was_drawn(monkeypatch):
    from ecgexp.privacy.sampling import Sampler

    monkeypatch.setattr(Sampler, "_poisson", lambda self: np.arange(3))
    weights = train_linear(canaries(UNITS, UNITS), clip=CLIP).weights
    np.testing.assert_allclose(
        weights[:3], -CLIP / UNITS, rtol=1e-5
    )  # a bound of the norm is clipped, not the norm
    assert not weights[3:].any()


def test_rows_outside_the_training_split_are_never_touched():
    rows = canaries(UNITS, UNITS)
    rows[::2] = np.nan
    run = Training(
        linear_data(rows, train=np.arange(1, UNITS, 2)),
        sgd(expected_batch_size=10),
        PrivacySpec(noise_multiplier=0),
    )
    assert run.epoch_results[0].train_metrics["nonfinite_gradients"] == 0
    assert (run.weights != 0).sum() == 10


def test_noise_differs_between_runs_of_one_seed_and_is_the_same_under_a_noise_seed():
    rows = canaries(UNITS, UNITS)
    first, again = (train_linear(rows, noise=1.0, seed=5).weights for _ in range(2))
    assert not np.isclose(first, again).any()
    first, again = (train_linear(rows, noise=1.0, seed=5, noise_seed=0).weights for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = train_linear(rows, noise=1.0, seed=5, noise_seed=1).weights
    assert not np.isclose(first, other).any()


def test_views_with_a_guarantee_do_not_follow_from_the_seed():
    """Whoever knew them would see that one more beat gives other views to all beats after it."""
    rows = canaries(UNITS, UNITS, 1e-3)

    def views(**noise):
        run = train_linear(rows, augmentation=TenfoldViews(), seed=5, **noise)
        return np.log10(np.maximum(-run.weights * UNITS / 1e-3, 1e-3)).round().tolist()

    assert views(noise=0.0) == views(noise=0.0)
    assert views(noise=1e-5) != views(noise=1e-5)


def test_a_reduced_loss_is_refused():
    """It could only be clipped as a mean."""
    import tensorflow as tf

    for unit in ("beat", "patient"):
        privacy = PrivacySpec(noise_multiplier=1, unit=unit)
        with pytest.raises(ValueError, match="already reduced"):
            Training(
                linear_data(canaries(4, 4)),
                sgd(expected_batch_size=4),
                privacy,
                loss=lambda labels, outputs: tf.reduce_mean(prediction_loss(labels, outputs)),
            )


class Mixed(TenfoldViews):
    """Each row gets a part of the one before it, as mixup does."""

    def build(self):
        import tensorflow as tf

        def augment(features, views, seed):
            return {
                name: 0.9 * value + 0.1 * tf.roll(value, 1, 0) for name, value in features.items()
            }

        return augment


def test_an_augmentation_that_mixes_beats_is_refused():
    with pytest.raises(ConfigError, match=r"augmentation: .*'signal'.*use an augmentation"):
        train_linear(canaries(4, 4), expected_batch_size=4, augmentation=Mixed())


class SecretlyMixed(TenfoldViews):
    """Mixes beats above a value that no probe reaches; yields as many views as beats."""

    def expand(self, labels, class_names):
        return np.repeat(np.arange(len(labels)), len(labels)), np.ones(len(labels) ** 2, np.int32)

    def build(self):
        import tensorflow as tf

        def augment(features, views, seed):
            signal = features["signal"]
            return {
                "signal": tf.where(
                    tf.reduce_max(signal) > 1e3, signal + tf.reduce_sum(signal, 0), signal
                )
            }

        return augment


class Counting(TenfoldViews):
    """Keeps state."""

    def build(self):
        import tensorflow as tf

        seen = tf.Variable(0.0)
        return lambda features, views, seed: {"signal": features["signal"] * seen.assign_add(1.0)}


def test_augmentation_that_is_unknown_sees_one_row_at_a_time():
    run = train_linear(canaries(4, 4, 1e4), expected_batch_size=4, augmentation=SecretlyMixed())
    np.testing.assert_allclose(run.weights, -1 / 4, rtol=1e-5)


@pytest.mark.parametrize("unit", ["beat", "patient"])
def test_augmentation_with_state_is_refused(unit):
    privacy = PrivacySpec(noise_multiplier=1, unit=unit)
    with pytest.raises(
        ConfigError, match=r"augmentation.*AssignAddVariableOp.*use a function of tensors"
    ):
        Training(
            linear_data(canaries(4, 4)),
            sgd(expected_batch_size=4),
            privacy,
            augmentation=Counting(),
        )


@pytest.mark.parametrize("unit", ["beat", "patient"])
def test_a_loss_that_mixes_examples_is_refused(unit):
    import tensorflow as tf

    with pytest.raises(ConfigError, match="the loss of one example changes"):
        Training(
            linear_data(canaries(4, 4)),
            sgd(expected_batch_size=4),
            PrivacySpec(noise_multiplier=1, unit=unit),
            loss=lambda labels, outputs: outputs[:, 0] - tf.reduce_mean(outputs),
        )


def test_a_patients_gradient_is_clipped_however_large():
    """Rows of up to 1e15 of one patient: the sum that is clipped is the one that is added."""
    rows = canaries(UNITS, UNITS, 1.0) * np.logspace(-3, 15, UNITS, dtype=np.float32)[:, None]
    privacy = PrivacySpec(noise_multiplier=0, l2_norm_clip=CLIP, unit="patient")
    weights = Training(linear_data(rows), sgd(expected_batch_size=UNITS), privacy).weights * UNITS
    assert np.abs(weights).max() <= CLIP * (1 + 1e-5)
    assert np.abs(weights).min() == pytest.approx(1e-3, rel=1e-4)
