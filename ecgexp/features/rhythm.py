"""Rhythm of a beat among all beats of its record: 28 numbers from the times of the beats alone.

Each interval is compared with several references (medians and quantiles of 8 to 200 intervals, and
the sinus intervals nearby), as a logarithm of the ratio, in units of the RR irregularity: an early
beat is not significant in atrial fibrillation.

Where most beats are premature, medians are premature intervals. There, high quantiles and the
longest interval nearby still show the sinus rhythm, and how many intervals are shorter shows on
which side of the two kinds of intervals a beat is.
"""

import numpy as np

LIMIT = 8.0
"""Values are clipped at this many units of the RR irregularity."""

REFERENCES = (
    "previous_to_median33",
    "next_to_median33",
    "previous_to_median9",
    "next_to_median9",
    "previous_to_median101",
    "previous_to_sinus",
    "next_to_sinus",
    "both_to_sinus",
    "previous_to_q75_33",
    "next_to_q75_33",
    "previous_to_q75_201",
    "previous_to_q90_33",
    "next_to_q90_33",
    "previous_to_q90_201",
    "previous_to_longest9",
    "q90_to_q10_33",
)
"""Intervals and their references, the first columns of `rhythm_context`."""

RHYTHM_CONTEXT = (
    *REFERENCES,
    *(f"prematurity_{place:+d}" for place in (-2, -1, 2, 3)),
    "premature_beats_before",
    "premature_beats_after",
    "premature_share",
    "log_irregularity",
    "shorter_share33",
    "shorter_share201",
    "log_previous_to_q75_33",
    "log_previous_to_q90_33",
)
"""The columns of `rhythm_context`."""

PREMATURE = -0.12
"""Logarithm of the ratio of an early interval to the sinus interval: 11 % shorter."""

_SHORTEST_S, _LONGEST_S = 0.15, 4.0  # of an interval; others are artifacts or gaps
_MOST_IN_RUN = 6
_SHORTER = 0.97  # of an interval; less is the sampling
_NEAREST_SINUS, _LEAST_SINUS = 12, 8  # intervals of the local sinus reference; of a record for one
_EARLY_SHARE, _PAUSE_SHARE = 0.9, 1.2  # of the 60 % quantile: neither early nor after a pause


def previous_intervals(seconds: np.ndarray) -> np.ndarray:
    """Return the interval before each beat, in seconds, between 0.15 and 4 s.

    Args:
      seconds: (num_beats,) ascending, of all beats of a record, at least two.

    Returns:
      (num_beats,) float64; the first beat, which has none, has the median of the record.
    """
    intervals = np.clip(np.diff(seconds), _SHORTEST_S, _LONGEST_S)
    return np.concatenate([[np.median(intervals)], intervals])


def running_quantile(values: np.ndarray, width: int, share: float) -> np.ndarray:
    """Return a quantile of the `width` values around each one, reflected at the ends.

    Args:
      values: (num_values,) float64.
      width: odd; at most all values are used.
      share: of the values that are smaller, as in `np.quantile`.
    """
    from ecgexp.data.preprocessing.windows import consecutive_quantiles

    half = _half(values, width)
    return consecutive_quantiles(np.pad(values, half, mode="reflect"), 2 * half + 1, share)


def running_median(values: np.ndarray, width: int) -> np.ndarray:
    """Return the median of the `width` values around each one, see `running_quantile`."""
    return running_quantile(values, width, 0.5)


def running_share_shorter(intervals: np.ndarray, width: int) -> np.ndarray:
    """Return the share of the `width` intervals around each one that are 3 % shorter, or more."""
    half = _half(intervals, width)
    padded = np.pad(intervals, half, mode="reflect")
    number = np.zeros(len(intervals))
    for place in range(2 * half + 1):
        number += padded[place : place + len(intervals)] < _SHORTER * intervals
    return number / (2 * half + 1)


