"""Beats of a record laid over each other at the QRS complex, and grouped by its shape."""

from dataclasses import dataclass

import numpy as np

_SEARCH_MS = 44.0  # by which a beat is moved on either side: annotations sit some samples off
_FIT_MS = (-89.0, 111.0)  # around R, compared by the alignment
_QRS_MS = (-89.0, 122.0)  # around R, compared by the groups
_PENALTY_PER_MS = 0.004 * 180 / 1000  # of the correlation: of similar places, the nearest
_PEAK_MS = (-83.0, 100.0)
_LEAST_PEAK_MV = 0.1
_ALIKE = 0.80  # correlation within a group
_MOST_GROUPS = 12
_SAMPLED = 300  # beats compared with all others, to find the center of a group
_FEW = 1500


@dataclass(frozen=True, kw_only=True)
class AlignedBeats:
    """Beats of one record, aligned at the QRS complex.

    Attributes:
      beats: (num_beats, window, leads) float64, relative to the record's median peak of each lead.
      r: the column of the R peak.
      fs_hz: sampling frequency.
      groups: (num_beats,) int64, the group of each beat by the shape of its QRS complex.
      likeness: (num_beats,) float64, correlation with the median beat of the record.
    """

    beats: np.ndarray
    r: int
    fs_hz: float
    groups: np.ndarray
    likeness: np.ndarray


def columns(r: int, fs_hz: float, range_ms: tuple[float, float]) -> slice:
    """Return the columns of a window in a range of milliseconds from R."""
    start, stop = (r + round(ms * fs_hz / 1000) for ms in range_ms)
    return slice(start, stop)


def align_and_group(signals_mv: np.ndarray, r: int, fs_hz: float) -> AlignedBeats:
    """Scale, align and group the beats of one record.

    Args:
      signals_mv: (num_beats, window, leads), millivolts, all beats of the record.
      r: the column of the R peak.
      fs_hz: sampling frequency.
    """
    peak = np.abs(signals_mv[:, columns(r, fs_hz, _PEAK_MS)]).max(axis=1)
    beats = signals_mv / np.maximum(np.median(peak, axis=0), _LEAST_PEAK_MV)
    aligned = _aligned(beats, r, fs_hz)
    qrs = columns(r, fs_hz, _QRS_MS)
    shapes = _unit_rows(aligned[:, qrs])
    median = _unit_rows(np.median(aligned, axis=0)[None, qrs])[0]
    return AlignedBeats(
        beats=aligned, r=r, fs_hz=fs_hz, groups=group_shapes(shapes), likeness=shapes @ median
    )


def _aligned(beats: np.ndarray, r: int, fs_hz: float) -> np.ndarray:
    """Move each beat to where it is most like the median beat, which is then computed again."""
    part, reach = columns(r, fs_hz, _FIT_MS), round(_SEARCH_MS * fs_hz / 1000)
    moves = range(-reach, reach + 1)
    penalty = _PENALTY_PER_MS * 1000 / fs_hz
    median, aligned = np.median(beats, axis=0), beats
    for _ in range(2):
        target = _unit_rows(median[None, part])[0]
        fit = np.stack(
            [
                _unit_rows(beats[:, part.start + move : part.stop + move]) @ target
                - penalty * abs(move)
                for move in moves
            ]
        )
        aligned = _moved(beats, np.asarray(moves)[fit.argmax(axis=0)])
        best = fit.max(axis=0)
        median = np.median(aligned[best > np.median(best) - 0.02], axis=0)
    return aligned


def _moved(beats: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Return each beat from `moves` samples later on; the ends wrap around and are not used."""
    places = (np.arange(beats.shape[1]) + moves[:, None]) % beats.shape[1]
    return np.take_along_axis(beats, places[..., None], axis=1)


def group_shapes(shapes: np.ndarray) -> np.ndarray:
    """Group beats by correlation, greedily: the shape with most beats like it first.

    Args:
      shapes: (num_beats, num_values) float64, rows of mean zero and length one.

    Returns:
      (num_beats,) int64, a group for each; at most twelve, to which the rest is assigned.
    """
    groups, left = np.zeros(len(shapes), np.int64), np.arange(len(shapes))
    centers: list[np.ndarray] = []
    while len(left) and len(centers) < _MOST_GROUPS:
        rows = shapes[left]
        sample = rows[:: max(1, len(rows) // _SAMPLED)]
        candidates, others = (rows, sample) if len(rows) < _FEW else (sample, rows)
        center = candidates[np.argmax((candidates @ others.T > _ALIKE).sum(axis=1))]
        for _ in range(3):
            near = rows @ center > _ALIKE
            if not near.any():
                break
            center = _unit_rows(np.median(rows[near], axis=0)[None])[0]
        near = rows @ center > _ALIKE
        near[np.argmax(rows @ center)] |= not near.any()
        groups[left[near]] = len(centers)
        centers.append(center)
        left = left[~near]
    if len(left):
        groups[left] = np.argmax(shapes[left] @ np.array(centers).T, axis=1)
    return groups


def _unit_rows(parts: np.ndarray) -> np.ndarray:
    """Return rows of mean zero and length one: (num_beats, samples * leads)."""
    rows = parts.reshape(len(parts), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    return rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-9)
