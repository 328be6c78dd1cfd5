"""Whether a probability of 0.9 is right nine times in ten."""

from dataclasses import dataclass

import numpy as np

NUM_BINS = 15


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Beats binned by the probability of the predicted class (Guo et al. 2017, section 2).

    Attributes:
      edges: (bins + 1,) the bins' limits, of equal width from 0 to 1; a bin holds its upper edge.
      counts: (bins,) int, beats in each bin.
      confidence: (bins,) mean probability of the predicted class; NaN in an empty bin.
      accuracy: (bins,) fraction predicted rightly; NaN in an empty bin.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def expected_calibration_error(self) -> float:
        """Mean distance of accuracy and confidence over the bins, weighted by their beats."""
        filled = self.counts > 0
        gaps = np.abs(self.accuracy[filled] - self.confidence[filled])
        return float(np.average(gaps, weights=self.counts[filled]))


def reliability(
    labels: np.ndarray, probabilities: np.ndarray, *, num_bins: int = NUM_BINS
) -> Reliability:
    """Bins beats by the probability of the predicted class.

    Args:
      labels: (n,) int.
      probabilities: (n, classes).
      num_bins: bins of equal width on [0, 1].
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, num_bins + 1)
    bins = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, num_bins - 1)
    counts = np.bincount(bins, minlength=num_bins)
    filled = np.where(counts > 0, counts, np.nan)
    return Reliability(
        edges=edges,
        counts=counts,
        confidence=np.bincount(bins, weights=confidence, minlength=num_bins) / filled,
        accuracy=np.bincount(bins, weights=right, minlength=num_bins) / filled,
    )
