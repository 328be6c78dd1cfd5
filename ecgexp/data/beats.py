"""Beats: the one array every part of a run works on. All else holds indices into it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

RR_FEATURES = (
    "rr_previous_s", "rr_next_s", "rr_local_mean_s", "rr_ratio",
    *(f"rr_before_{place}_s" for place in (5, 4, 3, 2, 1)), *(f"rr_after_{place}_s" for place in (1, 2, 3, 4, 5)),
    *(f"rr_around_q{percent}_s" for percent in (10, 25, 50, 75, 90)),
    "rr_unsteadiness",
)  # fmt: skip
COLUMNS = ("signals_mv", "rr", "symbols", "record_ids", "patient_ids", "r_samples")
"""The arrays of a `BeatSet` that have a row for every beat, whether it is labelled or not."""

TRAINED, TESTED = "train", "test"
"""The two entries of `BeatSet.parts`."""

NO_INTERVAL = "no RR interval, the only beat of its record"
"""Why a beat is left out where RR features are needed."""

_ARROW = " -> "


def arrow(first: str, second: str) -> str:
    """What is trained on, then what is tested, as it is written: `"MLII -> ECG1"`; one name if they are equal."""
    return first if first == second else f"{first}{_ARROW}{second}"


def databases(text: str) -> tuple[str, ...]:
    """The databases that `BeatSet.database` names: `("mitdb 1.0.0",)`, or the one trained on and the one tested."""
    return tuple(text.split(_ARROW))


@dataclass(frozen=True, kw_only=True)
class BeatSet:
    """Annotated heartbeats of one database (or of one to train on, then one to test), in the order of records and of time.

    A beat's identity is (record_id, r_sample); copies made by augmentation are rows of the same index and so share it.

    Attributes:
      signals_mv: (num_beats, window, leads) float32, millivolts, baseline removed.
      rr: (num_beats, 20) float32, the columns of `RR_FEATURES`: seconds to the previous and to the next beat, mean of the
        last ten intervals, the previous interval divided by the record's mean; the five intervals before and the five after
        the beat; quantiles of the forty intervals round it; how much intervals differ from those that follow them over some four
        minutes, in proportion. They cross beats: a beat-level privacy claim must not use them.
      symbols: (num_beats,) str, the annotation symbol of the database, e.g. `"N"`, `"/"`.
      record_ids: (num_beats,) str, the record (a file): `"100"`; of two databases `"mitdb/100"`, `"svdb/800"`.
      patient_ids: (num_beats,) str, the patient (a person); several records may share one. Of two databases with its name, too.
      r_samples: (num_beats,) int64, the annotated sample in the record as it was published, before resampling.
      fs_hz: sampling frequency of `signals_mv`.
      lead_names: one name for each column of `signals_mv`; `"MLII -> ECG1"` where two databases name it differently.
      database: name and version, e.g. `"mitdb 1.0.0"`, or `"mitdb 1.0.0 -> svdb 1.0.0"`; `"synthetic …"` marks beats that no
        heart made.
      digest: hexadecimal digest of what the beats were made from and how. A run replaces it by a keyed one (`privacy.keyed`)
        before it writes anything.
      templates_mv: record -> (window, leads) float32, millivolts: the record's usual beat, the median of all its beats of
        any symbol. It crosses beats as well.
      annotated: record -> (2, num_annotated) int64, ascending: every beat that is annotated in the record, whether it has a row
        or not: its annotated sample, as in `r_samples`, and where its R peak lies at `fs_hz`, which is the sample that a window
        is cut round. A record without an entry has no beats but its rows, at `fs_hz`.
      labels: (num_beats,) int64 class index, or empty before a grouping was applied.
      class_names: the classes, in the order of the labels; empty before a grouping was applied.
      dropped: beats left out on the way, as reason -> count.
      parts: (num_beats,) str, `"train"` where a beat's database is the one trained on, `"test"` where it is the one tested;
        empty for beats of one database.
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
    templates_mv: Mapping[str, np.ndarray] = field(default_factory=dict)
    annotated: Mapping[str, np.ndarray] = field(default_factory=dict)
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    class_names: tuple[str, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)
    parts: np.ndarray = field(default_factory=lambda: np.zeros(0, "<U5"))

    def __post_init__(self):
        rows = len(self.signals_mv)
        for name in COLUMNS:
            if len(getattr(self, name)) != rows:
                raise ValueError(f"{name} has {len(getattr(self, name))} rows for {rows} beats")
        if self.class_names and len(self.labels) != rows:
            raise ValueError(f"labels has {len(self.labels)} rows for {rows} beats")
        if len(self.parts) != (rows if self.is_of_two else 0):
            raise ValueError(
                f"parts has {len(self.parts)} rows for {rows} beats of {self.database}"
            )

    def __len__(self) -> int:
        return len(self.signals_mv)

    @property
    def is_of_two(self) -> bool:
        """Whether the beats are of one database to train on and another one to test."""
        return len(databases(self.database)) > 1

    def take(self, indices: np.ndarray) -> "BeatSet":
        """The beats at `indices` (or under a boolean mask), in that order."""
        labels = self.labels[indices] if self.class_names else self.labels
        parts = self.parts[indices] if self.is_of_two else self.parts
        return replace(
            self,
            labels=labels,
            parts=parts,
            **{name: getattr(self, name)[indices] for name in COLUMNS},
        )

    def template_of_each(self) -> np.ndarray:
        """(num_beats, window, leads) float32 millivolts: the usual beat of each one's record."""
        records, inverse = np.unique(self.record_ids, return_inverse=True)
        return np.stack([self.templates_mv[str(record)] for record in records])[inverse]

    def class_counts(self, indices: np.ndarray) -> dict[str, int]:
        """Beats of each class among `indices`, in class order, zeros included."""
        counts = np.bincount(self.labels[indices], minlength=len(self.class_names))
        return dict(zip(self.class_names, counts.tolist(), strict=True))


def beats_sha256(beats: BeatSet) -> str:
    """SHA-256 of beats themselves, in their order: for test beats, never for private ones (see `privacy.keyed`).

    It says the same of the same beats on every machine, whatever else their database holds.
    """
    found = hashlib.sha256()
    for name in ("signals_mv", "symbols", "record_ids", "r_samples"):
        column = getattr(beats, name)
        # NumPy pads texts to the longest one that is there, so that their bytes depend on their neighbors.
        data = (
            "\0".join(column.tolist()).encode()
            if column.dtype.kind == "U"
            else np.ascontiguousarray(column).tobytes()
        )
        found.update(f"{name} {len(data)}\n".encode() + data)
    return found.hexdigest()
