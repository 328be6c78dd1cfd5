"""Beats: the arrays that all parts of a run share; splits and partitions hold indices into them."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

if TYPE_CHECKING:
    from ecgexp.data.formats.demographics import Demographics

RR_FEATURES = (
    "rr_previous_s",
    "rr_next_s",
    "rr_local_mean_s",
    "rr_ratio",
    *(f"rr_before_{place}_s" for place in (5, 4, 3, 2, 1)),
    *(f"rr_after_{place}_s" for place in (1, 2, 3, 4, 5)),
    *(f"rr_around_q{percent}_s" for percent in (10, 25, 50, 75, 90)),
    "rr_unsteadiness",
)
COLUMNS = ("signals_mv", "rr", "symbols", "record_ids", "patient_ids", "r_samples")
"""The arrays of a `BeatSet` that have a row for every beat, labeled or not."""

TRAINED, TESTED = "train", "test"
"""The two entries of `BeatSet.parts`."""

NO_INTERVAL = "no RR interval, the only beat of its record"
"""The reason for which a beat is dropped if RR features are needed."""

PatientsAre: TypeAlias = Literal["stated", "assumed", "unknown"]
"""How the patients of beats are known; see `BeatSet.patients_are`."""

_PATIENTS_NOTES: Mapping[str, str] = {
    "stated": "",
    "assumed": "a record is taken for a patient",
    "unknown": "patients unknown, beat level only",
}
_ARROW = " -> "


def arrow(first: str, second: str) -> str:
    """Return `"train -> test"`, e.g. `"MLII -> ECG1"`, or one name if both are equal."""
    return first if first == second else f"{first}{_ARROW}{second}"


def patients_note(known: str) -> str:
    """Return what every score says about the patients; empty if they are stated.

    Args:
      known: As in `BeatSet.patients_are`.
    """
    return _PATIENTS_NOTES.get(known, "")


def least_known(ways: Iterable[PatientsAre]) -> PatientsAre:
    """Return how the patients of joined beats are known: as those that are known least.

    Example:
      >>> least_known(["stated", "assumed"])
      'assumed'
    """
    return max(ways, key=get_args(PatientsAre).index)


def in_order_of_rows(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different ids in the order of their first rows, which no renaming changes.

    Args:
      ids: (num_beats,) str, of records or patients.

    Returns:
      different: (num_ids,) str.
      places: (num_beats,) int64, place of the id of each beat in `different`.

    Example:
      >>> different, places = in_order_of_rows(np.array(["b", "a", "b"]))
      >>> different.tolist(), places.tolist()
      (['b', 'a'], [0, 1, 0])
    """
    names, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return names[order], np.argsort(order)[inverse]


def databases(text: str) -> tuple[str, ...]:
    """Return the databases in `BeatSet.database`: one, or the training and the test database."""
    return tuple(text.split(_ARROW))


