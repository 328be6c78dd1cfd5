"""Gaps of a lead: where a record has no value."""

from collections.abc import Iterable

import numpy as np

NO_GAPS = np.zeros((0, 2), np.int64)


def find_gaps(is_missing: np.ndarray) -> np.ndarray:
    """Return the runs of missing values.

    Args:
      is_missing: (num_samples,) bool.

    Returns:
      (num_gaps, 2) int64, half-open intervals, ascending and disjoint.

    Example:
      >>> find_gaps(np.array([True, False, True, True])).tolist()
      [[0, 1], [2, 4]]
    """
    edges = np.diff(np.concatenate([[False], is_missing, [False]]).astype(np.int8))
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)], axis=1)


def bridge(lead_mv: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """Replace the values in gaps by the straight line between the values at either side.

    A gap at an end of the record gets the nearest value. Filters then give finite values
    everywhere; in and near a gap they are not what was recorded, so that beats there are
    dropped (`data.preprocessing.one_record`).

    Args:
      lead_mv: (num_samples,) float64; the values in gaps are ignored.
      gaps: (num_gaps, 2) int64, as returned by `find_gaps`; they do not cover the lead.

    Returns:
      (num_samples,) float64; `lead_mv` itself if there is no gap.

    Raises:
      ValueError: No value is outside the gaps.
    """
    if not len(gaps):
        return lead_mv
    is_known = ~is_in(gaps, len(lead_mv))
    known = np.flatnonzero(is_known)
    if not len(known):
        raise ValueError("the lead has no value outside its gaps")
    bridged = lead_mv.copy()
    bridged[~is_known] = np.interp(np.flatnonzero(~is_known), known, lead_mv[known])
    return bridged


def is_in(gaps: np.ndarray, num_samples: int) -> np.ndarray:
    """Return (num_samples,) bool: True for samples in a gap."""
    steps = np.zeros(num_samples + 1, np.int64)
    np.add.at(steps, gaps[:, 0], 1)
    np.add.at(steps, gaps[:, 1], -1)
    return np.cumsum(steps[:-1]) > 0


def union_of(gaps: Iterable[np.ndarray], num_samples: int) -> np.ndarray:
    """Return the gaps in which at least one of several leads has no value.

    Args:
      gaps: (num_gaps, 2) int64 of each lead.
      num_samples: Length of the leads.

    Returns:
      (num_gaps, 2) int64, ascending and disjoint.
    """
    present = [one for one in gaps if len(one)]
    return find_gaps(is_in(np.concatenate(present), num_samples)) if present else NO_GAPS


def touching(gaps: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return which of the half-open intervals `[begin, end)` share a sample with a gap.

    Args:
      gaps: (num_gaps, 2) int64, ascending and disjoint.
      begins: (num_intervals,) int64.
      ends: (num_intervals,) int64, above `begins`.

    Returns:
      (num_intervals,) bool.
    """
    # The gaps that begin before the interval ends, less those that end before it begins.
    return np.searchsorted(gaps[:, 0], ends) > np.searchsorted(gaps[:, 1], begins, side="right")


def at_lower_rate(gaps: np.ndarray, factor: int, num_samples: int) -> np.ndarray:
    """Return the gaps of a lead whose samples are averaged in groups.

    Args:
      gaps: (num_gaps, 2) int64.
      factor: Samples in a group; a group with a missing sample is in a gap.
      num_samples: Number of groups.

    Returns:
      (num_gaps, 2) int64, in groups, ascending and disjoint.
    """
    groups = np.stack([gaps[:, 0] // factor, -(-gaps[:, 1] // factor)], axis=1)
    return gaps if factor == 1 else union_of([groups], num_samples)
