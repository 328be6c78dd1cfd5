"""A trained model that classifies raw windows: architecture, weights and preprocessing."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ecgexp.data.beats import RR_FEATURES
from ecgexp.features.inputs import Features, feature_shapes
from ecgexp.features.record_beats import needs_record, num_record_values, transform_rows
from ecgexp.models.base import ModelBuilder
from ecgexp.models.computed import Computed, computed
from ecgexp.models.preprocessing import ModelPreprocessing


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A trained model together with what turns a record into its inputs.

    Attributes:
      builder: the architecture.
      preprocessing: records -> windows in millivolts -> the model's inputs.
      weights: in Keras' order; of a classical model, in that of `EstimatorBuilder.weight_names`.
      class_names: in the order of the columns of the probabilities.
      database: what it was trained on; says so when that was synthetic.
      classes_without_training_beats: what it cannot have learned; None where that is withheld, as
        under a privacy guarantee.
    """

    builder: ModelBuilder
    preprocessing: ModelPreprocessing
    weights: list[np.ndarray]
    class_names: tuple[str, ...]
    database: str
    classes_without_training_beats: tuple[str, ...] | None = None

    @property
    def features(self) -> Features:
        """What turns windows in millivolts into the model's inputs."""
        return self.preprocessing.features

    @property
    def window(self) -> int:
        """Samples in a window."""
        return sum(self.preprocessing.records.window_samples)

    @property
    def fs_hz(self) -> float:
        """Sampling frequency of a window."""
        return self.preprocessing.records.fs_hz

    @property
    def leads(self) -> int:
        """Leads in a window."""
        return len(self.preprocessing.lead_names)

    @property
    def uses_rr(self) -> bool:
        """Whether `predict_probabilities` needs the RR features."""
        return self.features.uses_rr

    @property
    def uses_template(self) -> bool:
        """Whether it needs the template of the record."""
        return self.features.uses_template

    @property
    def uses_record(self) -> bool:
        """Whether it needs values that are computed from all beats of the record."""
        return needs_record(self.features)

    def predict_probabilities(
        self,
        signals_mv: np.ndarray,
        rr: np.ndarray | None = None,
        templates_mv: np.ndarray | None = None,
        record_values: np.ndarray | None = None,
        *,
        batch_size: int = 1024,
    ) -> np.ndarray:
        """Class probabilities of raw windows.

        Args:
          signals_mv: (num_beats, window, leads) millivolts, baseline removed.
          rr: (num_beats, 20), the columns of `ecgexp.data.beats.RR_FEATURES`; only where `uses_rr`.
          templates_mv: (num_beats, window, leads) millivolts, the template of each one's record
            (`ecgexp.data.preprocessing.windows.template`); only where `uses_template`.
          record_values: (num_beats, num_values), what the features compute from all beats of a
            record (`RecordFeatures.of_record`); only where `uses_record`.
          batch_size: windows per call.

        Returns:
          (num_beats, num_classes) float64, rows summing to 1.

        Raises:
          ValueError: windows of another shape than the model was trained on.
        """
        signals_mv = np.asarray(signals_mv, np.float32)
        if signals_mv.shape[1:] != (self.window, self.leads):
            raise ValueError(
                f"windows must be (n, {self.window}, {self.leads}) at {self.fs_hz:g} Hz; "
                f"these are {signals_mv.shape}"
            )
        parts = []
        for at in range(0, len(signals_mv), batch_size):
            rows = slice(at, at + batch_size)
            features = transform_rows(
                self.features,
                signals_mv[rows],
                _rows(rr, rows),
                _rows(templates_mv, rows),
                _rows(record_values, rows),
            )
            parts.append(self._computed(features))
        return np.concatenate(parts) if parts else np.zeros((0, len(self.class_names)))

    def build(self) -> None:
        """Build the network now, which imports TensorFlow, and not with the first prediction."""
        _ = self._computed

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that determines the probabilities of a record."""
        found = hashlib.sha256()
        for part in (self.builder, self.preprocessing, self.class_names):
            found.update(repr(part).encode())
        for array in self.weights:
            found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()

    @property
    def weight_names(self) -> list[str]:
        """Name of each of the weights, for a network layer and name, e.g. `conv0/kernel`."""
        return self._computed.weight_names

    @cached_property
    def _computed(self) -> Computed:
        window = np.zeros((1, self.window, self.leads), np.float32)
        values = np.zeros((1, num_record_values(self.features)), np.float32)
        features = transform_rows(
            self.features, window, np.ones((1, len(RR_FEATURES)), np.float32), window, values
        )
        shapes = feature_shapes(features)
        return computed(self.builder, self.weights, shapes, len(self.class_names))


def _rows(array: np.ndarray | None, rows: slice) -> np.ndarray | None:
    return None if array is None else np.asarray(array, np.float32)[rows]
