"""Random noise, baseline wander, gain, shift and time warp of the window of a beat."""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from ecgexp.augmentation.base import AugmentFn, one_view_each
from ecgexp.settings.declaration import ConfigError, Fraction, Number, Whole, settings

_Amplitude = Annotated[Number, Field(ge=0, le=1000)]


@settings
class SignalAugmentation:
    """Warp, shift and scale windows, and add a slow wave and noise; 0 disables a part.

    Amplitudes are in the unit of the feature: the beat's own standard deviation under
    `features.normalize=beat`, millivolts under `features.normalize=none`.

    Attributes:
      noise_std: standard deviation of white Gaussian noise, independent for every sample and lead.
      wander_amplitude: of a sine added to the baseline; uniform between 0 and this, its phase
        uniform, for each lead.
      wander_cycles: its cycles in one window, uniform between these two. Breathing takes some 2 to
        6 s, a window half a second.
      max_gain_change: all leads are multiplied by one factor, uniform in 1 ± this.
      max_shift_samples: the window moves by a whole number of samples, uniform in ± this; its edge
        values are repeated.
      max_warp_samples: no sample moves further than this under the smooth warp of time, which
        leaves the window's ends where they are and keeps the order of the samples.

    Example:
      >>> sorted(SignalAugmentation(noise_std=0.05).features)
      ['signal']
    """

    noise_std: _Amplitude = 0.05
    wander_amplitude: _Amplitude = 0.1
    wander_cycles: tuple[_Amplitude, _Amplitude] = (0.05, 0.3)
    max_gain_change: Fraction = 0.1
    max_shift_samples: Annotated[Whole, Field(ge=0, le=100_000)] = 5
    max_warp_samples: Annotated[Number, Field(ge=0, le=100_000)] = 3.0

    name = "signal"
    features = frozenset({"signal"})
    num_views = 1

    def __post_init__(self):
        low, high = self.wander_cycles
        if low > high:
            raise ConfigError(
                f"augmentation.wander_cycles=[{low},{high}] must rise; try "
                f"augmentation.wander_cycles=[{high},{low}]"
            )

    def expand(
        self, labels: np.ndarray, class_names: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Augmentation.expand`."""
        return one_view_each(labels)

    def build(self) -> AugmentFn:
        """See `Augmentation.build`.

        The function it returns raises a ConfigError for a window so short that the shift would
        empty it or the warp fold it.
        """
        from ecgexp.augmentation.signal_ops import random_signal

        def augment(features: dict[str, Any], views: Any, seed: Any) -> dict[str, Any]:
            self._check_window(features["signal"].shape[1])
            return {**features, "signal": random_signal(self, features["signal"], seed)}

        return augment

    def _check_window(self, window: int) -> None:
        if self.max_shift_samples >= window:
            raise ConfigError(
                f"augmentation.max_shift_samples={self.max_shift_samples} must be below "
                f"the window of {window} samples"
            )
        # The warp's steepest slope is 1.5 pi times its bound over the window: below 1, time never
        # runs backwards.
        if 1.5 * np.pi * self.max_warp_samples >= window - 1:
            bound = int((window - 1) / (1.5 * np.pi))
            raise ConfigError(
                f"augmentation.max_warp_samples={self.max_warp_samples} would fold a "
                f"window of {window} samples; "
                f"try augmentation.max_warp_samples={bound // 2}"
            )
