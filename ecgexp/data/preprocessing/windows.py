"""Windows and RR intervals of annotated beats, vectorized over beats."""

import numpy as np

from ecgexp.data.beats import RR_FEATURES

LOCAL_INTERVALS = 10
"""Intervals of the local mean: the ten that end at the beat, as in Mondéjar-Guerra et al. 2019."""

RHYTHM_INTERVALS = 5
"""Intervals on either side of a beat that describe the rhythm around it."""

QUANTILE_INTERVALS = 20
"""Intervals on either side for the quantiles, together about half a minute.

In atrial fibrillation, intervals vary from beat to beat although no beat is premature.
"""

IRREGULARITY_INTERVALS = 120
"""Intervals on either side for the RR irregularity, together about three minutes."""

_LAGS = (1, 2, 3)  # bigeminy and trigeminy repeat after two or three beats, so they are regular
# One premature beat causes two large changes, so that one such beat in four would move a median.
_ORDERLY = 0.25

_ROWS = 1 << 16
_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


def relocate(signal_mv: np.ndarray, r_samples: np.ndarray, reach: int) -> np.ndarray:
    """Move every R peak to the largest signed value within `reach` samples.

    Of equal values, it is the earliest one. The value is signed: the R peak of a negative QRS
    complex moves to another wave.

    Args:
      signal_mv: (num_samples,) float64, millivolts.
      r_samples: (num_beats,) int64.
      reach: Samples to search on either side; 0 changes nothing.

    Returns:
      (num_beats,) int64, the new samples.
    """
    if reach == 0:
        return r_samples
    places = r_samples[:, None] + np.arange(-reach, reach + 1)
    places = places.clip(0, len(signal_mv) - 1)
    best = signal_mv[places].argmax(axis=1)
    return places[np.arange(len(places)), best]


