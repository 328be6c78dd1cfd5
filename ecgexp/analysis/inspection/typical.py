"""How beats of each class look: the median and the middle 80 % of a few beats of each record."""

import numpy as np

from ecgexp.analysis.inspection import words
from ecgexp.analysis.inspection.facts import ReadRecords, TypicalBeats
from ecgexp.data.beats import BeatSet

_LOW, _HIGH = 0.1, 0.9


def typical_beats(
    read: ReadRecords, labels: np.ndarray, labeled: BeatSet, is_shown: np.ndarray, beats_of: str
) -> TypicalBeats | None:
    """Compute the typical beats.

    Args:
      read: The records, with windows of some beats.
      labels: (num_beats,) int64, the class of each of `read.beats`; -1 for none.
      labeled: Gives the names of the classes.
      is_shown: (num_beats,) bool: True for those of `read.beats` that may be used.
      beats_of: Which ones these are, as a caption says it.

    Returns:
      The typical beats of the classes that have a beat; None if none has.
    """
    kept = read.kept
    usable = is_shown[kept.rows]
    median, low, high, numbers = {}, {}, {}, {}
    for index, name in enumerate(labeled.class_names):
        chosen = usable & (labels[kept.rows] == index)
        if not chosen.any():
            continue
        windows = kept.windows_mv[chosen]
        low[name], median[name], high[name] = np.quantile(
            windows, (_LOW, 0.5, _HIGH), axis=0
        ).astype(np.float32)
        records = np.unique(read.beats.record_ids[kept.rows[chosen]])
        numbers[name] = len(windows), len(records)
    if not median:
        return None
    samples = kept.windows_mv.shape[1]
    return TypicalBeats(
        times_ms=(np.arange(samples) * 1000 / read.beats.fs_hz) - read.window_ms[0],
        units=words.units(read.beats),
        leads=read.beats.lead_names,
        median_mv=median,
        low_mv=low,
        high_mv=high,
        numbers=numbers,
        beats_of=beats_of,
    )
