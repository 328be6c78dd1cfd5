"""Overlap of windows: the number of rows that contain a given heartbeat.

A row is the window `[p - before, p + after)` around an R peak p. Example-level differential privacy
protects one row. Whether that protects one *heartbeat* depends on the other rows:

- **A peak in several rows.** If the peak p' of another annotated beat is inside a window,
  `p - before < p' < p + after`, the row contains the other heartbeat as well as its own. Removing
  that heartbeat then changes all rows that contain its peak.
- **Shared samples only.** Two windows share a sample if `|p - p'| < before + after`. If no peak is
  inside another window, they share only samples between two beats.

A peak on the first sample of a window, `p' = p - before`, counts as a shared sample: the window
contains the second half of that beat but not the upstroke of its peak (at ±250 ms this is one pair
of all beats of MIT-BIH, in record 203).
"""

from collections.abc import Iterator

import numpy as np

from ecgexp.data.beats import BeatSet
from ecgexp.privacy.unit_checks import Overlap


def overlap_of(beats: BeatSet, rows: np.ndarray, before: int) -> Overlap:
    """Count how the windows of `rows` overlap, and how many contain the R peak of another beat.

    Every annotated beat of the records counts, also beats without a row in `rows`: those whose
    symbol is in no class, whose window extends beyond it, or that are in the validation or test
    part.

    Args:
      beats: All beats, with their windows.
      rows: (num_rows,) int64, indices, e.g. of the training beats.
      before: Samples of a window before the R peak.

    Returns:
      The counts over all records; of rows cut elsewhere only that they are unknown.
    """
    if beats.cut_elsewhere:
        return Overlap(rows=len(rows), is_known=False)
    found = Overlap(rows=len(rows))
    for at, samples, own, peaks in _records(beats, rows):
        found = _joined(
            found, _of_record(at, samples, own, peaks, before, beats.signals_mv.shape[1], beats)
        )
    return found


def rows_sharing_samples(beats: BeatSet, rows: np.ndarray, others: np.ndarray) -> int:
    """Count the rows of `others` that share a sample of the same record with one of `rows`.

    0 for rows cut elsewhere, of which it is unknown.
    """
    if beats.cut_elsewhere:
        return 0
    window, count = beats.signals_mv.shape[1], 0
    places = {record: np.sort(own) for record, _, own, _ in _records(beats, rows)}
    for record, _, own, _ in _records(beats, others):
        if record in places:
            near = places[record]
            count += int(np.sum(_count(near, own - window + 1, own + window) > 0))
    return count


def _of_record(
    record: str,
    samples: np.ndarray,
    own: np.ndarray,
    peaks: np.ndarray,
    before: int,
    window: int,
    beats: BeatSet,
) -> Overlap:
    """Return the overlap of the rows of one record.

    Args:
      record: Name of the record.
      samples: (num_rows,) int64, annotated samples of the rows.
      own: (num_rows,) int64, samples of their peaks, ascending.
      peaks: (num_annotated,) int64, samples of all peaks, ascending; includes `own`.
      before: Samples of a window before the peak.
      window: Samples of a window.
      beats: Gives the sampling frequency.
    """
    after = window - before
    # At least its own peak, also if `after` is 0.
    held = np.maximum(_count(peaks, own - before + 1, own + after), 1)
    holders = np.maximum(_count(own, peaks - after + 1, peaks + before), 1)
    near = _count(own, peaks - window + 1, peaks + window)
    sharing = _count(own, own - window + 1, own + window)
    place = np.searchsorted(peaks, own)
    padded = np.concatenate([[-np.inf], peaks, [np.inf]])
    gaps = np.minimum(padded[place + 1] - padded[place], padded[place + 2] - padded[place + 1])
    touched = np.flatnonzero(held > 1) if np.any(held > 1) else np.flatnonzero(sharing > 1)
    return Overlap(
        rows=0,
        rows_with_other_peak=int(np.sum(held > 1)),
        rows_per_peak=int(holders.max(initial=1)),
        rows_sharing=int(np.sum(sharing > 1)),
        rows_per_beat=int(near.max(initial=1)),
        nearest_ms=float(gaps.min(initial=np.inf)) / beats.fs_hz * 1000,
        where=f"record {record} sample {samples[touched[0]]}" if len(touched) else "",
    )


def _joined(a: Overlap, b: Overlap) -> Overlap:
    where = (
        a.where
        if a.where and (a.rows_with_other_peak or not b.rows_with_other_peak)
        else b.where or a.where
    )
    return Overlap(
        rows=a.rows + b.rows,
        rows_with_other_peak=a.rows_with_other_peak + b.rows_with_other_peak,
        rows_per_peak=max(a.rows_per_peak, b.rows_per_peak),
        rows_sharing=a.rows_sharing + b.rows_sharing,
        rows_per_beat=max(a.rows_per_beat, b.rows_per_beat),
        nearest_ms=min(a.nearest_ms, b.nearest_ms),
        where=where,
    )


def _records(
    beats: BeatSet, rows: np.ndarray
) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield for each record of `rows`: name, annotated samples, their peaks, and all peaks."""
    for record in np.unique(beats.record_ids[rows]):
        samples = beats.r_samples[rows][beats.record_ids[rows] == record]
        published, places = beats.annotated.get(str(record), np.stack([np.unique(samples)] * 2))
        own = places[np.searchsorted(published, samples)]
        order = np.argsort(own, kind="stable")
        yield str(record), samples[order], own[order], np.sort(places)


def _count(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Count the ascending `values` in each interval `[low, high)`."""
    return np.searchsorted(values, high) - np.searchsorted(values, low)
