"""Check that each record, signal and beat occurs once, identified by its content."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ecgexp.data.beats import BeatSet
from ecgexp.settings.declaration import DataError
from ecgexp.storage.digests import file_sha256


def check_signals_once(signals: Mapping[str, Sequence[Path]], sha256: Mapping[Path, str]) -> None:
    """Check that no two records share a signal file, by name or by content.

    A copy of a record under another name would give each of its heartbeats several rows, possibly
    in both training and test.

    Args:
      signals: record -> signal files.
      sha256: file -> hexadecimal SHA-256.

    Raises:
      DataError: Two records share a signal file; the message names both.
    """
    owners: dict[str, tuple[str, Path]] = {}
    for record_id, paths in signals.items():
        for path in dict.fromkeys(paths):
            other, other_path = owners.setdefault(sha256[path], (record_id, path))
            if other != record_id:
                same = (
                    f"both have {path.name}"
                    if path == other_path
                    else f"{other_path.name} and {path.name} are equal byte for byte"
                )
                raise DataError(
                    f"records {other} and {record_id} hold the same signal: {same}; list only one "
                    "of "
                    "them in dataset.records="
                )


def check_no_copies(record_ids: np.ndarray, signals_mv: np.ndarray) -> None:
    """Check that no two records share, bit for bit, most of the beats of one of them.

    It finds copies in another file format and excerpts. Constant windows are not compared, because
    all of them are equal.

    Args:
      record_ids: (num_beats,) str.
      signals_mv: (num_beats, window, leads) float32, millivolts.

    Raises:
      DataError: Two records share beats; the message names both and the number of equal windows.
    """
    names, owners = np.unique(record_ids, return_inverse=True)
    hashes = np.asarray(window_hashes(signals_mv), object)
    found = copies(
        {str(name): hashes[owners == owner].tolist() for owner, name in enumerate(names)}
    )
    if found is not None:
        one, other, number = found
        raise DataError(
            f"records {one} and {other} hold the same heartbeats: {number} windows are equal bit "
            "for "
            "bit; list only one of them in dataset.records="
        )


def window_hashes(signals_mv: np.ndarray) -> list[int | None]:
    """Return a hash of each window, comparable within this process; None for constant windows.

    Args:
      signals_mv: (num_beats, window, leads) float32, millivolts.

    Returns:
      One entry for each beat.
    """
    if not signals_mv.size:
        return [None] * len(signals_mv)
    rows = np.ascontiguousarray(signals_mv).reshape(len(signals_mv), -1)
    width = rows.shape[1] * rows.itemsize
    content = rows.data.cast("B")
    changes = (rows.min(axis=1) < rows.max(axis=1)).tolist()
    return [
        hash(content[row * width : (row + 1) * width].tobytes()) if changes[row] else None
        for row in range(len(rows))
    ]


def copies(windows: Mapping[str, Sequence[int | None]]) -> tuple[str, str, int] | None:
    """Find two records of which one shares more than half of its beats with the other.

    Args:
      windows: record -> `window_hashes` of its beats.

    Returns:
      Both records and the number of shared beats, or None if there are no such records.
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
    """Check that no two records, in any folders, have a signal file of equal content.

    Args:
      stems: Paths of the records, without suffix.
      files_of: (folder, record) -> signal files; missing files are skipped.

    Raises:
      DataError: Two records have a file of equal content; the message names both.
    """
    owners: dict[str, Path] = {}
    for stem in stems:
        for sha256 in {
            file_sha256(path) for path in files_of(stem.parent, stem.name) if path.is_file()
        }:
            if (other := owners.setdefault(sha256, stem)) != stem:
                raise DataError(
                    f"records {other} and {stem} hold the same signal and would be counted twice; "
                    "name "
                    "only one of them"
                )


def check_beats_once(beats: BeatSet) -> None:
    """Check that no beat has two rows; a beat is identified by its record and annotated sample.

    Args:
      beats: Beats of any dataset.

    Raises:
      DataError: A beat has two rows; the message names both.
    """
    _, record = np.unique(beats.record_ids, return_inverse=True)
    order = np.lexsort((beats.r_samples, record))
    same = (np.diff(record[order]) == 0) & (np.diff(beats.r_samples[order]) == 0)
    if same.any():
        at = int(np.flatnonzero(same)[0])
        one, other = sorted((int(order[at]), int(order[at + 1])))
        raise DataError(
            f"{int(same.sum())} beats have several rows: record {beats.record_ids[one]} sample "
            f"{beats.r_samples[one]} is in rows {one} and {other}; load each record once"
        )


def is_copy(signals_mv: np.ndarray, symbols: np.ndarray) -> np.ndarray:
    """Find rows that equal an earlier one in samples and symbol; constant rows are not compared.

    Args:
      signals_mv: (num_beats, window, leads) float32.
      symbols: (num_beats,) str.

    Returns:
      (num_beats,) bool.
    """
    seen: set[tuple[bytes, str]] = set()
    found = np.zeros(len(symbols), bool)
    for row, (content, symbol) in enumerate(
        zip(_contents(signals_mv), symbols.tolist(), strict=True)
    ):
        if content is not None:
            found[row] = (content, symbol) in seen
            seen.add((content, symbol))
    return found


def is_among(signals_mv: np.ndarray, others_mv: np.ndarray) -> np.ndarray:
    """Find rows with the samples of a row of `others_mv`; constant rows are not compared.

    Args:
      signals_mv: (num_beats, window, leads) float32.
      others_mv: The same of other beats.

    Returns:
      (num_beats,) bool.
    """
    others = {content for content in _contents(others_mv) if content is not None}
    return np.asarray([content in others for content in _contents(signals_mv)], bool)


def _contents(signals_mv: np.ndarray) -> Iterator[bytes | None]:
    """Yield the digest of each window; None for a constant one."""
    rows = np.ascontiguousarray(signals_mv).reshape(len(signals_mv), -1)
    changes = rows.min(axis=1) < rows.max(axis=1) if rows.size else np.zeros(len(rows), bool)
    for row, is_changing in zip(rows, changes.tolist(), strict=True):
        yield hashlib.blake2b(row.tobytes(), digest_size=16).digest() if is_changing else None
