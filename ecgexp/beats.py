"""Beats: the one array every part of a run works on. All else holds indices into it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

RR_FEATURES = ("rr_previous_s", "rr_next_s", "rr_local_mean_s", "rr_ratio")


@dataclass(frozen=True, kw_only=True)
class BeatSet:
    """Annotated heartbeats of one database, in the order of its records and of time.

    A beat's identity is (record_id, r_sample); copies made by augmentation are rows of the same index and so share it.

    Attributes:
      signals_mv: (num_beats, window, leads) float32, millivolts, baseline removed.
      rr: (num_beats, 4) float32, the columns of `RR_FEATURES`: seconds to the previous and to the next beat, mean of the last ten
        intervals, and the previous interval divided by the record's mean. They cross beats: a beat-level privacy claim
        must not use them.
      symbols: (num_beats,) str, the annotation symbol of the database, e.g. `"N"`, `"/"`.
      record_ids: (num_beats,) str, the record (a file).
      patient_ids: (num_beats,) str, the patient (a person); several records may share one.
      r_samples: (num_beats,) int64, the annotated sample in the record as it was published, before resampling.
      fs_hz: sampling frequency of `signals_mv`.
      lead_names: one name for each column of `signals_mv`.
      database: name and version, e.g. `"mitdb 1.0.0"`; `"synthetic …"` marks beats that no heart made.
      digest: hexadecimal digest of what the beats were made from and how; the cache key.
      labels: (num_beats,) int64 class index, or empty before a grouping was applied.
      class_names: the classes, in the order of the labels; empty before a grouping was applied.
      dropped: beats left out on the way, as reason -> count.
    """

    signals_mv: np.ndarray
    rr: np.ndarray
    symbols: np.ndarray
    record_ids: np.ndarray
    patient_ids: np.ndarray
    r_samples: np.ndarray
    fs_hz: float
    lead_names: tuple[str, ...]
    database: str
    digest: str
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    class_names: tuple[str, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self):
        rows = len(self.signals_mv)
        for name in ("rr", "symbols", "record_ids", "patient_ids", "r_samples"):
            if len(getattr(self, name)) != rows:
                raise ValueError(f"{name} has {len(getattr(self, name))} rows for {rows} beats")
        if self.class_names and len(self.labels) != rows:
            raise ValueError(f"labels has {len(self.labels)} rows for {rows} beats")

    def __len__(self) -> int:
        return len(self.signals_mv)

    def take(self, indices: np.ndarray) -> "BeatSet":
        """The beats at `indices` (or under a boolean mask), in that order."""
        columns = ("signals_mv", "rr", "symbols", "record_ids", "patient_ids", "r_samples")
        labels = self.labels[indices] if self.class_names else self.labels
        return replace(self, labels=labels, **{name: getattr(self, name)[indices] for name in columns})

    def class_counts(self, indices: np.ndarray) -> dict[str, int]:
        """Beats of each class among `indices`, in class order, zeros included."""
        counts = np.bincount(self.labels[indices], minlength=len(self.class_names))
        return dict(zip(self.class_names, counts.tolist(), strict=True))
