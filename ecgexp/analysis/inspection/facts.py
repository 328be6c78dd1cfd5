"""What is known about the records of a dataset after each was read once."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ecgexp.data.beats import BeatSet

SHORTEST_RR_S, LONGEST_RR_S = 0.2, 3.0
"""Intervals outside are outliers: two annotations of one beat, or beats that nobody annotated."""

MOST_BEATS = 20
"""Beats of a class that are kept of a record, so that a long record does not decide the median."""

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True, kw_only=True)
class RecordFacts:
    """One record.

    Attributes:
      record_id: Its name; of two databases with the name of its own, as in `BeatSet.record_ids`.
      patient_id: Its patient. It is never shown, since it may come from a header.
      reason: Why nothing of it can be used, in one line with the remedy; empty if it can.
      hz: Samples per second of its signals.
      seconds: Its length.
      leads: Names of the leads that can be used.
      unusable: Lead -> why it cannot.
      used: Names of the leads that these settings use; empty if it has not all of them.
      missing: Leads of the settings that it lacks, joined; empty if it has all of them.
      gap_s: Lead -> seconds without a value, of leads that have such gaps.
      symbols: Symbol -> number of annotated beats.
      others: Symbol -> number of other annotations, such as changes of the rhythm.
      dropped: Reason -> number of beats that these settings leave out.
      notes: What the reader accepted although it is unusual -> how often.
      height_mv: Median height of its beats, peak to peak, for each used lead; NaN without a beat.
      quality_s: Reason -> seconds of segments in which a used lead shows no usable ECG; see
        `ecgexp.data.quality.segments`. None if they were not looked for.
      marked: Its annotated beats in such segments.
      rr_s: (num_intervals,) float32, the intervals between its annotated beats.
      rr_samples: (num_intervals,) int64, the beat that ends each interval, as in `r_samples`.
    """

    record_id: str
    patient_id: str = ""
    reason: str = ""
    hz: float = 0.0
    seconds: float = 0.0
    leads: tuple[str, ...] = ()
    unusable: Mapping[str, str] = field(default_factory=dict)
    used: tuple[str, ...] = ()
    missing: str = ""
    gap_s: Mapping[str, float] = field(default_factory=dict)
    symbols: Mapping[str, int] = field(default_factory=dict)
    others: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)
    height_mv: tuple[float, ...] = ()
    quality_s: Mapping[str, float] | None = None
    marked: int = 0
    rr_s: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    rr_samples: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def num_beats(self) -> int:
        """Annotated beats."""
        return sum(self.symbols.values())

    @property
    def usable_share(self) -> float:
        """Share of its duration in which every used lead shows a usable ECG; NaN if unknown."""
        if self.quality_s is None or not self.seconds:
            return float("nan")
        return 1 - sum(self.quality_s.values()) / self.seconds

    @property
    def unusable_share(self) -> float:
        """Share without a usable ECG, of which gaps are subtracted; NaN if unknown."""
        gap_s = max((self.gap_s.get(lead, 0.0) for lead in self.used), default=0.0)
        return 1 - self.usable_share - (gap_s / self.seconds if self.seconds else 0.0)

    @property
    def is_outlier(self) -> np.ndarray:
        """(num_intervals,) bool: True for RR intervals that are too short or too long."""
        return (self.rr_s < SHORTEST_RR_S) | (self.rr_s > LONGEST_RR_S)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Windows of a few beats of each record and class.

    Attributes:
      rows: (num_kept,) int64, their rows in the beats.
      windows_mv: (num_kept, window, leads) float32, millivolts.
    """

    rows: np.ndarray
    windows_mv: np.ndarray


