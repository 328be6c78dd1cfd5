"""Preprocessing of records to beats, whatever their source."""

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from ecgexp.console import NOTE
from ecgexp.data.beats import BeatSet
from ecgexp.data.formats.leads import FIRST_LEAD, find_lead
from ecgexp.data.formats.source import RecordSource
from ecgexp.data.identity import check_no_copies, check_signals_once
from ecgexp.data.preprocessing.cache import FORMAT_VERSION, CachedBeats, load_or_preprocess
from ecgexp.data.preprocessing.one_record import (
    LEFT_RECORD,
    check_nothing_unusual,
    choose_leads,
    preprocess_record,
    substitutes_of,
)
from ecgexp.data.preprocessing.settings import OnError, OnProgress, Preprocessing
from ecgexp.data.preprocessing.windows import template
from ecgexp.data.quality.marks import VERSION as QUALITY_VERSION
from ecgexp.data.quality.segments import record_codes
from ecgexp.settings.declaration import DataError, check_named_once, placed
from ecgexp.storage.digests import FileDigests, digest

OUTSIDE_RECORD = "annotated outside the record"
OUTSIDE_SIGNAL = "annotations outside the record are left out"
_log = logging.getLogger(__name__)


def preprocess_records(
    preprocessing: Preprocessing,
    source: RecordSource,
    *,
    strict: bool = False,
    on_error: OnError = "stop",
    demographics: bool = False,
    on_progress: OnProgress | None = None,
    path: str = "dataset",
) -> BeatSet:
    """Read, check and preprocess records, or load their beats from the cache.

    Args:
      preprocessing: The settings.
      source: The records, in the order of the beats.
      strict: Refuse a record with annotations outside its signal, or with another of
        `Record.notes`, which are otherwise left out or accepted, and counted.
      on_error: `stop`: raise the error of a record that cannot be read; `skip`: leave the record
        out and state the error in `BeatSet.skipped`.
      demographics: Read sex and decade of age of the patient of each record.
      on_progress: Called with `(done, total, what)`, unless the beats are in the cache.
      path: Key of the settings in the configuration, for messages.

    Returns:
      All beats, without labels. `dropped` counts the beats of records left out, beats annotated
      outside their record, and beats whose window extends beyond it or depends on a gap. RR
      features of the only beat of a record are NaN, because it has no interval.

    Raises:
      DataError: A file is missing or damaged, a record is named twice or has the signal of another
        one, or no beat is left.
    """
    check_named_once(f"{path}.records", source.records, error=DataError)
    files_of, skipped = _files(source, on_error)
    files = list(dict.fromkeys(path for paths in files_of.values() for path in paths))
    digests = FileDigests(preprocessing.cache_dir, source.folder)
    found = digests.of(files)
    source.check_files(found)
    signals = {name: source.signal_files_of(name) for name in files_of}
    check_signals_once(signals, found)
    content = digest(
        {
            "format": FORMAT_VERSION,
            **source.identity(),
            "records": list(source.records),
            "preparation": preprocessing.parameters(),
            "files": {digests.name_of(path): sha256 for path, sha256 in found.items()},
        }
    )

    def preprocess() -> CachedBeats:
        work = _Preprocessed(source=source, preprocessing=preprocessing, skipped=skipped)
        for done, record_id in enumerate(files_of):
            if on_progress is not None:
                on_progress(done, len(files_of), record_id)
            try:
                work.add(record_id, strict)
            except DataError as error:
                if on_error == "stop":
                    raise
                skipped[record_id] = str(error)
        if on_progress is not None:
            on_progress(len(files_of), len(files_of), "")
        cached = CachedBeats(beats=work.beats(content), notes=work.uses(), warnings=work.warnings())
        digests.check_unchanged()
        return cached

    # Beats also depend on how the files are read and on the libraries.
    key = digest(
        {
            "content": content,
            **source.parameters(),
            "libraries": [np.__version__, scipy.__version__],
        }
        | ({"strict": True} if strict else {})
        | ({} if preprocessing.quality == "ignore" else {"quality": QUALITY_VERSION})
        | ({"on_error": on_error, "skipped": skipped} if on_error == "skip" else {})
    )
    cached = load_or_preprocess(preprocessing.cache_dir, key, preprocess)
    for level, lines in ((NOTE, cached.notes), (logging.WARNING, cached.warnings)):
        for line in lines:
            _log.log(level, "%s", placed(line, path, type(preprocessing)))
    recordings = {
        name: digest(sorted({found[path] for path in signals[name]}))
        for name in cached.beats.annotated
    }
    found_of = {name: source.demographics_of(name) for name in recordings} if demographics else {}
    return replace(cached.beats, recordings=recordings, demographics=found_of)


