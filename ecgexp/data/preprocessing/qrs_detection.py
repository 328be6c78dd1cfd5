"""Finds heartbeats in a lead that nobody annotated."""

import numpy as np

from ecgexp.data.preprocessing.baseline import bandpass
from ecgexp.settings.declaration import DataError

QRS_HZ = (3.0, 20.0)
"""Where a QRS complex stands out, and its peak is looked for."""

REACH_MS = 80.0
"""How far from where the detector fires the peak is looked for."""

_GAIN = 200.0  # units per mV in which the detector's thresholds are meant


def detect_beats(lead_mv: np.ndarray, fs_hz: float) -> np.ndarray:
    """The R peaks of one lead: WFDB's `gqrs`, then the largest deflection of the filtered lead within `REACH_MS`.

    gqrs fires some 35 ms before the peak, and a model was trained on windows round the annotated peak, which in MIT-BIH is
    the major extremum of the lead after a filter that brings out the QRS complex. So it is looked for in the same way: on 13
    records of DS1 the beats then lie 1.4 ms from the annotations on average, 96 % within 6 ms and 99 % within 14 ms; in the
    lead without its baseline it is 3.5 ms. Of wfdb's two detectors gqrs misses fewer beats and takes less time: it finds
    99.5 % of those of 208 and of 108, XQRS 92.2 % and 94.3 %.

    Args:
      lead_mv: (num_samples,) millivolts, as recorded.
      fs_hz: its sampling frequency.

    Returns:
      (num_beats,) int64, strictly rising.

    Raises:
      DataError: the lead is too short for the detector, or sampled too slowly.
    """
    from wfdb.processing import gqrs_detect

    if np.ptp(lead_mv) == 0:
        return np.zeros(0, np.int64)
    try:
        filtered_mv = bandpass(lead_mv, fs_hz, QRS_HZ)
        fired = gqrs_detect(sig=lead_mv, fs=fs_hz, adc_gain=_GAIN, adc_zero=0)
    except (IndexError, ValueError) as error:
        raise DataError(
            f"no beats can be searched for in {len(lead_mv) / fs_hz:.1f} s at {fs_hz:g} Hz ({error}); take a longer record, or "
            "one with annotations"
        ) from error
    return np.unique(_peaks(filtered_mv, np.asarray(fired, np.int64), fs_hz))


def _peaks(lead_mv: np.ndarray, samples: np.ndarray, fs_hz: float) -> np.ndarray:
    """The largest deflection round each sample, up or down."""
    reach = round(REACH_MS * fs_hz / 1000)
    places = (samples[:, None] + np.arange(-reach, reach + 1)).clip(0, len(lead_mv) - 1)
    best = np.abs(lead_mv[places]).argmax(axis=1)
    return places[np.arange(len(places)), best]
