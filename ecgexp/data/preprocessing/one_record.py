"""Preprocessing of one record: leads, baseline, sampling frequency, windows and RR intervals."""

from collections.abc import Sequence

import numpy as np

from ecgexp.data.beats import RR_FEATURES
from ecgexp.data.formats.gaps import NO_GAPS, touching, union_of
from ecgexp.data.formats.leads import find_lead, find_leads
from ecgexp.data.formats.record import Record
from ecgexp.data.preprocessing.baseline import (
    bandpass,
    bandpass_reach,
    median_reach,
    remove_median_baseline,
    resample,
    resampling_ratio,
    resampling_reach,
)
from ecgexp.data.preprocessing.settings import Preprocessing
from ecgexp.data.preprocessing.windows import cut_windows, relocate, rr_features
from ecgexp.settings.declaration import DataError

LEFT_RECORD = "window leaves the record"
IN_GAP = "signal missing in the window"
_LARGEST_TERM = 1_000_000


def choose_leads(record: Record, preprocessing: Preprocessing) -> tuple[list[int] | None, str]:
    """Choose the columns of a record by lead names.

    Args:
      record: The record.
      preprocessing: Gives the leads, and what to do if one is missing.

    Returns:
      columns: One for each lead; None if the record is left out.
      missing: Names of the missing leads, joined; empty if there are none.

    Raises:
      DataError: A lead is missing although that is not allowed, or cannot be used, e.g. because of
        a gap.
    """
    found = find_leads(preprocessing.lead_spellings, (*record.lead_names, *record.unusable))
    for name in found:
        if name is not None and name in record.unusable:
            raise DataError(record.unusable[name])
    pairs = zip(preprocessing.lead_spellings, found, strict=True)
    missing = [" or ".join(spellings) for spellings, name in pairs if name is None]
    spare = [column for column, name in enumerate(record.lead_names) if name not in found]
    if missing and preprocessing.missing_lead == "error":
        raise DataError(
            f"dataset.missing_lead=error: record {record.record_id} has the leads "
            f"{', '.join(record.lead_names)}, but not {', '.join(missing)}; use "
            "dataset.missing_lead=skip, or another dataset.leads"
        )
    if missing and (preprocessing.missing_lead == "skip" or len(spare) < len(missing)):
        return None, ", ".join(missing)
    columns = [spare.pop(0) if name is None else record.lead_names.index(name) for name in found]
    return columns, ", ".join(missing)


def substitutes_of(record: Record, columns: Sequence[int], preprocessing: Preprocessing) -> str:
    """Return the names of the leads that replace missing ones, joined.

    Args:
      record: The record.
      columns: Its columns, as returned by `choose_leads`.
      preprocessing: Gives the leads.

    Returns:
      Names in the order of the missing leads; empty if there are none.
    """
    names = [record.lead_names[column] for column in columns]
    pairs = zip(names, preprocessing.lead_spellings, strict=True)
    return ", ".join(used for used, spellings in pairs if find_lead(spellings, [used]) is None)


