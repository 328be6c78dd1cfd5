"""The random changes of a batch of signal windows, as TensorFlow operations without state."""

from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from ecgexp.augmentation.signal import SignalAugmentation


def random_signal(settings: "SignalAugmentation", signal: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Warps and shifts in time, scales, and adds a slow wave and noise.

    Args:
      settings: the bounds.
      signal: (batch, window, leads) float32.
      seed: (2,) int32.

    Returns:
      (batch, window, leads) float32.
    """
    batch, leads = tf.shape(signal)[0], signal.shape[2]
    time, gain, wave, noise = tf.unstack(tf.random.experimental.stateless_split(seed, 4))
    moved = sample_at(signal, _random_positions(settings, batch, signal.shape[1], time))
    factor = 1 + settings.max_gain_change * _uniform([batch, 1, 1], gain)
    noise = settings.noise_std * tf.random.stateless_normal(tf.shape(signal), noise)
    return factor * moved + _random_wander(settings, batch, signal.shape[1], leads, wave) + noise


def sample_at(signal: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """The signal between its samples, linearly, and its edge values beyond them.

    Args:
      signal: (batch, window, leads) float32.
      positions: (batch, window) float32, in samples.
    """
    positions = tf.clip_by_value(positions, 0.0, signal.shape[1] - 1.0)
    before = tf.floor(positions)
    share = (positions - before)[..., None]
    before = tf.cast(before, tf.int32)
    after = tf.minimum(before + 1, signal.shape[1] - 1)
    return (1 - share) * tf.gather(signal, before, batch_dims=1) + share * tf.gather(
        signal, after, batch_dims=1
    )


def _random_positions(
    settings: "SignalAugmentation", batch: tf.Tensor, window: int, seed: tf.Tensor
) -> tf.Tensor:
    """(batch, window): where in the old window each sample of the new one is read."""
    warp_seed, shift_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    half_turns = np.linspace(0, np.pi, window, dtype=np.float32)
    waves = np.stack(
        [np.sin(half_turns), np.sin(2 * half_turns)]
    )  # one moves the middle, the other stretches about it
    warp = settings.max_warp_samples / 2 * _uniform([batch, 2], warp_seed) @ waves
    most = settings.max_shift_samples
    shift = tf.random.stateless_uniform(
        [batch, 1], shift_seed, minval=-most, maxval=most + 1, dtype=tf.int32
    )
    return np.arange(window, dtype=np.float32) + warp - tf.cast(shift, tf.float32)


def _random_wander(
    settings: "SignalAugmentation", batch: tf.Tensor, window: int, leads: int, seed: tf.Tensor
) -> tf.Tensor:
    """Return one slow sine per beat, of its own size and phase per lead: (batch, window, leads)."""
    amplitude_seed, phase_seed, cycles_seed = tf.unstack(
        tf.random.experimental.stateless_split(seed, 3)
    )
    amplitude = settings.wander_amplitude * tf.random.stateless_uniform(
        [batch, 1, leads], amplitude_seed
    )
    phase = np.pi * _uniform([batch, 1, leads], phase_seed)
    low, high = settings.wander_cycles
    cycles = low + (high - low) * tf.random.stateless_uniform([batch, 1, 1], cycles_seed)
    turns = 2 * np.pi * np.arange(window, dtype=np.float32)[None, :, None] / window
    return amplitude * tf.sin(cycles * turns + phase)


def _uniform(shape: list, seed: tf.Tensor) -> tf.Tensor:
    """Uniform in [-1, 1)."""
    return 2 * tf.random.stateless_uniform(shape, seed) - 1
