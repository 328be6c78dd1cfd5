"""Classification of signals and windows that are given as arrays, as in a request to a server."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgexp.data.formats.annotation_writer import UNCLASSIFIED
from ecgexp.data.formats.leads import find_lead
from ecgexp.data.formats.record import Record
from ecgexp.inference.record import Annotated, annotate
from ecgexp.models.classifier import Classifier
from ecgexp.settings.declaration import DataError

if TYPE_CHECKING:
    import pandas as pd

SIGNAL = ("signal_mv", "fs_hz", "lead", "r_peaks")
"""Columns of a row that is a signal; `r_peaks` may be left out."""

WINDOW = ("window_mv", "rr", "template_mv", "record_values")
"""Columns of a row that is a preprocessed beat; a model takes the last three or not."""


def annotate_signal(
    classifier: Classifier,
    signals_mv: np.ndarray,
    *,
    fs_hz: float,
    lead_names: Sequence[str],
    r_peaks: np.ndarray | None = None,
    name: str = "signal",
) -> Annotated:
    """Classify the beats of a signal as `ecgexp-predict` classifies those of a record.

    Args:
      classifier: The model.
      signals_mv: (num_samples, leads) millivolts, as recorded: unfiltered, at any frequency.
      fs_hz: Its sampling frequency.
      lead_names: Name of each column.
      r_peaks: (num_beats,) increasing samples of the R peaks; None: they are detected.
      name: of the signal, for messages.

    Returns:
      The beats with their probabilities, without references.

    Raises:
      DataError: The arrays do not suit each other or the model, or there is no beat.
    """
    signals_mv = np.asarray(signals_mv, np.float64)
    peaks = np.zeros(0, np.int64) if r_peaks is None else np.asarray(r_peaks)
    _check(signals_mv, fs_hz, lead_names, peaks, name)
    _check_leads(classifier, lead_names, name)
    record = Record(
        record_id=name,
        patient_id=name,
        signals_mv=signals_mv,
        lead_names=tuple(lead_names),
        fs_hz=fs_hz,
        samples=peaks.astype(np.int64),
        symbols=np.full(len(peaks), "Q"),
    )
    annotated = annotate(
        classifier,
        record,
        source="detector" if r_peaks is None else "reference",
        other_beats="r_peaks" if r_peaks is None else "no r_peaks, so that beats are detected",
    )
    return replace(annotated, references=np.full(len(annotated.samples), ""))


def classify_rows(classifier: Classifier, rows: "pd.DataFrame") -> "pd.DataFrame":
    """Classify signals or windows in a table.

    Args:
      classifier: The model.
      rows: With the columns `SIGNAL`, one row for each signal: `signal_mv` a list of samples, or of
        one such list for each lead, and `lead` a name, or a list of names. Or with the columns
        `WINDOW`, one row for each beat: `window_mv` (window, leads), `rr` (20,), `template_mv`
        (window, leads), `record_values` (num_values,).

    Returns:
      For signals, one row for each beat: record (number of the row of `rows`), sample, seconds,
      class, symbol and the probability of each class, which is None for an unclassified beat. For
      windows, one row for each: class and probabilities.

    Raises:
      DataError: The columns are neither, or their values do not suit the model.
    """
    forms = [columns for columns in (SIGNAL, WINDOW) if columns[0] in rows]
    if len(forms) != 1:
        raise DataError(
            f"the input has the columns {', '.join(map(str, rows.columns))}; use either "
            f"{', '.join(SIGNAL)} or {', '.join(WINDOW)}"
        )
    if rows.empty:
        raise DataError("the input has no row; use one row for each signal, or for each beat")
    return _classify_signals(classifier, rows) if forms == [SIGNAL] else _windows(classifier, rows)


def _classify_signals(classifier: Classifier, rows: "pd.DataFrame") -> "pd.DataFrame":
    import pandas as pd

    absent = [name for name in SIGNAL[1:-1] if name not in rows]
    if absent:
        raise DataError(
            f"the input has no column {', '.join(absent)}; use {', '.join(SIGNAL)}, of which only "
            f"{SIGNAL[-1]} may be left out"
        )
    peaks = rows[SIGNAL[-1]] if SIGNAL[-1] in rows else [None] * len(rows)
    tables = []
    values = zip(rows["signal_mv"], rows["fs_hz"], rows["lead"], peaks, strict=True)
    for number, (signal, fs_hz, lead, r_peaks) in enumerate(values):
        annotated = annotate_signal(
            classifier,
            _leads_of(signal, number),
            fs_hz=_number(fs_hz, number),
            lead_names=_names(lead, number),
            r_peaks=None if r_peaks is None or np.isscalar(r_peaks) else np.asarray(r_peaks),
            name=str(number),
        )
        table = annotated.table().drop(columns=["reference", "quality"])
        table.insert(0, "record", number)
        tables.append(table)
    table = pd.concat(tables, ignore_index=True)
    if (table["symbol"] == UNCLASSIFIED).any():
        for name in [f"probability/{name}" for name in classifier.class_names]:
            # NaN is not valid in JSON.
            table[name] = table[name].astype(object).where(table[name].notna(), None)
    return table


def _windows(classifier: Classifier, rows: "pd.DataFrame") -> "pd.DataFrame":
    import pandas as pd

    arrays = [_stacked(rows, name) if name in rows else None for name in WINDOW]
    try:
        probabilities = classifier.predict_probabilities(*arrays)  # pyright: ignore[reportArgumentType]  # the first is there
    except ValueError as error:
        raise DataError(f"the input has other windows than the model: {error}") from error
    _check_finite(probabilities, "the probabilities have", "windows in millivolts")
    names = np.asarray(classifier.class_names)
    columns = {"class": names[probabilities.argmax(axis=1)].tolist()}
    columns |= {f"probability/{name}": probabilities[:, i] for i, name in enumerate(names)}
    return pd.DataFrame(columns)


def _stacked(rows: "pd.DataFrame", name: str) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):  # a value beyond float32 is infinite, and refused
            values = np.stack([np.asarray(value, np.float32) for value in rows[name]])
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{name}: the rows are not arrays of numbers of one shape ({error}); use equal shapes"
        ) from error
    _check_finite(values, f"{name} has", "beats that have all values")
    return values


def _check_finite(values: np.ndarray, what: str, instead: str) -> None:
    finite = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise DataError(f"row {row}: {what} NaN or infinite values; use {instead}")


def _number(value: Any, number: int) -> float:
    try:
        return float(value)
    except (ValueError, TypeError) as error:
        raise DataError(f"record {number}: fs_hz={value} is not a number; use 360, e.g.") from error


def _names(lead: Any, number: int) -> list[str]:
    names = [lead] if isinstance(lead, str) or not np.iterable(lead) else list(lead)
    if not all(isinstance(name, str) for name in names):
        raise DataError(f"record {number}: lead={lead} is not a name, or a list of names; use MLII")
    return names


def _leads_of(signal: Any, number: int) -> np.ndarray:
    """Return (num_samples, leads)."""
    try:
        leads_mv = np.asarray(signal, np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"record {number}: signal_mv is not a list of numbers, or of lists of equal length "
            f"({error}); use one list for each lead"
        ) from error
    return np.atleast_2d(leads_mv).T


def _check(
    signals_mv: np.ndarray, fs_hz: float, lead_names: Sequence[str], peaks: np.ndarray, name: str
) -> None:
    if signals_mv.ndim != 2 or signals_mv.shape[1] != len(lead_names):
        raise DataError(
            f"record {name}: the signals have the shape {signals_mv.shape} (samples, leads) for "
            f"the leads {', '.join(lead_names)}; use one signal for each lead"
        )
    if len(set(lead_names)) < len(lead_names):
        raise DataError(f"record {name}: a lead is named twice; use each name once")
    if not len(signals_mv):
        raise DataError(f"record {name}: the signal has no samples; use a signal that has some")
    if not np.isfinite(signals_mv).all():
        raise DataError(
            f"record {name}: the signal has NaN or infinite values; use a part without gaps"
        )
    if not 10 <= fs_hz <= 10_000:
        raise DataError(f"record {name}: fs_hz={fs_hz:g}; use 10 to 10000 Hz")
    whole = len(peaks) == 0 or (
        np.issubdtype(peaks.dtype, np.number) and np.array_equal(peaks, peaks.astype(np.int64))
    )
    if peaks.ndim != 1 or not whole or np.any(np.diff(peaks) <= 0):
        raise DataError(f"record {name}: r_peaks must be increasing whole numbers of samples")
    if len(peaks) and not 0 <= peaks[0] <= peaks[-1] < len(signals_mv):
        raise DataError(
            f"record {name}: r_peaks are outside of the {len(signals_mv)} samples; use samples of "
            "this signal, counted from 0"
        )


def _check_leads(classifier: Classifier, lead_names: Sequence[str], name: str) -> None:
    records = classifier.preprocessing.records
    missing = [
        spellings[0]
        for spellings in records.lead_spellings
        if find_lead(spellings, lead_names) is None
    ]
    if missing and records.missing_lead != "first":
        raise DataError(
            f"record {name}: lead={', '.join(lead_names)}: the model needs {', '.join(missing)}; "
            f"use lead={missing[0]} for a signal that was recorded from it"
        )
