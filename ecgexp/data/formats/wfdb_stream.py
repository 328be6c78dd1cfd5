"""Read a WFDB record in blocks into scratch files, with the checks of `wfdb_reader`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats.gaps import at_lower_rate
from ecgexp.data.formats.labels import Labels
from ecgexp.data.formats.leads import FIRST_LEAD, find_leads
from ecgexp.data.formats.record import Record
from ecgexp.data.formats.stored_signals import (
    LONGEST_STORED,
    LeadWriter,
    OnSamples,
    StoredSignals,
    StreamedRecord,
    no_values,
)
from ecgexp.data.formats.untrusted import damaged
from ecgexp.data.formats.wfdb_files import LONGER_FILE, check_sum, plan_files
from ecgexp.data.formats.wfdb_header import (
    NO_FILE,
    Header,
    RecordLine,
    SignalLine,
    read_header,
    read_record_line,
)
from ecgexp.data.formats.wfdb_reader import annotations_of, common_rate
from ecgexp.data.formats.wfdb_samples import DIFFERENCES, NotDecoded, samples_in_blocks
from ecgexp.data.formats.wfdb_signals import scale_of, to_millivolts
from ecgexp.settings.declaration import DataError

_LABELS = Labels()
BLOCK = 1 << 20
"""Samples of all signals of a file that are decoded at once."""


def store_record(
    folder: Path,
    record_id: str,
    database: Database,
    leads: Sequence[Sequence[str]],
    *,
    annotator: str | None,
    scratch: Path,
    labels: Labels = _LABELS,
    on_samples: OnSamples = lambda _: None,
    block: int = BLOCK,
) -> StreamedRecord:
    """Read a record as `wfdb_reader.read_record` does, in memory that its length does not change.

    **Guarantees**: The signals, gaps, annotations and unusable leads are those of `read_record`,
    for every format and any block (`tests/unit/data/test_streamed_records.py`).

    Args:
      folder: See `read_record`.
      record_id: See `read_record`.
      database: See `read_record`.
      leads: For each lead that is needed its spellings. Others are checked, and stored only if one
        that is needed is missing.
      annotator: See `read_record`.
      scratch: An existing folder for the leads in millivolts, 8 bytes a sample.
      labels: See `read_record`.
      on_samples: Called with the number of frames that were read since the last call.
      block: Samples that are decoded at once.

    Returns:
      The record.

    Raises:
      DataError: See `read_record`.
    """
    header_path = folder / f"{record_id}.hea"
    line = read_record_line(header_path, database)
    with ExitStack() as opened:
        stored = _Stored(header_path, database, scratch, opened, on_samples, block)
        stored.read(line, leads)
    writers, unusable, notes = stored.writers, stored.unusable, stored.notes
    for name, writer in list(writers.items()):
        if writer.is_empty:
            del writers[name]
            unusable[name] = str(
                damaged(header_path, f"has no value in lead {name}: all of it is a gap", database)
            )
    if not writers:
        raise DataError(next(iter(unusable.values())))
    num_frames = stored.num_frames
    rates = {name: writer.num_samples // num_frames for name, writer in writers.items()}
    wanted = [name for spellings in leads for name in spellings]
    rate, refused = common_rate(header_path, rates, wanted, database)
    used = {name: writer for name, writer in writers.items() if name not in refused}
    found = {name: writer.stored(rates[name] // rate) for name, writer in used.items()}
    gaps = {
        name: at_lower_rate(writer.gaps(), rates[name] // rate, num_frames * rate)
        for name, writer in used.items()
        if len(writer.gaps())
    }
    annotations = annotations_of(
        folder / f"{record_id}.{annotator}" if annotator is not None else None,
        line.fs_hz,
        num_frames,
        labels,
        notes,
        database,
    )
    record = Record(
        record_id=record_id,
        patient_id=database.patient_of(record_id, line.comments),
        signals_mv=no_values(num_frames * rate, len(found)),
        lead_names=tuple(found),
        fs_hz=line.fs_hz,
        samples_per_frame=rate,
        unusable={**unusable, **refused},
        gaps=gaps,
        notes=dict(+notes),
        **annotations,
    )
    signals = StoredSignals(leads=tuple(found.values()), num_samples=num_frames * rate)
    return StreamedRecord(record=record, signals=signals)


@dataclass
class _Stored:
    """The leads that are stored so far, each at its own rate."""

    header_path: Path
    database: Database
    scratch: Path
    opened: ExitStack
    on_samples: OnSamples
    block: int
    writers: dict[str, LeadWriter] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)
    rates: dict[str, int] = field(default_factory=dict)
    num_frames: int = 0

    def read(self, line: RecordLine, leads: Sequence[Sequence[str]]) -> None:
        """Read all segments."""
        path, database = self.header_path, self.database
        parts: list[tuple[int | None, Path | None]] = [(None, path)]
        if line.segments:
            # A layout segment, of length 0, describes the following ones.
            parts = [
                (length, None if name == NO_FILE else path.with_name(f"{name}.hea"))
                for name, length in line.segments
                if length
            ]
            if not any(part for _, part in parts):
                raise damaged(path, "lists no segment with samples", database)
        if sum(length or 0 for length, _ in parts) > LONGEST_STORED:
            raise damaged(path, "states more samples than can be read", database)
        headers = {part: read_header(part, database) for _, part in parts if part is not None}
        self._open([line for header in headers.values() for line in header.signals], leads)
        for length, part in parts:
            if part is None:
                self.num_frames += length or 0
                continue
            notes: Counter[str] = Counter()
            self._segment(part, headers[part], length, notes)
            self.notes |= notes  # the same leads in every segment are counted once
        for name, writer in self.writers.items():
            writer.add_gap(self.num_frames * self.rates[name] - writer.num_samples)
        self.writers = {
            name: writer for name, writer in self.writers.items() if name not in self.unusable
        }

    def _open(self, lines: Sequence[SignalLine], leads: Sequence[Sequence[str]]) -> None:
        """Open a writer for each lead."""
        names = list(dict.fromkeys(line.name for line in lines))
        found = find_leads(leads, names)
        is_any = None in found or any(FIRST_LEAD in spellings for spellings in leads)
        for number, name in enumerate(names):
            rates = sorted({line.samples_per_frame for line in lines if line.name == name})
            if len(rates) > 1:
                self.unusable[name] = str(
                    damaged(
                        self.header_path,
                        f"has segments with {rates} samples per frame of lead {name}",
                        self.database,
                    )
                )
            self.rates[name] = rates[0]
            is_kept = is_any or name in found
            path = self.scratch / f"lead{number}.f64" if is_kept else None
            self.writers[name] = self.opened.enter_context(LeadWriter(path))

    def _segment(self, path: Path, header: Header, length: int | None, notes: Counter[str]) -> None:
        database = self.database
        num_frames, channels, surplus = plan_files(path, header, database)
        if length is not None and num_frames != length:
            raise damaged(
                path,
                f"has {num_frames} samples, but {self.header_path.name} lists {length}",
                database,
            )
        if num_frames > LONGEST_STORED:
            raise damaged(path, "states more samples than can be read", database)
        scales: dict[str, tuple[float, float]] = {}
        for line in header.signals:
            try:
                scales[line.name] = scale_of(path, line, notes, database)
            except DataError as error:
                self.unusable.setdefault(line.name, str(error))
            # Earlier segments lack the lead.
            writer = self.writers[line.name]
            writer.add_gap(self.num_frames * line.samples_per_frame - writer.num_samples)
        self.num_frames += num_frames
        for number, (name, numbers) in enumerate(channels.items()):
            lines = [header.signals[each] for each in numbers]
            self._file(path, lines, num_frames, surplus.get(name), scales, notes, not number)
            notes[LONGER_FILE] += name in surplus
        for line in header.signals:
            writer = self.writers[line.name]
            # The end of a lead that is late in its file, or all of one without a file.
            writer.add_gap(self.num_frames * line.samples_per_frame - writer.num_samples)
            if line.name in scales:
                try:
                    writer.check(path, line.name, database)
                except DataError as error:
                    self.unusable.setdefault(line.name, str(error))

    def _file(
        self,
        header_path: Path,
        lines: Sequence[SignalLine],
        num_frames: int,
        surplus: str | None,
        scales: Mapping[str, tuple[float, float]],
        notes: Counter[str],
        is_first: bool,
    ) -> None:
        """Read a file, compare it with the header, and store its leads."""
        path, fmt = header_path.with_name(lines[0].file_name), lines[0].fmt
        per_frame = tuple(line.samples_per_frame for line in lines)
        totals, firsts = [0] * len(lines), [0] * len(lines)
        late = [line.skew * line.samples_per_frame for line in lines]
        lasts = [line.zero if line.first is None else line.first for line in lines]
        is_begin = True
        try:
            for values in samples_in_blocks(
                path,
                fmt,
                lines[0].offset,
                num_frames=num_frames,
                per_frame=per_frame,
                block=max(1, self.block // sum(per_frame)),
            ):
                for place, (line, digital) in enumerate(zip(lines, values, strict=True)):
                    if fmt == DIFFERENCES:
                        digital = np.cumsum(digital, dtype=np.int64) + lasts[place]
                        lasts[place] = int(digital[-1])
                    if is_begin:
                        firsts[place] = int(digital[0])
                    totals[place] += int(digital.sum(dtype=np.int64))
                    skipped = min(late[place], len(digital))
                    late[place] -= skipped
                    if line.name in scales and skipped < len(digital):
                        self.writers[line.name].add(
                            *to_millivolts(line, digital[skipped:], *scales[line.name])
                        )
                if is_first:
                    self.on_samples(len(values[0]) // per_frame[0])
                is_begin = False
        except (NotDecoded, OSError) as error:
            raise damaged(path, str(error), self.database) from error
        for line, total, first in zip(lines, totals, firsts, strict=True):
            check_sum(header_path, line, total, first, surplus, notes, self.database)
