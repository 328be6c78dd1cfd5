"""How the windows of training rows overlap, which decides whether one row is one heartbeat."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """How the windows of some rows overlap.

    Attributes:
      rows: number of rows that were examined.
      rows_with_other_peak: rows whose window contains the R peak of another annotated beat.
      rows_per_peak: largest number of rows whose windows contain one R peak; 1 where every window
        contains its own peak only.
      rows_sharing: rows that share a sample with another of the rows.
      rows_per_beat: largest number of rows that share a sample with the window of one annotated
        beat, its own row included.
      nearest_ms: smallest distance between a row's R peak and that of another annotated beat,
        milliseconds; infinite where there is no other.
      where: record and annotated sample of a row that contains another R peak, or else shares
        samples; empty where there is none.
    """

    rows: int
    rows_with_other_peak: int = 0
    rows_per_peak: int = 1
    rows_sharing: int = 0
    rows_per_beat: int = 1
    nearest_ms: float = float("inf")
    where: str = ""
