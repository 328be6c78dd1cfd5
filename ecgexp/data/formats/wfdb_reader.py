"""Reads a WFDB record (`.hea`, its signal files, `.atr`) and trusts none of the three until they agree."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats.integrity import (
    check_annotations,
    check_millivolts,
    check_no_gap,
    check_signal_files,
    check_signals,
    is_inside,
)
from ecgexp.data.formats.record import BEAT_SYMBOLS, Record, split_outside
from ecgexp.data.formats.untrusted import damaged, quoted
from ecgexp.data.formats.wfdb_annotations import read_annotations
from ecgexp.data.formats.wfdb_header import read_header, read_record_line, signal_files
from ecgexp.settings.declaration import DataError

_UNITS_PER_MV = {"mv": 1.0, "uv": 1e-3, "nv": 1e-6, "v": 1e3}
_GAP = "~"  # a segment without a file


@dataclass(frozen=True, kw_only=True)
class Signals:
    """The leads of a record, or of one of its segments.

    Attributes:
      num_frames: its length.
      leads: lead -> (num_frames * samples a frame,) float64, millivolts.
      unusable: lead -> why it cannot be used, with the file and the remedy.
    """

    num_frames: int
    leads: dict[str, np.ndarray]
    unusable: dict[str, str]


def files_of(folder: Path, record_id: str) -> tuple[Path, ...]:
    """The files a record is read from: header, the files that it names, annotations.

    Where the header cannot be read, the usual ones; whoever reads the record is then told what is wrong with it.

    Args:
      folder: where they are.
      record_id: its name, checked by the caller.
    """
    header = folder / f"{record_id}.hea"
    try:
        signals = _signal_paths(header)
    except DataError:
        signals = [folder / f"{record_id}.dat"]
    return header, *signals, folder / f"{record_id}.atr"


def signals_among(files: Sequence[Path]) -> list[Path]:
    """Those of `files_of` that hold signals."""
    return [path for path in files[1:-1] if path.suffix != ".hea"]


def _signal_paths(header: Path) -> list[Path]:
    """Signal files, and the headers of segments before theirs."""
    segments = read_record_line(header, _NOBODYS).segments
    if not segments:
        return [header.with_name(name) for name in signal_files(header, _NOBODYS)]
    paths = []
    for name, length in segments:
        if name != _GAP:
            paths.append(header.with_name(f"{name}.hea"))
            paths += (
                [header.with_name(file) for file in signal_files(paths[-1], _NOBODYS)]
                if length
                else []
            )
    return paths


_NOBODYS = Database(name="", version="", title="", fs_hz=0.0, records=(), lead_names=())


def read_record(
    folder: Path,
    record_id: str,
    database: Database,
    leads: Sequence[str] = (),
    *,
    annotator: str | None = "atr",
) -> Record:
    """Reads one record with all its leads.

    A fault of one lead (a gap, another unit than volts, no gain) is no fault of the others: the record comes without
    that lead, and `Record.unusable` says why.

    Args:
      folder: where its files are.
      record_id: its name, checked by the caller.
      database: the entry it belongs to.
      leads: those that are needed. Where leads have different numbers of samples in a frame, the record comes at the rate of
        these, and others are averaged to it; without any, at the rate that all leads have.
      annotator: suffix of the annotation file; None leaves it unread, and the record without annotations.

    Raises:
      DataError: a file is damaged, or no lead can be used; the message names it and the remedy.
    """
    header_path = folder / f"{record_id}.hea"
    line = read_record_line(header_path, database)
    with _enough_memory(header_path, database):
        signals = (
            _joined(header_path, line, database)
            if line.segments
            else _read_signals(header_path, database)
        )
        if not signals.leads:
            raise DataError(next(iter(signals.unusable.values())))
        rate, columns, unusable = _at_one_rate(header_path, signals, leads, database)
        signals_mv = np.stack(list(columns.values()), axis=1)
    annotations: dict[str, Any] = {
        "samples": np.zeros(0, np.int64),
        "symbols": np.zeros(0, np.str_),
    }
    if annotator is not None:
        annotation_path = folder / f"{record_id}.{annotator}"
        with _enough_memory(annotation_path, database):
            samples, symbols = read_annotations(annotation_path, line.fs_hz, database)
        check_annotations(
            annotation_path, samples, np.isin(symbols, BEAT_SYMBOLS), signals.num_frames, database
        )
        annotations = split_outside(samples, symbols, is_inside(samples, signals.num_frames))
    return Record(
        record_id=record_id, patient_id=database.patient_of(record_id, line.comments), signals_mv=signals_mv,
        lead_names=tuple(columns), fs_hz=line.fs_hz, samples_per_frame=rate, unusable=unusable, **annotations,
    )  # fmt: skip


@contextmanager
def _enough_memory(path: Path, database: Database) -> Iterator[None]:
    """A header may truly claim more than fits, with a file to match that takes no room on the disk."""
    try:
        yield
    except MemoryError as error:
        raise damaged(path, "speaks of more than fits into memory", database) from error


def _read_signals(header_path: Path, database: Database) -> Signals:
    """All leads of a record in one piece, each with as many samples a frame as it has."""
    header = read_header(header_path, database)
    num_frames = check_signal_files(header_path, header, database)
    digital = _digital(header_path, header)
    lengths = [len(values) for values in digital]
    if lengths != [num_frames * samples for samples in header.samps_per_frame]:
        raise damaged(header_path, f"has {num_frames} samples, and wfdb reads {lengths}", database)
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


def _digital(header_path: Path, header: Any) -> list[np.ndarray]:
    """The samples of each signal as they are in the files, not shifted by its skew."""
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


def _frames_of_61(header_path: Path, header: Any) -> dict[int, np.ndarray]:
    """Signal number -> samples, of the files in format 61: of those wfdb 4.3 reads no frames with several samples."""
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
    header_path: Path, header: Any, channel: int, digital: np.ndarray, database: Database
) -> np.ndarray:
    name, units, gain = header.sig_name[channel], header.units[channel], header.adc_gain[channel]
    if header.skew[channel]:
        raise damaged(
            header_path,
            f"shifts lead {name} by {header.skew[channel]} samples, which is not read",
            database,
        )
    per_mv = _UNITS_PER_MV.get(units.lower())
    if per_mv is None:
        raise damaged(header_path, f"gives lead {name} in {quoted(units)}, not in volts", database)
    gain = database.adc_gain if gain is None else gain
    if gain is None:
        raise damaged(
            header_path,
            f"gives no gain for lead {name}, and {database} has none published",
            database,
        )
    lead_mv = digital.astype(np.float64)
    lead_mv -= header.baseline[channel]
    with np.errstate(over="ignore"):  # what overflows is refused afterwards
        lead_mv /= gain  # in place: at ten megabytes a record the copies are what costs
        if per_mv != 1:
            lead_mv *= per_mv
    return lead_mv


def _joined(header_path: Path, line: Any, database: Database) -> Signals:
    """The segments of a record one after another; a lead that one of them lacks has a gap there."""
    parts: list[tuple[str, int, Signals | None]] = []
    for name, length in line.segments:
        if not length:  # describes the segments that follow, and has no samples
            continue
        part = None
        if name != _GAP:
            path = header_path.with_name(f"{name}.hea")
            part = _read_signals(path, database)
            if part.num_frames != length:
                raise damaged(
                    path,
                    f"has {part.num_frames} samples where {header_path.name} lists {length}",
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
                header_path, f"has no value in lead {lead} from sample {begin}, where segment {name} lacks it, {length} in all",
                database,
            )  # fmt: skip
        pieces.append(part.leads[lead])
        rates.add(len(pieces[-1]) // length)
        begin += length
    if len(rates) > 1:
        raise damaged(
            header_path,
            f"has segments with {sorted(rates)} samples of lead {lead} in a frame",
            database,
        )
    return np.concatenate(pieces)


def _at_one_rate(
    header_path: Path, signals: Signals, wanted: Sequence[str], database: Database
) -> tuple[int, dict[str, np.ndarray], dict[str, str]]:
    """All leads with the same number of samples in a frame: averaged where they have more, unusable where they have fewer.

    WFDB's own readers average as well where the samples of a frame are asked for as one.
    """
    rates = {name: len(lead_mv) // signals.num_frames for name, lead_mv in signals.leads.items()}
    rate = math.gcd(*([rates[name] for name in wanted if name in rates] or rates.values()))
    columns, unusable = {}, dict(signals.unusable)
    for name, lead_mv in signals.leads.items():
        if rates[name] % rate:
            why = f"has {rates[name]} samples of lead {name} in a frame, and {rate} of the leads that were asked for"
            unusable[name] = str(damaged(header_path, why, database))
        else:
            columns[name] = (
                lead_mv
                if rates[name] == rate
                else lead_mv.reshape(-1, rates[name] // rate).mean(axis=1)
            )
    return rate, columns, unusable