def cut_windows(
    signals_mv: np.ndarray, r_samples: np.ndarray, before: int, after: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cut the window `[r - before, r + after)` of every R peak whose window is inside the record.

    Other windows are not padded: a classifier would learn the artificial values at the edge. With
    90 + 90 samples, 26 of the 109 494 beats of mitdb are dropped.

    Args:
      signals_mv: (num_samples, leads) float64, millivolts.
      r_samples: (num_beats,) int64.
      before: Samples before the R peak.
      after: Samples from the R peak on.

    Returns:
      windows: (num_inside, before + after, leads) float32, millivolts.
      inside: (num_beats,) bool, True for the beats with a window.
    """
    inside = (r_samples >= before) & (r_samples + after <= len(signals_mv))
    places = r_samples[inside, None] + np.arange(-before, after)
    return signals_mv.astype(np.float32)[places], inside


def template(windows_mv: np.ndarray) -> np.ndarray:
    """Compute the template of a record: the median of all its beats, sample by sample.

    All beats are used, not only those after long intervals, which are never premature: they are few
    in a patient whose conduction changes with the heart rate.

    Args:
      windows_mv: (num_beats, window, leads) float32, millivolts, of one record.

    Returns:
      (window, leads) float32, millivolts; zeros if there is no beat.
    """
    if not len(windows_mv):
        return np.zeros(windows_mv.shape[1:], np.float32)
    return np.median(windows_mv, axis=0).astype(np.float32)


def rr_features(r_samples: np.ndarray, fs_hz: float) -> np.ndarray:
    """Compute the columns of `ecgexp.data.beats.RR_FEATURES` for all beats of one record.

    The first beat has no previous interval and the last one has no next interval: each uses the
    interval that it has, and intervals beyond the ends of the record repeat the first or last one.
    The local mean is over the ten intervals before the beat, or as many as there are. The mean of
    the record uses the whole record, and other columns use up to 240 intervals after the beat, so
    that the features suit analysis after the recording, not real-time monitoring.

    Args:
      r_samples: (num_beats,) int64, strictly increasing, every annotated beat of the record.
      fs_hz: Their sampling frequency.

    Returns:
      (num_beats, 20) float32; NaN for the only beat of a record, which has no interval. The columns
      are: previous, next and local mean interval in seconds; previous interval divided by the mean
      of the record; the five intervals before and the five after the beat, in time order, in
      seconds; the 10, 25, 50, 75 and 90 % quantiles of the 20 intervals before and the 20 after the
      beat, in seconds; the RR irregularity (`rr_unsteadiness`). The irregularity is computed over
      the 240 intervals around the beat, or all if there are fewer: for each lag of one, two and
      three intervals, the lower quartile of the absolute changes; the smallest of the three,
      divided by the median interval.
    """
    if len(r_samples) < 2:
        return np.full((len(r_samples), len(RR_FEATURES)), np.nan, np.float32)
    intervals = np.diff(r_samples) / fs_hz
    previous = np.concatenate([intervals[:1], intervals])
    following = np.concatenate([intervals, intervals[-1:]])
    summed = np.concatenate([[0.0], np.cumsum(intervals)])
    # Beat i has i intervals before it; the first beat uses its next one.
    last = np.arange(len(r_samples)).clip(1)
    first = (last - LOCAL_INTERVALS).clip(0)
    local_mean = (summed[last] - summed[first]) / (last - first)
    own = np.stack([previous, following, local_mean, previous / intervals.mean()], axis=1)
    around, near = _around(intervals, QUANTILE_INTERVALS), _around(intervals, RHYTHM_INTERVALS)
    irregularity = rr_irregularity(intervals)[:, None]
    features = np.empty((len(r_samples), len(RR_FEATURES)), np.float32)
    for begin in range(0, len(features), _ROWS):  # forty intervals of each beat take memory
        rows = slice(begin, begin + _ROWS)
        quantiles = np.quantile(around[rows], _QUANTILES, axis=1).T
        features[rows] = np.concatenate(
            [own[rows], near[rows], quantiles, irregularity[rows]], axis=1
        )
    return features


def rr_irregularity(intervals: np.ndarray) -> np.ndarray:
    """Compute the RR irregularity, (num_intervals + 1,) float64, the last column of `rr_features`.

    In atrial fibrillation small changes of the interval are rare (Tateno & Glass 2001,
    doi:10.1007/BF02345439). Premature beats in a regular rhythm, even in bigeminy or trigeminy,
    hardly change the lower quartile.
    """
    length = min(2 * IRREGULARITY_INTERVALS, len(intervals))
    first = np.arange(len(intervals) + 1) - IRREGULARITY_INTERVALS
    nearest = first.clip(0, len(intervals) - length)
    changes = [
        consecutive_quantiles(np.abs(intervals[lag:] - intervals[:-lag]), length - lag, _ORDERLY)
        for lag in _LAGS
        if lag < length
    ]
    median = consecutive_quantiles(intervals, length, 0.5)
    return (np.min(changes, axis=0) / median)[nearest] if changes else np.zeros(len(nearest))


def consecutive_quantiles(values: np.ndarray, width: int, share: float) -> np.ndarray:
    """Return `np.quantile` of every `width` consecutive values, in a tenth of its time.

    Args:
      values: (num_values,) float64.
      width: at most `num_values`.
      share: of the values that are smaller.

    Returns:
      (num_values - width + 1,) float64.
    """
    from scipy.ndimage import rank_filter

    place, part = divmod((width - 1) * share, 1)
    inside = slice(width // 2, width // 2 + len(values) - width + 1)
    ranks = int(place), min(int(place) + 1, width - 1)
    below, above = (rank_filter(values, rank, size=width)[inside] for rank in ranks)
    return below + part * (above - below)


def _around(intervals: np.ndarray, reach: int) -> np.ndarray:
    """Return (num_beats, 2 * reach): the intervals before and after each beat.

    Beyond the ends, the first or last interval is repeated.
    """
    padded = np.pad(intervals, reach, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * reach)
