"""What wfdb accepts in silence and a run must not: cut, flipped, shortened, misnamed or unsorted files."""

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from ecgexp._validate import DataError
from ecgexp.data.catalog import Database

_RECORD_NAME = re.compile(r"[A-Za-z0-9_-]+")
_FILE_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")

# Bytes of one sample in the formats (https://wfdb.io/spec, "signal files") this reader vouches for, and the value that
# stands for "no sample" in each, which wfdb turns into NaN.
BYTES_PER_SAMPLE: Mapping[str, float] = {"16": 2, "24": 3, "32": 4, "61": 2, "80": 1, "160": 2, "212": 1.5}
INVALID_SAMPLE: Mapping[str, int] = {
    "16": -(2**15), "24": -(2**23), "32": -(2**31), "61": -(2**15), "80": -(2**7), "160": -(2**15), "212": -(2**11),
}  # fmt: skip


def damaged(path: Path, what: str, database: Database) -> DataError:
    """The error for a file that cannot be trusted: which, why, and what to type."""
    return DataError(f"{path} {what}; get it again: {database.fix}")


def check_record_name(record_id: str) -> None:
    """A record's name becomes part of a path, so it may hold no separator and no dot.

    Raises:
      DataError: it does.
    """
    if not _RECORD_NAME.fullmatch(record_id):
        raise DataError(
            f"record name {record_id!r} is refused: only letters, digits, - and _ may stand in it; try '100'"
        )


def check_signal_files(header_path: Path, header: object, database: Database) -> None:
    """The header's signal files lie beside it and hold exactly the samples it claims.

    Args:
      header_path: the `.hea` file.
      header: what `wfdb.rdheader` read from it.
      database: for the catalogued frequency and the remedy.

    Raises:
      DataError: several segments, no length, an unknown format, a path in a file name, or a size that is not the
        header's.
    """
    if getattr(header, "seg_name", None) is not None or not header.n_sig or not header.sig_len:
        raise damaged(header_path, "names no signals or no length", database)
    if header.fs != database.fs_hz:
        raise damaged(header_path, f"says {header.fs:g} Hz where {database} has {database.fs_hz:g} Hz", database)
    for name in dict.fromkeys(header.file_name):
        if not _FILE_NAME.fullmatch(name):
            raise damaged(header_path, f"points to the signal file {name!r}, which is not beside it", database)
        channels = [channel for channel in range(header.n_sig) if header.file_name[channel] == name]
        _check_size(header_path.with_name(name), header, channels, database)


def _check_size(path: Path, header: object, channels: list[int], database: Database) -> None:
    fmt = header.fmt[channels[0]]
    if fmt not in BYTES_PER_SAMPLE:
        raise damaged(path, f"is in WFDB format {fmt}; readable are {', '.join(BYTES_PER_SAMPLE)}", database)
    if not path.is_file():
        raise damaged(path, "is missing", database)
    samples = header.sig_len * sum(header.samps_per_frame[channel] or 1 for channel in channels)
    offset = header.byte_offset[channels[0]] or 0
    expected = offset + math.ceil(samples * BYTES_PER_SAMPLE[fmt])
    padded = (
        offset + math.ceil(samples / 2) * 3 if fmt == "212" else expected
    )  # 212 packs pairs; an odd one may be padded
    found = path.stat().st_size
    if found not in (expected, padded):
        raise damaged(path, f"has {found} bytes where its header claims {expected}", database)


def check_signals(header_path: Path, header: object, digital: np.ndarray, database: Database) -> None:
    """The samples are those the header was written for: first value, 16-bit sum, and no gap.

    Args:
      header_path: the `.hea` file.
      header: what `wfdb.rdheader` read from it.
      digital: (num_samples, signals) integers, as they are in the file.
      database: for the remedy.

    Raises:
      DataError: one of them differs; the message names the lead.
    """
    for channel, lead in enumerate(header.sig_name):
        values = digital[:, channel]
        path = header_path.with_name(header.file_name[channel])
        if header.init_value[channel] is not None and int(values[0]) != header.init_value[channel]:
            raise damaged(
                path,
                f"begins lead {lead} with {values[0]} where its header says {header.init_value[channel]}",
                database,
            )
        checksum = header.checksum[channel]
        if checksum is not None and (int(values.sum(dtype=np.int64)) - checksum) % 2**16:
            raise damaged(path, f"fails its header's checksum in lead {lead}: bytes were changed", database)
        gaps = np.flatnonzero(values == INVALID_SAMPLE[header.fmt[channel]])
        if len(gaps):
            raise damaged(path, f"has no value (NaN) in lead {lead} at sample {gaps[0]}, {len(gaps)} in all", database)


def check_annotation_file(path: Path, database: Database) -> None:
    """An annotation file is whole: an even number of bytes that ends with the two zero bytes of its format.

    Raises:
      DataError: it was cut.
    """
    with path.open("rb") as file:
        content = file.read()
    if len(content) % 2 or len(content) < 4 or content[-2:] != b"\0\0":
        raise damaged(path, f"was cut: its {len(content)} bytes do not end with WFDB's end mark", database)


def check_annotations(path: Path, samples: np.ndarray, beats: np.ndarray, num_samples: int, database: Database) -> None:
    """Annotations stand in time order and inside the record, no two beats at one sample.

    Args:
      path: their file.
      samples: (num_annotations,) int64.
      beats: (num_annotations,) bool, which of them are beats.
      num_samples: length of the record.
      database: for the remedy.

    Raises:
      DataError: one does not; the message names its sample.
    """
    if np.any(np.diff(samples) < 0):
        place = int(samples[np.flatnonzero(np.diff(samples) < 0)[0] + 1])
        raise damaged(path, f"is not in time order: the annotation at sample {place} stands too late", database)
    outside = samples[(samples < 0) | (samples >= num_samples)]
    if len(outside):
        raise damaged(path, f"has an annotation at sample {outside[0]}, outside the record's {num_samples}", database)
    at = samples[beats]
    twice = at[1:][np.diff(at) == 0]
    if len(twice):
        raise damaged(path, f"has two beats at sample {twice[0]}", database)


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
