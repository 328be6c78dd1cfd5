"""Classification of the beats of one record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from ecgexp.data.formats.annotation_writer import UNCLASSIFIED, symbol_of
from ecgexp.data.formats.leads import find_leads
from ecgexp.data.formats.record import Record
from ecgexp.data.identity import window_hashes
from ecgexp.data.preprocessing.qrs_detection import detect_beats
from ecgexp.data.quality.marks import MARKS
from ecgexp.data.quality.segments import record_codes
from ecgexp.evaluation.beat_matching import Detection, match_beats
from ecgexp.models.classifier import Classifier
from ecgexp.models.preprocessing import ModelPreprocessing
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
      aliases: Lead of the model -> its name in the record, where they differ.
      num_samples: Length of the record, at `fs_hz`.
      segments: (num_segments,) int8, what the first marked lead of the model shows in each segment
        of 10 s, places in `quality.segments.MARKS`; None: not known.
      quality: (num_beats,) str, why a lead of the model shows no usable ECG around the beat, e.g.
        `"MLII flat"`; empty for usable ones. Marked beats are classified and scored like all
        others, but their annotation symbol is `?`.
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
    aliases: Mapping[str, str] = field(default_factory=dict)
    num_samples: int = 0
    segments: np.ndarray | None = None
    quality: np.ndarray | None = None

    def part(self, rows: slice) -> "Annotated":
        """Return some of the beats, for tables that are written in parts."""
        names = ("samples", "probabilities", "references", "reasons")
        some = {name: getattr(self, name)[rows] for name in names}
        quality = None if self.quality is None else self.quality[rows]
        return replace(self, **some, quality=quality)

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
    def is_marked(self) -> np.ndarray:
        """(num_beats,) bool: True for beats where a lead shows no usable ECG."""
        if self.quality is None:
            return np.zeros(len(self.samples), bool)
        return self.quality != ""

    @property
    def symbols(self) -> list[str]:
        """Annotation symbol of the class of each beat; `?` where no usable ECG is shown."""
        found = self._by_class([symbol_of(name) for name in self.class_names], UNCLASSIFIED)
        return [
            UNCLASSIFIED if is_marked else symbol
            for symbol, is_marked in zip(found, self.is_marked.tolist(), strict=True)
        ]

    def table(self) -> "pd.DataFrame":
        """Return a table with one row per beat.

        Returns:
          Columns: sample, seconds, class, symbol, probability/<class>, reference, quality.
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
        quality = np.full(len(self.samples), "") if self.quality is None else self.quality
        return pd.DataFrame(columns | {"reference": self.references, "quality": quality})

    def _by_class(self, names: "list[str] | tuple[str, ...]", otherwise: str) -> list[str]:
        return [names[index] if index >= 0 else otherwise for index in self.predicted]


def annotate(
    classifier: Classifier,
    record: Record,
    *,
    source: Source,
    preprocessing: ModelPreprocessing | None = None,
    other_beats: str = "",
) -> Annotated:
    """Classify every beat of a record.

    Args:
      classifier: The model.
      record: The record, with reference annotations if it has any.
      source: `reference`: classify the annotated beats; `detector`: detect beats in the first lead
        of the model, and compare them with the reference.
      preprocessing: For records of another database, or with other names of leads; None: that of
        the model.
      other_beats: What to use where there is no beat, for the message; empty: the other `source`,
        as an option of `ecgexp-predict`.

    Returns:
      The beats and predictions.

    Raises:
      DataError: The record lacks a lead or has no beat, or cannot be preprocessed as in training.
    """
    preprocessing = preprocessing or classifier.preprocessing
    columns, substitute = preprocessing.columns(record)
    symbols, detection = record.beat_symbols, None
    if source == "detector":
        rows = detect_beats(record.signals_mv[:, columns[0]], record.signal_hz)
        samples = np.unique(rows // record.samples_per_frame)
        record, detection, symbols = with_detected(record, samples)
    check_has_beats(record, columns, source, other_beats)
    inputs = preprocessing.inputs(record, columns)
    probabilities = np.full((len(record.beat_samples), len(classifier.class_names)), np.nan)
    windows: tuple[int | None, ...] = ()
    if inputs.is_usable.any():
        windows = tuple(window_hashes(inputs.signals_mv))
        probabilities[inputs.is_usable] = classifier.predict_probabilities(
            inputs.signals_mv, inputs.rr, inputs.templates_mv, inputs.record_values
        )
    return Annotated(
        record_id=record.record_id,
        fs_hz=record.fs_hz,
        source=source,
        class_names=classifier.class_names,
        samples=record.beat_samples,
        probabilities=probabilities,
        reasons=inputs.reasons,
        references=symbols,
        num_outside=sum(record.outside.values()),
        detection=detection,
        substitute=substitute,
        aliases=aliases_of(record, preprocessing),
        windows=windows,
        num_samples=len(record.signals_mv) // record.samples_per_frame,
        quality=_quality(record, columns),
    )


def with_detected(
    record: Record, samples: np.ndarray
) -> tuple[Record, Detection | None, np.ndarray]:
    """Replace the reference beats of a record by detected ones.

    Args:
      record: The record, with reference annotations if it has any.
      samples: (num_beats,) int64, detected beats.

    Returns:
      The record with the detected beats, how they match the reference beats (None without them),
      and (num_beats,) str, the symbol of the reference beat of each detected one, or empty.
    """
    reference, symbols = record.beat_samples, record.beat_symbols
    detection = match_beats(reference, samples, record.fs_hz) if len(reference) else None
    detected = replace(record, samples=samples, symbols=np.full(len(samples), "Q"))
    return detected, detection, _carried_over(symbols, detection, len(samples))


def check_has_beats(
    record: Record, columns: Sequence[int], source: Source, other_beats: str = ""
) -> None:
    """Check that a record has a beat.

    Args:
      record: The record, with the beats that are to be classified.
      columns: Columns of the leads of the model.
      source: Source of the beats.
      other_beats: See `annotate`.

    Raises:
      DataError: It has none.
    """
    if len(record.beat_samples):
        return
    where = (
        "the annotations have none"
        if source == "reference"
        else f"none was detected in {record.lead_names[columns[0]]}"
    )
    raise DataError(
        f"record {record.record_id} has no beat: {where}; use "
        f"{other_beats or f'--beats {_other(source)}'}, or another record"
    )


def aliases_of(record: Record, preprocessing: ModelPreprocessing) -> dict[str, str]:
    """Return lead of the model -> its name in the record, where they differ."""
    settings = preprocessing.records
    pairs = zip(settings.leads, find_leads(settings.lead_spellings, record.lead_names), strict=True)
    return {lead: found for lead, found in pairs if found is not None and found != lead}


def _quality(record: Record, columns: Sequence[int]) -> np.ndarray:
    """Return (num_beats,) str, the first lead without a usable ECG around each beat, and why."""
    codes, leads = record_codes(record, columns)
    found = [
        f"{record.lead_names[columns[lead]]} {MARKS[code]}" if code else ""
        for code, lead in zip(codes.tolist(), leads.tolist(), strict=True)
    ]
    return np.asarray(found, np.str_)


def _carried_over(symbols: np.ndarray, detection: Detection | None, num_beats: int) -> np.ndarray:
    """Return (num_beats,) str, the symbol of the reference beat matched to each detected beat."""
    carried = np.full(num_beats, "", "<U1")
    if detection is not None:
        found = detection.partners >= 0
        carried[detection.partners[found]] = symbols[found]
    return carried


def _other(source: Source) -> Source:
    return "detector" if source == "reference" else "reference"
