"""Beat-by-beat comparison of detected and reference beats within EC57's match window.

WFDB's `bxb`, which implements ANSI/AAMI EC57, matches in time order and by default begins after
five minutes. Here the closest pairs of the whole record are matched first, so results can differ.
"""

from dataclasses import dataclass

import numpy as np

TOLERANCE_MS = 150.0
"""Maximum distance between a detected beat and its reference beat (ANSI/AAMI EC57)."""


@dataclass(frozen=True, kw_only=True)
class Detection:
    """Result of matching detected beats to reference beats.

    Attributes:
      partners: (num_reference,) int64, index of the detected beat matched to each reference beat;
        -1 for a missed beat.
      num_detected: Number of detected beats, true and false.
    """

    partners: np.ndarray
    num_detected: int

    @property
    def num_matched(self) -> int:
        """Number of reference beats that were detected."""
        return int(np.sum(self.partners >= 0))

    @property
    def sensitivity(self) -> float:
        """Share of the reference beats that were detected; NaN without reference beats."""
        return self.num_matched / len(self.partners) if len(self.partners) else np.nan

    @property
    def positive_predictivity(self) -> float:
        """Share of the detected beats that match a reference beat; NaN without detected beats."""
        return self.num_matched / self.num_detected if self.num_detected else np.nan


def match_beats(reference: np.ndarray, detected: np.ndarray, fs_hz: float) -> Detection:
    """Match beats that are at most `TOLERANCE_MS` apart, the closest pairs first.

    Every beat is in one pair at most.

    Args:
      reference: (num_reference,) int64 samples, increasing.
      detected: (num_detected,) int64 samples, increasing.
      fs_hz: Sampling frequency of both.

    Returns:
      The matches.
    """
    # The small addition includes a distance of exactly 150 ms despite rounding.
    tolerance = TOLERANCE_MS * fs_hz / 1000 + 1e-6
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
