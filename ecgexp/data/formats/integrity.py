"""What wfdb accepts in silence and a run must not: cut, flipped, shortened, misnamed or unsorted files."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats.untrusted import damaged, read_file
from ecgexp.settings.declaration import DataError

# Samples that share a block of bytes in the formats (https://wfdb.io/spec, "signal files") this reader vouches for, and the
# bytes of the block; the value that stands for "no sample" in each, which wfdb turns into NaN.
BLOCKS: Mapping[str, tuple[int, int]] = {
    "16": (1, 2), "24": (1, 3), "32": (1, 4), "61": (1, 2), "80": (1, 1), "160": (1, 2), "212": (2, 3), "310": (3, 4),
    "311": (3, 4),
}  # fmt: skip
_STARTED_BLOCK: Mapping[str, tuple[int, ...]] = {"212": (0, 2), "310": (0, 2, 4), "311": (0, 2, 3)}
INVALID_SAMPLE: Mapping[str, int] = {
    "16": -(2**15), "24": -(2**23), "32": -(2**31), "61": -(2**15), "80": -(2**7), "160": -(2**15), "212": -(2**11),
    "310": -(2**9), "311": -(2**9),
}  # fmt: skip
_HIGHEST_MV = 1000.0  # no electrode on a body has a volt


def check_signal_files(header_path: Path, header: Any, database: Database) -> int:
    """The header's signal files lie beside it and hold exactly the samples it claims.

    Args:
      header_path: the `.hea` file.
      header: what `read_header` read from it.
      database: for the catalogued frequency and the remedy.

    Returns:
      Frames in the record: what the header says or, where it leaves that out, what the files hold.

    Raises:
      DataError: another frequency, an unknown format, a size that is not the header's, or, where it claims none, files of
        different lengths.
    """
    if header.fs != database.fs_hz:
        raise damaged(
            header_path,
            f"says {header.fs:g} Hz where {database} has {database.fs_hz:g} Hz",
            database,
        )
    frames: dict[int, str] = {}
    for name in dict.fromkeys(header.file_name):
        channels = [channel for channel in range(header.n_sig) if header.file_name[channel] == name]
        if len({(header.fmt[channel], header.byte_offset[channel]) for channel in channels}) > 1:
            raise damaged(header_path, f"gives the signals of {name} different formats", database)
        frames[_num_frames(header_path.with_name(name), header, channels, database)] = name
    if len(frames) > 1:
        told = " and ".join(f"{name} {count}" for count, name in frames.items())
        raise damaged(
            header_path,
            f"says no length, and its files hold different numbers of samples: {told}",
            database,
        )
    return next(iter(frames))


def _num_frames(path: Path, header: Any, channels: list[int], database: Database) -> int:
    fmt = header.fmt[channels[0]]
    if fmt not in BLOCKS:
        raise damaged(path, f"is in WFDB format {fmt}; readable are {', '.join(BLOCKS)}", database)
    if not path.is_file():
        raise damaged(path, "is missing", database)
    a_frame = sum(header.samps_per_frame[channel] for channel in channels)
    offset, found = header.byte_offset[channels[0]] or 0, path.stat().st_size
    claimed = header.sig_len
    if claimed is None:
        in_block, num_bytes = BLOCKS[fmt]
        claimed = max(found - offset, 0) * in_block // num_bytes // a_frame
    expected = [offset + size for size in _sizes(fmt, claimed * a_frame)]
    if found not in expected:
        said = "its header claims" if header.sig_len is not None else "whole samples have"
        raise damaged(path, f"has {found} bytes where {said} {expected[0]}", database)
    if not claimed:
        raise damaged(path, "holds no samples", database)
    return claimed


def _sizes(fmt: str, num_samples: int) -> list[int]:
    """Bytes that so many samples take; writers may end with a whole block."""
    in_block, num_bytes = BLOCKS[fmt]
    blocks, rest = divmod(num_samples, in_block)
    started = _STARTED_BLOCK.get(fmt, (0,))[rest]
    sizes = {blocks * num_bytes + started, (blocks + bool(rest)) * num_bytes}
    return sorted(sizes)


def check_signals(
    header_path: Path, header: Any, digital: Sequence[np.ndarray], database: Database
) -> None:
    """The samples are those the header was written for: first value and 16-bit sum.

    Args:
      header_path: the `.hea` file.
      header: what `read_header` read from it.
      digital: for each signal its samples, integers as they are in the file.
      database: for the remedy.

    Raises:
      DataError: one of them differs; the message names the lead.
    """
    for channel, (lead, values) in enumerate(zip(header.sig_name, digital, strict=True)):
        path = header_path.with_name(header.file_name[channel])
        first = header.init_value[channel]
        if int(values[0]) != first:
            raise damaged(
                path, f"begins lead {lead} with {values[0]} where its header says {first}", database
            )
        if (int(values.sum(dtype=np.int64)) - header.checksum[channel]) % 2**16:
            raise damaged(
                path, f"fails its header's checksum in lead {lead}: bytes were changed", database
            )


def check_no_gap(path: Path, lead: str, fmt: str, values: np.ndarray, database: Database) -> None:
    """A lead has a value at every sample.

    Args:
      path: the signal file.
      lead: its name.
      fmt: of the file.
      values: (num_samples,) integers, as they are in the file.
      database: for the remedy.

    Raises:
      DataError: it has not; the message names the first gap.
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
    """The signals are such as a body can have; a gain or a value that was changed may make them anything.

    Args:
      path: the file that decides their scale.
      signals_mv: (num_samples, leads) float64.
      lead_names: one for each column.
      database: for the remedy.

    Raises:
      DataError: a value is not finite, or a volt or more.
    """
    if (
        signals_mv.min(initial=0.0) > -_HIGHEST_MV and signals_mv.max(initial=0.0) < _HIGHEST_MV
    ):  # so that NaN is not
        return
    for name, highest in zip(lead_names, np.abs(signals_mv).max(axis=0), strict=True):
        if not highest < _HIGHEST_MV:
            raise damaged(
                path,
                f"makes lead {name} reach {highest:g} mV, which no electrode measures",
                database,
            )