def _files(
    source: RecordSource, on_error: OnError
) -> tuple[dict[str, tuple[Path, ...]], dict[str, str]]:
    """Return the files of each record, and why records are skipped."""
    files_of: dict[str, tuple[Path, ...]] = {}
    skipped: dict[str, str] = {}
    if on_error == "stop":
        files_of = {record_id: source.files_of(record_id) for record_id in source.records}
        _check_all_there([path for paths in files_of.values() for path in paths], source)
        return files_of, skipped
    for record_id in source.records:
        try:
            files = source.files_of(record_id)
            _check_all_there(files, source)
        except DataError as error:
            skipped[record_id] = str(error)
            continue
        if locked := [path.name for path in files if not os.access(path, os.R_OK)]:
            skipped[record_id] = f"{locked[0]} cannot be read; correct its permissions"
        else:
            files_of[record_id] = files
    return files_of, skipped


def _check_all_there(files: Sequence[Path], source: RecordSource) -> None:
    missing = [path.name for path in dict.fromkeys(files) if not path.is_file()]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise DataError(
            f"{source.name}: {', '.join(missing[:5])}{more} missing in {source.folder}; "
            f"{source.fix}, or use dataset.records= with the records that are present"
        )


@dataclass(frozen=True, kw_only=True)
class _Preprocessed:
    """The records that are preprocessed so far, and what was left out."""

    source: RecordSource
    preprocessing: Preprocessing
    skipped: dict[str, str]
    parts: list[dict[str, np.ndarray]] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    without_lead: list[str] = field(default_factory=list)
    substitutes: list[str] = field(default_factory=list)
    outside: dict[str, int] = field(default_factory=dict)
    read_from: dict[str, Counter[str]] = field(default_factory=dict)
    notes: dict[str, dict[str, int]] = field(default_factory=dict)
    templates_mv: dict[str, np.ndarray] = field(default_factory=dict)
    annotated: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, record_id: str, strict: bool) -> None:
        """Read and preprocess a record."""
        preprocessing = self.preprocessing
        record = self.source.read(record_id, preprocessing.recorded_leads)
        if strict:
            check_nothing_unusual(record)
        for note, count in record.notes.items():
            self.notes.setdefault(note, {})[record_id] = count
        columns, missing = choose_leads(record, preprocessing)
        if columns is None:
            self.dropped[f"record {record_id} has no lead {missing}"] = len(record.beat_samples)
            self.without_lead.append(record_id)
            return
        part, reasons, annotated = preprocess_record(record, columns, preprocessing)
        if preprocessing.quality != "ignore":
            codes, _ = record_codes(record, columns)
            part["quality"] = codes[reasons == ""]
        spellings_of = zip(preprocessing.leads, preprocessing.lead_spellings, strict=True)
        for (lead, spellings), column in zip(spellings_of, columns, strict=True):
            used = record.lead_names[column]
            if used not in spellings and find_lead(spellings, [used]) is not None:
                self.read_from.setdefault(lead, Counter())[used] += 1
        if missing:
            used = substitutes_of(record, columns, preprocessing)
            self.substitutes.append(f"{record_id} ({missing} <- {used})")
        self.parts.append(part)
        self.annotated[record_id] = annotated
        self.templates_mv[record_id] = template(part["signals_mv"])
        self.dropped.update({LEFT_RECORD: 0})  # stated even if there are none
        self.dropped.update(reasons[reasons != ""].tolist())
        if record.outside:
            self.outside[record_id] = sum(record.outside.values())
            if record.num_beats_outside:
                self.dropped.update({OUTSIDE_RECORD: record.num_beats_outside})

    def beats(self, content: str) -> BeatSet:
        """Return the beats of all records."""
        if not sum(len(part["r_samples"]) for part in self.parts):
            raise DataError(
                f"no beat is left of {len(self.source.records)} records of {self.source.name} "
                f"({self._left_out()}); use other leads or records"
            )
        columns_of: dict[str, Any] = {
            name: np.concatenate([part[name] for part in self.parts]) for name in self.parts[0]
        }
        check_no_copies(columns_of["record_ids"], columns_of["signals_mv"])
        return BeatSet(
            **columns_of,
            fs_hz=self.preprocessing.fs_hz,
            lead_names=self.preprocessing.leads,
            database=self.source.name,
            digest=content,
            dropped=dict(self.dropped),
            skipped=self.skipped,
            templates_mv=self.templates_mv,
            annotated=self.annotated,
            patients_are=self.source.patients_are,
        )

    def _left_out(self) -> str:
        if not self.skipped:
            return str(dict(self.dropped))
        return f"{dict(self.dropped)}; skipped: {next(iter(self.skipped.values()))}"

    def uses(self) -> tuple[str, ...]:
        """Return a line for each setting by which records are not used as they are."""
        name = self.source.name
        lines = [
            f"{name}: lead {lead} is lead {' or '.join(spellings)} of the records "
            "(dataset.lead_aliases)"
            for lead, spellings in zip(
                self.preprocessing.leads, self.preprocessing.lead_spellings, strict=True
            )
            if lead in self.preprocessing.lead_aliases
        ]
        lines += [_read_from_line(name, lead, found) for lead, found in self.read_from.items()]
        if self.without_lead:
            lines.append(
                f"{name}: records {', '.join(self.without_lead)} lack a lead of dataset.leads and "
                "are left out (dataset.missing_lead=first uses another lead, "
                "dataset.missing_lead=error stops)"
            )
        if self.substitutes:
            replaced = "; ".join(self.substitutes)
            lines.append(f"{name}: another lead replaces a missing one in {replaced}")
        return tuple(lines)

    def warnings(self) -> tuple[str, ...]:
        """Return a line for each thing that is unusual in the records."""
        name, lines = self.source.name, []
        if self.outside:
            lines.append(_counted_line(name, OUTSIDE_SIGNAL, self.outside))
        lines += [_counted_line(name, note, counts) for note, counts in self.notes.items()]
        if self.skipped:
            reasons = "; ".join(f"{record_id}: {why}" for record_id, why in self.skipped.items())
            one = len(self.skipped) == 1
            lines.append(
                f"{name}: {len(self.skipped)} record{'' if one else 's'} cannot be read and "
                f"{'is' if one else 'are'} left out (dataset.on_error=skip): {reasons}"
            )
        return tuple(lines)


def _read_from_line(name: str, lead: str, found: Mapping[str, int]) -> str:
    places = " and ".join(
        f"{used} in {number} record{'s' if number > 1 else ''}" for used, number in found.items()
    )
    if lead != FIRST_LEAD:
        return f"{name}: lead {lead} is {places}"
    return f"{name}: dataset.leads=null uses the first lead of each record, which is {places}"


def _counted_line(name: str, what: str, counts: Mapping[str, int]) -> str:
    records = ", ".join(f"{record_id} {count}" for record_id, count in counts.items())
    return (
        f"{name}: {what}, {sum(counts.values())} in all: {records} (dataset.strict=true refuses "
        "such records)"
    )