@dataclass(frozen=True, kw_only=True)
class BeatSet:
    """Annotated heartbeats of one database, ordered by record and time.

    A cross-database dataset holds the beats of its training database, then those of its test
    database. A beat is identified by (record_id, r_sample), which its augmented copies share.

    Attributes:
      signals_mv: (num_beats, window, leads) float32, millivolts at `fs_hz`, after
        `dataset.baseline`; with `none`, the baseline is not removed.
      rr: (num_beats, 20) float32, the columns of `RR_FEATURES`, in seconds except the ratios: the
        intervals to the previous and to the next beat, the mean of the last ten intervals, the
        previous interval divided by the mean of the record; the five intervals before and the five
        after the beat; quantiles of the forty intervals around it; `rr_unsteadiness`, the RR
        irregularity: over the 240 intervals around the beat (about three minutes), the lower
        quartile of the absolute changes from each interval to the first, second or third one after
        it, the smallest of the three, divided by the median interval. They depend on several beats:
        a run with an example-level privacy guarantee must not use them.
      symbols: (num_beats,) str, the annotation symbol of the database, e.g. `"N"`, `"/"`.
      record_ids: (num_beats,) str, the record (a file): `"100"`; for two databases `"mitdb/100"`,
        `"svdb/800"`.
      patient_ids: (num_beats,) str, the patient (a person); several records may share one. For two
        databases with the name of the database, as in `record_ids`.
      r_samples: (num_beats,) int64, the annotated sample in the published record, before
        resampling; with several samples per frame, the frame.
      fs_hz: Sampling frequency of `signals_mv`, in Hz.
      lead_names: One name for each column of `signals_mv`; `"MLII -> ECG1"` if two databases use
        different names.
      database: Name and version, e.g. `"mitdb 1.0.0"`, or `"mitdb 1.0.0 -> svdb 1.0.0"`;
        `"synthetic …"` marks generated beats.
      digest: Hexadecimal digest of the source files and of the preprocessing. A run replaces it by
        a keyed digest (`privacy.keyed_digests`) before it writes anything.
      templates_mv: record -> (window, leads) float32, millivolts: the template of the record, the
        median of all its beats of any symbol. It depends on several beats too.
      annotated: record -> (2, num_annotated) int64, ascending: every annotated beat of the record,
        with a row or without: its annotated sample, as in `r_samples`, and the sample of its R peak
        at `fs_hz`, around which its window is cut. If a record has no entry, its rows are all of
        its beats, and their `r_samples` are at `fs_hz`.
      record_values: (num_beats, num_values) float32, what the features of a run compute from all
        beats of a record (`ecgexp.features.record_beats`); empty where they compute nothing.
      labels: (num_beats,) int64, class index; empty before a grouping is applied.
      class_names: The classes, in the order of the labels; empty before a grouping is applied.
      dropped: reason -> number of dropped beats.
      recordings: record -> hexadecimal digest of its signal files, which is the same for a record
        under any name and any preprocessing; a record without files has no entry. Of training
        records it is private data and is written nowhere.
      demographics: record -> sex and decade of age of its patient; empty without
        `dataset.demographics=true`.
      skipped: record -> why it cannot be read, for records that are left out because of
        `dataset.on_error=skip`.
      parts: (num_beats,) str, `"train"` for beats of the training database, `"test"` for those of
        the test database; empty for beats of one database.
      patients_are: How the patients are known. `stated`: the database or its files state the
        patient of each record; `assumed`: nothing states it, and each record is taken for a
        patient; `unknown`: nothing is known about patients, `patient_ids` only repeats
        `record_ids`, and nothing may be divided, counted or protected by patient.
      cut_elsewhere: Whether the beats are rows of a file that somebody else cut. `r_samples` are
        then numbers of rows, and whether two rows share samples is unknown.
      quality: (num_beats,) int8, why a beat is in a segment without a usable ECG, a place in
        `ecgexp.data.quality.marks.MARKS`; 0 for the others. Empty if that is not known.
      units: Units of `signals_mv`: `mV`, or `unknown` for rows of a file.
      notes: What a reader of the scores must know of the data; it follows from the settings and
        from public properties of the files, and not from single training beats.

    Raises:
      ValueError: The arrays have different numbers of rows, or `patients_are` is another word.
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
    record_values: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    class_names: tuple[str, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)
    recordings: Mapping[str, str] = field(default_factory=dict)
    demographics: "Mapping[str, Demographics]" = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    parts: np.ndarray = field(default_factory=lambda: np.zeros(0, "<U5"))
    patients_are: PatientsAre = "stated"
    cut_elsewhere: bool = False
    quality: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int8))
    units: str = "mV"
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        if self.patients_are not in get_args(PatientsAre):
            raise ValueError(f"patients_are is {self.patients_are!r}, none of {PatientsAre}")
        rows = len(self.signals_mv)
        for name in COLUMNS:
            if len(getattr(self, name)) != rows:
                raise ValueError(f"{name} has {len(getattr(self, name))} rows for {rows} beats")
        if self.class_names and len(self.labels) != rows:
            raise ValueError(f"labels has {len(self.labels)} rows for {rows} beats")
        if len(self.quality) not in (0, rows):
            raise ValueError(f"quality has {len(self.quality)} rows for {rows} beats")
        if len(self.parts) != (rows if self.is_of_two else 0):
            raise ValueError(
                f"parts has {len(self.parts)} rows for {rows} beats of {self.database}"
            )

    def __len__(self) -> int:
        return len(self.signals_mv)

    @property
    def knows_patients(self) -> bool:
        """Whether beats can be divided, counted and protected by patient."""
        return self.patients_are != "unknown"

    @property
    def patients_note(self) -> str:
        """What every score must say about the patients, in a few words; empty if stated."""
        return patients_note(self.patients_are)

    def source(self, split: str) -> str:
        """Return the source of a figure or a table: the database, the split, and a caveat."""
        return ", ".join(filter(None, (self.database, split, self.patients_note)))

    @property
    def is_marked(self) -> np.ndarray:
        """(num_beats,) bool: True for beats in segments without a usable ECG."""
        return self.quality != 0 if len(self.quality) else np.zeros(len(self), bool)

    @property
    def is_of_two(self) -> bool:
        """Whether the beats come from a training database and a different test database."""
        return len(databases(self.database)) > 1

    def take(self, indices: np.ndarray) -> "BeatSet":
        """Return the beats at `indices` (or selected by a boolean mask), in that order."""
        labels = self.labels[indices] if self.class_names else self.labels
        parts = self.parts[indices] if self.is_of_two else self.parts
        has_values = len(self.record_values) > 0
        quality = self.quality[indices] if len(self.quality) else self.quality
        return replace(
            self,
            record_values=self.record_values[indices] if has_values else self.record_values,
            labels=labels,
            parts=parts,
            quality=quality,
            **{name: getattr(self, name)[indices] for name in COLUMNS},
        )

    def template_of_each(self) -> np.ndarray:
        """Return each beat's record template: (num_beats, window, leads) float32, millivolts."""
        records, inverse = np.unique(self.record_ids, return_inverse=True)
        return np.stack([self.templates_mv[str(record)] for record in records])[inverse]

    def class_counts(self, indices: np.ndarray) -> dict[str, int]:
        """Return the number of beats of each class among `indices`, in class order, with zeros."""
        counts = np.bincount(self.labels[indices], minlength=len(self.class_names))
        return dict(zip(self.class_names, counts.tolist(), strict=True))


def beats_sha256(beats: BeatSet) -> str:
    """Return the SHA-256 of the content of beats, in their order.

    Use it for test beats only; digests of private beats are keyed (`privacy.keyed_digests`). The
    digest of given beats is the same on every machine and does not depend on other beats of the
    database.

    Args:
      beats: The beats.

    Returns:
      The hexadecimal digest.
    """
    found = hashlib.sha256()
    for name in ("signals_mv", "symbols", "record_ids", "r_samples"):
        column = getattr(beats, name)
        # NumPy pads strings to the longest in the array, so their bytes depend on the other
        # strings.
        data = (
            "\0".join(column.tolist()).encode()
            if column.dtype.kind == "U"
            else np.ascontiguousarray(column).tobytes()
        )
        found.update(f"{name} {len(data)}\n".encode() + data)
    return found.hexdigest()
