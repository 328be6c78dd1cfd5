"""What is wrong with the data of a run, and how to fix it."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ecgexp.analysis.inspection.facts import (
    LONGEST_RR_S,
    SHORTEST_RR_S,
    Finding,
    Inspection,
    RecordFacts,
)
from ecgexp.data.formats.leads import FIRST_LEAD
from ecgexp.formatting import BLANK, count_text, percent_text

if TYPE_CHECKING:
    from ecgexp.config.data_settings import DataSettings

LOWEST_MV, HIGHEST_MV = 0.05, 15.0
"""A record whose median beat is lower or higher probably has a wrong gain, or no signal."""

MOST_UNUSABLE = 0.05
"""A record that shows no usable ECG for a larger share of its duration is named."""

_LEVELS = ("error", "warning", "note")
_NAMED = 6


def findings_of(inspection: Inspection, settings: "DataSettings") -> list[Finding]:
    """Return what is wrong and what is worth knowing, errors first.

    Args:
      inspection: The records and the splits, without findings.
      settings: The settings of the data.
    """
    found = [
        *_unreadable(inspection),
        *_leads(inspection),
        *_mixed_leads(inspection, settings),
        *_classes(inspection, settings),
        *_chosen_split(inspection),
        *_amplitudes(inspection),
        *_quality(inspection),
        *_intervals(inspection),
        *_patients(inspection),
        *_notes(inspection),
    ]
    return sorted(found, key=lambda one: _LEVELS.index(one.level))


def named(records: Sequence[str]) -> str:
    """Return the names of a few records, and how many more there are."""
    more = f" and {len(records) - _NAMED} more" if len(records) > _NAMED else ""
    return ", ".join(records[:_NAMED]) + more


def _unreadable(inspection: Inspection) -> Iterator[Finding]:
    for record in inspection.read.records:
        if record.reason:
            text = f"{record.record_id} cannot be used: {record.reason}"
            yield Finding(level="error", text=text)
    for reason in inspection.read.repeated:
        yield Finding(level="error", text=reason)
    bare = [record for record in inspection.read.usable if not record.num_beats]
    if bare:
        in_notes = (
            "dataset.symbols_from=aux_note_or_symbol if the notes of their annotations state the "
            "beats, "
            if any(record.others for record in bare)
            else ""
        )
        text = (
            f"{named([record.record_id for record in bare])}: no beat is annotated; use {in_notes}"
            "ecgexp-predict to annotate them, or leave them out by dataset.records="
        )
        yield Finding(level="warning", text=text)


def _leads(inspection: Inspection) -> Iterator[Finding]:
    without = defaultdict(list)
    unusable = defaultdict(list)
    for record in inspection.read.usable:
        if not record.used:
            without[record.missing].append(record)
        for lead, why in record.unusable.items():
            unusable[lead].append((record.record_id, why))
    for missing, records in without.items():
        leads = Counter(lead for record in records for lead in record.leads)
        text = (
            f"{named([record.record_id for record in records])}: left out, without lead {missing} "
            f"(leads there: {', '.join(leads)}); use dataset.missing_lead=first, or another "
            "dataset.leads"
        )
        yield Finding(level="warning", text=text)
    if replaced := [one for one in inspection.read.usable if one.used and one.missing]:
        names = named([f"{one.record_id} ({', '.join(one.used)})" for one in replaced])
        text = (
            f"another lead replaces a missing one in {names}: dataset.missing_lead=first; use "
            "dataset.missing_lead=skip to leave these records out"
        )
        yield Finding(level="note", text=text)
    for lead, why in unusable.items():
        names = named([record_id for record_id, _ in why])
        reason = why[0][1].rpartition("; ")[0]  # without the remedy, which is not needed
        text = f"{names}: lead {lead} is not used by these settings and could not be: {reason}"
        yield Finding(level="note", text=text)


def _mixed_leads(inspection: Inspection, settings: "DataSettings") -> Iterator[Finding]:
    """Yield a warning where `dataset.leads=null` takes leads of several names."""
    if all(FIRST_LEAD not in one.leads for one in settings.dataset.preprocessings):
        return
    used = Counter(one.used[0] for one in inspection.read.usable if one.used)
    if len(used) > 1:
        counts = ", ".join(f"{lead} in {number}" for lead, number in used.most_common())
        text = (
            f"the first leads of the records differ: {counts}; if they are one lead, use "
            f"'dataset.leads=[{used.most_common()[0][0]}]' with their names in "
            "dataset.lead_aliases, else choose one"
        )
        yield Finding(level="warning", text=text)


def _classes(inspection: Inspection, settings: "DataSettings") -> Iterator[Finding]:
    name = inspection.grouping
    absent = [one.name for one in inspection.classes if not one.beats]
    if absent and len(absent) == len(inspection.classes):
        text = (
            f"grouping={name}: no beat is of any class; use another grouping, or correct the "
            "records"
        )
        yield Finding(level="error", text=text)
    elif absent:
        is_refused = settings.grouping.empty_class == "error"
        text = (
            f"grouping={name}: no beat of class {', '.join(absent)}; use "
            "grouping.empty_class=drop, another grouping, or more records"
        )
        yield Finding(level="error" if is_refused else "note", text=text)
    if inspection.ungrouped:
        counts = ", ".join(f"{one} {count}" for one, count in inspection.ungrouped.items())
        text = f"symbols in no class of grouping={name} are left out: {counts}"
        yield Finding(level="warning", text=text)
    if not inspection.labeled.knows_patients:
        return
    for one in inspection.classes:
        if len(one.of_patients) == 1:
            text = (
                f"class {one.name} is of one patient: by patient it can be trained or tested, "
                "not both; use more patients, or another grouping"
            )
            yield Finding(level="warning", text=text)


def _chosen_split(inspection: Inspection) -> Iterator[Finding]:
    chosen = inspection.splits[0]
    if chosen.reason:
        possible = [one.option for one in inspection.splits if not one.reason]
        more = f" (possible: {', '.join(possible)})" if possible else ""
        yield Finding(level="error", text=f"{chosen.reason}{more}")
    for note in chosen.notes:
        yield Finding(level="warning", text=f"{chosen.option}: {note}")


def _amplitudes(inspection: Inspection) -> Iterator[Finding]:
    if inspection.labeled.units != "mV":
        return
    for record in inspection.read.usable:
        for lead, height in zip(record.used, record.height_mv, strict=False):
            if np.isnan(height) or LOWEST_MV <= height <= HIGHEST_MV:
                continue
            text = (
                f"{record.record_id}: its median beat in lead {lead} is {height:.3g}{BLANK}mV "
                f"high; correct the gain or the unit of its header, or leave it out"
            )
            yield Finding(level="warning", text=text)


def _quality(inspection: Inspection) -> Iterator[Finding]:
    """Yield a warning on records without a usable ECG in more than a twentieth, gaps apart."""
    found = [one for one in inspection.read.usable if one.unusable_share > MOST_UNUSABLE]
    if not found:
        return
    found.sort(key=lambda one: -one.unusable_share)
    names = named(
        [f"{one.record_id} {percent_text(one.unusable_share)} ({_longest(one)})" for one in found]
    )
    text = (
        f"no usable ECG in more than {percent_text(MOST_UNUSABLE)} of the duration of {names}; "
        "correct their gain or choose another lead, leave them out by dataset.records=, or use "
        "dataset.quality=drop, which leaves such beats out of training"
    )
    yield Finding(level="warning", text=text)


def _longest(record: RecordFacts) -> str:
    seconds = record.quality_s or {}
    return max(seconds, key=lambda reason: seconds[reason])


def _intervals(inspection: Inspection) -> Iterator[Finding]:
    found = [
        record
        for record in inspection.read.usable
        if record.record_id in inspection.shown and record.is_outlier.any()
    ]
    found.sort(key=lambda record: -int(record.is_outlier.sum()))
    if not found:
        return
    short = sum(int((record.rr_s < SHORTEST_RR_S).sum()) for record in found)
    long = sum(int((record.rr_s > LONGEST_RR_S).sum()) for record in found)
    counted = ", ".join(
        f"{record.record_id} {count_text(int(record.is_outlier.sum()))}"
        for record in found[:_NAMED]
    )
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    text = (
        f"RR intervals {inspection.beats_of}: {short} below {SHORTEST_RR_S:g}{BLANK}s, {long} "
        f"above {LONGEST_RR_S:g}{BLANK}s ({counted}{more}; the first in record {_place(found[0])})"
        "; look there for beats annotated twice or not at all"
    )
    yield Finding(level="warning", text=text)


def _place(record: RecordFacts) -> str:
    at = int(record.rr_samples[np.flatnonzero(record.is_outlier)[0]])
    return f"{record.record_id} at sample {at}"


def _patients(inspection: Inspection) -> Iterator[Finding]:
    known = inspection.labeled.patients_are
    if known == "assumed":
        text = (
            "nothing states whose the records are, so each is taken for a patient; use "
            "dataset.patients=patients.csv, dataset.patient_pattern or dataset.patient_comment if "
            "a person has several"
        )
        yield Finding(level="warning", text=text)
    if known == "unknown":
        text = (
            "nothing states whose the beats are: a score will say nothing about new patients; use "
            "dataset.patients= with the patient of each beat"
        )
        yield Finding(level="warning", text=text)


def _notes(inspection: Inspection) -> Iterator[Finding]:
    for note in inspection.labeled.notes:
        yield Finding(level="note", text=note)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for record in inspection.read.usable:
        for note, number in record.notes.items():
            counts[note][record.record_id] += number
    for note, records in counts.items():
        text = f"{note}: {count_text(sum(records.values()))} in all, in {named(list(records))}"
        yield Finding(level="note", text=text)
    gaps = [
        record.record_id
        for record in inspection.read.usable
        if any(record.gap_s.get(lead) for lead in record.used)
    ]
    if gaps:
        text = f"{named(gaps)}: the lead has gaps; beats whose window they touch are left out"
        yield Finding(level="note", text=text)
