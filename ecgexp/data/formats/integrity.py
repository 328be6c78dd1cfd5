"""Checks of signal and annotation files that wfdb does not make.

They detect files that are truncated, changed, misnamed or not in time order.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats.untrusted import damaged, read_file
from ecgexp.settings.declaration import DataError

# The supported formats (https://wfdb.io/spec, "signal files"): samples and bytes of a block, bytes
# of an incomplete last block, and the value that means "no sample", which wfdb turns into NaN.
BLOCKS: Mapping[str, tuple[int, int]] = {
    "16": (1, 2),
    "24": (1, 3),
    "32": (1, 4),
    "61": (1, 2),
    "80": (1, 1),
    "160": (1, 2),
    "212": (2, 3),
    "310": (3, 4),
    "311": (3, 4),
}
_STARTED_BLOCK: Mapping[str, tuple[int, ...]] = {"212": (0, 2), "310": (0, 2, 4), "311": (0, 2, 3)}
INVALID_SAMPLE: Mapping[str, int] = {
    "16": -(2**15),
    "24": -(2**23),
    "32": -(2**31),
    "61": -(2**15),
    "80": -(2**7),
    "160": -(2**15),
    "212": -(2**11),
    "310": -(2**9),
    "311": -(2**9),
}
_HIGHEST_MV = 1000.0  # potentials on the body surface are far below one volt


def check_signal_files(header_path: Path, header: Any, database: Database) -> int:
    """Check that the signal files exist and have exactly the samples that the header states.

    Args:
      header_path: The `.hea` file.
      header: Its content, as returned by `read_header`.
      database: Gives the frequency to compare with, and the remedy.

    Returns:
      Number of frames in the record: as the header states or, if it does not, as the files have.

    Raises:
      DataError: Another frequency, an unknown format, a size that disagrees with the header, or,
        if the header states no length, files of different lengths.
    """
    if header.fs != database.fs_hz:
        raise damaged(
            header_path,
            f"states {header.fs:g} Hz, but {database} has {database.fs_hz:g} Hz",
            database,
        )
    frames: dict[int, str] = {}
    for name in dict.fromkeys(header.file_name):
        channels = [channel for channel in range(header.n_sig) if header.file_name[channel] == name]
        if len({(header.fmt[channel], header.byte_offset[channel]) for channel in channels}) > 1:
            raise damaged(header_path, f"gives the signals of {name} different formats", database)
        frames[_num_frames(header_path.with_name(name), header, channels, database)] = name
    if len(frames) > 1:
        counts = " and ".join(f"{name} {count}" for count, name in frames.items())
        raise damaged(
            header_path,
            f"states no length, and its files have different numbers of samples: {counts}",
            database,
        )
    return next(iter(frames))


def _num_frames(path: Path, header: Any, channels: list[int], database: Database) -> int:
    fmt = header.fmt[channels[0]]
    if fmt not in BLOCKS:
        known = ", ".join(BLOCKS)
        raise damaged(path, f"is in WFDB format {fmt}, and readable are {known}", database)
    if not path.is_file():
        raise damaged(path, "is missing", database)
    per_frame = sum(header.samps_per_frame[channel] for channel in channels)
    offset, found = header.byte_offset[channels[0]] or 0, path.stat().st_size
    num_frames = header.sig_len
    if num_frames is None:
        in_block, num_bytes = BLOCKS[fmt]
        num_frames = max(found - offset, 0) * in_block // num_bytes // per_frame
    expected = [offset + size for size in _sizes(fmt, num_frames * per_frame)]
    if found not in expected:
        stated = "its header states" if header.sig_len is not None else "complete samples have"
        raise damaged(path, f"has {found} bytes, but {stated} {expected[0]}", database)
    if not num_frames:
        raise damaged(path, "has no samples", database)
    return num_frames


def _sizes(fmt: str, num_samples: int) -> list[int]:
    """Return the possible sizes in bytes; some writers complete the last block."""
    in_block, num_bytes = BLOCKS[fmt]
    blocks, rest = divmod(num_samples, in_block)
    started = _STARTED_BLOCK.get(fmt, (0,))[rest]
    sizes = {blocks * num_bytes + started, (blocks + bool(rest)) * num_bytes}
    return sorted(sizes)


def check_signals(
    header_path: Path, header: Any, digital: Sequence[np.ndarray], database: Database
) -> None:
    """Check the first value and the 16-bit checksum of each signal against the header.

    Args:
      header_path: The `.hea` file.
      header: Its content, as returned by `read_header`.
      digital: For each signal its samples, (num_samples,) integers as in the file.
      database: Gives the remedy.

    Raises:
      DataError: One of them differs; the message names the lead.
    """
    for channel, (lead, values) in enumerate(zip(header.sig_name, digital, strict=True)):
        path = header_path.with_name(header.file_name[channel])
        first = header.init_value[channel]
        if int(values[0]) != first:
            raise damaged(
                path,
                f"begins lead {lead} with {values[0]}, but its header states {first}",
                database,
            )
        if (int(values.sum(dtype=np.int64)) - header.checksum[channel]) % 2**16:
            raise damaged(path, f"does not have its header's checksum in lead {lead}", database)


def check_no_gap(path: Path, lead: str, fmt: str, values: np.ndarray, database: Database) -> None:
    """Check that a lead has a value at every sample.

    Args:
      path: The signal file.
      lead: Name of the lead.
      fmt: WFDB format of the file.
      values: (num_samples,) integers as in the file.
      database: Gives the remedy.

    Raises:
      DataError: A value is missing; the message gives the first gap.
    """
    gaps = np.flatnonzero(values == INVALID_SAMPLE[fmt])
    if len(gaps):
        raise damaged(
            path,
            f"has no value (NaN) in lead {lead} at sample {gaps[0]}, {len(gaps)} in all",
            database,
        )


def check_millivolts(
    path: Path, signals_mv: np.ndarray, lead_names: Sequence[str], database: Database
) -> None:
    """Check that the signals are finite and below one volt, which detects a wrong gain.

    Args:
      path: The file that determines their scale.
      signals_mv: (num_samples, leads) float64, millivolts.
      lead_names: Name of each column.
      database: Gives the remedy.

    Raises:
      DataError: A value is not finite, or is one volt or more.
    """
    # Comparisons with NaN are false, so that NaN does not pass.
    if signals_mv.min(initial=0.0) > -_HIGHEST_MV and signals_mv.max(initial=0.0) < _HIGHEST_MV:
        return
    for name, highest in zip(lead_names, np.abs(signals_mv).max(axis=0), strict=True):
        if not highest < _HIGHEST_MV:
            raise damaged(
                path,
                f"gives {highest:g} mV in lead {name}, and an ECG is below {_HIGHEST_MV:g} mV",
                database,
            )


def check_annotation_file(path: Path, database: Database) -> bytes:
    """Read an annotation file and check that it ends with the two zero bytes of its format.

    Args:
      path: The file.
      database: Gives the remedy.

    Returns:
      Its content: an even number of bytes.

    Raises:
      DataError: It is missing or truncated.
    """
    content = read_file(path, database)
    if len(content) % 2 or len(content) < 4 or content[-2:] != b"\0\0":
        raise damaged(
            path,
            f"is truncated: its {len(content)} bytes do not end with WFDB's end mark",
            database,
        )
    return content


def check_annotations(
    path: Path, samples: np.ndarray, beats: np.ndarray, num_samples: int, database: Database
) -> None:
    """Check that annotations are in time order and that no two beats are at the same sample.

    Args:
      path: Their file.
      samples: (num_annotations,) int64.
      beats: (num_annotations,) bool, True for beats.
      num_samples: Length of the record; beats outside it are not compared.
      database: Gives the remedy.

    Raises:
      DataError: They are not; the message gives the sample.
    """
    if np.any(np.diff(samples) < 0):
        place = int(samples[np.flatnonzero(np.diff(samples) < 0)[0] + 1])
        raise damaged(
            path,
            f"is not in time order: the annotation at sample {place} comes too late",
            database,
        )
    at = samples[beats & is_inside(samples, num_samples)]
    twice = at[1:][np.diff(at) == 0]
    if len(twice):
        raise damaged(path, f"has two beats at sample {twice[0]}", database)


def is_inside(samples: np.ndarray, num_samples: int) -> np.ndarray:
    """Return which annotations are inside the record; some of published databases are not.

    Args:
      samples: (num_annotations,) int64.
      num_samples: Length of the record.

    Returns:
      (num_annotations,) bool.
    """
    return (samples >= 0) & (samples < num_samples)


def check_published(sha256: Mapping[Path, str], database: Database) -> None:
    """Check that files are those PhysioNet publishes, apart from line endings of headers.

    Args:
      sha256: File -> SHA-256.
      database: Gives the published list; files that are not in it are not checked.

    Raises:
      DataError: A file differs.
    """
    published = database.published_sha256()
    for path, found in sha256.items():
        if path.name in published and found != published[path.name]:
            raise DataError(
                f"{path} is not the file that PhysioNet publishes in {database} (SHA-256 differs); "
                f"{database.fix}, or use dataset.verify=header to accept a changed file"
            )
