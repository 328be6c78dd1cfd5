"""QRS complex of a beat against the local sinus beat: width, half-width and distance."""

import numpy as np

from ecgexp.features.qrs_groups import AlignedBeats, columns
from ecgexp.features.rhythm import previous_intervals, running_median, running_quantile

QRS_TO_SINUS = ("qrs_width", "qrs_half_width", "qrs_distance_largest", "qrs_distance_smallest")
"""The columns of `qrs_to_sinus`."""

LIMIT = 8.0
"""Distances are clipped at this many units."""

_PATH_MS = (-167.0, 200.0)  # around R, whose path length gives the width
_HALF_MS = (-133.0, 167.0)
_DISTANCE_MS = (-89.0, 111.0)
_LEAST_S = 0.01  # added to widths: one or two samples are no difference
_LEAST_DISTANCE = 0.05
_LOCAL, _STEP = 50, 20  # sinus beats of a local median, computed for every so many beats
_LEAST_SINUS = 10
_PREMATURE, _EARLY = -0.12, -0.04  # logarithms of the ratio to the median interval
_FREQUENT = 0.05  # share of the beats of a group that may state the narrowest width


def qrs_to_sinus(aligned: AlignedBeats, seconds: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Compare the QRS complex of each beat with the median of the sinus beats around it.

    Args:
      aligned: the beats of a record that have a window.
      seconds: (num_annotated,) ascending, the times of all beats of the record.
      rows: (num_beats,) the positions of the beats in `seconds`.

    Returns:
      (num_beats, 4) float64, the columns of `QRS_TO_SINUS`: logarithms of the ratio of width and
      half-width to those of the local sinus beat; the distance from the local sinus beat in the
      lead where it is largest and where it is smallest, as its logarithm relative to the median of
      the sinus beats' own distances, in units of a quarter of their 16 to 84 % range.
    """
    pre = previous_intervals(seconds)
    early = (np.log(pre) - np.log(running_median(pre, 33)))[rows]
    width = path_width(aligned.beats, aligned.r, aligned.fs_hz)
    sinus = _sinus_beats(aligned, early, width, (pre / running_quantile(pre, 33, 0.6))[rows])
    local = _local_median(aligned.beats, sinus)
    widths = [
        np.log((measure(aligned.beats) + least) / (measure(local) + least))
        for measure, least in (
            (lambda beats: path_width(beats, aligned.r, aligned.fs_hz), _LEAST_S),
            (lambda beats: half_width(beats, aligned.r, aligned.fs_hz), _LEAST_S / 2),
        )
    ]
    part = columns(aligned.r, aligned.fs_hz, _DISTANCE_MS)
    away = np.sqrt(np.square((aligned.beats - local)[:, part]).mean(axis=1))
    away = np.log(away / (local.std(axis=1) + _LEAST_DISTANCE) + _LEAST_DISTANCE)
    distances = [_among_sinus(away.max(axis=1), sinus), _among_sinus(away.min(axis=1), sinus)]
    return np.stack([*widths, *distances], axis=1)


def path_width(beats: np.ndarray, r: int, fs_hz: float) -> np.ndarray:
    """Return the time between 10 and 90 % of a beat's path length around R, in seconds.

    It is a width of the QRS complex that needs no onset, over all leads together.

    Args:
      beats: (num_beats, window, leads).
      r: the column of the R peak.
      fs_hz: sampling frequency.

    Returns:
      (num_beats,) float64; zero for a flat line.
    """
    part = columns(r, fs_hz, _PATH_MS)
    path = np.abs(np.diff(beats, axis=1)).sum(axis=2)[:, part].cumsum(axis=1)
    path /= path[:, -1:] + 1e-9
    return ((path < 0.9).sum(axis=1) - (path < 0.1).sum(axis=1)) / fs_hz


def half_width(beats: np.ndarray, r: int, fs_hz: float) -> np.ndarray:
    """Return the time above half of the largest deflection around R, in the lead where it is most.

    Args:
      beats: (num_beats, window, leads).
      r: the column of the R peak.
      fs_hz: sampling frequency.

    Returns:
      (num_beats,) float64, seconds.
    """
    part = beats[:, columns(r, fs_hz, _HALF_MS)]
    size = np.abs(part - np.median(part, axis=1, keepdims=True))
    return ((size > 0.5 * size.max(axis=1, keepdims=True)).sum(axis=1) / fs_hz).max(axis=1)


def _sinus_beats(
    aligned: AlignedBeats, early: np.ndarray, width: np.ndarray, to_quantile: np.ndarray
) -> np.ndarray:
    """Return the beats of the sinus group that are on time and follow a beat of it.

    The sinus group is large, not early, narrow, and like the median beat.
    """
    groups = aligned.groups
    count = np.bincount(groups)

    def medians(values: np.ndarray) -> np.ndarray:
        return np.array([np.median(values[groups == group]) for group in range(len(count))])

    group_early, group_width, group_likeness = map(medians, (early, width, aligned.likeness))
    frequent = count > _FREQUENT * len(groups)
    narrowest = group_width[frequent].min() if frequent.any() else group_width.min()
    score = count * np.where(
        group_early < _PREMATURE, 0.3, np.where(group_early < _EARLY, 0.6, 1.0)
    )
    score = score * np.clip(narrowest / np.maximum(group_width, 0.01), 0, 1)
    ours = groups == np.argmax(score * np.clip(group_likeness, 0.05, 1))
    on_time = (to_quantile > 0.88) & (to_quantile < 1.25)
    sinus = np.flatnonzero(ours & on_time & np.append(True, ours[:-1]))
    return sinus if len(sinus) > _LEAST_SINUS else np.flatnonzero(ours)


def _local_median(beats: np.ndarray, sinus: np.ndarray) -> np.ndarray:
    """Return the median of the fifty sinus beats around each beat, the same for twenty beats."""
    local = np.empty_like(beats)
    for start in range(0, len(beats), _STEP):
        place = np.searchsorted(sinus, min(start + _STEP // 2, len(beats) - 1))
        near = sinus[max(0, place - _LOCAL // 2) : place + _LOCAL // 2]
        local[start : start + _STEP] = np.median(beats[near], axis=0)
    return local


def _among_sinus(values: np.ndarray, sinus: np.ndarray) -> np.ndarray:
    low, middle, high = np.percentile(values[sinus], [16, 50, 84])
    return np.clip(2 * (values - middle) / (high - low + _LEAST_DISTANCE), -LIMIT, LIMIT)
