"""Bring annotations into time order, with at most one beat at a sample."""

from collections import Counter

import numpy as np

from ecgexp.data.formats.record import BEAT_SYMBOLS

UNSORTED = "annotation that is not in time order, sorted"
SAME_BEAT_TWICE = "beat that is annotated twice, left out once"
OTHER_BEAT = "beat at the sample of a beat with another symbol, of which the first is used"


def in_time_order(
    samples: np.ndarray, symbols: np.ndarray, notes: Counter[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sort annotations and leave out all but the first of several beats at one sample.

    WFDB's format allows steps back, and annotators that work on several signals write such files.
    Beats at one sample would have an RR interval of 0.

    Args:
      samples: (num_annotations,) int64.
      symbols: (num_annotations,) str.
      notes: What was changed is counted here.

    Returns:
      samples: (num_kept,) int64, ascending.
      symbols: (num_kept,) str.
      kept: (num_kept,) int64: index of each of them in the arguments.
    """
    late = int(np.sum(samples < np.maximum.accumulate(samples))) if len(samples) else 0
    kept = np.argsort(samples, kind="stable") if late else np.arange(len(samples))
    notes[UNSORTED] += late
    beats = kept[np.isin(symbols[kept], BEAT_SYMBOLS)]
    again = np.flatnonzero(np.diff(samples[beats]) == 0) + 1
    if len(again):
        first = beats[np.searchsorted(samples[beats], samples[beats[again]])]
        same = int(np.sum(symbols[first] == symbols[beats[again]]))
        notes[SAME_BEAT_TWICE] += same
        notes[OTHER_BEAT] += len(again) - same
        kept = kept[~np.isin(kept, beats[again])]
    return samples[kept], symbols[kept], kept
