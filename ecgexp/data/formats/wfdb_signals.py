"""Read the signals of a WFDB record in millivolts: whole, or joined from segments."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats.integrity import (
    check_millivolts,
    check_no_gap,
    check_signal_files,
    check_signals,
)
from ecgexp.data.formats.untrusted import damaged, quoted
from ecgexp.data.formats.wfdb_header import RecordLine, read_header
from ecgexp.settings.declaration import DataError

if TYPE_CHECKING:
    import wfdb

_UNITS_PER_MV = {"mv": 1.0, "uv": 1e-3, "nv": 1e-6, "v": 1e3}
NULL_SEGMENT = "~"  # a segment without samples


@dataclass(frozen=True, kw_only=True)
class Signals:
    """The leads of a record, or of one of its segments.

    Attributes:
      num_frames: Length in frames.
      leads: Lead -> (num_frames * samples per frame,) float64, millivolts.
      unusable: Lead -> message why it cannot be used, with the file and the remedy.
    """

    num_frames: int
    leads: dict[str, np.ndarray]
    unusable: dict[str, str]


def read_signals(header_path: Path, line: RecordLine, database: Database) -> Signals:
    """Read all leads of a record, each at its own frequency, and check them.

    Args:
      header_path: The `.hea` file of the record.
      line: Its record line, which lists the segments.
      database: Its database.

    Returns:
      The leads. One that cannot be used is in `Signals.unusable`.

    Raises:
      DataError: A file is damaged; the message names the file and the remedy.
    """
    if line.segments:
        return _join_segments(header_path, line, database)
    return _read_segment(header_path, database)


def _read_segment(header_path: Path, database: Database) -> Signals:
    """Read all leads of a record without segments, each at its own frequency."""
    header = read_header(header_path, database)
    num_frames = check_signal_files(header_path, header, database)
    digital = _digital(header_path, header)
    lengths = [len(values) for values in digital]
    if lengths != [num_frames * samples for samples in header.samps_per_frame]:
        raise damaged(header_path, f"has {num_frames} samples, but wfdb reads {lengths}", database)
    check_signals(header_path, header, digital, database)
    leads: dict[str, np.ndarray] = {}
    unusable: dict[str, str] = {}
    for channel, name in enumerate(header.sig_name):
        try:
            if (first := header.sig_name.index(name)) != channel:
                leads.pop(name, None)
                raise damaged(
                    header_path,
                    f"names lead {name} twice, as signals {first + 1} and {channel + 1}",
                    database,
                )
            path = header_path.with_name(header.file_name[channel])
            check_no_gap(path, name, header.fmt[channel], digital[channel], database)
            leads[name] = _millivolts(header_path, header, channel, digital[channel], database)
            check_millivolts(header_path, leads[name][:, None], [name], database)
        except DataError as error:
            leads.pop(name, None)
            unusable[name] = str(error)
    return Signals(num_frames=num_frames, leads=leads, unusable=unusable)


def _digital(header_path: Path, header: "wfdb.Record") -> list[np.ndarray]:
    """Return the samples of each signal as in the files, not shifted by the skew."""
    import wfdb

    path, how = (
        str(header_path.with_suffix("")),
        {"physical": False, "ignore_skew": True, "return_res": 32},
    )
    if set(header.samps_per_frame) == {1}:
        return list(wfdb.rdrecord(path, **how).d_signal.T)
    found = _frames_of_61(header_path, header)
    others = [channel for channel in range(header.n_sig) if channel not in found]
    if others:
        signals = wfdb.rdrecord(path, channels=others, smooth_frames=False, **how).e_d_signal
        found |= dict(zip(others, signals, strict=True))
    return [found[channel] for channel in range(header.n_sig)]


def _frames_of_61(header_path: Path, header: "wfdb.Record") -> dict[int, np.ndarray]:
    """Return signal number -> samples for files in format 61.

    wfdb 4.3 does not read several samples per frame in this format.
    """
    found: dict[int, np.ndarray] = {}
    for name in {
        name for name, fmt in zip(header.file_name, header.fmt, strict=True) if fmt == "61"
    }:
        channels = [channel for channel in range(header.n_sig) if header.file_name[channel] == name]
        ends = np.cumsum([header.samps_per_frame[channel] for channel in channels])
        values = np.fromfile(
            header_path.with_name(name), ">i2", offset=header.byte_offset[channels[0]] or 0
        )
        parts = np.split(values.astype(np.int64).reshape(-1, ends[-1]), ends[:-1], axis=1)
        found |= {channel: part.reshape(-1) for channel, part in zip(channels, parts, strict=True)}
    return found


def _millivolts(
    header_path: Path, header: "wfdb.Record", channel: int, digital: np.ndarray, database: Database
) -> np.ndarray:
    name, units, gain = header.sig_name[channel], header.units[channel], header.adc_gain[channel]
    if header.skew[channel]:
        raise damaged(
            header_path,
            f"gives lead {name} a skew of {header.skew[channel]} samples, which is not supported",
            database,
        )
    per_mv = _UNITS_PER_MV.get(units.lower())
    if per_mv is None:
        raise damaged(header_path, f"gives lead {name} in {quoted(units)}, not in volts", database)
    gain = database.adc_gain if gain is None else gain
    if gain is None:
        raise damaged(
            header_path,
            f"states no gain for lead {name}, and the catalog has none for {database}",
            database,
        )
    lead_mv = digital.astype(np.float64)
    lead_mv -= header.baseline[channel]
    with np.errstate(over="ignore"):  # values that overflow are refused afterwards
        lead_mv /= gain  # in place: copies of ten megabytes per record take most of the time
        if per_mv != 1:
            lead_mv *= per_mv
    return lead_mv


def _join_segments(header_path: Path, line: RecordLine, database: Database) -> Signals:
    """Concatenate the segments of a record; a lead that a segment lacks has a gap there."""
    parts: list[tuple[str, int, Signals | None]] = []
    for name, length in line.segments:
        if not length:  # a layout segment, which describes the following ones
            continue
        part = None
        if name != NULL_SEGMENT:
            path = header_path.with_name(f"{name}.hea")
            part = _read_segment(path, database)
            if part.num_frames != length:
                raise damaged(
                    path,
                    f"has {part.num_frames} samples, but {header_path.name} lists {length}",
                    database,
                )
        parts.append((name, length, part))
    num_frames = sum(length for _, length, _ in parts)
    if not num_frames:
        raise damaged(header_path, "lists no segment with samples", database)
    leads: dict[str, np.ndarray] = {}
    unusable: dict[str, str] = {}
    for lead in dict.fromkeys(
        lead for _, _, part in parts if part is not None for lead in (*part.leads, *part.unusable)
    ):
        try:
            leads[lead] = _joined_lead(header_path, lead, parts, database)
        except DataError as error:
            unusable[lead] = str(error)
    if not leads and not unusable:
        raise damaged(header_path, "lists no segment with samples", database)
    return Signals(num_frames=num_frames, leads=leads, unusable=unusable)


def _joined_lead(
    header_path: Path,
    lead: str,
    parts: Sequence[tuple[str, int, Signals | None]],
    database: Database,
) -> np.ndarray:
    pieces, begin, rates = [], 0, set()
    for name, length, part in parts:
        if part is not None and lead in part.unusable:
            raise DataError(part.unusable[lead])
        if part is None or lead not in part.leads:
            raise damaged(
                header_path,
                f"has no value in lead {lead} at {length} samples from sample {begin}, because "
                f"segment {name} lacks the lead",
                database,
            )
        pieces.append(part.leads[lead])
        rates.add(len(pieces[-1]) // length)
        begin += length
    if len(rates) > 1:
        raise damaged(
            header_path,
            f"has segments with {sorted(rates)} samples per frame of lead {lead}",
            database,
        )
    return np.concatenate(pieces)
