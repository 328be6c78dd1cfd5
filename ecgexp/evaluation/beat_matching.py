"""How well a detector found the beats, as ANSI/AAMI EC57 counts it."""

from dataclasses import dataclass

import numpy as np

TOLERANCE_MS = 150.0
"""EC57, 4.3: a detected beat and a reference beat are one if they are no further apart."""


@dataclass(frozen=True, kw_only=True)
class Detection:
    """Reference beats against detected ones.

    Attributes:
      partners: (num_reference,) int64, which detected beat is each reference beat's; -1 for a missed one.
      num_detected: detected beats, right or wrong.
    """

    partners: np.ndarray
    num_detected: int

    @property
    def num_matched(self) -> int:
        """Reference beats that were found."""
        return int(np.sum(self.partners >= 0))

    @property
    def sensitivity(self) -> float:
        """Share of the reference beats that were found; NaN without one."""
        return self.num_matched / len(self.partners) if len(self.partners) else np.nan

    @property
    def positive_predictivity(self) -> float:
        """Share of the detected beats that are one of the reference's; NaN without one."""
        return self.num_matched / self.num_detected if self.num_detected else np.nan


def match_beats(reference: np.ndarray, detected: np.ndarray, fs_hz: float) -> Detection:
    """Pairs beats that are at most `TOLERANCE_MS` apart, the nearest first; no beat stands in two pairs.

    Args:
      reference: (num_reference,) samples, rising.
      detected: (num_detected,) samples, rising.
      fs_hz: sampling frequency of both.
    """
    tolerance = (
        TOLERANCE_MS * fs_hz / 1000 + 1e-6
    )  # 150 ms may fall on a sample, whatever its last bit
    first = np.searchsorted(detected, reference - tolerance)
    counts = np.searchsorted(detected, reference + tolerance, side="right") - first
    rows = np.repeat(np.arange(len(reference)), counts)
    columns = (
        np.arange(len(rows))
        - np.repeat(np.cumsum(counts) - counts, counts)
        + np.repeat(first, counts)
    )
    partners = np.full(len(reference), -1, np.int64)
    taken = np.zeros(len(detected), bool)
    for at in np.argsort(np.abs(reference[rows] - detected[columns]), kind="stable"):
        if partners[rows[at]] < 0 and not taken[columns[at]]:
            partners[rows[at]], taken[columns[at]] = columns[at], True
    return Detection(partners=partners, num_detected=len(detected))
