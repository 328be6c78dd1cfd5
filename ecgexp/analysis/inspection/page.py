"""The page as HTML, in the style of the report: self-contained, without a connection."""

import math
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ecgexp.analysis.inspection import words
from ecgexp.analysis.inspection.facts import Inspection, RecordFacts
from ecgexp.analysis.inspection.figure import typical_drawing
from ecgexp.analysis.report.page import render_template
from ecgexp.analysis.report.tables import Cell, Table
from ecgexp.formatting import NO_VALUE, count_text, percent_text

_FOLDER = Path(__file__).parent


def render(inspection: Inspection, *, made: datetime) -> str:
    """Render the page.

    Args:
      inspection: What the page shows.
      made: Date and time that the page shows.

    Returns:
      The HTML text.
    """
    is_synthetic = "synthetic" in inspection.title.lower()
    context: dict[str, Any] = {
        "title": inspection.title,
        "made": made.strftime("%Y-%m-%d %H:%M %Z").strip(),
        "synthetic": is_synthetic,
        "facts": words.facts(inspection),
        "findings": inspection.findings,
        "is_usable": inspection.is_usable,
        "class_table": _classes(inspection),
        "split_table": _splits(inspection),
        "impossible": [words.impossible(one) for one in inspection.splits if one.reason],
        "typical": None
        if inspection.typical is None
        else typical_drawing(inspection.typical, synthetic=is_synthetic),
        "record_table": _records(inspection),
        "caveats": words.CAVEATS,
        "command": f"ecgexp-inspect {inspection.command}",
    }
    return render_template("inspection.html.j2", context, folder=_FOLDER)


def _count(number: int) -> Cell:
    return Cell(count_text(number), number)


def _classes(inspection: Inspection) -> Table:
    knows = inspection.labeled.knows_patients
    rows = [
        [
            one.name,
            " ".join(one.symbols) or "none",
            _count(one.beats),
            percent_text(one.beats / len(inspection.labeled)) if one.beats else NO_VALUE,
            _count(len(one.of_patients)) if knows else NO_VALUE,
            words.per_patient(one) if knows else NO_VALUE,
        ]
        for one in inspection.classes
    ]
    left_out = words.counts(inspection.ungrouped)
    return Table(
        name="classes",
        caption=f"Classes of grouping={inspection.grouping}",
        columns=["class", "symbols", "beats", "share", "patients", "beats of a patient"],
        groups=[[row] for row in rows],
        notes=[f"In no class, left out: {left_out}."] if left_out else [],
        row_name="class",
    )


def _splits(inspection: Inspection) -> Table:
    groups = []
    for one in inspection.splits:
        names = [one.option + (" (chosen)" if one.is_chosen else "")]
        rows = [
            [
                *(names if not number else []),
                part,
                NO_VALUE if size.patients is None else count_text(size.patients),
                count_text(size.beats),
                *(count_text(count) for count in size.classes.values()),
            ]
            for number, (part, size) in enumerate(one.parts.items())
        ]
        if rows:
            groups.append(rows)
    return Table(
        name="splits",
        caption="Splits: patients and beats of each part",
        columns=["split", "part", "patients", "beats", *inspection.labeled.class_names],
        groups=groups,
        notes=[f"{one.option}: {note}" for one in inspection.splits for note in one.notes],
        row_name="split",
    )


def _records(inspection: Inspection) -> Table:
    classes = {symbol: one.name for one in inspection.classes for symbol in one.symbols}
    names = [one.name for one in inspection.classes if one.beats]
    height = f"height ({words.units(inspection.labeled)})"
    return Table(
        name="records",
        caption="Records",
        columns=[
            "record",
            "Hz",
            "duration",
            "leads",
            "gaps",
            "no usable ECG",
            height,
            *names,
            "RR outliers",
            "",
        ],
        groups=[
            [_record(record, inspection, classes, names)] for record in inspection.read.records
        ],
        is_sortable=True,
        row_name="remark",
        notes=[
            "Annotated beats of each class, also those that are left out.",
            "No usable ECG: share of the duration in which a used lead is flat, at the rails, off, "
            "noise, or implausible in amplitude or rate.",
        ],
    )


def _record(
    record: RecordFacts,
    inspection: Inspection,
    classes: dict[str, str],
    names: Sequence[str],
) -> list[str]:
    if record.reason:
        return [record.record_id, *[NO_VALUE] * (7 + len(names)), record.reason]
    beats = dict.fromkeys(names, 0)
    for symbol, number in record.symbols.items():
        if symbol in classes:
            beats[classes[symbol]] += number
    gap_s = max((record.gap_s.get(lead, 0.0) for lead in record.used), default=0.0)
    height = record.height_mv[0] if record.height_mv else float("nan")
    outliers = int(record.is_outlier.sum())
    return [
        record.record_id,
        Cell(f"{record.hz:g}", record.hz),
        Cell(words.time_text(record.seconds), record.seconds) if record.seconds else NO_VALUE,
        ", ".join(f"{lead} (used)" if lead in record.used else lead for lead in record.leads),
        Cell(words.time_text(gap_s), gap_s) if gap_s else NO_VALUE,
        _quality(record),
        NO_VALUE if math.isnan(height) else Cell(f"{height:.2f}", height),
        *(_count(number) for number in beats.values()),
        _count(outliers) if record.record_id in inspection.shown else "not shown",
        f"without lead {record.missing}" if not record.used else "",
    ]


def _quality(record: RecordFacts) -> str:
    if record.quality_s is None or not record.seconds:
        return NO_VALUE
    share = sum(record.quality_s.values()) / record.seconds
    if not share:
        return Cell("0", 0.0)
    return Cell(f"{percent_text(share)} ({', '.join(record.quality_s)})", share)