@dataclass(frozen=True, kw_only=True)
class ReadRecords:
    """All records of a dataset, read once.

    Attributes:
      records: In the order of the dataset.
      beats: Beats with a window, of any symbol and without labels; their signals have no samples.
      kept: Windows of some of them.
      window_ms: Milliseconds before and after the R peak.
      repeated: Why a record is a copy of another one; empty if none is.
      seconds: How long reading took.
    """

    records: Sequence[RecordFacts]
    beats: BeatSet
    kept: Kept
    window_ms: tuple[float, float]
    repeated: Sequence[str] = ()
    seconds: float = 0.0

    @property
    def usable(self) -> list[RecordFacts]:
        """Records that can be read."""
        return [record for record in self.records if not record.reason]

    @property
    def quality_s(self) -> dict[str, float]:
        """Reason -> seconds of all records without a usable ECG, the longest first."""
        total: dict[str, float] = {}
        for record in self.records:
            for reason, seconds in (record.quality_s or {}).items():
                total[reason] = total.get(reason, 0.0) + seconds
        return dict(sorted(total.items(), key=lambda one: -one[1]))

    @property
    def symbols(self) -> dict[str, int]:
        """Symbol -> number of annotated beats, the most frequent first."""
        return _summed(record.symbols for record in self.records)

    @property
    def others(self) -> dict[str, int]:
        """Symbol -> number of other annotations, the most frequent first."""
        return _summed(record.others for record in self.records)

    @property
    def dropped(self) -> dict[str, int]:
        """Reason -> number of beats that are left out."""
        return _summed([*(record.dropped for record in self.records), self.beats.dropped])


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that is wrong, or worth knowing.

    Attributes:
      level: `error`: something cannot be used, or a run with these settings would be refused;
        `warning`: the settings leave something out, or a value is implausible; `note`: how
        something is read.
      text: What, in one line with the remedy.
    """

    level: Level
    text: str


@dataclass(frozen=True, kw_only=True)
class PartSize:
    """One part of a split.

    Attributes:
      beats: Its beats.
      patients: Its patients; None if they are unknown.
      classes: Class -> number of its beats, with zeros.
    """

    beats: int
    patients: int | None
    classes: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class PossibleSplit:
    """Whether a split is possible.

    Attributes:
      option: How a user selects it, e.g. `split=inter_patient`.
      is_chosen: Whether the settings choose it.
      reason: Why it is not possible, with the remedy; empty if it is.
      parts: `train`, `validation` and `test` -> size; empty if it is not possible.
      notes: Remarks, such as classes without a beat in a part.
    """

    option: str
    is_chosen: bool = False
    reason: str = ""
    parts: Mapping[str, PartSize] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class TypicalBeats:
    """How beats of each class look.

    Attributes:
      times_ms: (window,) float64, milliseconds from the R peak.
      units: Units of the values, `mV` or `units of the file`.
      leads: Names of the leads.
      median_mv: class -> (window, leads) float32, in `units`.
      low_mv: class -> (window, leads) float32: a tenth of the beats is lower.
      high_mv: class -> (window, leads) float32: a tenth of the beats is higher.
      numbers: class -> (beats, records) that they were computed from.
      beats_of: Which beats they are, as a caption says it.
    """

    times_ms: np.ndarray
    units: str
    leads: tuple[str, ...]
    median_mv: Mapping[str, np.ndarray]
    low_mv: Mapping[str, np.ndarray]
    high_mv: Mapping[str, np.ndarray]
    numbers: Mapping[str, tuple[int, int]]
    beats_of: str


@dataclass(frozen=True, kw_only=True)
class ClassFacts:
    """One class of the grouping.

    Attributes:
      name: Its name.
      symbols: The symbols of the grouping that occur.
      beats: Its beats with a window.
      of_patients: (num_patients,) int64, beats of each patient that has some, ascending.
    """

    name: str
    symbols: tuple[str, ...]
    beats: int
    of_patients: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """All that the page shows.

    Attributes:
      title: Name of the dataset.
      grouping: Name of the grouping.
      read: The records.
      labeled: Beats of a class, with labels; their signals have no samples.
      classes: The classes of the grouping, also those without a beat.
      ungrouped: Symbol of a beat in no class -> number.
      splits: The one of the settings first.
      shown: (num_records,) names of the records whose RR intervals are shown.
      beats_of: Which beats the typical beats and the RR outliers are of.
      typical: How beats of each class look; None if there is no beat.
      findings: Errors first.
      command: The settings, as arguments of a command.
    """

    title: str
    grouping: str
    read: ReadRecords
    labeled: BeatSet
    classes: Sequence[ClassFacts]
    ungrouped: Mapping[str, int]
    splits: Sequence[PossibleSplit]
    shown: frozenset[str]
    beats_of: str
    typical: TypicalBeats | None
    findings: Sequence[Finding] = ()
    command: str = ""

    @property
    def is_usable(self) -> bool:
        """Whether everything can be used as the settings say."""
        return not any(finding.level == "error" for finding in self.findings)


def _summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(total.most_common())
