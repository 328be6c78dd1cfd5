"""Features computed from all beats of a record at once, for training and for prediction alike."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from ecgexp.data.beats import RR_FEATURES, BeatSet
from ecgexp.features.inputs import Features

_PREVIOUS = RR_FEATURES.index("rr_previous_s")
_DECIMALS = 3  # of a sampling frequency; RR features are float32


@dataclass(frozen=True, kw_only=True)
class RecordBeats:
    """The beats of one record.

    Attributes:
      seconds: (num_annotated,) float64, ascending, the time of every annotated beat of the record,
        with a window or without.
      rows: (num_rows,) int64, ascending, the beats that have a window: positions in `seconds`.
      signals_mv: (num_rows, window, leads) float32, millivolts.
      rr: (num_rows, 20) float32, the columns of `beats.RR_FEATURES`.
      template_mv: (window, leads) float32, millivolts, the template of the record.
    """

    seconds: np.ndarray
    rows: np.ndarray
    signals_mv: np.ndarray
    rr: np.ndarray
    template_mv: np.ndarray


@runtime_checkable
class RecordFeatures(Features, Protocol):
    """Features whose values a beat has only among all beats of its record.

    Templates and RR features are numbers of the record too; these need every window of the record
    at once, before beats are dropped, grouped or divided.
    """

    num_values: ClassVar[int]
    """Numbers of each beat."""

    def of_record(self, beats: RecordBeats) -> np.ndarray:
        """Return the values of each beat that has a window.

        Args:
          beats: at least two annotated beats of one record.

        Returns:
          (num_rows, num_values) float32, finite.
        """
        ...

    def transform(
        self,
        signals_mv: np.ndarray,
        rr: np.ndarray | None,
        templates_mv: np.ndarray | None = None,
        record_values: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """See `Features.transform`.

        Args:
          signals_mv: as there.
          rr: as there.
          templates_mv: as there.
          record_values: (num_beats, num_values) float32, rows of what `of_record` returned.
        """
        ...


def needs_record(features: Features) -> bool:
    """Return whether features need all beats of a record at once."""
    return isinstance(features, RecordFeatures)


def num_record_values(features: Features) -> int:
    """Return the numbers that features compute for each beat from all beats of its record."""
    return features.num_values if isinstance(features, RecordFeatures) else 0


def with_record_values(features: Features, beats: BeatSet) -> BeatSet:
    """Return beats with the values that the features have of each record.

    **Guarantees**: the values of a beat depend on its own record alone, and do not depend on which
    beats a grouping or a split leaves out (`tests/unit/features/test_record_beats.py`).

    Args:
      features: of a run.
      beats: as the dataset loaded them, before a grouping is applied.

    Returns:
      The same beats; with `RecordFeatures`, `record_values` has a row for each. The only beat of a
      record has NaN, as its RR features.
    """
    if not isinstance(features, RecordFeatures):
        return beats
    values: list[tuple[np.ndarray, np.ndarray]] = []
    for record, rows in _rows_of_records(beats.record_ids).items():
        if np.isnan(beats.rr[rows]).any():
            continue
        values.append((rows, features.of_record(_record_beats(beats, record, rows))))
    found = np.full((len(beats), features.num_values), np.nan, np.float32)
    for rows, part in values:
        found[rows] = part
    return replace(beats, record_values=found)


def transform_rows(
    features: Features,
    signals_mv: np.ndarray,
    rr: np.ndarray | None,
    templates_mv: np.ndarray | None,
    record_values: np.ndarray | None,
) -> dict[str, np.ndarray]:
    """Return the input arrays of a model, whatever its features need.

    Args:
      features: of the model.
      signals_mv: (num_beats, window, leads) float32, millivolts.
      rr: see `Features.transform`.
      templates_mv: see `Features.transform`.
      record_values: see `RecordFeatures.transform`; not used by other features.

    Returns:
      Name -> array with `num_beats` rows.
    """
    if isinstance(features, RecordFeatures):
        return features.transform(signals_mv, rr, templates_mv, record_values)
    return features.transform(signals_mv, rr, templates_mv)


def transform_beats(features: Features, beats: BeatSet) -> dict[str, np.ndarray]:
    """Return the features of all beats as arrays in memory."""
    return transform_rows(
        features,
        beats.signals_mv,
        beats.rr if features.uses_rr else None,
        beats.template_of_each() if features.uses_template else None,
        beats.record_values if needs_record(features) else None,
    )


def _rows_of_records(record_ids: np.ndarray) -> Mapping[str, np.ndarray]:
    records, inverse = np.unique(record_ids, return_inverse=True)
    return {str(record): np.flatnonzero(inverse == i) for i, record in enumerate(records)}


def _record_beats(beats: BeatSet, record: str, rows: np.ndarray) -> RecordBeats:
    rr, samples = beats.rr[rows], beats.r_samples[rows]
    annotated = beats.annotated.get(record)
    everyone = samples if annotated is None else annotated[0]
    places = np.searchsorted(everyone, samples)
    hz = beats.fs_hz if annotated is None else _annotated_hz(everyone, places, rr)
    return RecordBeats(
        seconds=everyone / hz,
        rows=places,
        signals_mv=beats.signals_mv[rows],
        rr=rr,
        template_mv=beats.templates_mv[record],
    )


def _annotated_hz(samples: np.ndarray, places: np.ndarray, rr: np.ndarray) -> float:
    """Return the frequency of annotated samples: samples between two beats per second between them.

    Beats hold it only in this form; `rr` is in seconds, and `samples` are of the published record.
    """
    later = places > 0
    if later.any():
        intervals = samples[places[later]] - samples[places[later] - 1]
        seconds = rr[later, _PREVIOUS]
    else:  # the only row is the first beat, whose previous interval is its next one
        intervals, seconds = np.diff(samples[:2]), rr[:1, _PREVIOUS]
    return round(float(np.median(intervals / seconds.astype(np.float64))), _DECIMALS)
