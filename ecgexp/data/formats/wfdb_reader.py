"""Read a WFDB record (`.hea`, its signal files, `.atr`) and check that the files agree."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

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
from ecgexp.data.formats.record import BEAT_SYMBOLS, AnnotationFields, Record, split_outside
from ecgexp.data.formats.untrusted import damaged, quoted
from ecgexp.data.formats.wfdb_annotations import read_annotations
from ecgexp.data.formats.wfdb_header import RecordLine, read_header, read_record_line, signal_files
from ecgexp.settings.declaration import DataError

if TYPE_CHECKING:
    import wfdb

_UNITS_PER_MV = {"mv": 1.0, "uv": 1e-3, "nv": 1e-6, "v": 1e3}
_NULL_SEGMENT = "~"  # a segment without samples


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


def files_of(folder: Path, record_id: str) -> tuple[Path, ...]:
    """Return the files that a record is read from: header, files that it names, annotations.

    Args:
      folder: Their folder.
      record_id: Name of the record, validated by the caller.

    Returns:
      The paths. If the header is invalid, the signal file is assumed to be `<record_id>.dat`;
      `read_record` then raises the error.
    """
    header = folder / f"{record_id}.hea"
    try:
        signals = _signal_paths(header)
    except DataError:
        signals = [folder / f"{record_id}.dat"]
    return header, *signals, folder / f"{record_id}.atr"


def signals_among(files: Sequence[Path]) -> list[Path]:
    """Return those of `files_of` that contain signals."""
    return [path for path in files[1:-1] if path.suffix != ".hea"]


def _signal_paths(header: Path) -> list[Path]:
    """Return the signal files, each preceded by the header of its segment."""
    segments = read_record_line(header, _NO_DATABASE).segments
    if not segments:
        return [header.with_name(name) for name in signal_files(header, _NO_DATABASE)]
    paths = []
    for name, length in segments:
        if name != _NULL_SEGMENT:
            paths.append(header.with_name(f"{name}.hea"))
            paths += (
                [header.with_name(file) for file in signal_files(paths[-1], _NO_DATABASE)]
                if length
                else []
            )
    return paths


# For errors that `files_of` discards.
_NO_DATABASE = Database(name="", version="", title="", fs_hz=0.0, records=(), lead_names=())


def read_record(
    folder: Path,
    record_id: str,
    database: Database,
    leads: Sequence[str] = (),
    *,
    annotator: str | None = "atr",
) -> Record:
    """Read one record with all its leads.

    A lead that cannot be used does not affect the other leads: the record is returned without it,
    and `Record.unusable` gives the reason: invalid samples, a segment without the lead, a unit
    other than volts, no gain, a nonzero skew, the name of another lead, values of a volt and above,
    or a number of samples per frame that does not suit the leads that are needed.

    Args:
      folder: Folder of its files.
      record_id: Its name, validated by the caller.
      database: Its database.
      leads: Leads that are needed. If leads have different numbers of samples per frame, the record
        has the frequency of these leads, and leads of a higher frequency are averaged to it; if
        empty, the record has the highest frequency that all leads can be averaged to.
      annotator: Name of the annotator, the suffix of the file; None: it is not read, and the record
        has no annotations.

    Returns:
      The record.

    Raises:
      DataError: A file is damaged, or no lead can be used; the message names the file and the
        remedy.
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
    annotations = AnnotationFields(
        samples=np.zeros(0, np.int64), symbols=np.zeros(0, np.str_), outside=MappingProxyType({})
    )
    if annotator is not None:
        annotation_path = folder / f"{record_id}.{annotator}"
        with _enough_memory(annotation_path, database):
            samples, symbols = read_annotations(annotation_path, line.fs_hz, database)
        check_annotations(
            annotation_path, samples, np.isin(symbols, BEAT_SYMBOLS), signals.num_frames, database
        )
        annotations = split_outside(samples, symbols, is_inside(samples, signals.num_frames))
    return Record(
        record_id=record_id,
        patient_id=database.patient_of(record_id, line.comments),
        signals_mv=signals_mv,
        lead_names=tuple(columns),
        fs_hz=line.fs_hz,
        samples_per_frame=rate,
        unusable=unusable,
        **annotations,
    )


@contextmanager
def _enough_memory(path: Path, database: Database) -> Iterator[None]:
    """Report a lack of memory as damage: a sparse file can agree with a huge length."""
    try:
        yield
    except MemoryError as error:
        raise damaged(path, "states more samples than fit into memory", database) from error


def _read_signals(header_path: Path, database: Database) -> Signals:
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


def _joined(header_path: Path, line: RecordLine, database: Database) -> Signals:
    """Concatenate the segments of a record; a lead that a segment lacks has a gap there."""
    parts: list[tuple[str, int, Signals | None]] = []
    for name, length in line.segments:
        if not length:  # a layout segment, which describes the following ones
            continue
        part = None
        if name != _NULL_SEGMENT:
            path = header_path.with_name(f"{name}.hea")
            part = _read_signals(path, database)
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


def _at_one_rate(
    header_path: Path, signals: Signals, wanted: Sequence[str], database: Database
) -> tuple[int, dict[str, np.ndarray], dict[str, str]]:
    """Bring all leads to the same number of samples per frame.

    Leads with more samples are averaged, as WFDB's own readers do; leads with a number of samples
    that is not a multiple are unusable.
    """
    rates = {name: len(lead_mv) // signals.num_frames for name, lead_mv in signals.leads.items()}
    rate = math.gcd(*([rates[name] for name in wanted if name in rates] or rates.values()))
    columns, unusable = {}, dict(signals.unusable)
    for name, lead_mv in signals.leads.items():
        if rates[name] % rate:
            why = (
                f"has {rates[name]} samples per frame of lead {name}, but {rate} of the leads that "
                "are used"
            )
            unusable[name] = str(damaged(header_path, why, database))
        else:
            columns[name] = (
                lead_mv
                if rates[name] == rate
                else lead_mv.reshape(-1, rates[name] // rate).mean(axis=1)
            )
    return rate, columns, unusable
