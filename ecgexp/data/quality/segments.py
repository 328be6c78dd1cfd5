"""Mark segments of a lead that show no usable ECG: flat, at the rails, noise, too large.

The indices are those of the literature: the range of the amplitude and the share of samples at the
rails (Clifford, Lopez, Li & Rezek 2011), the relative power of the QRS complex and the kurtosis
(Li, Mark & Clifford 2008, doi:10.1088/0967-3334/29/1/002). The thresholds are constants, chosen on
DS1 of mitdb such that at most 0.5 % of its beats are marked
(`tests/unit/data/quality/test_quality_real.py`). Noise below 1 Hz, such as baseline wander, and
noise of records shorter than a segment are not recognized.

**Guarantees**: the mark of a segment depends on the samples of its lead and segment alone, and not
on annotations or on other records. It is not computed from one beat alone, so that a training set
from which marked beats are removed would need a guarantee by record or patient.
"""

import numpy as np
import scipy.signal
import scipy.stats

SEGMENT_S = 10.0
FLAT, RAILS, NOISE, AMPLITUDE = "flat", "at the rails", "noise", "implausible amplitude"

_LEAST_RANGE_MV = 0.05  # of a segment, 1st to 99th percentile
_HIGHEST_RANGE_MV = 15.0  # the largest QRS complexes have about 8 mV
_MOST_AT_RAILS = 0.1  # share of samples
_LEAST_SLOW_POWER = 0.75  # of 1 to 40 Hz, in 1 to 180 Hz
_LEAST_QRS_POWER = 0.45  # of 5 to 15 Hz, in 5 to 40 Hz (pSQI), with …
_LEAST_KURTOSIS = 4.0  # of a segment (kSQI); a normal distribution has 3
_HIGHEST_HZ = 180.0


def segment_marks(lead_mv: np.ndarray, fs_hz: float) -> tuple[np.ndarray, int]:
    """Mark the segments of a lead that show no usable ECG.

    Args:
      lead_mv: (num_samples,) float64, millivolts, as recorded.
      fs_hz: Its sampling frequency.

    Returns:
      marks: (num_segments,) str, `FLAT`, `RAILS`, `NOISE` or `AMPLITUDE`; empty for usable ones.
      length: Samples of a segment; the last one has up to twice as many.
    """
    length = max(1, min(round(SEGMENT_S * fs_hz), len(lead_mv)))
    number = max(1, len(lead_mv) // length)
    starts = np.arange(number) * length
    ends = np.append(starts[1:], len(lead_mv))
    low, high = (lead_mv.min(), lead_mv.max()) if len(lead_mv) else (0.0, 0.0)
    marks = [
        _mark(lead_mv[start:end], fs_hz, low, high)
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    ]
    return np.asarray(marks, np.str_), length


def beat_marks(lead_mv: np.ndarray, fs_hz: float, samples: np.ndarray) -> np.ndarray:
    """Return the mark of the segment of each beat.

    Args:
      lead_mv: (num_samples,) float64, millivolts, as recorded.
      fs_hz: Its sampling frequency.
      samples: (num_beats,) int64, rows of `lead_mv`.

    Returns:
      (num_beats,) str; empty for beats in usable segments.

    Example:
      >>> beat_marks(np.zeros(7200), 360.0, np.array([100, 5000])).tolist()
      ['flat', 'flat']
    """
    marks, length = segment_marks(lead_mv, fs_hz)
    return marks[np.clip(samples // length, 0, len(marks) - 1)]


def _mark(segment_mv: np.ndarray, fs_hz: float, low: float, high: float) -> str:
    """Return the mark of one segment.

    Args:
      segment_mv: (num_samples,) float64.
      fs_hz: Its sampling frequency.
      low: Least value of the lead, where its rail may be.
      high: Largest value of the lead.
    """
    first, last = np.percentile(segment_mv, [1, 99])
    if last - first < _LEAST_RANGE_MV:
        return FLAT
    if np.mean((segment_mv <= low) | (segment_mv >= high)) > _MOST_AT_RAILS:
        return RAILS
    if last - first > _HIGHEST_RANGE_MV:
        return AMPLITUDE
    return NOISE if _is_noise(segment_mv, fs_hz) else ""


def _is_noise(segment_mv: np.ndarray, fs_hz: float) -> bool:
    if len(segment_mv) < round(SEGMENT_S * fs_hz):  # a short record: too little for a spectrum
        return False
    hz, power = scipy.signal.welch(
        segment_mv - segment_mv.mean(), fs_hz, nperseg=min(len(segment_mv), round(2 * fs_hz))
    )
    qrs = _share(hz, power, (5.0, 15.0), (5.0, 40.0))
    if _share(hz, power, (1.0, 40.0), (1.0, min(fs_hz / 2, _HIGHEST_HZ))) < _LEAST_SLOW_POWER:
        return True
    if qrs >= _LEAST_QRS_POWER:
        return False
    filtered = scipy.signal.sosfiltfilt(_band(fs_hz), segment_mv)
    return float(scipy.stats.kurtosis(filtered, fisher=False)) < _LEAST_KURTOSIS


def _band(fs_hz: float) -> np.ndarray:
    """Return a band-pass filter of 1 to 40 Hz, or up to what the frequency allows."""
    highest = min(40.0, 0.45 * fs_hz)
    return np.asarray(scipy.signal.butter(2, [1.0, highest], "bandpass", fs=fs_hz, output="sos"))


def _share(
    hz: np.ndarray, power: np.ndarray, band: tuple[float, float], of: tuple[float, float]
) -> float:
    inside, whole = (power[(hz >= low) & (hz < high)].sum() for low, high in (band, of))
    return float(inside / whole) if whole > 0 else 1.0
