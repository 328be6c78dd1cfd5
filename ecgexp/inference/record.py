"""One record, classified beat by beat."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from ecgexp.data.beats import NO_INTERVAL
from ecgexp.data.formats.annotation_writer import UNCLASSIFIED, symbol_of
from ecgexp.data.formats.record import Record
from ecgexp.data.identity import window_hashes
from ecgexp.data.preprocessing.pipeline import LEFT_RECORD, choose_leads, preprocess_record
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
    """The beats of a record and what the model says of each.

    Attributes:
      record_id: the record.
      fs_hz: its sampling frequency.
      source: whose beats they are.
      class_names: (num_classes,) the model's.
      samples: (num_beats,) int64, at the record's own frequency.
      probabilities: (num_beats, num_classes) float64; a row of NaN for a beat that cannot be classified.
      references: (num_beats,) str, the reference's symbol; empty where there is no reference beat.
      detection: how well the beats were found; None where nobody searched, or nothing is known to compare with.
      reasons: (num_beats,) str, why a beat cannot be classified; empty where it is.
      num_outside: annotations outside the record, which are not among the beats.
      windows: one number for each classified window, by which a copy is known; see `ecgexp.data.identity.window_hashes`.
      substitute: the leads that were read in place of the model's, where training allowed that; else empty.
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
        """(num_beats,) bool: beats for which there is what the model needs."""
        return ~np.isnan(self.probabilities).any(axis=1)

    @property
    def predicted(self) -> np.ndarray:
        """(num_beats,) int64 class index; -1 for an unclassified beat."""
        filled = np.where(self.is_classified[:, None], self.probabilities, 0.0)
        return np.where(self.is_classified, filled.argmax(axis=1), -1)

    @property
    def counts(self) -> dict[str, int]:
        """Beats of each class, in class order, zeros included."""
        numbers = np.bincount(self.predicted[self.is_classified], minlength=len(self.class_names))
        return dict(zip(self.class_names, numbers.tolist(), strict=True))

    @property
    def num_unclassified(self) -> int:
        """Beats that lack what the model needs."""
        return int(np.sum(~self.is_classified))

    @property
    def classes(self) -> list[str]:
        """(num_beats,) name of each beat's class."""
        return [*self._by_class(self.class_names, "unclassified")]

    @property
    def symbols(self) -> list[str]:
        """(num_beats,) annotation symbol of each beat."""
        return [*self._by_class([symbol_of(name) for name in self.class_names], UNCLASSIFIED)]

    def table(self) -> "pd.DataFrame":
        """One row a beat: sample, seconds, class, symbol, probability/<class>, reference."""
        import pandas as pd

        columns = {
            "sample": self.samples, "seconds": self.samples / self.fs_hz, "class": self.classes, "symbol": self.symbols,
        }  # fmt: skip
        columns |= {
            f"probability/{name}": self.probabilities[:, i]
            for i, name in enumerate(self.class_names)
        }
        return pd.DataFrame(columns | {"reference": self.references})

    def _by_class(self, names: "list[str] | tuple[str, ...]", otherwise: str) -> list[str]:
        return [names[index] if index >= 0 else otherwise for index in self.predicted]


def annotate(model: TrainedModel, record: Record, *, source: Source) -> Annotated:
    """Classifies every beat of a record.

    Args:
      model: it decides the leads, and what is done to them.
      record: with its reference annotations, if there are any.
      source: take the annotated beats, or search for beats in the model's first lead; they are then compared.

    Raises:
      DataError: the record lacks a lead or a beat, or cannot be prepared as the model's own were.
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
            "the annotations hold none"
            if source == "reference"
            else f"{record.lead_names[columns[0]]} shows none"
        )
        raise DataError(
            f"record {record.record_id} has no beat: {where}; type --beats {_other(source)}, or another record"
        )
    probabilities, reasons, windows = _probabilities(model, record, columns)
    return Annotated(
        record_id=record.record_id, fs_hz=record.fs_hz, source=source, class_names=model.classifier.class_names,
        samples=record.beat_samples, probabilities=probabilities, reasons=reasons, references=symbols,
        num_outside=sum(record.outside.values()), detection=detection, substitute=substitute,
        windows=windows,
    )  # fmt: skip


def _probabilities(
    model: TrainedModel, record: Record, columns: list[int]
) -> tuple[np.ndarray, np.ndarray, tuple[int | None, ...]]:
    """(num_beats, num_classes), prepared and scored as in training, NaN where that cannot be; (num_beats,) why; the windows."""
    part, *_ = preprocess_record(record, columns, model.preprocessing)
    windows = part["signals_mv"]
    templates_mv = None
    if model.classifier.uses_template:  # of the whole record, as in training
        templates_mv = np.broadcast_to(template(windows), windows.shape)
    inside = np.isin(record.beat_samples, part["r_samples"])
    reasons = np.where(inside, "", LEFT_RECORD).astype(object)
    rr = part["rr"] if model.classifier.uses_rr else None
    if rr is not None and np.isnan(rr).any():  # a record's only beat
        reasons[inside] = NO_INTERVAL
        inside = np.zeros_like(inside)
    probabilities = np.full((len(record.beat_samples), len(model.classifier.class_names)), np.nan)
    if inside.any():
        probabilities[inside] = model.classifier.predict_probabilities(windows, rr, templates_mv)
    return probabilities, reasons.astype(np.str_), tuple(window_hashes(windows))


def _columns(record: Record, model: TrainedModel) -> tuple[list[int], str]:
    # Whether training stopped at such a record or left it out: here it was asked for by name.
    preprocessing = model.preprocessing
    columns, missing = choose_leads(record, replace(preprocessing, missing_lead="skip"))
    if columns is None and preprocessing.missing_lead == "first":
        columns, missing = choose_leads(record, preprocessing)
    if columns is None:
        raise DataError(
            f"record {record.record_id} has the leads {', '.join(record.lead_names)} and not {missing}, which the model "
            "reads; take another record, or a model trained on a lead of this one (dataset.leads=)"
        )
    return columns, ", ".join(record.lead_names[column] for column in columns) if missing else ""


def _check_frequency(record: Record, model: TrainedModel) -> None:
    """Any frequency is resampled to the model's, as in training, unless its filter does not exist there."""
    preprocessing = model.preprocessing
    if (
        preprocessing.baseline == "bandpass"
        and preprocessing.bandpass_hz[1] >= record.signal_hz / 2
    ):
        raise DataError(
            f"record {record.record_id} at {record.signal_hz:g} Hz cannot be filtered up to {preprocessing.bandpass_hz[1]:g} Hz, "
            f"as the model's own records were; take one above {2 * preprocessing.bandpass_hz[1]:g} Hz"
        )


def _carried_over(symbols: np.ndarray, detection: Detection | None, num_beats: int) -> np.ndarray:
    """(num_beats,) the symbol of the reference beat that each detected beat was paired with."""
    carried = np.full(num_beats, "", "<U1")
    if detection is not None:
        found = detection.partners >= 0
        carried[detection.partners[found]] = symbols[found]
    return carried


def _other(source: Source) -> Source:
    return "detector" if source == "reference" else "reference"