def preprocess_record(
    record: Record, columns: Sequence[int], preprocessing: Preprocessing
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Preprocess one record: baseline, sampling frequency, windows and RR intervals.

    **Guarantees**: No value of a gap affects a window. A beat is left out if its window, widened by
    what the baseline filter, the resampling and `relocate_ms` use beyond it, touches a gap of a
    lead that is used; the band-pass filter is taken to end where its response is negligible
    (`tests/unit/data/test_gaps.py`).

    Args:
      record: The record.
      columns: Columns of the leads to use.
      preprocessing: The settings.

    Returns:
      part: The columns of `BeatSet`, rows in time order. `rr` of a record with one beat is NaN.
      reasons: (num_beats,) str, why a beat is left out, `LEFT_RECORD` or `IN_GAP`; empty for the
        beats with a row.
      annotated: (2, num_annotated) int64, see `BeatSet.annotated`.
    """
    r_samples, symbols = record.beat_samples, record.beat_symbols
    if not len(r_samples):
        return (
            _empty_part(len(columns), preprocessing),
            np.zeros(0, np.str_),
            np.zeros((2, 0), np.int64),
        )
    check_frequencies(record, preprocessing)
    leads = [
        _clean(record.signals_mv[:, column], record.signal_hz, preprocessing) for column in columns
    ]
    signals_mv = np.stack(leads, axis=1)
    scale = preprocessing.fs_hz / record.fs_hz
    places = np.rint(r_samples * scale).astype(np.int64)
    places = relocate(
        signals_mv[:, 0], places, round(preprocessing.relocate_ms * preprocessing.fs_hz / 1000)
    )
    windows, inside = cut_windows(signals_mv, places, *preprocessing.window_samples)
    is_in_gap = touches_gap(record, columns, places, preprocessing)
    reasons = np.where(inside, np.where(is_in_gap, IN_GAP, ""), LEFT_RECORD)
    if is_in_gap.any():
        windows, inside = windows[~is_in_gap[inside]], inside & ~is_in_gap
    part = {
        "signals_mv": windows,
        "rr": rr_features(r_samples, record.fs_hz)[inside],
        "symbols": symbols[inside].astype("<U1"),
        "record_ids": np.full(len(windows), record.record_id),
        "patient_ids": np.full(len(windows), record.patient_id),
        "r_samples": r_samples[inside],
    }
    return part, reasons, np.stack([r_samples, places]).astype(np.int64)


def touches_gap(
    record: Record, columns: Sequence[int], places: np.ndarray, preprocessing: Preprocessing
) -> np.ndarray:
    """Return (num_beats,) bool: True for beats whose window depends on a value in a gap.

    Args:
      record: The record.
      columns: Columns of the leads that are used.
      places: (num_beats,) int64, R peaks at `preprocessing.fs_hz`.
      preprocessing: The settings.
    """
    used = [record.gaps.get(record.lead_names[column], NO_GAPS) for column in columns]
    gaps = union_of(used, len(record.signals_mv))
    if not len(gaps):
        return np.zeros(len(places), bool)
    hz = record.signal_hz
    reach = resampling_reach(hz, preprocessing.fs_hz) + _baseline_reach(hz, preprocessing)
    # An R peak may be taken from anywhere within `relocate_ms` of the annotated sample, which is as
    # far from the R peak at most.
    searched = 2 * round(preprocessing.relocate_ms * preprocessing.fs_hz / 1000)
    before, after = (max(side, searched) for side in preprocessing.window_samples)
    rows = hz / preprocessing.fs_hz
    begins = np.floor((places - before) * rows).astype(np.int64) - reach
    ends = np.ceil((places + after) * rows).astype(np.int64) + reach + 1
    return touching(gaps, begins, ends)


def _baseline_reach(hz: float, preprocessing: Preprocessing) -> int:
    if preprocessing.baseline == "median":
        return median_reach(hz)
    if preprocessing.baseline == "bandpass":
        return bandpass_reach(hz, preprocessing.bandpass_hz)
    return 0


def _clean(lead_mv: np.ndarray, fs_hz: float, preprocessing: Preprocessing) -> np.ndarray:
    """Remove the baseline, then resample; the filters are defined at the recorded frequency."""
    return resample(remove_baseline(lead_mv, fs_hz, preprocessing), fs_hz, preprocessing.fs_hz)


def remove_baseline(lead_mv: np.ndarray, fs_hz: float, preprocessing: Preprocessing) -> np.ndarray:
    """Remove the baseline of a lead as `dataset.baseline` states.

    Args:
      lead_mv: (num_samples,) float64, millivolts.
      fs_hz: Its sampling frequency.
      preprocessing: The settings.

    Returns:
      (num_samples,) float64, millivolts.
    """
    if preprocessing.baseline == "median":
        return remove_median_baseline(lead_mv, fs_hz)
    if preprocessing.baseline == "bandpass":
        return bandpass(lead_mv, fs_hz, preprocessing.bandpass_hz)
    return lead_mv


def check_nothing_unusual(record: Record) -> None:
    """Check that nothing in a record is unusual: every annotation is inside, nothing is noted.

    Args:
      record: The record.

    Raises:
      DataError: An annotation is before the first sample or after the last one, or the reader
        accepted something unusual (`Record.notes`).
    """
    if record.outside:
        counts = ", ".join(f"{symbol} {count}" for symbol, count in record.outside.items())
        raise DataError(
            f"dataset.strict=true: record {record.record_id} has {sum(record.outside.values())} "
            f"annotations outside its signal ({counts}); correct its annotation file, or use "
            "dataset.strict=false, which leaves them out and counts them"
        )
    for note, count in record.notes.items():
        raise DataError(
            f"dataset.strict=true: record {record.record_id}: {note}, {count} in all; correct its "
            "files, or use dataset.strict=false, which accepts and counts this"
        )


def check_frequencies(record: Record, preprocessing: Preprocessing) -> None:
    """Check that a record can be resampled and filtered at its frequency.

    Args:
      record: The record.
      preprocessing: The settings.

    Raises:
      DataError: It cannot.
    """
    _check_ratio(record, preprocessing)
    _check_band(record, preprocessing)


def _check_ratio(record: Record, preprocessing: Preprocessing) -> None:
    """Refuse a ratio of frequencies whose terms, and so the resampling filter, are too large."""
    ratio = resampling_ratio(record.signal_hz, preprocessing.fs_hz)
    if max(ratio.numerator, ratio.denominator) > _LARGEST_TERM:
        raise DataError(
            f"dataset.fs_hz={preprocessing.fs_hz!r}: record {record.record_id} at "
            f"{record.signal_hz!r} Hz cannot be resampled by the ratio {ratio}; correct the "
            "frequency in its header, or use this frequency for dataset.fs_hz"
        )


def _check_band(record: Record, preprocessing: Preprocessing) -> None:
    """Refuse a band-pass filter beyond the frequencies of the record."""
    highest = record.signal_hz / 2
    if preprocessing.baseline == "bandpass" and preprocessing.bandpass_hz[1] >= highest:
        raise DataError(
            f"dataset.bandpass_hz={list(preprocessing.bandpass_hz)}: record {record.record_id} at "
            f"{record.signal_hz:g} Hz can be filtered below {highest:g} Hz only; use a lower upper "
            "edge, or leave the record out"
        )


def _empty_part(num_leads: int, preprocessing: Preprocessing) -> dict[str, np.ndarray]:
    text = np.zeros(0, "<U1")
    return {
        "signals_mv": np.zeros((0, sum(preprocessing.window_samples), num_leads), np.float32),
        "rr": np.zeros((0, len(RR_FEATURES)), np.float32),
        "symbols": text,
        "record_ids": text,
        "patient_ids": text,
        "r_samples": np.zeros(0, np.int64),
    }
