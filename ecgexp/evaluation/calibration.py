"""Calibration: reliability diagram and expected calibration error."""

from dataclasses import dataclass

import numpy as np

NUM_BINS = 15


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Beats binned by the probability of the predicted class (Guo et al. 2017, section 2).

    Attributes:
      edges: (bins + 1,) float64, limits of bins of equal width from 0 to 1; a bin includes its
        upper limit.
      counts: (bins,) int64, beats in each bin.
      confidence: (bins,) float64, mean probability of the predicted class; NaN in an empty bin.
      accuracy: (bins,) float64, share of correct predictions; NaN in an empty bin.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def expected_calibration_error(self) -> float:
        """Mean of |accuracy - confidence| over the bins, weighted by their beats."""
        filled = self.counts > 0
        gaps = np.abs(self.accuracy[filled] - self.confidence[filled])
        return float(np.average(gaps, weights=self.counts[filled]))


def reliability(
    labels: np.ndarray, probabilities: np.ndarray, *, num_bins: int = NUM_BINS
) -> Reliability:
    """Bin beats by the probability of the predicted class.

    Args:
      labels: (num_beats,) int, class index.
      probabilities: (num_beats, num_classes) float.
      num_bins: Number of bins of equal width on [0, 1].

    Returns:
      The bins.

    Example:
      >>> probabilities = np.array([[0.75, 0.25]] * 4)
      >>> reliability(np.array([0, 0, 0, 1]), probabilities).expected_calibration_error
      0.0
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, num_bins + 1)
    bins = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, num_bins - 1)
    counts = np.bincount(bins, minlength=num_bins)
    filled = np.where(counts > 0, counts, np.nan)
    return Reliability(
        edges=edges,
        counts=counts,
        confidence=np.bincount(bins, weights=confidence, minlength=num_bins) / filled,
        accuracy=np.bincount(bins, weights=correct, minlength=num_bins) / filled,
    )
