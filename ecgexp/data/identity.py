"""Each record, signal and beat is there once: what is counted, trained on and protected is known by itself, not by its place."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ecgexp._validate import DataError
from ecgexp.beats import BeatSet


def check_signals_once(signals: Mapping[str, Sequence[Path]], digests: Mapping[str, str]) -> None:
    """No two records have a signal file in common, by name or by content.

    A copy of a record under another name would give each of its heartbeats several rows, in training and test alike.

    Args:
      signals: record -> its signal files.
      digests: file name -> SHA-256 of it.

    Raises:
      DataError: two have; both are named.
    """
    owners: dict[str, tuple[str, str]] = {}
    for record_id, paths in signals.items():
        for name in dict.fromkeys(path.name for path in paths):
            other, other_name = owners.setdefault(digests[name], (record_id, name))
            if other != record_id:
                same = f"both have {name}" if name == other_name else f"{other_name} and {name} are equal byte for byte"
                raise DataError(
                    f"records {other} and {record_id} hold the same signal: {same}; name one of them in dataset.records="
                )


def check_no_copies(record_ids: np.ndarray, signals_mv: np.ndarray) -> None:
    """No two records share most of the beats of one of them, bit for bit, as a copy in another file format or an excerpt would.

    Windows without any change of voltage are not compared: all of them look alike.

    Args:
      record_ids: (num_beats,) str.
      signals_mv: (num_beats, window, leads) float32.

    Raises:
      DataError: two do; both are named, and one of the beats.
    """
    rows = np.ascontiguousarray(signals_mv).reshape(len(signals_mv), -1)
    if not rows.size:
        return
    width = rows.shape[1] * rows.itemsize
    content = memoryview(rows).cast("B")
    names, owners = np.unique(record_ids, return_inverse=True)
    num_beats = np.bincount(owners)
    first: dict[int, int] = {}
    shared: Counter[tuple[int, int]] = Counter()
    for row in np.flatnonzero(rows.min(axis=1) < rows.max(axis=1)).tolist():
        other = first.setdefault(hash(content[row * width : (row + 1) * width].tobytes()), row)
        if owners[other] != owners[row]:
            shared[int(owners[other]), int(owners[row])] += 1
    for (one, other), number in shared.items():
        if 2 * number > min(num_beats[one], num_beats[other]):
            raise DataError(
                f"records {names[one]} and {names[other]} hold the same heartbeats: {number} windows are equal bit for bit; name "
                "one of them in dataset.records="
            )


def check_beats_once(beats: BeatSet) -> None:
    """No beat has two rows; a beat is known by its record and annotated sample.

    Args:
      beats: of any dataset.

    Raises:
      DataError: one has; both rows are named.
    """
    _, record = np.unique(beats.record_ids, return_inverse=True)
    order = np.lexsort((beats.r_samples, record))
    same = (np.diff(record[order]) == 0) & (np.diff(beats.r_samples[order]) == 0)
    if same.any():
        at = int(np.flatnonzero(same)[0])
        one, other = sorted((int(order[at]), int(order[at + 1])))
        raise DataError(
            f"{int(same.sum())} beats have several rows: record {beats.record_ids[one]} sample {beats.r_samples[one]} stands in "
            f"rows {one} and {other}; load each record once"
        )
