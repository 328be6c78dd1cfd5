"""Classification of the beats of one record."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from ecgexp.data.beats import NO_INTERVAL
from ecgexp.data.formats.annotation_writer import UNCLASSIFIED, symbol_of
from ecgexp.data.formats.record import Record
from ecgexp.data.identity import window_hashes
from ecgexp.data.preprocessing.pipeline import (
    LEFT_RECORD,
    choose_leads,
    preprocess_record,
    substitutes_of,
)
from ecgexp.data.preprocessing.qrs_detection import detect_beats
from ecgexp.data.preprocessing.windows import template
from ecgexp.evaluation.beat_matching import Detection, match_beats
from ecgexp.inference.model import TrainedModel
from ecgexp.settings.declaration import DataError

if TYPE_CHECKING:
    import pandas as pd

Source = Literal["reference", "detector"]


@dataclass(frozen=True, kw_only=True)
class Annotated:
    """The beats of a record with the predictions of a model.

    Attributes:
      record_id: The record.
      fs_hz: Its sampling frequency.
      source: Source of the beats.
      class_names: Classes of the model.
      samples: (num_beats,) int64, at the frequency of the record.
      probabilities: (num_beats, num_classes) float64; a row of NaN for an unclassified beat.
      references: (num_beats,) str, symbol of the reference beat; empty without one.
      detection: Result of beat detection; None if the beats were not detected, or without a
        reference.
      reasons: (num_beats,) str, why a beat is not classified; empty for a classified beat.
      num_outside: Number of annotations outside the record, which are not among the beats.
      windows: A hash of each window, to recognize copies; see
        `ecgexp.data.identity.window_hashes`.
      substitute: Which leads replace missing ones, if training allowed it, e.g. `"V5 replaces V1"`;
        else empty.
    """

    record_id: str
    fs_hz: float
    source: Source
    class_names: tuple[str, ...]
    samples: np.ndarray
    probabilities: np.ndarray
    references: np.ndarray
    reasons: np.ndarray
    num_outside: int = 0
    windows: tuple[int | None, ...] = ()
    detection: Detection | None = None
    substitute: str = ""

    @property
    def is_classified(self) -> np.ndarray:
        """(num_beats,) bool: True for classified beats."""
        return ~np.isnan(self.probabilities).any(axis=1)

    @property
    def predicted(self) -> np.ndarray:
        """(num_beats,) int64: class index; -1 for an unclassified beat."""
        filled = np.where(self.is_classified[:, None], self.probabilities, 0.0)
        return np.where(self.is_classified, filled.argmax(axis=1), -1)

    @property
    def counts(self) -> dict[str, int]:
        """Class -> number of beats, including zeros."""
        numbers = np.bincount(self.predicted[self.is_classified], minlength=len(self.class_names))
        return dict(zip(self.class_names, numbers.tolist(), strict=True))

    @property
    def num_unclassified(self) -> int:
        """Number of unclassified beats."""
        return int(np.sum(~self.is_classified))

    @property
    def classes(self) -> list[str]:
        """Name of the class of each beat."""
        return [*self._by_class(self.class_names, "unclassified")]

    @property
    def symbols(self) -> list[str]:
        """Annotation symbol of the class of each beat."""
        return [*self._by_class([symbol_of(name) for name in self.class_names], UNCLASSIFIED)]

    def table(self) -> "pd.DataFrame":
        """Return a table with one row per beat.

        Returns:
          Columns: sample, seconds, class, symbol, probability/<class>, reference.
        """
        import pandas as pd

        columns = {
            "sample": self.samples,
            "seconds": self.samples / self.fs_hz,
            "class": self.classes,
            "symbol": self.symbols,
        }
        columns |= {
            f"probability/{name}": self.probabilities[:, i]
            for i, name in enumerate(self.class_names)
        }
        return pd.DataFrame(columns | {"reference": self.references})

    def _by_class(self, names: "list[str] | tuple[str, ...]", otherwise: str) -> list[str]:
        return [names[index] if index >= 0 else otherwise for index in self.predicted]


def annotate(model: TrainedModel, record: Record, *, source: Source) -> Annotated:
    """Classify every beat of a record.

    Args:
      model: The model, which determines leads and preprocessing.
      record: The record, with reference annotations if it has any.
      source: `reference`: classify the annotated beats; `detector`: detect beats in the first lead
        of the model, and compare them with the reference.

    Returns:
      The beats and predictions.

    Raises:
      DataError: The record lacks a lead or has no beat, or cannot be preprocessed as in training.
    """
    columns, substitute = _columns(record, model)
    _check_frequency(record, model)
    reference, symbols = record.beat_samples, record.beat_symbols
    detection = None
    if source == "detector":
        samples = (
            detect_beats(record.signals_mv[:, columns[0]], record.signal_hz)
            // record.samples_per_frame
        )
        record = replace(record, samples=samples, symbols=np.full(len(samples), "Q"))
        detection = match_beats(reference, samples, record.fs_hz) if len(reference) else None
        symbols = _carried_over(symbols, detection, len(samples))
    if not len(record.beat_samples):
        where = (
            "the annotations have none"
            if source == "reference"
            else f"none was detected in {record.lead_names[columns[0]]}"
        )
        raise DataError(
            f"record {record.record_id} has no beat: {where}; use --beats {_other(source)}, or "
            "another record"
        )
    probabilities, reasons, windows = _probabilities(model, record, columns)
    return Annotated(
        record_id=record.record_id,
        fs_hz=record.fs_hz,
        source=source,
        class_names=model.classifier.class_names,
        samples=record.beat_samples,
        probabilities=probabilities,
        reasons=reasons,
        references=symbols,
        num_outside=sum(record.outside.values()),
        detection=detection,
        substitute=substitute,
        windows=windows,
    )


def _probabilities(
    model: TrainedModel, record: Record, columns: list[int]
) -> tuple[np.ndarray, np.ndarray, tuple[int | None, ...]]:
    """Preprocess and classify the beats as in training.

    Returns:
      probabilities: (num_beats, num_classes) float64; a row of NaN for an unclassified beat.
      reasons: (num_beats,) str, why a beat is not classified.
      windows: Hashes of the windows.
    """
    part, *_ = preprocess_record(record, columns, model.preprocessing)
    windows = part["signals_mv"]
    templates_mv = None
    if model.classifier.uses_template:  # of the whole record, as in training
        templates_mv = np.broadcast_to(template(windows), windows.shape)
    inside = np.isin(record.beat_samples, part["r_samples"])
    reasons = np.where(inside, "", LEFT_RECORD).astype(object)
    rr = part["rr"] if model.classifier.uses_rr else None
    if rr is not None and np.isnan(rr).any():  # the only beat of a record has no interval
        reasons[inside] = NO_INTERVAL
        inside = np.zeros_like(inside)
    probabilities = np.full((len(record.beat_samples), len(model.classifier.class_names)), np.nan)
    if inside.any():
        probabilities[inside] = model.classifier.predict_probabilities(windows, rr, templates_mv)
    return probabilities, reasons.astype(np.str_), tuple(window_hashes(windows))


def _columns(record: Record, model: TrainedModel) -> tuple[list[int], str]:
    # A record without the leads is refused, because the user named it, even if training skips it.
    preprocessing = model.preprocessing
    columns, missing = choose_leads(record, replace(preprocessing, missing_lead="skip"))
    if columns is None and preprocessing.missing_lead == "first":
        columns, missing = choose_leads(record, preprocessing)
    if columns is None:
        raise DataError(
            f"record {record.record_id} has the leads {', '.join(record.lead_names)}, but not "
            f"{missing}, which the model needs; use another record, or a model trained on a lead "
            "of this one (dataset.leads=)"
        )
    if not missing:
        return columns, ""
    return columns, f"{substitutes_of(record, columns, preprocessing)} replaces {missing}"


def _check_frequency(record: Record, model: TrainedModel) -> None:
    """Refuse a record whose frequency is too low for the band-pass filter of the model."""
    preprocessing = model.preprocessing
    if (
        preprocessing.baseline == "bandpass"
        and preprocessing.bandpass_hz[1] >= record.signal_hz / 2
    ):
        raise DataError(
            f"record {record.record_id} at {record.signal_hz:g} Hz cannot be filtered up to "
            f"{preprocessing.bandpass_hz[1]:g} Hz as in training; use a record above "
            f"{2 * preprocessing.bandpass_hz[1]:g} Hz"
        )


def _carried_over(symbols: np.ndarray, detection: Detection | None, num_beats: int) -> np.ndarray:
    """Return (num_beats,) str, the symbol of the reference beat matched to each detected beat."""
    carried = np.full(num_beats, "", "<U1")
    if detection is not None:
        found = detection.partners >= 0
        carried[detection.partners[found]] = symbols[found]
    return carried


def _other(source: Source) -> Source:
    return "detector" if source == "reference" else "reference"
