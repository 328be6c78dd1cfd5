"""Records that are shortened to their early beats, as further training examples.

Most patients have few premature beats, so that intervals nearby are sinus intervals. In a patient
in whom most beats are premature they are not, and a model that never saw such a patient takes
premature beats for the rhythm. A record without the long stretches of beats on time has such a
rhythm. Beats are chosen by their intervals, not by their labels, so that records of atrial
fibrillation, whose early beats are normal, are shortened alike.
"""

import numpy as np

from ecgexp.data.preprocessing.windows import rr_features
from ecgexp.features.handcrafted import RHYTHM, rhythm_features
from ecgexp.features.rhythm import PREMATURE, RHYTHM_CONTEXT, rhythm_context
from ecgexp.features.rhythm_morphology import RHYTHM_MORPHOLOGY, unit_of_all

LEAST_BEATS = 60
"""A shortened record with fewer beats is not used: its quantiles would be of very few intervals."""

_PREMATURITY = RHYTHM_MORPHOLOGY.index("previous_to_sinus")
_LOG_UNIT = RHYTHM_MORPHOLOGY.index("log_irregularity")
_NUM_RHYTHM = len(RHYTHM) + len(RHYTHM_CONTEXT)


def shortened(
    values: np.ndarray, previous_s: np.ndarray, neighbors: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the beats near early ones, as if the record had no others.

    A beat is early if its interval is at least 11 % shorter than the local sinus interval. Each
    beat keeps its previous interval and its shape; its rhythm is computed anew among the beats that
    are kept.

    Args:
      values: (num_beats, 39) float32, the columns of `RHYTHM_MORPHOLOGY`, of beats of one record in
        the order of time.
      previous_s: (num_beats,) seconds, the interval before each.
      neighbors: beats that are kept on each side of an early beat.

    Returns:
      The kept beats, (num_kept,) indices, and their (num_kept, 39) float32 values; none if fewer
      than `LEAST_BEATS` are kept.
    """
    nothing = np.zeros(0, np.int64), np.zeros((0, values.shape[1]), np.float32)
    if len(values) < LEAST_BEATS:
        return nothing
    early = values[:, _PREMATURITY] * np.exp(values[:, _LOG_UNIT]) < PREMATURE
    near = np.convolve(early, np.ones(2 * neighbors + 1), mode="same") > 0
    kept = np.flatnonzero(near)
    if len(kept) < LEAST_BEATS:
        return nothing
    seconds = np.cumsum(previous_s[kept].astype(np.float64))
    rhythm = [
        rhythm_features(rr_features(seconds, 1.0)),
        rhythm_context(seconds, unit_of_all(seconds)),
    ]
    found = np.concatenate([*rhythm, values[kept, _NUM_RHYTHM:]], axis=1)
    return kept, found.astype(np.float32)
