"""A beat in seven numbers: how early it comes, and how unlike its heart's usual beat it looks.

Twenty-two hearts are few to learn shapes from, and what a network finds in their windows is mostly whose they are. These numbers
compare each beat with its own record and so mean the same in a heart that was never seen; they are what de Chazal et al. 2004
(doi:10.1109/TBME.2004.827359) and Mondéjar-Guerra et al. 2019 (doi:10.1016/j.bspc.2018.08.007) gave their classifiers of RR
intervals, with the shapes in the same proportion to the record.
"""

from typing import Annotated

import numpy as np
from pydantic import Field

from ecgexp.data.beats import RR_FEATURES
from ecgexp.features.inputs import (
    LEAST_SCALE_MV,
    RHYTHM_LIMIT,
    TEMPLATE,
    intervals_of,
    log_ratio,
    template_of,
)
from ecgexp.settings.declaration import Milliseconds, Number, settings

RHYTHM = ("early", "next_early", "early_in_record")
"""The columns of `rhythm_features`."""

SHAPE = ("qrs", "t_wave", "p_wave", "size")
"""The columns of `shape_features`."""

# Where the waves of a beat lie, in milliseconds from R: public constants, as are the centres and spreads below.
_WAVES_MS = {"qrs": (-55.0, 55.0), "t_wave": (55.0, 370.0), "p_wave": (-245.0, -55.0)}
_RR = ("rr_previous_s", "rr_next_s", "rr_local_mean_s", "rr_ratio", "rr_unsteadiness")
_STEADY = (
    0.05  # a sinus rhythm varies by that much when it is steady: no early beat stands out by less
)
_QUARTILES = 2.0  # of the changes, `rr_unsteadiness`: the median, if they are normally distributed, is about two
_LEAST_UNLIKE, _LEAST_SIZE_MV = (
    0.05,
    0.01,
)  # below these a logarithm would tell noise from less noise
_UNLIKE, _SIZE = (-1.0, 0.7), (0.0, 0.3)  # centre and spread of each logarithm

_LEAST_SIDE_MS = 100.0


@settings
class HandcraftedFeatures:
    """Seven numbers for each beat, `RHYTHM` and `SHAPE`, whatever its leads and window.

    Attributes:
      fs_hz: sampling frequency of the windows.
      window_ms: milliseconds before and after R, as `dataset.window_ms`; a part of every wave is within 100.

    Raises:
      ValueError: a window shows less than that.
    """

    fs_hz: Annotated[Number, Field(ge=50, le=10_000)]
    window_ms: tuple[Milliseconds, Milliseconds]

    uses_rr = uses_template = True
    features_crossing_beats = (*_RR, TEMPLATE)

    def __post_init__(self):
        if min(self.window_ms) < _LEAST_SIDE_MS:
            raise ValueError(
                f"dataset.window_ms={list(self.window_ms)} leaves out a wave that is compared: show {_LEAST_SIDE_MS:g} ms before "
                "R and after it; try dataset.window_ms=[300,400]"
            )

    def names(self) -> frozenset[str]:
        """See `Features`."""
        return frozenset({"descriptors"})

    def transform(
        self, signals_mv: np.ndarray, rr: np.ndarray | None, templates_mv: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """See `Features`; `descriptors` is (num_beats, 7) float32.

        Raises:
          ValueError: `rr` or `templates_mv` is missing, or the windows are not those of `window_ms`.
        """
        rr, templates_mv = intervals_of(rr), template_of(templates_mv)
        before, after = (round(part * self.fs_hz / 1000) for part in self.window_ms)
        if signals_mv.shape[1] != before + after:
            raise ValueError(
                f"features.window_ms={list(self.window_ms)} at features.fs_hz={self.fs_hz:g} are {before + after} samples, and the "
                f"windows have {signals_mv.shape[1]}; leave both to the dataset"
            )
        shape = shape_features(signals_mv, templates_mv, fs_hz=self.fs_hz, before=before)
        return {
            "descriptors": np.concatenate([rhythm_features(rr), shape], axis=1).astype(np.float32)
        }


def rhythm_features(rr: np.ndarray) -> np.ndarray:
    """How early a beat comes, and the next one, in proportion to how unsteady its rhythm is.

    In fibrillation every other beat is early, and none of them is premature: what counts is whether an interval is shorter than
    this rhythm's intervals are wont to be.

    Args:
      rr: (num_beats, 20), the columns of `beats.RR_FEATURES`.

    Returns:
      (num_beats, 3), the columns of `RHYTHM`: logarithms of the intervals before and after the beat against the mean of the last
      ten, and of the one before against the record's mean, in units of the usual change of an interval and a twentieth; at
      most 6.
    """
    columns = rr[:, [RR_FEATURES.index(name) for name in _RR]].astype(np.float64)
    previous, following, local, to_record, rr_irregularity = columns.T
    ratios = np.stack([previous / local, following / local, to_record], axis=1)
    unit = _STEADY + _QUARTILES * rr_irregularity
    return np.clip(log_ratio(ratios, unit[:, None]), -RHYTHM_LIMIT, RHYTHM_LIMIT)


def shape_features(
    signals_mv: np.ndarray, templates_mv: np.ndarray, *, fs_hz: float, before: int
) -> np.ndarray:
    """How unlike its record's usual beat a beat is, wave by wave, in the mean over the leads.

    Args:
      signals_mv: (num_beats, window, leads) millivolts.
      templates_mv: (num_beats, window, leads) millivolts.
      fs_hz: their sampling frequency.
      before: samples before R.

    Returns:
      (num_beats, 4), the columns of `SHAPE`: logarithms of the root mean square of the difference, in standard deviations of the
      usual beat, round R, after it and before it; and of the beat's standard deviation in the same unit.
    """
    unit = np.maximum(templates_mv.std(axis=1, keepdims=True), LEAST_SCALE_MV)
    squares = np.square((signals_mv - templates_mv) / unit)
    columns = []
    for start_ms, stop_ms in _WAVES_MS.values():
        start, stop = (max(before + round(at * fs_hz / 1000), 0) for at in (start_ms, stop_ms))
        unlike = np.sqrt(squares[:, start:stop].mean(axis=1)) + _LEAST_UNLIKE
        columns.append(_scaled(np.log(unlike.mean(axis=1)), _UNLIKE))
    size = np.maximum(signals_mv.std(axis=1), _LEAST_SIZE_MV) / unit[:, 0]
    return np.column_stack([*columns, _scaled(np.log(size.mean(axis=1)), _SIZE)])


def _scaled(values: np.ndarray, centre_and_spread: tuple[float, float]) -> np.ndarray:
    centre, spread = centre_and_spread
    return (values - centre) / spread
