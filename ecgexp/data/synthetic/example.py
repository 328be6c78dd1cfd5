"""A few beats of a virtual patient, as an example of the input of a model."""

from collections.abc import Sequence

import numpy as np

from ecgexp.data.synthetic.patient import draw_patient
from ecgexp.data.synthetic.rhythm import draw_rhythm
from ecgexp.data.synthetic.shapes import LEADS
from ecgexp.data.synthetic.signal import FS_HZ as FS_HZ
from ecgexp.data.synthetic.signal import draw_signals_mv
from ecgexp.seeding import Seeds

_DRAWN_S = 60.0  # the rhythm of a patient has episodes, for which a few seconds are too short


def example_signals(leads: Sequence[str], *, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw the same beats in every call.

    Args:
      leads: Names of the leads; one that virtual patients lack gets the signal of another one.
      seconds: Length, at most a minute.

    Returns:
      signals_mv: (num_samples, leads) float64, millivolts in steps of a microvolt, at `FS_HZ`.
      r_peaks: (num_beats,) int64, their samples.
    """
    patient = draw_patient(0, Seeds(0))
    rng = np.random.default_rng(0)
    rhythm = draw_rhythm(patient, duration_s=_DRAWN_S, rng=rng)
    signals_mv = draw_signals_mv(
        patient, rhythm, num_samples=round(_DRAWN_S * FS_HZ), noise=1.0, rng=rng
    )
    columns = [
        LEADS.index(name) if name in LEADS else place % len(LEADS)
        for place, name in enumerate(leads)
    ]
    num_samples = round(seconds * FS_HZ)
    r_peaks = np.rint(rhythm.r_s * FS_HZ).astype(np.int64)
    inside = (r_peaks >= 0) & (r_peaks < num_samples)
    return signals_mv[:num_samples, columns].round(3), r_peaks[inside]
