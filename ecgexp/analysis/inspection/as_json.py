"""The page as JSON values with stable keys."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ecgexp.analysis.inspection.facts import Inspection, PossibleSplit, RecordFacts, TypicalBeats


def as_json(inspection: Inspection) -> dict[str, Any]:
    """Return the values of `--json`; no patient is named.

    Args:
      inspection: What the page shows.
    """
    read, labeled = inspection.read, inspection.labeled
    numbers = {patient: number for number, patient in enumerate(_patients(inspection))}
    return {
        "dataset": inspection.title,
        "command": inspection.command,
        "usable": inspection.is_usable,
        "grouping": inspection.grouping,
        "patients_are": labeled.patients_are,
        "num_patients": len(numbers) if labeled.knows_patients else None,
        "num_records": len(read.records),
        "num_beats": len(labeled),
        "symbols": read.symbols,
        "other_annotations": read.others,
        "ungrouped": dict(inspection.ungrouped),
        "dropped": read.dropped,
        "no_usable_ecg_seconds": _seconds(read.quality_s),
        "classes": [
            {
                "name": one.name,
                "symbols": list(one.symbols),
                "beats": one.beats,
                "patients": len(one.of_patients) if labeled.knows_patients else None,
            }
            for one in inspection.classes
        ],
        "records": [_record(record, inspection, numbers) for record in read.records],
        "splits": [_split(one) for one in inspection.splits],
        "typical": None if inspection.typical is None else _typical(inspection.typical),
        "findings": [{"level": one.level, "text": one.text} for one in inspection.findings],
        "seconds": round(read.seconds, 1),
    }


def _patients(inspection: Inspection) -> list[str]:
    return list(dict.fromkeys(record.patient_id for record in inspection.read.usable))


def _record(record: RecordFacts, inspection: Inspection, numbers: dict[str, int]) -> dict[str, Any]:
    if record.reason:
        return {"record": record.record_id, "reason": record.reason}
    shows_intervals = record.record_id in inspection.shown
    return {
        "record": record.record_id,
        "reason": None,
        "patient": numbers[record.patient_id] if inspection.labeled.knows_patients else None,
        "hz": record.hz,
        "seconds": record.seconds or None,
        "leads": list(record.leads),
        "unusable_leads": dict(record.unusable),
        "used_leads": list(record.used),
        "gap_seconds": dict(record.gap_s),
        "symbols": dict(record.symbols),
        "other_annotations": dict(record.others),
        "dropped": dict(record.dropped),
        "notes": dict(record.notes),
        "no_usable_ecg_seconds": _seconds(record.quality_s),
        "beats_without_usable_ecg": None if record.quality_s is None else record.marked,
        "beat_height_mv": [None if math.isnan(one) else one for one in record.height_mv],
        "rr_outliers": int(record.is_outlier.sum()) if shows_intervals else None,
    }


def _seconds(quality_s: Mapping[str, float] | None) -> dict[str, float] | None:
    return None if quality_s is None else {one: round(value, 3) for one, value in quality_s.items()}


def _split(one: PossibleSplit) -> dict[str, Any]:
    return {
        "split": one.option,
        "chosen": one.is_chosen,
        "possible": not one.reason,
        "reason": one.reason or None,
        "parts": {
            name: {"beats": size.beats, "patients": size.patients, "classes": dict(size.classes)}
            for name, size in one.parts.items()
        },
        "notes": list(one.notes),
    }


def _typical(typical: TypicalBeats) -> dict[str, Any]:
    return {
        "beats_of": typical.beats_of,
        "times_ms": np.round(typical.times_ms, 3).tolist(),
        "leads": list(typical.leads),
        "classes": {
            name: {
                "beats": typical.numbers[name][0],
                "records": typical.numbers[name][1],
                "median_mv": _rounded(median),
                "low_mv": _rounded(typical.low_mv[name]),
                "high_mv": _rounded(typical.high_mv[name]),
            }
            for name, median in typical.median_mv.items()
        },
    }


def _rounded(curves_mv: np.ndarray) -> list[list[float]]:
    """Return one list for each lead, to a microvolt."""
    return np.round(curves_mv.T.astype(np.float64), 3).tolist()
