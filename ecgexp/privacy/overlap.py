"""How the windows of training rows overlap: what a plan needs to know to say whether one row is one heartbeat."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """How the windows of some rows overlap.

    Attributes:
      rows: how many rows were looked at.
      rows_with_other_peak: of them, rows inside whose window lies the R peak of another annotated beat.
      rows_per_peak: the largest number of rows inside whose window one R peak lies; 1 where every row holds its own alone.
      rows_sharing: rows that share a sample with another of the rows.
      rows_per_beat: the largest number of rows that share a sample with the window of one annotated beat, its own row included.
      nearest_ms: the least distance of a row's R peak from that of another annotated beat; infinite where there is none.
      where: record and annotated sample of a row that holds another R peak, or else shares samples; empty where none does.
    """

    rows: int
    rows_with_other_peak: int = 0
    rows_per_peak: int = 1
    rows_sharing: int = 0
    rows_per_beat: int = 1
    nearest_ms: float = float("inf")
    where: str = ""
