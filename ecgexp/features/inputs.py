"""Features of a beat: its signal window or an image of it, optionally with RR intervals.

**Guarantees**: each feature depends on constants and on its own beat only, so that example-level DP
covers it. The exceptions are the RR features and the template of the record;
`features_crossing_beats` lists them.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Protocol

import numpy as np
from pydantic import Field

from ecgexp.data.beats import RR_FEATURES
from ecgexp.settings.declaration import Number, Whole, settings

Shape = tuple[int, ...]
"""Shape of one row of a feature."""

TEMPLATE = "template"
"""Name of the record's template in `features_crossing_beats`."""

# The RR interval at rest is about 0.8 s. Public constants, not fitted to data.
_RESTING_RR_S, _RR_SPREAD_S, _LOG_RATIO_SPREAD = 0.8, 0.3, 0.2
_OWN = 4  # columns of the RR features of the beat itself
_RHYTHM = slice(_OWN, RR_FEATURES.index("rr_around_q90_s") + 1)
LEAST_SCALE_MV = 0.05  # of a template: a nearly flat lead is not amplified to the size of others
_FARTHEST = 8.0  # clipping limit in units of the template: larger values are artifacts
# Of a log ratio, in its unit. With a unit of 0.2, e^1.2: a pause of three beats. The unit of
# `handcrafted` is 0.05 or more: e^0.3 in a perfectly regular rhythm.
RHYTHM_LIMIT = 6.0
# A fifth of the resolution of mitdb, 5 µV: a flatter window is centered but not amplified.
_FLAT_MV = 1e-3


