"""Read the signal files of a WFDB header and compare them with what it states.

The comparison detects files that are truncated, changed or exchanged.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats.untrusted import damaged
from ecgexp.data.formats.wfdb_header import NO_FILE, Header, SignalLine
from ecgexp.data.formats.wfdb_samples import (
    DIFFERENCES,
    FORMATS,
    NotDecoded,
    num_samples_of,
    read_samples,
    sizes,
)

LONGER_FILE = "signal file with more samples than its header states"
OTHER_FIRST = "signal with another first value than its header states, but with its checksum"
NO_CHECKSUM = "signal without a checksum, in which a changed byte is not found"


def read_files(
    header_path: Path, header: Header, notes: Counter[str], database: Database
) -> tuple[int, list[np.ndarray | None]]:
    """Read the samples of every signal, and check them against the header.

    A file must have the samples that the header states. It may have more if the checksums agree.

    Args:
      header_path: The `.hea` file.
      header: Its content.
      notes: What was accepted although it is unusual is counted here.
      database: Gives the frequency to compare with, and the remedy.

    Returns:
      num_frames: Length of the record: as the header states or, if it does not, as the files have.
      digital: For each signal (num_frames * samples per frame,) integers as in the file; None for a
        signal without a file.

    Raises:
      DataError: Another frequency, an unknown format, fewer samples than stated, another first
        value without the stated checksum, another checksum, or, if the header states no length,
        files of different lengths.
    """
    num_frames, channels, surplus = plan_files(header_path, header, database)
    digital: list[np.ndarray | None] = [None] * len(header.signals)
    for name, numbers in channels.items():
        lines = [header.signals[number] for number in numbers]
        for number, values in zip(
            numbers, _samples(header_path, lines, num_frames, database), strict=True
        ):
            digital[number] = values
            total, first = int(values.sum(dtype=np.int64)), int(values[0])
            check_sum(
                header_path,
                header.signals[number],
                total,
                first,
                surplus.get(name),
                notes,
                database,
            )
        notes[LONGER_FILE] += name in surplus
    return num_frames, digital


def plan_files(
    header_path: Path, header: Header, database: Database
) -> tuple[int, dict[str, list[int]], dict[str, str]]:
    """Compare frequency and lengths of the files with the header, before samples are decoded.

    Args:
      header_path: The `.hea` file.
      header: Its content.
      database: Gives the frequency to compare with, and the remedy.

    Returns:
      num_frames: See `read_files`.
      channels: File -> numbers of its signals.
      surplus: File with more samples than stated -> the message if its checksums do not agree.

    Raises:
      DataError: See `read_files`.
    """
    if header.fs_hz != database.fs_hz:
        raise damaged(
            header_path,
            f"states {header.fs_hz:g} Hz, but {database} has {database.fs_hz:g} Hz",
            database,
        )
    channels: dict[str, list[int]] = {}
    for number, line in enumerate(header.signals):
        if line.file_name != NO_FILE:
            channels.setdefault(line.file_name, []).append(number)
    lengths: dict[int, str] = {}
    surplus: dict[str, str] = {}
    for name, numbers in channels.items():
        lines = [header.signals[number] for number in numbers]
        num_frames, more = _length(header_path, header.num_frames, lines, database)
        lengths[num_frames] = name
        if more:
            surplus[name] = more
    if len(lengths) > 1:
        counts = " and ".join(f"{name} {count}" for count, name in lengths.items())
        raise damaged(
            header_path,
            f"states no length, and its files have different numbers of samples: {counts}",
            database,
        )
    num_frames = next(iter(lengths), header.num_frames)
    if num_frames is None:
        raise damaged(header_path, "states no length, and names no signal file", database)
    return num_frames, channels, surplus


def _length(
    header_path: Path, stated: int | None, lines: Sequence[SignalLine], database: Database
) -> tuple[int, str]:
    """Return the number of frames of a file, and a message if it has more than they need."""
    fmt, offset, path = lines[0].fmt, lines[0].offset, header_path.with_name(lines[0].file_name)
    if len({(line.fmt, line.offset) for line in lines}) > 1:
        raise damaged(header_path, f"gives the signals of {path.name} different formats", database)
    if fmt not in FORMATS:
        known = ", ".join(FORMATS)
        raise damaged(path, f"is in WFDB format {fmt}, and readable are {known}", database)
    if not path.is_file():
        raise damaged(path, "is missing", database)
    per_frame = sum(line.samples_per_frame for line in lines)
    try:
        found = num_samples_of(path, fmt, offset, len(lines))
    except NotDecoded as error:
        raise damaged(path, str(error), database) from error
    num_frames = found // per_frame if stated is None else stated
    if not num_frames:
        raise damaged(path, "has no samples", database)
    wanted, says = (
        num_frames * per_frame,
        "complete samples have" if stated is None else "its header states",
    )
    if not FORMATS[fmt].num_samples:
        if found == wanted:
            return num_frames, ""
        message = f"has {found} samples, but {says} {wanted}"
    else:
        size, expected = path.stat().st_size, [offset + each for each in sizes(fmt, wanted)]
        if size in expected:
            return num_frames, ""
        message = f"has {size} bytes, but {says} {expected[0]}"
    if stated is None or found < wanted:
        raise damaged(path, message, database)
    return num_frames, message


def _samples(
    header_path: Path, lines: Sequence[SignalLine], num_frames: int, database: Database
) -> list[np.ndarray]:
    path = header_path.with_name(lines[0].file_name)
    try:
        values = read_samples(
            path,
            lines[0].fmt,
            lines[0].offset,
            num_frames=num_frames,
            per_frame=tuple(line.samples_per_frame for line in lines),
        )
    except (NotDecoded, OSError) as error:
        raise damaged(path, str(error), database) from error
    if lines[0].fmt != DIFFERENCES:
        return values
    return [
        np.cumsum(steps, dtype=np.int64) + (line.zero if line.first is None else line.first)
        for line, steps in zip(lines, values, strict=True)
    ]


def check_sum(
    header_path: Path,
    line: SignalLine,
    total: int,
    first: int,
    surplus: str | None,
    notes: Counter[str],
    database: Database,
) -> None:
    """Check the first value and the 16-bit checksum of a signal against the header.

    Args:
      header_path: The `.hea` file.
      line: Line of the signal.
      total: Sum of all samples.
      first: The first sample.
      surplus: Message if the file has more samples than stated; None: it has not.
      notes: What was accepted although it is unusual is counted here.
      database: Gives the remedy.

    Raises:
      DataError: They do not agree.
    """
    path = header_path.with_name(line.file_name)
    agrees = line.checksum is not None and (total - line.checksum) % 2**16 == 0
    if surplus and not agrees:
        raise damaged(path, surplus, database)
    if line.first is not None and first != line.first:
        if not agrees:
            raise damaged(
                path,
                f"begins lead {line.name} with {first}, but its header states {line.first}",
                database,
            )
        notes[OTHER_FIRST] += 1
    if line.checksum is None:
        notes[NO_CHECKSUM] += 1
    elif not agrees:
        raise damaged(path, f"does not have its header's checksum in lead {line.name}", database)
