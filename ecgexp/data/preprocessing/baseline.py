"""Removal of baseline wander, band-pass filtering and resampling of one lead."""

import math
from fractions import Fraction

import numpy as np

MEDIAN_MS = (200.0, 600.0)
"""Widths of the two median filters of de Chazal, O'Dwyer & Reilly 2004.

The first one removes QRS complexes and P waves, the second one T waves; the result is the baseline.
"""


def odd_samples(duration_ms: float, fs_hz: float) -> int:
    """Return the largest odd number of samples within a duration.

    Args:
      duration_ms: Duration in milliseconds.
      fs_hz: Sampling frequency.

    Returns:
      E.g. 71 for 200 ms and 215 for 600 ms at 360 Hz; at least 1.
    """
    # Rounded first, so that a rounding error as in 0.1 + 0.2 does not remove a sample.
    samples = int(round(duration_ms * fs_hz / 1000, 6))
    return max(1, samples - (samples % 2 == 0))


def remove_median_baseline(lead_mv: np.ndarray, fs_hz: float) -> np.ndarray:
    """Subtract the baseline: the 600 ms running median of the 200 ms running median.

    The method is that of de Chazal, O'Dwyer & Reilly 2004, with `scipy.signal.medfilt`. The signal
    is taken as zero beyond its ends, so that the baseline within 0.4 s of the ends is biased toward
    zero and some baseline wander remains there. No low-pass filter follows.

    Args:
      lead_mv: (num_samples,) float64, millivolts.
      fs_hz: Sampling frequency.

    Returns:
      (num_samples,) float64, millivolts.
    """
    from scipy.signal import medfilt

    baseline = lead_mv
    for duration_ms in MEDIAN_MS:
        baseline = medfilt(baseline, odd_samples(duration_ms, fs_hz))
    return lead_mv - baseline


def median_reach(fs_hz: float) -> int:
    """Return how many samples on either side determine a sample after `remove_median_baseline`."""
    return sum(odd_samples(duration_ms, fs_hz) // 2 for duration_ms in MEDIAN_MS)


def bandpass_reach(fs_hz: float, edges_hz: tuple[float, float]) -> int:
    """Return how many samples on either side determine a sample after `bandpass`, in practice.

    The response to a pulse is infinitely long. It is cut after two periods of the lower edge, where
    it has fallen below a thousandth of its peak.
    """
    return math.ceil(2 * fs_hz / edges_hz[0])


def resampling_reach(from_hz: float, to_hz: float) -> int:
    """Return how many samples at `from_hz` on either side determine a sample after `resample`."""
    if from_hz == to_hz:
        return 0
    ratio = resampling_ratio(from_hz, to_hz)
    # SciPy's filter has ten samples at the lower of both frequencies on either side.
    return math.ceil(10 * max(1, ratio.denominator / ratio.numerator))


def bandpass(lead_mv: np.ndarray, fs_hz: float, edges_hz: tuple[float, float]) -> np.ndarray:
    """Apply a zero-phase band-pass filter: Butterworth, forward and backward.

    The filter has order 2 at each edge (SciPy's `N=2`), so it is a band-pass filter of order 4; two
    passes double its attenuation.

    Args:
      lead_mv: (num_samples,) float64, millivolts.
      fs_hz: Sampling frequency; the upper edge must be below half of it.
      edges_hz: Lower and upper edge, at -6 dB after both passes.

    Returns:
      (num_samples,) float64, millivolts.
    """
    from scipy.signal import butter, sosfiltfilt

    return sosfiltfilt(butter(2, edges_hz, "bandpass", fs=fs_hz, output="sos"), lead_mv)


def resample(lead_mv: np.ndarray, from_hz: float, to_hz: float) -> np.ndarray:
    """Resample by polyphase filtering with an anti-aliasing filter.

    Args:
      lead_mv: (num_samples,) float64, millivolts.
      from_hz: Its sampling frequency.
      to_hz: New sampling frequency.

    Returns:
      (ceil(num_samples * to_hz / from_hz),) float64, millivolts; `lead_mv` if the frequencies are
      equal.
    """
    if from_hz == to_hz:
        return lead_mv
    from scipy.signal import resample_poly

    ratio = resampling_ratio(from_hz, to_hz)
    return resample_poly(lead_mv, ratio.numerator, ratio.denominator)


def resampling_ratio(from_hz: float, to_hz: float) -> Fraction:
    """Return `to_hz / from_hz` as a fraction.

    Args:
      from_hz: Sampling frequency of a signal.
      to_hz: New sampling frequency.

    Returns:
      The ratio of the closest fractions with denominators of at most 10 000.
    """
    return Fraction(to_hz).limit_denominator(10_000) / Fraction(from_hz).limit_denominator(10_000)
