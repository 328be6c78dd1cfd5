"""Facts about records in words, which the terminal and the HTML page share."""

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from ecgexp.analysis.inspection.facts import (
    ClassFacts,
    Inspection,
    PossibleSplit,
    ReadRecords,
    RecordFacts,
    TypicalBeats,
)
from ecgexp.data.beats import BeatSet
from ecgexp.formatting import BLANK, count_text, number_text, percent_text, significant_text

CAVEATS = (
    "Counts and typical beats are no evaluation: choose settings by training and validation beats, "
    "never by beats of test patients.",
    "This page is made from the raw data without noise: no privacy guarantee covers it.",
)
_PATIENTS = {
    "stated": "stated by the dataset or its files",
    "assumed": "assumed: a record is taken for a patient",
}
_MOST = 8


def facts(inspection: Inspection) -> list[tuple[str, str]]:
    """Return the rows about the records: name, text.

    Args:
      inspection: What the page shows.
    """
    read = inspection.read
    usable = read.usable
    rows = [
        ("records", _records(inspection)),
        ("patients", _patients(inspection)),
        ("frequency", _counted(f"{record.hz:g}{BLANK}Hz" for record in usable)),
        ("duration", _duration([record.seconds for record in usable])),
        ("leads", _counted(lead for record in usable for lead in record.leads)),
        ("used leads", _counted(lead for record in usable for lead in record.used)),
        ("beat height", _heights(usable, units(inspection.labeled))),
        ("gaps", _gaps(usable)),
        ("signal quality", _quality(read)),
        ("symbols", counts(read.symbols) or "no beat is annotated"),
        ("other marks", counts(read.others)),
        ("left out", counts(read.dropped)),
    ]
    return [(name, text) for name, text in rows if text]


def counts(numbers: Mapping[str, int]) -> str:
    """Return `N 75 052 · V 7 130`."""
    return " · ".join(f"{name} {count_text(number)}" for name, number in numbers.items())


def per_patient(one: ClassFacts) -> str:
    """Return the median number of beats of a patient that has some, and the range."""
    if not len(one.of_patients):
        return ""
    low, middle, high = (int(one.of_patients[0]), np.median(one.of_patients), one.of_patients[-1])
    return f"{count_text(round(float(middle)))} ({count_text(low)} to {count_text(int(high))})"


def units(beats: BeatSet) -> str:
    """Return the units of windows as a text shows them."""
    return beats.units if beats.units == "mV" else "units of the file"


def impossible(one: PossibleSplit) -> str:
    """Return the line about a split that is not possible."""
    return f"{one.option} is not possible: {one.reason.removeprefix(f'{one.option}: ')}"


def span(typical: TypicalBeats) -> str:
    """Return the times of the windows: `−250 ms to 247 ms from the R peak`."""
    first, last = typical.times_ms[0], typical.times_ms[-1]
    return f"{first:.0f}{BLANK}ms to {last:.0f}{BLANK}ms from the R peak".replace("-", "−")


def _records(inspection: Inspection) -> str:
    read = inspection.read
    left_out = len(read.records) - len([one for one in read.usable if one.used])
    text = f"{count_text(len(read.records))}, {number_text(sum(read.symbols.values()), 'beat')}"
    return f"{text}; {left_out} left out, see below" if left_out else text


def _patients(inspection: Inspection) -> str:
    known = inspection.labeled.patients_are
    if known == "unknown":
        return "unknown: beat level only"
    groups: dict[str, list[str]] = {}
    for record in inspection.read.usable:
        groups.setdefault(record.patient_id, []).append(record.record_id)
    several = [records for records in groups.values() if len(records) > 1]
    text = f"{count_text(len(groups))}, {_PATIENTS[known]}"
    if not several:
        return text
    named = "; ".join(" and ".join(records[:_MOST]) for records in several[:_MOST])
    more = f"; {len(several) - _MOST} more patients with several" if len(several) > _MOST else ""
    return f"{text}; of one patient: {named}{more}"


def _counted(values: Iterable[str]) -> str:
    """Return the values with the number of records, the most frequent first."""
    found = Counter(values).most_common()
    shown = " · ".join(f"{value or 'without a name'} ({number})" for value, number in found[:_MOST])
    return shown + (f" · {len(found) - _MOST} more" if len(found) > _MOST else "")


def _duration(seconds: list[float]) -> str:
    known = sorted(one for one in seconds if one)
    if not known:
        return ""
    total = f"{sum(known) / 3600:.1f}{BLANK}h" if sum(known) >= 3600 else time_text(sum(known))
    each = (
        time_text(known[0])
        if known[-1] - known[0] < 0.01 * known[-1]
        else f"{time_text(known[0])} to {time_text(known[-1])}"
    )
    return f"{total} in all, {each} each"


def time_text(seconds: float) -> str:
    """Return a duration: `12 s`, `30.1 min`, `24 h`."""
    if seconds < 90:
        return f"{seconds:.3g}{BLANK}s"
    minutes = seconds / 60
    return f"{minutes:.3g}{BLANK}min" if minutes < 90 else f"{minutes / 60:.3g}{BLANK}h"


def _heights(records: list[RecordFacts], unit: str) -> str:
    heights = [height for record in records for height in record.height_mv if not np.isnan(height)]
    if not heights:
        return ""
    low, middle, high = (significant_text(float(v)) for v in np.quantile(heights, (0, 0.5, 1)))
    return (
        f"{middle}{BLANK}{unit} peak to peak ({low} to {high}): the median beat of each "
        "record and used lead"
    )


def reasons(quality_s: Mapping[str, float]) -> str:
    """Return how long records show no usable ECG, by reason: `noise 20 s · flat 1.5 min`."""
    return " · ".join(f"{reason} {time_text(seconds)}" for reason, seconds in quality_s.items())


def _quality(read: ReadRecords) -> str:
    known = [record for record in read.usable if record.quality_s is not None]
    if not known:
        return ""
    seconds = sum(record.seconds for record in known)
    bad = sum(read.quality_s.values())
    if not bad:
        return "every segment of the used leads shows a usable ECG"
    return (
        f"{percent_text(bad / seconds)} of the duration shows no usable ECG "
        f"({reasons(read.quality_s)}), with {count_text(sum(one.marked for one in known))} beats"
    )


def _gaps(records: list[RecordFacts]) -> str:
    with_gaps = [
        (record, max(record.gap_s.get(lead, 0.0) for lead in record.used))
        for record in records
        if record.used
    ]
    found = [(record, seconds) for record, seconds in with_gaps if seconds]
    if not found:
        return "none in used leads"
    total = time_text(sum(seconds for _, seconds in found))
    return f"{total} without a value in used leads of {len(found)} records"