def _half(values: np.ndarray, width: int) -> int:
    return min(width // 2, len(values) - 1)


def rhythm_context(seconds: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return the rhythm around each beat.

    Neighbors beyond the ends of the record count as on time, and intervals beyond them as the
    median of the record.

    Args:
      seconds: (num_beats,) float64, ascending, of all beats of a record, at least two.
      unit: (num_beats,) positive, the unit of logarithms of ratios: the RR irregularity.

    Returns:
      (num_beats, 28) float64, the columns of `RHYTHM_CONTEXT`: logarithms of the interval before
      or after the beat, or their mean, to a median, a 75 or 90 % quantile, the local sinus interval
      or the longest of nine intervals, in units of `unit`, and of the 90 to the 10 % quantile;
      prematurity (`previous_to_sinus`) of neighbors; premature beats directly before and after the
      beat, at most 6, and their share of 33 beats; the logarithm of the unit; the share of 33 and
      201 intervals that are shorter than the one before the beat; two of the logarithms again,
      without the unit.
    """
    pre = previous_intervals(seconds)
    post = np.append(pre[1:], pre[0])  # pre[0] is the median
    log_pre, log_post = np.log(pre), np.log(post)
    median9, median33, median101 = (np.log(running_median(pre, width)) for width in (9, 33, 101))
    q75, q75_long = (np.log(running_quantile(pre, width, 0.75)) for width in (33, 201))
    q90, q90_long = (np.log(running_quantile(pre, width, 0.9)) for width in (33, 201))
    q10 = np.log(running_quantile(pre, 33, 0.1))
    sinus = np.log(sinus_intervals(pre))
    early = log_pre - sinus
    premature = (early < PREMATURE).astype(float)
    ratios = np.stack(
        [
            log_pre - median33,
            log_post - median33,
            log_pre - median9,
            log_post - median9,
            log_pre - median101,
            early,
            log_post - sinus,
            np.log((pre + post) / 2) - sinus,
            log_pre - q75,
            log_post - q75,
            log_pre - q75_long,
            log_pre - q90,
            log_post - q90,
            log_pre - q90_long,
            log_pre - running_quantile(log_pre, 9, 1.0),
            q90 - q10,
            *(_shifted(early / unit, places) * unit for places in (2, 1, -2, -3)),
        ],
        axis=1,
    )
    columns = [
        np.minimum(_run_before(premature), _MOST_IN_RUN),
        np.minimum(_run_before(premature[::-1])[::-1], _MOST_IN_RUN),
        _running_mean(premature, 33),
        np.log(unit),
        running_share_shorter(pre, 33),
        running_share_shorter(pre, 201),
        log_pre - q75,
        log_pre - q90,
    ]
    return np.column_stack([np.clip(ratios / unit[:, None], -LIMIT, LIMIT), *columns])


def sinus_intervals(pre: np.ndarray) -> np.ndarray:
    """Return the sinus interval at each beat: the median of the twelve nearest ones.

    A sinus interval is neither early nor a pause, relative to the 60 % quantile of 33 intervals,
    and does not follow an early beat. With fewer than eight of them in the record, all intervals
    are used.

    Args:
      pre: (num_beats,) seconds, of `previous_intervals`.
    """
    q60 = running_quantile(pre, 33, 0.6)
    late = pre > _EARLY_SHARE * q60
    sinus = np.flatnonzero(late & (pre < _PAUSE_SHARE * q60) & np.append(True, late[:-1]))
    if len(sinus) < _LEAST_SINUS:
        sinus = np.arange(len(pre))
    half = _NEAREST_SINUS // 2
    place = np.searchsorted(sinus, np.arange(len(pre))).clip(half, max(len(sinus) - half, half))
    near = (place[:, None] + np.arange(-half, half)).clip(0, len(sinus) - 1)
    return np.median(pre[sinus[near]], axis=1)


def _running_mean(values: np.ndarray, width: int) -> np.ndarray:
    half = _half(values, width)
    summed = np.append(0.0, np.cumsum(np.pad(values, half, mode="reflect")))
    return (summed[2 * half + 1 :] - summed[: len(values)]) / (2 * half + 1)


def _shifted(values: np.ndarray, places: int) -> np.ndarray:
    """Return the value `places` beats before each beat; beyond the ends zero, which is on time."""
    shifted = np.roll(values, places)
    shifted[slice(None, places) if places > 0 else slice(places, None)] = 0.0
    return shifted


def _run_before(is_premature: np.ndarray) -> np.ndarray:
    """Return how many premature beats directly precede each beat."""
    number = np.arange(len(is_premature))
    last_on_time = np.maximum.accumulate(np.where(is_premature > 0, -1, number))
    return (number - 1 - np.append(-1, last_on_time[:-1])).clip(0).astype(float)
