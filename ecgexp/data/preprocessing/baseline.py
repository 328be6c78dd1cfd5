"""Baseline wander: slow drift of the signal that no heart made."""

from fractions import Fraction

import numpy as np

MEDIAN_MS = (200.0, 600.0)
"""de Chazal, O'Dwyer & Reilly 2004: the first median takes out QRS and P, the second T; the rest is the baseline."""


def odd_samples(duration_ms: float, fs_hz: float) -> int:
    """The largest odd number of samples within a duration: 71 for 200 ms at 360 Hz, 215 for 600 ms."""
    samples = int(
        round(duration_ms * fs_hz / 1000, 6)
    )  # 6 digits: 0.1 + 0.2 must not cost a sample
    return max(1, samples - (samples % 2 == 0))


def remove_median_baseline(lead_mv: np.ndarray, fs_hz: float) -> np.ndarray:
    """The lead minus its 200 ms, then 600 ms running median, exactly as `scipy.signal.medfilt` gives it.

    Like medfilt it takes the signal as zero beyond its ends, so the first and last 0.3 s keep some wander.

    Args:
      lead_mv: (num_samples,) millivolts.
      fs_hz: sampling frequency.

    Returns:
      (num_samples,) float64, millivolts.
    """
    from scipy.signal import medfilt

    baseline = lead_mv
    for duration_ms in MEDIAN_MS:
        baseline = medfilt(baseline, odd_samples(duration_ms, fs_hz))
    return lead_mv - baseline


def bandpass(lead_mv: np.ndarray, fs_hz: float, edges_hz: tuple[float, float]) -> np.ndarray:
    """The lead between two frequencies: second-order Butterworth run forth and back, so that no wave is shifted.

    Args:
      lead_mv: (num_samples,) millivolts.
      fs_hz: sampling frequency; the upper edge must stay below half of it.
      edges_hz: lower and upper edge, -6 dB each after both passes.
    """
    from scipy.signal import butter, sosfiltfilt

    return sosfiltfilt(butter(2, edges_hz, "bandpass", fs=fs_hz, output="sos"), lead_mv)


def resample(lead_mv: np.ndarray, from_hz: float, to_hz: float) -> np.ndarray:
    """The lead at another sampling frequency, polyphase with an anti-aliasing filter; unchanged if they are equal."""
    if from_hz == to_hz:
        return lead_mv
    from scipy.signal import resample_poly

    ratio = resampling_ratio(from_hz, to_hz)
    return resample_poly(lead_mv, ratio.numerator, ratio.denominator)


def resampling_ratio(from_hz: float, to_hz: float) -> Fraction:
    """How many samples stand for one."""
    return Fraction(to_hz).limit_denominator(10_000) / Fraction(from_hz).limit_denominator(10_000)
