import numpy as np
import pytest

from ecgexp.augmentation import SignalAugmentation
from ecgexp.settings.declaration import ConfigError

OFF = {
    "noise_std": 0,
    "wander_amplitude": 0,
    "max_gain_change": 0,
    "max_shift_samples": 0,
    "max_warp_samples": 0,
}


def windows(num=8, window=180, leads=2, seed=0):
    return np.random.default_rng(seed).normal(size=(num, window, leads)).astype(np.float32)


def augment(signal, seed=(3, 14), **parts):
    import tensorflow as tf

    features = {"signal": tf.constant(signal), "rr": tf.ones([len(signal), 4])}
    function = tf.function(SignalAugmentation(**OFF | parts).build())
    changed = function(features, tf.zeros(len(signal), tf.int32), tf.constant(seed))
    assert changed.keys() == features.keys()
    assert np.array_equal(changed["rr"], features["rr"])
    assert changed["signal"].dtype == tf.float32
    assert changed["signal"].shape == signal.shape
    return changed["signal"].numpy()


def test_with_all_parts_off_nothing_changes():
    signal = windows()
    assert np.array_equal(augment(signal), signal)


def test_noise_has_its_standard_deviation_and_mean_zero_and_is_white():
    noise = augment(np.zeros((600, 180, 1), np.float32), noise_std=0.2)[..., 0]
    # 108 000 draws: 5 standard errors each, so < 1 seed in 1 000 000 would fail.
    assert abs(noise.std() / 0.2 - 1) < 5 / np.sqrt(2 * noise.size)
    assert abs(noise.mean()) < 5 * 0.2 / np.sqrt(noise.size)
    assert abs((noise[:, 1:] * noise[:, :-1]).mean()) < 5 * 0.04 / np.sqrt(noise.size)


def test_gain_is_one_factor_for_all_leads_within_its_bound():
    signal = windows(500)
    factors = augment(signal, max_gain_change=0.2) / signal
    assert np.ptp(factors, axis=(1, 2)).max() < 1e-5
    assert (
        0.8 <= factors.min() < 0.82
    )  # < 1 seed in 10**11: 500 draws all miss a twentieth of the range
    assert 1.18 < factors.max() <= 1.2


def test_wander_is_a_slow_sine_within_its_amplitude():
    wander = augment(
        np.zeros((500, 180, 2), np.float32), wander_amplitude=0.5, wander_cycles=(1.0, 1.0)
    )
    assert 0.45 < np.abs(wander).max() <= 0.5
    turns = 2 * np.pi * np.arange(180) / 180
    basis = np.stack([np.sin(turns), np.cos(turns)], axis=1)
    fitted = np.einsum("tk,blk->btl", basis, np.einsum("tk,btl->blk", basis, wander) / 90)
    np.testing.assert_allclose(wander, fitted, atol=1e-5)
    assert not np.allclose(wander[..., 0], wander[..., 1])


def test_shift_moves_by_whole_samples_within_its_bound_and_repeats_the_edge():
    ramp = np.arange(20, dtype=np.float32)[None, :, None]
    found = augment(np.repeat(ramp, 500, axis=0), max_shift_samples=3)[..., 0]
    expected = {tuple(np.clip(np.arange(20) - shift, 0, 19)) for shift in range(-3, 4)}
    assert {
        tuple(row) for row in found.astype(int)
    } == expected  # < 1 seed in 10**30 misses one of seven
    assert np.array_equal(found, np.round(found))


def test_warp_keeps_order_and_ends_and_its_bound():
    ramp = np.arange(180, dtype=np.float32)[None, :, None]
    found = augment(np.repeat(ramp, 500, axis=0), max_warp_samples=30)[..., 0]
    assert (np.diff(found, axis=1) > 0).all()
    np.testing.assert_allclose(found[:, [0, -1]], [[0, 179]] * 500, atol=1e-3)
    assert 10 < np.abs(found - ramp[..., 0]).max() <= 30


def test_the_seed_alone_decides():
    signal = windows()
    parts = {
        "noise_std": 0.1,
        "wander_amplitude": 0.1,
        "max_gain_change": 0.1,
        "max_shift_samples": 5,
        "max_warp_samples": 3,
    }
    first = augment(signal, **parts)
    assert np.array_equal(first, augment(signal, **parts))
    for part, value in parts.items():
        assert not np.array_equal(
            augment(signal, **{part: value}), augment(signal, seed=(3, 15), **{part: value})
        )
        assert not np.array_equal(augment(signal, **{part: value}), signal)


def test_no_example_depends_on_another():
    signal = windows()
    others = np.concatenate([signal[:1], windows(7, seed=1)])
    parts = {
        "noise_std": 0.1,
        "wander_amplitude": 0.1,
        "max_gain_change": 0.1,
        "max_shift_samples": 5,
        "max_warp_samples": 3,
    }
    assert np.array_equal(augment(signal, **parts)[0], augment(others, **parts)[0])


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"max_shift_samples": 20}, "max_shift_samples=20 must be below the window of 20 samples"),
        (
            {"max_warp_samples": 5.0},
            r"max_warp_samples=5\.0 would fold a window of 20 samples; try .*=2",
        ),
    ],
)
def test_windows_too_short_are_refused(parts, message):
    function = SignalAugmentation(**OFF | parts).build()
    with pytest.raises(ConfigError, match=message):
        function({"signal": windows(1, 20)}, np.zeros(1, np.int32), (0, 0))