class Features(Protocol):
    """Converts beats to the named input arrays of the model."""

    @property
    def features_crossing_beats(self) -> tuple[str, ...]:
        """Features that depend on other beats; example-level DP must not use them."""
        ...

    @property
    def uses_rr(self) -> bool:
        """Whether `transform` needs `rr`."""
        ...

    @property
    def uses_template(self) -> bool:
        """Whether `transform` needs `templates_mv`."""
        ...

    def names(self) -> frozenset[str]:
        """Return the names of the arrays that `transform` returns."""
        ...

    def transform(
        self, signals_mv: np.ndarray, rr: np.ndarray | None, templates_mv: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Return the named input arrays of the model, with a row for each beat.

        Args:
          signals_mv: (num_beats, window, leads) float32, millivolts.
          rr: (num_beats, 20), the columns of `beats.RR_FEATURES`; needed if `uses_rr`.
          templates_mv: (num_beats, window, leads) float32, millivolts, the template of each beat's
            record; needed if `uses_template`.

        Returns:
          Name -> array with `num_beats` rows.
        """
        ...


Rhythm = bool | Literal["rhythm"]
"""Values of `rr`: no RR features; prematurity of this and the next beat; or also the rhythm."""


@settings
class SignalFeatures:
    """The signal window.

    Attributes:
      normalize: `beat` normalizes every lead of every beat to mean 0 and variance 1; `record`
        subtracts the mean of the record's template (`data.preprocessing.windows.template`), divides
        by its standard deviation (at least 0.05 mV) and clips to ±8, lead by lead, which keeps the
        relative amplitude of beats of a record up to this limit; `none` keeps millivolts.
      difference: Add a channel with the difference from the record's template for each lead, in the
        same units. Needs `normalize` to be `record` or `none`.
      rr: Add the RR features as a second input: prematurity of this and the next beat, and the
        local mean interval (4 columns); `rhythm` adds 14 columns: the five intervals before and the
        five after the beat, and the 10, 25, 50 and 75 % quantiles of the forty intervals around it,
        as logarithms of their ratios to the 90 % quantile.

    Example:
      >>> signals_mv = np.array([[[1.0], [2.0], [3.0]]])  # one beat, three samples, one lead
      >>> SignalFeatures(normalize="beat").transform(signals_mv, None)["signal"].round(1).ravel()
      array([-1.2,  0. ,  1.2], dtype=float32)
      >>> sorted(SignalFeatures(rr=True).names())
      ['rr', 'signal']
    """

    normalize: Literal["beat", "record", "none"] = "beat"
    difference: bool = False
    rr: Rhythm = False

    def __post_init__(self):
        if self.difference and self.normalize == "beat":
            raise ValueError(
                "features.difference=true compares a beat with its record's template, but "
                "features.normalize=beat scales every beat by itself; use features.normalize=record"
            )

    @property
    def uses_rr(self) -> bool:
        """See `Features`."""
        return bool(self.rr)

    @property
    def uses_template(self) -> bool:
        """See `Features`."""
        return self.difference or self.normalize == "record"

    @property
    def features_crossing_beats(self) -> tuple[str, ...]:
        """See `Features`."""
        return (*_crossing_rr(self.rr), *((TEMPLATE,) if self.uses_template else ()))

    def names(self) -> frozenset[str]:
        """See `Features`."""
        return frozenset({"signal", "rr"} if self.rr else {"signal"})

    def transform(
        self, signals_mv: np.ndarray, rr: np.ndarray | None, templates_mv: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """See `Features`; `signal` is (num_beats, window, leads or, with `difference`, 2 leads)."""
        template = template_of(templates_mv) if self.uses_template else None
        return {
            "signal": self._signal(signals_mv.astype(np.float32), template),
            **_rr_features(self.rr, rr),
        }

    def _signal(self, signal: np.ndarray, template: np.ndarray | None) -> np.ndarray:
        if self.normalize == "beat":
            signal = signal - signal.mean(axis=1, keepdims=True)
            return signal / np.maximum(signal.std(axis=1, keepdims=True), _FLAT_MV)
        parts = [signal]
        if template is not None and self.difference:
            parts.append(signal - template)
        if template is not None and self.normalize == "record":
            scale = np.maximum(template.std(axis=1, keepdims=True), LEAST_SCALE_MV)
            parts[0] = signal - template.mean(axis=1, keepdims=True)
            parts = [np.clip(part / scale, -_FARTHEST, _FARTHEST) for part in parts]
        return np.concatenate(parts, axis=2)


_Millivolts = Annotated[Number, Field(ge=-1000, le=1000)]


@settings
class ImageFeatures:
    """A gray line plot of the first lead.

    Attributes:
      scale: `fixed` draws every beat on the same millivolt axis, which keeps the amplitude;
        `autoscale` scales each beat to the height of its image, as the replicated implementation
        does.
      limits_mv: Bottom and top of the fixed axis, in millivolts; 99 % of the beats of MIT-BIH are
        completely within the default.
      size: Side of the image, in pixels.
      rr: As in `SignalFeatures`.

    Example:
      >>> ImageFeatures(size=64).transform(np.zeros((2, 180, 1)), None)["image"].shape
      (2, 64, 64, 1)
    """

    scale: Literal["fixed", "autoscale"] = "fixed"
    limits_mv: tuple[_Millivolts, _Millivolts] = (-2.5, 3.5)
    size: Annotated[Whole, Field(ge=8, le=512)] = 64
    rr: Rhythm = False

    uses_template = False

    def __post_init__(self):
        if not self.limits_mv[0] < self.limits_mv[1]:
            raise ValueError(
                f"features.limits_mv={list(self.limits_mv)} must rise; "
                "use e.g. features.limits_mv=[-2.5,3.5]"
            )

    @property
    def uses_rr(self) -> bool:
        """See `Features`."""
        return bool(self.rr)

    @property
    def features_crossing_beats(self) -> tuple[str, ...]:
        """See `Features`."""
        return _crossing_rr(self.rr)

    def names(self) -> frozenset[str]:
        """See `Features`."""
        return frozenset({"image", "rr"} if self.rr else {"image"})

    def transform(
        self, signals_mv: np.ndarray, rr: np.ndarray | None, templates_mv: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """See `Features`; `image` is (num_beats, size, size, 1) uint8, 255 is white."""
        from ecgexp.features.render import render_beats

        images = render_beats(
            signals_mv[:, :, 0], size=self.size, scale=self.scale, limits_mv=self.limits_mv
        )
        return {"image": images[..., None], **_rr_features(self.rr, rr)}


def feature_shapes(features: Mapping[str, np.ndarray]) -> dict[str, Shape]:
    """Return the shape of one row of each feature, as `ModelBuilder.build` needs it."""
    return {name: array.shape[1:] for name, array in features.items()}


def intervals_of(rr: np.ndarray | None) -> np.ndarray:
    """Return `rr` if it has the columns of `beats.RR_FEATURES`.

    Raises:
      ValueError: It is missing or has other columns.
    """
    if rr is None or rr.shape[1] != len(RR_FEATURES):
        raise ValueError(
            f"this model also takes the RR features: pass rr=(num_beats, {len(RR_FEATURES)}), the "
            "columns of beats.RR_FEATURES"
        )
    return rr


def template_of(templates_mv: np.ndarray | None) -> np.ndarray:
    """Return `templates_mv` if it is given.

    Raises:
      ValueError: It is missing.
    """
    if templates_mv is None:
        raise ValueError(
            "this model compares beats with the template of their record: pass templates_mv, "
            "shaped as "
            "signals_mv"
        )
    return templates_mv


def _crossing_rr(rhythm: Rhythm) -> tuple[str, ...]:
    if not rhythm:
        return ()
    return RR_FEATURES[: _RHYTHM.stop] if rhythm == "rhythm" else RR_FEATURES[:_OWN]


def _rr_features(rhythm: Rhythm, rr: np.ndarray | None) -> dict[str, np.ndarray]:
    """Return `rr`: (num_beats, 4), or (num_beats, 18) with the rhythm; empty if not used."""
    if not rhythm:
        return {}
    rr = intervals_of(rr)
    parts = [
        _of_the_beat(rr[:, :_OWN]),
        *([_of_the_rhythm(rr[:, _RHYTHM])] if rhythm == "rhythm" else []),
    ]
    return {"rr": np.concatenate(parts, axis=1).astype(np.float32)}


def _of_the_beat(rr: np.ndarray) -> np.ndarray:
    """Return (num_beats, 4): prematurity relative to the last ten and the record; local RR mean."""
    previous, following, local, to_record = rr.T
    # Relative to the rhythm of the patient, so that premature beats are comparable across patients.
    ratios = log_ratio(np.stack([previous / local, following / local, to_record], axis=1))
    period = (local[:, None] - _RESTING_RR_S) / _RR_SPREAD_S
    return np.concatenate([ratios, period], axis=1)


def _of_the_rhythm(rr: np.ndarray) -> np.ndarray:
    """Return (num_beats, 14): ten intervals and quantiles of forty, relative to the 90 % quantile.

    The median is not used: if most beats are premature, it is the interval of a premature beat.
    """
    ratios = log_ratio(rr[:, :-1] / rr[:, -1:])
    return np.clip(ratios, -RHYTHM_LIMIT, RHYTHM_LIMIT)


def log_ratio(ratio: np.ndarray, unit: float | np.ndarray = _LOG_RATIO_SPREAD) -> np.ndarray:
    """Return logarithms of ratios of intervals, divided by `unit`, which may be one per beat."""
    return np.log(np.maximum(ratio, 1e-3)) / unit
