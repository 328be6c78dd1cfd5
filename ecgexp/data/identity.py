"""Each record, signal and beat is there once: what is counted, trained on and protected is known by itself, not by its place."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ecgexp.data.beats import BeatSet
from ecgexp.settings.declaration import DataError
from ecgexp.storage.digests import file_sha256


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
                same = (
                    f"both have {name}"
                    if name == other_name
                    else f"{other_name} and {name} are equal byte for byte"
                )
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
    names, owners = np.unique(record_ids, return_inverse=True)
    hashes = np.asarray(window_hashes(signals_mv), object)
    found = copies(
        {str(name): hashes[owners == owner].tolist() for owner, name in enumerate(names)}
    )
    if found is not None:
        one, other, number = found
        raise DataError(
            f"records {one} and {other} hold the same heartbeats: {number} windows are equal bit for bit; name one of them in "
            "dataset.records="
        )


def window_hashes(signals_mv: np.ndarray) -> list[int | None]:
    """One number a beat, equal in this process for windows that are equal bit for bit; None without any change of voltage.

    Args:
      signals_mv: (num_beats, window, leads) float32.
    """
    rows = np.ascontiguousarray(signals_mv).reshape(len(signals_mv), -1)
    if not rows.size:
        return [None] * len(rows)
    width = rows.shape[1] * rows.itemsize
    content = memoryview(rows).cast("B")
    changes = (rows.min(axis=1) < rows.max(axis=1)).tolist()
    return [
        hash(content[row * width : (row + 1) * width].tobytes()) if changes[row] else None
        for row in range(len(rows))
    ]


def copies(windows: Mapping[str, Sequence[int | None]]) -> tuple[str, str, int] | None:
    """Two records of which one shares most of its beats with the other, and how many; None where there are no two.

    Args:
      windows: record -> `window_hashes` of its beats.
    """
    first: dict[int, str] = {}
    shared: Counter[tuple[str, str]] = Counter()
    for name, hashes in windows.items():
        for one in hashes:
            if one is not None and (other := first.setdefault(one, name)) != name:
                shared[other, name] += 1
    for (one, other), number in shared.items():
        if 2 * number > min(len(windows[one]), len(windows[other])):
            return one, other, number
    return None


def check_stems_once(
    stems: Sequence[Path], files_of: Callable[[Path, str], Sequence[Path]]
) -> None:
    """No two records, wherever they lie, have a signal file of equal content.

    Args:
      stems: paths of the records, without suffix.
      files_of: folder and record -> its signal files; those that are not there are passed over.

    Raises:
      DataError: two have; both are named.
    """
    owners: dict[str, Path] = {}
    for stem in stems:
        for sha256 in {
            file_sha256(path) for path in files_of(stem.parent, stem.name) if path.is_file()
        }:
            if (other := owners.setdefault(sha256, stem)) != stem:
                raise DataError(
                    f"records {other} and {stem} hold the same signal, and would count twice; give one of them"
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
