"""Read every record of a dataset once, and keep counts and a few beats of it.

A record that is missing, damaged or unusual is listed with its reason; it does not stop the others.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ecgexp.analysis.inspection.facts import MOST_BEATS, Kept, ReadRecords, RecordFacts
from ecgexp.data.beats import RR_FEATURES, TESTED, TRAINED, BeatSet, arrow, least_known
from ecgexp.data.datasets.base import Dataset, HasSource
from ecgexp.data.datasets.cross_database import TwoDatabases
from ecgexp.data.datasets.joined import JoinedDataset
from ecgexp.data.formats.record import Record
from ecgexp.data.formats.source import RecordSource
from ecgexp.data.grouping import LabelGrouping
from ecgexp.data.identity import check_signals_once, copies, window_hashes
from ecgexp.data.preprocessing.one_record import (
    check_nothing_unusual,
    choose_leads,
    preprocess_record,
)
from ecgexp.data.preprocessing.pipeline import OUTSIDE_RECORD
from ecgexp.data.preprocessing.settings import OnProgress, Preprocessing
from ecgexp.data.quality.segments import codes_and_seconds
from ecgexp.settings.declaration import DataError
from ecgexp.storage.digests import FileDigests

_COLUMNS = ("symbols", "r_samples")


def read_records(
    dataset: Dataset, grouping: LabelGrouping, on_progress: OnProgress | None = None
) -> ReadRecords:
    """Read the records of a dataset.

    **Guarantees** (`tests/unit/analysis/inspection/test_inspect.py`): every record is read once and
    only one is in memory at a time; a record that cannot be read has its reason in the result.

    Args:
      dataset: The settings. Beats of a dataset without records are loaded whole.
      grouping: Its classes decide of which beats windows are kept.
      on_progress: Called with `(done, total, what)` before each record.

    Returns:
      The records and their beats.

    Raises:
      DataError: There are no records.
    """
    started = time.monotonic()
    class_of = {symbol: name for name, symbols in grouping.classes.items() for symbol in symbols}
    with ExitStack() as stack:
        parts = _parts_of(dataset, stack)
        if not parts:
            return _of_beats(dataset.load(on_progress), dataset, class_of, started)
        total = sum(len(part.source.records) for part in parts)
        done = 0
        for part in parts:
            for record_id in part.source.records:
                if on_progress is not None:
                    on_progress(done, total, part.prefix + record_id)
                part.add(record_id, class_of)
                done += 1
        return _joined(parts, started)


@dataclass(kw_only=True)
class _Part:
    """A database, and what is read of it so far."""

    source: RecordSource
    preprocessing: Preprocessing
    strict: bool = False
    prefix: str = ""
    name: str = ""
    records: list[RecordFacts] = field(default_factory=list)
    columns: list[Mapping[str, np.ndarray]] = field(default_factory=list)
    windows_mv: list[np.ndarray] = field(default_factory=list)
    rows: list[np.ndarray] = field(default_factory=list)
    hashes: dict[str, Sequence[int | None]] = field(default_factory=dict)
    signals: dict[str, Sequence[Path]] = field(default_factory=dict)
    sha256: dict[Path, str] = field(default_factory=dict)
    num_rows: int = 0

    def add(self, record_id: str, class_of: Mapping[str, str]) -> None:
        """Read a record."""
        name = self.prefix + record_id
        try:
            self._check_files(record_id)
            record = self.source.read(record_id, self.preprocessing.recorded_leads)
            if self.strict:
                check_nothing_unusual(record)
            facts = _facts(name, self.prefix + record.patient_id, record)
            columns, missing = choose_leads(record, self.preprocessing)
            if columns is None:
                self.records.append(replace(facts, missing=missing))
                return
            part, reasons, _ = preprocess_record(record, columns, self.preprocessing)
        except DataError as error:
            self.records.append(RecordFacts(record_id=name, reason=str(error)))
            return
        except OSError as error:
            reason = (
                f"{record_id}: {error.strerror or error}; correct its permissions, or remove it"
            )
            self.records.append(RecordFacts(record_id=name, reason=reason))
            return
        windows = part["signals_mv"]
        quality_s, marked = None, 0
        if self.preprocessing.quality != "ignore":
            codes, quality_s = codes_and_seconds(record, columns)
            marked = int(np.count_nonzero(codes))
        self.records.append(
            replace(
                facts,
                used=tuple(record.lead_names[column] for column in columns),
                missing=missing,
                dropped=Counter(reasons[reasons != ""].tolist())
                + Counter({OUTSIDE_RECORD: record.num_beats_outside}),
                height_mv=_height(windows),
                quality_s=quality_s,
                marked=marked,
            )
        )
        self.hashes[name] = window_hashes(windows)
        self._keep(name, facts.patient_id, part, class_of)

    def _check_files(self, record_id: str) -> None:
        files = self.source.files_of(record_id)
        if missing := [path.name for path in files if not path.is_file()]:
            names = ", ".join(missing)
            raise DataError(f"{names} missing in {self.source.folder}; {self.source.fix}")
        digests = FileDigests(None, self.source.folder).of(files)
        self.source.check_files(digests)
        self.sha256 |= digests
        self.signals[self.prefix + record_id] = self.source.signal_files_of(record_id)

    def _keep(
        self, name: str, patient: str, part: Mapping[str, np.ndarray], class_of: Mapping[str, str]
    ) -> None:
        number = len(part["symbols"])
        rows = _spread(part["symbols"], class_of)
        self.windows_mv.append(part["signals_mv"][rows])
        self.rows.append(rows + self.num_rows)
        self.columns.append(
            {column: part[column] for column in _COLUMNS}
            | {
                "record_ids": np.full(number, name),
                "patient_ids": np.full(number, patient),
                "parts": np.full(number, self.name),
            }
        )
        self.num_rows += number


def _parts_of(dataset: Dataset, stack: ExitStack) -> list[_Part]:
    """Return the databases of a dataset; none if its beats are not cut from records."""
    if isinstance(dataset, TwoDatabases | JoinedDataset):
        named = dataset.named_parts()
        names = (TRAINED, TESTED) if isinstance(dataset, TwoDatabases) else ("",) * len(named)
        return [
            _Part(
                source=stack.enter_context(part.open_source()),
                preprocessing=part,
                strict=part.strict,
                prefix=f"{prefix}/",
                name=name,
            )
            for name, (prefix, part) in zip(names, named.items(), strict=True)
        ]
    if not isinstance(dataset, HasSource):
        return []
    return [
        _Part(
            source=stack.enter_context(dataset.open_source()),
            preprocessing=dataset.preprocessings[0],
            strict=bool(getattr(dataset, "strict", False)),
        )
    ]


def _facts(name: str, patient: str, record: Record) -> RecordFacts:
    """Return what is known about a record before its leads are chosen."""
    others = Counter(record.symbols[~record.is_beat].tolist())
    samples = record.beat_samples
    return RecordFacts(
        record_id=name,
        patient_id=patient,
        hz=record.signal_hz,
        seconds=len(record.signals_mv) / record.signal_hz,
        leads=record.lead_names,
        unusable=dict(record.unusable),
        gap_s={
            lead: float((gaps[:, 1] - gaps[:, 0]).sum() / record.signal_hz)
            for lead, gaps in record.gaps.items()
            if len(gaps)
        },
        symbols=Counter(record.beat_symbols.tolist()),
        others=others,
        notes=dict(record.notes),
        rr_s=(np.diff(samples) / record.fs_hz).astype(np.float32),
        rr_samples=samples[1:],
    )


def _height(windows_mv: np.ndarray) -> tuple[float, ...]:
    """Return the median peak-to-peak height of windows for each lead, in millivolts."""
    if not len(windows_mv):
        return (float("nan"),) * windows_mv.shape[2]
    return tuple(np.median(np.ptp(windows_mv, axis=1), axis=0).astype(float).tolist())


def _spread(symbols: np.ndarray, class_of: Mapping[str, str]) -> np.ndarray:
    """Return (num_kept,) int64, ascending: rows spread evenly over the beats of each class."""
    names = np.asarray([class_of.get(symbol, "") for symbol in symbols.tolist()], np.str_)
    kept = [np.zeros(0, np.int64)]
    for name in np.unique(names[names != ""]) if len(names) else ():
        rows = np.flatnonzero(names == name)
        kept.append(rows[np.linspace(0, len(rows) - 1, min(MOST_BEATS, len(rows))).astype(int)])
    return np.sort(np.concatenate(kept))


def _joined(parts: Sequence[_Part], started: float) -> ReadRecords:
    columns = [one for part in parts for one in part.columns]
    shape = (0, sum(parts[0].preprocessing.window_samples), len(parts[0].preprocessing.leads))
    windows = [one for part in parts for one in part.windows_mv]
    offsets = np.cumsum([0, *(part.num_rows for part in parts)])
    rows = [one + offset for part, offset in zip(parts, offsets, strict=False) for one in part.rows]
    leads = zip(*(part.preprocessing.leads for part in parts), strict=True)
    sources = [part.source.name for part in parts]
    is_of_two = parts[0].name == TRAINED
    joins = arrow if is_of_two else lambda *every: "+".join(dict.fromkeys(every))
    joined = {
        name: np.concatenate([one[name] for one in columns]) if columns else np.zeros(0, "<U1")
        for name in (*_COLUMNS, "record_ids", "patient_ids", "parts")
    }
    return ReadRecords(
        records=[record for part in parts for record in part.records],
        beats=_beats(
            joined,
            fs_hz=parts[0].preprocessing.fs_hz,
            lead_names=tuple(joins(*each) for each in leads),
            database=joins(*sources),
            patients_are=least_known(part.source.patients_are for part in parts),
        ),
        kept=Kept(
            rows=np.concatenate([np.zeros(0, np.int64), *rows]),
            windows_mv=np.concatenate([np.zeros(shape, np.float32), *windows]),
        ),
        window_ms=parts[0].preprocessing.window_ms,
        repeated=list(_repeated(parts)),
        seconds=time.monotonic() - started,
    )


def _beats(columns: Mapping[str, np.ndarray], **about) -> BeatSet:
    """Return beats whose signals have no samples, which splits do not look at."""
    number = len(columns["symbols"])
    is_of_two = bool(set(columns["parts"].tolist()) & {TRAINED, TESTED})
    return BeatSet(
        signals_mv=np.zeros((number, 0, len(about["lead_names"])), np.float32),
        rr=np.zeros((number, 0), np.float32),
        symbols=columns["symbols"],
        record_ids=columns["record_ids"],
        patient_ids=columns["patient_ids"],
        r_samples=columns["r_samples"].astype(np.int64),
        digest="",
        parts=columns["parts"] if is_of_two else np.zeros(0, "<U5"),
        **about,
    )


def _repeated(parts: Sequence[_Part]) -> Iterator[str]:
    """Yield why a record is a copy of another one."""
    for part in parts:
        try:
            check_signals_once(part.signals, part.sha256)
        except DataError as error:
            yield str(error)
            return
    found = copies({name: hashes for part in parts for name, hashes in part.hashes.items()})
    if found is not None:
        one, other, number = found
        yield (
            f"records {one} and {other} hold the same heartbeats: {number} windows are equal bit "
            "for bit; list only one of them in dataset.records="
        )


def _of_beats(
    beats: BeatSet, dataset: Dataset, class_of: Mapping[str, str], started: float
) -> ReadRecords:
    """Return what beats that are cut already tell about their records."""
    rows, records = [np.zeros(0, np.int64)], []
    previous = beats.rr[:, RR_FEATURES.index("rr_previous_s")]
    for record_id in np.unique(beats.record_ids).tolist():
        of_record = np.flatnonzero(beats.record_ids == record_id)
        rows.append(of_record[_spread(beats.symbols[of_record], class_of)])
        known = of_record[previous[of_record] > 0]  # not NaN, and 0 where the file has none
        records.append(
            RecordFacts(
                record_id=record_id,
                patient_id=str(beats.patient_ids[of_record[0]]),
                hz=beats.fs_hz,
                leads=beats.lead_names,
                used=beats.lead_names,
                symbols=Counter(beats.symbols[of_record].tolist()),
                height_mv=_height(beats.signals_mv[of_record]),
                rr_s=previous[known],
                rr_samples=beats.r_samples[known],
            )
        )
    kept = np.sort(np.concatenate(rows))
    before, after = dataset.window_samples
    return ReadRecords(
        records=records,
        beats=replace(beats, signals_mv=beats.signals_mv[:, :0]),
        kept=Kept(rows=kept, windows_mv=beats.signals_mv[kept]),
        window_ms=(1000 * before / beats.fs_hz, 1000 * after / beats.fs_hz),
        seconds=time.monotonic() - started,
    )
