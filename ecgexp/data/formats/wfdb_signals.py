"""Read the signals of a WFDB record in millivolts: whole, or joined from segments."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats.gaps import NO_GAPS, bridge, find_gaps, union_of
from ecgexp.data.formats.integrity import check_millivolts
from ecgexp.data.formats.leads import REPEATED_NAME
from ecgexp.data.formats.record import LONGEST_LEAD, UNITS_PER_MV
from ecgexp.data.formats.untrusted import damaged, quoted
from ecgexp.data.formats.wfdb_files import read_files
from ecgexp.data.formats.wfdb_header import (
    NO_FILE,
    RecordLine,
    SignalLine,
    read_header,
)
from ecgexp.data.formats.wfdb_samples import FORMATS
from ecgexp.settings.declaration import DataError

NO_GAIN = "lead without a gain: 200 units per mV assumed, the default of WFDB"
NO_NAME = "lead without a name in its header"

_DEFAULT_GAIN = 200.0


@dataclass(frozen=True, kw_only=True)
class Lead:
    """One lead of a record, or of one of its segments.

    Attributes:
      values_mv: (num_frames * samples per frame,) float64, millivolts, finite; straight lines in
        gaps.
      gaps: (num_gaps, 2) int64: half-open intervals without values, ascending and disjoint.
    """

    values_mv: np.ndarray
    gaps: np.ndarray

    @property
    def is_empty(self) -> bool:
        """Whether it has no value at all."""
        return int(np.diff(self.gaps, axis=1).sum()) == len(self.values_mv)


@dataclass(frozen=True, kw_only=True)
class Signals:
    """The leads of a record, or of one of its segments.

    Attributes:
      num_frames: Length in frames.
      leads: Lead -> its values.
      unusable: Lead -> message why it cannot be used, with the file and the remedy.
      notes: What was accepted although it is unusual -> how often.
    """

    num_frames: int
    leads: dict[str, Lead]
    unusable: dict[str, str]
    notes: Counter[str]


def read_signals(header_path: Path, line: RecordLine, database: Database) -> Signals:
    """Read all leads of a record, each at its own frequency, and check them.

    Args:
      header_path: The `.hea` file of the record.
      line: Its record line, which lists the segments.
      database: Its database.

    Returns:
      The leads. One that cannot be used is in `Signals.unusable`, also one without any value.

    Raises:
      DataError: A file is damaged; the message names the file and the remedy.
    """
    signals = (
        _join_segments(header_path, line, database)
        if line.segments
        else _read_segment(header_path, database)
    )
    for name in [name for name, lead in signals.leads.items() if lead.is_empty]:
        del signals.leads[name]
        signals.unusable[name] = str(
            damaged(header_path, f"has no value in lead {name}: all of it is a gap", database)
        )
    return signals


def _read_segment(header_path: Path, database: Database) -> Signals:
    """Read all leads of a record without segments, each at its own frequency."""
    header = read_header(header_path, database)
    notes: Counter[str] = Counter()
    num_frames, digital = read_files(header_path, header, notes, database)
    leads: dict[str, Lead] = {}
    unusable: dict[str, str] = {}
    for line, values in zip(header.signals, digital, strict=True):
        try:
            leads[line.name] = _lead(header_path, line, num_frames, values, notes, database)
        except DataError as error:
            unusable[line.name] = str(error)
    return Signals(num_frames=num_frames, leads=leads, unusable=unusable, notes=notes)


def _lead(
    header_path: Path,
    line: SignalLine,
    num_frames: int,
    digital: np.ndarray | None,
    notes: Counter[str],
    database: Database,
) -> Lead:
    gain, per_mv = scale_of(header_path, line, notes, database)
    if digital is None:
        return _empty(num_frames * line.samples_per_frame, header_path, database)
    lead_mv, missing = to_millivolts(line, digital, gain, per_mv)
    gaps = find_gaps(missing) if np.any(missing) else NO_GAPS
    if line.skew:
        lead_mv, gaps = _earlier(lead_mv, gaps, line.skew * line.samples_per_frame)
    lead = _bridged(lead_mv, gaps)
    check_millivolts(header_path, lead.values_mv[:, None], [line.name], database)
    return lead


def scale_of(
    header_path: Path, line: SignalLine, notes: Counter[str], database: Database
) -> tuple[float, float]:
    """Return the gain of a lead and millivolts per physical unit, for `to_millivolts`.

    Args:
      header_path: The `.hea` file.
      line: Line of the signal.
      notes: What is unusual about it is counted here.
      database: Gives the remedy, and perhaps a gain.

    Raises:
      DataError: The unit is not one of potential.
    """
    per_mv = UNITS_PER_MV.get(line.units.lower())
    if per_mv is None:
        raise damaged(
            header_path, f"gives lead {line.name} in {quoted(line.units)}, not in volts", database
        )
    notes[NO_NAME] += not line.is_named
    notes[REPEATED_NAME] += line.is_repeated
    gain = database.adc_gain if line.gain is None else line.gain
    if gain is None:
        gain = _DEFAULT_GAIN
        if line.file_name != NO_FILE:
            notes[NO_GAIN] += 1
    return gain, per_mv


def to_millivolts(
    line: SignalLine, digital: np.ndarray, gain: float, per_mv: float
) -> tuple[np.ndarray, np.ndarray]:
    """Convert samples to millivolts.

    Args:
      line: Line of the signal.
      digital: (num_samples,) integers as in the file.
      gain: See `scale_of`.
      per_mv: See `scale_of`.

    Returns:
      lead_mv: (num_samples,) float64; meaningless in gaps.
      missing: (num_samples,) bool, or False for a format without a value for gaps.
    """
    lead_mv = digital.astype(np.float64)
    lead_mv -= line.baseline
    with np.errstate(over="ignore"):  # values that overflow are refused afterwards
        lead_mv /= gain  # in place: copies of ten megabytes per record take most of the time
        if per_mv != 1:
            lead_mv *= per_mv
    return lead_mv, np.asarray(digital == FORMATS[line.fmt].invalid)


def _bridged(lead_mv: np.ndarray, gaps: np.ndarray) -> Lead:
    lead = Lead(values_mv=lead_mv, gaps=gaps)
    if lead.is_empty:
        return Lead(values_mv=np.zeros(len(lead_mv)), gaps=gaps)
    return Lead(values_mv=bridge(lead_mv, gaps), gaps=gaps)


def _empty(num_samples: int, path: Path, database: Database) -> Lead:
    if num_samples > LONGEST_LEAD:
        raise damaged(path, "states more samples than fit into memory", database)
    return _bridged(np.zeros(num_samples), np.asarray([[0, num_samples]], np.int64))


def _earlier(lead_mv: np.ndarray, gaps: np.ndarray, skew: int) -> tuple[np.ndarray, np.ndarray]:
    """Shift a lead that is late in its file; its last samples are missing."""
    length = len(lead_mv)
    kept = max(length - skew, 0)
    shifted = np.zeros(length)
    shifted[:kept] = lead_mv[length - kept :]
    tail = np.asarray([[kept, length]], np.int64)
    return shifted, union_of([np.clip(gaps - skew, 0, kept), tail], length)


def _join_segments(header_path: Path, line: RecordLine, database: Database) -> Signals:
    """Concatenate the segments of a record; a lead that a segment lacks has a gap there."""
    parts: list[tuple[int, Signals | None]] = []
    total = sum(length for _, length in line.segments)
    if not total:
        raise damaged(header_path, "lists no segment with samples", database)
    if total > LONGEST_LEAD:
        raise damaged(header_path, "states more samples than fit into memory", database)
    notes: Counter[str] = Counter()
    for name, length in line.segments:
        if not length:  # a layout segment, which describes the following ones
            continue
        part = None
        if name != NO_FILE:
            path = header_path.with_name(f"{name}.hea")
            part = _read_segment(path, database)
            notes |= part.notes  # the same leads in every segment are counted once
            if part.num_frames != length:
                raise damaged(
                    path,
                    f"has {part.num_frames} samples, but {header_path.name} lists {length}",
                    database,
                )
        parts.append((length, part))
    leads: dict[str, Lead] = {}
    unusable: dict[str, str] = {}
    for name in dict.fromkeys(
        name for _, part in parts if part is not None for name in (*part.leads, *part.unusable)
    ):
        try:
            leads[name] = _joined_lead(header_path, name, parts, database)
        except DataError as error:
            unusable[name] = str(error)
    if not leads and not unusable:
        raise damaged(header_path, "lists no segment with samples", database)
    return Signals(num_frames=total, leads=leads, unusable=unusable, notes=notes)


def _joined_lead(
    header_path: Path, name: str, parts: Sequence[tuple[int, Signals | None]], database: Database
) -> Lead:
    for _, part in parts:
        if part is not None and name in part.unusable:
            raise DataError(part.unusable[name])
    pieces = [None if part is None else part.leads.get(name) for _, part in parts]
    rates = {
        len(piece.values_mv) // length
        for (length, _), piece in zip(parts, pieces, strict=True)
        if piece is not None
    }
    if len(rates) > 1:
        raise damaged(
            header_path,
            f"has segments with {sorted(rates)} samples per frame of lead {name}",
            database,
        )
    rate, begin = next(iter(rates)), 0
    values_mv = np.zeros(rate * sum(length for length, _ in parts))
    missing = []
    for (length, _), piece in zip(parts, pieces, strict=True):
        end = begin + length * rate
        if piece is None:
            missing.append(np.asarray([[begin, end]], np.int64))
        else:
            values_mv[begin:end] = piece.values_mv
            missing.append(piece.gaps + begin)
        begin = end
    return _bridged(values_mv, union_of(missing, len(values_mv)))
