"""Handcrafted features: seven numbers for the prematurity and the morphology of a beat.

Twenty-two training patients are few to learn morphology from, and a network mostly learns to
distinguish these patients. The handcrafted features compare each beat with its own record and so
have the same meaning for new patients. The RR features start from the previous, next and mean
intervals of de Chazal et al. 2004 (doi:10.1109/TBME.2004.827359) and Mondéjar-Guerra et al. 2019
(doi:10.1016/j.bspc.2018.08.007); here they are logarithms of ratios, divided by the RR
irregularity, which is a normalization of this project. The morphology is compared with the template
of the record.
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

# Segments of a beat, in milliseconds from R: QRS complex; ST segment and T wave, with the end of a
# wide QRS complex; P wave and PR segment. Those beyond the window are cut: with 250 ms after R, the
# T wave is incomplete. Like the centers and spreads below, public constants.
_WAVES_MS = {"qrs": (-55.0, 55.0), "t_wave": (55.0, 370.0), "p_wave": (-245.0, -55.0)}
_RR = ("rr_previous_s", "rr_next_s", "rr_local_mean_s", "rr_ratio", "rr_unsteadiness")
_STEADY = 0.05  # variation of a steady sinus rhythm: smaller prematurity is not significant
# For normally distributed changes of intervals, the unit is about twice `rr_unsteadiness`.
_QUARTILES = 2.0
_LEAST_DIFFERENCE, _LEAST_SIZE_MV = 0.05, 0.01  # smaller values are noise
_DIFFERENCE, _SIZE = (-1.0, 0.7), (0.0, 0.3)  # center and spread of each logarithm

_LEAST_SIDE_MS = 100.0


@settings
class HandcraftedFeatures:
    """Seven numbers for each beat, `RHYTHM` and `SHAPE`, for any leads and windows.

    Attributes:
      fs_hz: Sampling frequency of the windows, in Hz.
      window_ms: Milliseconds before and after R, as `dataset.window_ms`; at least 100 on each side,
        so that it contains a part of each segment: `qrs` (-55 to 55 ms from R), `t_wave` (55 to
        370 ms, ST segment and T wave) and `p_wave` (-245 to -55 ms, P wave and PR segment). The
        default of 250 ms after R cuts the T wave; [300,400] contains the whole segments.

    Raises:
      ValueError: The window is shorter.

    Example:
      >>> sorted(HandcraftedFeatures(fs_hz=360, window_ms=(300, 400)).names())
      ['handcrafted']
    """

    fs_hz: Annotated[Number, Field(ge=50, le=10_000)]
    window_ms: tuple[Milliseconds, Milliseconds]

    uses_rr = uses_template = True
    features_crossing_beats = (*_RR, TEMPLATE)

    def __post_init__(self):
        if min(self.window_ms) < _LEAST_SIDE_MS:
            raise ValueError(
                f"dataset.window_ms={list(self.window_ms)} omits a wave that is compared; use at "
                "least "
                f"{_LEAST_SIDE_MS:g} ms before and after R, e.g. dataset.window_ms=[300,400]"
            )

    def names(self) -> frozenset[str]:
        """See `Features`."""
        return frozenset({"handcrafted"})

    def transform(
        self, signals_mv: np.ndarray, rr: np.ndarray | None, templates_mv: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """See `Features`; `handcrafted` is (num_beats, 7) float32.

        Raises:
          ValueError: `rr` or `templates_mv` is missing, or the windows are not those of
            `window_ms`.
        """
        rr, templates_mv = intervals_of(rr), template_of(templates_mv)
        before, after = (round(part * self.fs_hz / 1000) for part in self.window_ms)
        if signals_mv.shape[1] != before + after:
            raise ValueError(
                f"features.window_ms={list(self.window_ms)} at features.fs_hz={self.fs_hz:g} are "
                f"{before + after} samples, but the windows have {signals_mv.shape[1]}; do not "
                "override them, "
                "they follow the dataset"
            )
        shape = shape_features(signals_mv, templates_mv, fs_hz=self.fs_hz, before=before)
        return {
            "handcrafted": np.concatenate([rhythm_features(rr), shape], axis=1).astype(np.float32)
        }


def rhythm_features(rr: np.ndarray) -> np.ndarray:
    """Return the prematurity of a beat and of the next one, relative to the RR irregularity.

    In atrial fibrillation many beats are early but not premature; an interval is compared with the
    variation of the intervals of its rhythm.

    Args:
      rr: (num_beats, 20), the columns of `beats.RR_FEATURES`.

    Returns:
      (num_beats, 3), the columns of `RHYTHM`: logarithms of the intervals before and after the beat
      relative to the mean of the last ten, and of the interval before relative to the mean of the
      record, divided by 0.05 plus twice the RR irregularity; clipped to ±6. In a perfectly
      regular rhythm, values are clipped at ratios of 0.74 and 1.35.
    """
    columns = rr[:, [RR_FEATURES.index(name) for name in _RR]].astype(np.float64)
    previous, following, local, to_record, rr_irregularity = columns.T
    ratios = np.stack([previous / local, following / local, to_record], axis=1)
    unit = rr_unit(rr_irregularity)
    return np.clip(log_ratio(ratios, unit[:, None]), -RHYTHM_LIMIT, RHYTHM_LIMIT)


def rr_unit(rr_irregularity: np.ndarray) -> np.ndarray:
    """Return the unit of logarithms of ratios of intervals: 0.05 plus twice the RR irregularity."""
    return _STEADY + _QUARTILES * rr_irregularity


def shape_features(
    signals_mv: np.ndarray, templates_mv: np.ndarray, *, fs_hz: float, before: int
) -> np.ndarray:
    """Return the difference of a beat from the template of its record, by wave, mean over leads.

    Args:
      signals_mv: (num_beats, window, leads) float32, millivolts.
      templates_mv: (num_beats or 1, window, leads) float32, millivolts.
      fs_hz: Sampling frequency, in Hz.
      before: Samples before R.

    Returns:
      (num_beats, 4), the columns of `SHAPE`. `qrs`, `t_wave` and `p_wave`: (ln(d) + 1) / 0.7, where
      d is the root mean square difference within -55 to 55, 55 to 370 and -245 to -55 ms of R, in
      standard deviations of the template, plus 0.05. `size`: ln(s) / 0.3, where s is the standard
      deviation of the beat in the same unit. d and s are means over leads.
    """
    unit = np.maximum(templates_mv.std(axis=1, keepdims=True), LEAST_SCALE_MV)
    squares = np.square((signals_mv - templates_mv) / unit)
    columns = []
    for start_ms, stop_ms in _WAVES_MS.values():
        start, stop = (max(before + round(at * fs_hz / 1000), 0) for at in (start_ms, stop_ms))
        difference = np.sqrt(squares[:, start:stop].mean(axis=1)) + _LEAST_DIFFERENCE
        columns.append(_scaled(np.log(difference.mean(axis=1)), _DIFFERENCE))
    size = np.maximum(signals_mv.std(axis=1), _LEAST_SIZE_MV) / unit[:, 0]
    return np.column_stack([*columns, _scaled(np.log(size.mean(axis=1)), _SIZE)])


def _scaled(values: np.ndarray, center_and_spread: tuple[float, float]) -> np.ndarray:
    center, spread = center_and_spread
    return (values - center) / spread
