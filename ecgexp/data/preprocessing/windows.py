"""From annotated samples to windows and RR intervals, without a loop over beats."""

import numpy as np

from ecgexp.data.beats import RR_FEATURES

LOCAL_INTERVALS = 10
"""Intervals in the local mean (de Chazal 2004, II-D: average RR of the ten preceding intervals)."""

RHYTHM_REACH = 5
"""Intervals on either side of a beat that say in what rhythm it stands."""

REGULARITY_REACH = 20
"""Intervals on either side, half a minute, that say how regular that rhythm is: in fibrillation every other beat is early."""

FIBRILLATION_REACH = 120
"""Intervals on either side, some four minutes, that say whether beats follow each other without any order."""

_LAGS = (
    1,
    2,
    3,
)  # a rhythm that repeats after two beats or three, bigeminy or trigeminy, has an order
_ORDERLY = (
    0.25  # a beat out of place makes two large changes: a median gives way at one such beat in four
)

_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


def relocate(signal_mv: np.ndarray, r_samples: np.ndarray, reach: int) -> np.ndarray:
    """Moves every R to the largest value within `reach` samples, the earliest if there are several.

    Args:
      signal_mv: (num_samples,).
      r_samples: (num_beats,) int64.
      reach: samples to look on either side; 0 changes nothing.
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
    """Cuts `[r - before, r + after)` round every R that has it.

    A window that leaves the record is not padded: zeros or repeats at its edge would be a shape that no heart made, and
    a classifier would learn it. 26 of the 109 494 beats of mitdb are lost to 90 + 90 samples.

    Args:
      signals_mv: (num_samples, leads).
      r_samples: (num_beats,) int64.
      before: samples before R.
      after: samples from R on.

    Returns:
      windows: (num_inside, before + after, leads) float32.
      inside: (num_beats,) bool, which beats they are.
    """
    inside = (r_samples >= before) & (r_samples + after <= len(signals_mv))
    places = r_samples[inside, None] + np.arange(-before, after)
    return signals_mv.astype(np.float32)[places], inside


def template(windows_mv: np.ndarray) -> np.ndarray:
    """How a heart's beat usually looks: the median of all of a record's beats, sample by sample.

    Not of the slow ones, though they are never premature: in a heart that conducts otherwise when it beats fast they are few.

    Args:
      windows_mv: (num_beats, window, leads) millivolts, of one record.

    Returns:
      (window, leads) float32 millivolts; zeros where there is no beat.
    """
    if not len(windows_mv):
        return np.zeros(windows_mv.shape[1:], np.float32)
    return np.median(windows_mv, axis=0).astype(np.float32)


def rr_features(r_samples: np.ndarray, fs_hz: float) -> np.ndarray:
    """The columns of `ecgexp.data.beats.RR_FEATURES` for all beats of one record.

    The first beat has no interval before it and the last none after it: each takes the one it has, and so does every
    interval beyond the record's ends. The local mean is over the ten intervals before the beat, or as many as there are.
    The record's mean looks at the whole record, and other columns at up to 240 intervals after the beat, so these are features
    for analysis after the recording, not at the bedside.

    Args:
      r_samples: (num_beats,) int64, strictly rising, every annotated beat of the record.
      fs_hz: their sampling frequency.

    Returns:
      (num_beats, 20) float32, NaN for the only beat of a record, which has no interval. The columns: previous, next and
      local mean in seconds; previous divided by the record's mean; the five intervals before the beat and the five after
      it, in the order of time; the 10, 25, 50, 75 and 90 % quantiles of the 20 intervals before it and the 20 after it; how
      unsteady the rhythm is: the lower quartile of the changes from one interval to the next, second or third, the least of
      the three, over the 240 intervals round the beat or all that there are, divided by their median.
    """
    if len(r_samples) < 2:
        return np.full((len(r_samples), len(RR_FEATURES)), np.nan, np.float32)
    intervals = np.diff(r_samples) / fs_hz
    previous = np.concatenate([intervals[:1], intervals])
    following = np.concatenate([intervals, intervals[-1:]])
    summed = np.concatenate([[0.0], np.cumsum(intervals)])
    last = np.arange(len(r_samples)).clip(
        1
    )  # beat i has i intervals before it; the first beat borrows its next one
    first = (last - LOCAL_INTERVALS).clip(0)
    local_mean = (summed[last] - summed[first]) / (last - first)
    own = np.stack([previous, following, local_mean, previous / intervals.mean()], axis=1)
    quantiles = np.quantile(_around(intervals, REGULARITY_REACH), _QUANTILES, axis=1).T
    parts = [own, _around(intervals, RHYTHM_REACH), quantiles, _rr_irregularity(intervals)[:, None]]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _rr_irregularity(intervals: np.ndarray) -> np.ndarray:
    """(num_beats,) the last column: fibrillation has no small changes (Tateno & Glass 2001, doi:10.1007/BF02345439).

    Premature beats among steady ones, by turns or one in three, leave the quartile where it is.
    """
    length = min(2 * FIBRILLATION_REACH, len(intervals))
    nearest = (np.arange(len(intervals) + 1) - FIBRILLATION_REACH).clip(0, len(intervals) - length)
    changes = [
        _running_quantile(np.abs(intervals[lag:] - intervals[:-lag]), length - lag, _ORDERLY)
        for lag in _LAGS
        if lag < length
    ]
    usual = _running_quantile(intervals, length, 0.5)
    return (np.min(changes, axis=0) / usual)[nearest] if changes else np.zeros(len(nearest))


def _running_quantile(values: np.ndarray, width: int, share: float) -> np.ndarray:
    """`np.quantile` of every `width` values that follow each other, in a tenth of the time."""
    from scipy.ndimage import rank_filter

    place, part = divmod((width - 1) * share, 1)
    inside = slice(width // 2, width // 2 + len(values) - width + 1)
    ranks = int(place), min(int(place) + 1, width - 1)
    below, above = (rank_filter(values, rank, size=width)[inside] for rank in ranks)
    return below + part * (above - below)


def _around(intervals: np.ndarray, reach: int) -> np.ndarray:
    """(num_beats, 2 reach): the intervals before and after each beat; beyond the ends, the first or last one again."""
    padded = np.pad(intervals, reach, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * reach)
