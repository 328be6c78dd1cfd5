"""Summary of an annotated recording that is read first: beats, runs, pauses, rate, quality.

It counts what the model predicted; it is no diagnosis. Beats in segments without a usable ECG and
unclassified beats are in no run, and an interval next to one is neither a pause nor counted in a
heart rate.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ecgexp.data.formats.annotation_writer import symbol_of
from ecgexp.data.quality.segments import MARKS, SEGMENT_S
from ecgexp.inference.record import Annotated

LEAST_RUN = 3
"""Beats of a run of S or V; two are a couplet."""

PAUSE_S = 2.0
"""Shortest interval that is a pause."""

_ECTOPIC = {"V": ("V",), "S": ("S", "A")}
_HOUR_S, _SHORTEST_S = 3600.0, 0.2


@dataclass(frozen=True, kw_only=True)
class Run:
    """Consecutive beats of one class.

    Attributes:
      first: Index of the first beat.
      num_beats: Number of beats.
      seconds: Time of the first beat from the start of the recording.
      per_minute: Mean rate between its beats.
    """

    first: int
    num_beats: int
    seconds: float
    per_minute: float


@dataclass(frozen=True, kw_only=True)
class RecordingSummary:
    """What the annotations of a recording say as a whole.

    Attributes:
      record_id: The record.
      seconds: Its length.
      source: Source of the beats: `reference` or `detector`.
      num_beats: All beats.
      counts: Class -> number of beats in usable segments, including zeros.
      num_unclassified: Beats whose annotation is `?`.
      runs: `S` and `V` -> its runs, in time order; only for classes that the model has.
      num_couplets: The same -> number of couplets.
      pauses: (num_pauses, 2) float64, time and length of each pause, in seconds.
      rates: (num_hours, 3) float64, lowest, mean and highest heart rate per minute of each hour;
        the extremes are medians of nine intervals; NaN without a beat.
      usable_by_hour: (num_hours,) float64, share of segments with a usable ECG; NaN if not known.
      marks: Mark -> share of the segments.
    """

    record_id: str
    seconds: float
    source: str
    num_beats: int
    counts: Mapping[str, int]
    num_unclassified: int
    runs: Mapping[str, tuple[Run, ...]]
    num_couplets: Mapping[str, int]
    pauses: np.ndarray
    rates: np.ndarray
    usable_by_hour: np.ndarray
    marks: Mapping[str, float] = field(default_factory=dict)


def summarize(annotated: Annotated) -> RecordingSummary:
    """Summarize the annotations of a recording.

    Args:
      annotated: The annotations.

    Returns:
      The summary.
    """
    is_used = annotated.is_classified & ~annotated.is_marked
    classes = np.where(is_used, annotated.predicted, -1)
    times = annotated.samples / annotated.fs_hz
    seconds = annotated.num_samples / annotated.fs_hz
    runs, couplets = {}, {}
    for name, symbols in _ECTOPIC.items():
        own = [i for i, one in enumerate(annotated.class_names) if symbol_of(one) in symbols]
        if own:
            found = runs_of(np.isin(classes, own), times)
            runs[name] = tuple(run for run in found if run.num_beats >= LEAST_RUN)
            couplets[name] = sum(run.num_beats == 2 for run in found)
    intervals = np.diff(times)
    is_known = is_used[1:] & is_used[:-1] & (intervals > _SHORTEST_S)
    is_pause = is_known & (intervals >= PAUSE_S)
    counts = np.bincount(classes[is_used], minlength=len(annotated.class_names))
    hours = max(1, int(np.ceil(seconds / _HOUR_S)))
    return RecordingSummary(
        record_id=annotated.record_id,
        seconds=seconds,
        source=annotated.source,
        num_beats=len(times),
        counts=dict(zip(annotated.class_names, counts.tolist(), strict=True)),
        num_unclassified=int(np.sum(~is_used)),
        runs=runs,
        num_couplets=couplets,
        pauses=np.stack([times[:-1][is_pause], intervals[is_pause]], axis=1),
        rates=_rates(times[1:][is_known], intervals[is_known], hours),
        usable_by_hour=_usable(annotated.segments, hours),
        marks=_marks(annotated.segments),
    )


def runs_of(is_member: np.ndarray, times: np.ndarray) -> list[Run]:
    """Find maximal runs of at least two consecutive beats.

    Args:
      is_member: (num_beats,) bool.
      times: (num_beats,) float64, seconds.

    Returns:
      The runs, in time order.

    Example:
      >>> runs_of(np.array([True, True, False, True]), np.arange(4.0))
      [Run(first=0, num_beats=2, seconds=0.0, per_minute=60.0)]
    """
    edges = np.diff(np.concatenate([[False], is_member, [False]]).astype(np.int8))
    begins, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return [
        Run(
            first=begin,
            num_beats=end - begin,
            seconds=float(times[begin]),
            per_minute=float(60 * (end - begin - 1) / (times[end - 1] - times[begin])),
        )
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
        if end - begin > 1
    ]


def _rates(times: np.ndarray, intervals: np.ndarray, hours: int) -> np.ndarray:
    from scipy.ndimage import median_filter

    rates = np.full((hours, 3), np.nan)
    if not len(intervals):
        return rates
    smooth = 60 / median_filter(intervals, 9, mode="nearest")
    hour = np.minimum((times / _HOUR_S).astype(np.int64), hours - 1)
    for number in np.unique(hour).tolist():
        own = hour == number
        mean = 60 * own.sum() / intervals[own].sum()
        rates[number] = smooth[own].min(), mean, smooth[own].max()
    return rates


def _usable(segments: np.ndarray | None, hours: int) -> np.ndarray:
    shares = np.full(hours, np.nan)
    if segments is not None:
        hour = np.minimum(np.arange(len(segments)) * SEGMENT_S // _HOUR_S, hours - 1)
        for number in np.unique(hour).astype(np.int64).tolist():
            shares[number] = np.mean(segments[hour == number] == 0)
    return shares


def _marks(segments: np.ndarray | None) -> dict[str, float]:
    if segments is None or not len(segments):
        return {}
    found = np.bincount(segments, minlength=len(MARKS)) / len(segments)
    return {name: float(share) for name, share in zip(MARKS, found, strict=True) if share and name}