def check_annotation_file(path: Path, database: Database) -> bytes:
    """An annotation file is whole: an even number of bytes that ends with the two zero bytes of its format.

    Returns:
      Its content.

    Raises:
      DataError: it is missing, or was cut.
    """
    content = read_file(path, database)
    if len(content) % 2 or len(content) < 4 or content[-2:] != b"\0\0":
        raise damaged(
            path, f"was cut: its {len(content)} bytes do not end with WFDB's end mark", database
        )
    return content


def check_annotations(
    path: Path, samples: np.ndarray, beats: np.ndarray, num_samples: int, database: Database
) -> None:
    """Annotations stand in time order, and no two beats of the record at one sample.

    Args:
      path: their file.
      samples: (num_annotations,) int64.
      beats: (num_annotations,) bool, which of them are beats.
      num_samples: length of the record; beats outside it are not looked at.
      database: for the remedy.

    Raises:
      DataError: one does not; the message names its sample.
    """
    if np.any(np.diff(samples) < 0):
        place = int(samples[np.flatnonzero(np.diff(samples) < 0)[0] + 1])
        raise damaged(
            path,
            f"is not in time order: the annotation at sample {place} stands too late",
            database,
        )
    at = samples[beats & is_inside(samples, num_samples)]
    twice = at[1:][np.diff(at) == 0]
    if len(twice):
        raise damaged(path, f"has two beats at sample {twice[0]}", database)


def is_inside(samples: np.ndarray, num_samples: int) -> np.ndarray:
    """(num_annotations,) bool: annotations at a sample that the record has; published databases have others beyond its end."""
    return (samples >= 0) & (samples < num_samples)


def check_published(paths: Iterable[Path], digests: Mapping[str, str], database: Database) -> None:
    """Files are byte for byte those PhysioNet publishes (headers: but for their line ends).

    Args:
      paths: the files.
      digests: file name -> SHA-256 of what is there.
      database: its published list; files it does not name are not checked.

    Raises:
      DataError: one differs.
    """
    published = database.published_sha256()
    for path in paths:
        if path.name in published and digests[path.name] != published[path.name]:
            raise DataError(
                f"{path} is not the file PhysioNet publishes in {database} (SHA-256 differs); get it again: "
                f"{database.fix}, or take it as it is with dataset.verify=header"
            )
