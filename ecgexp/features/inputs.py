"""What the model sees of a beat: the signal window, or the picture of it; optionally the RR intervals round it.

Every number here is a constant or comes from the one beat, never from other beats, so an input adds nothing to what a
privacy statement must cover. The RR features and the record's usual beat are the exceptions, and
`features_crossing_beats` says so.
"""

from typing import Annotated, Literal, Protocol

import numpy as np
from pydantic import Field

from ecgexp.data.beats import RR_FEATURES, BeatSet
from ecgexp.settings.declaration import Number, Whole, settings

Shape = tuple[int, ...]
"""Of one row of a feature, without the rows."""

TEMPLATE = "template"
"""What `features_crossing_beats` calls the record's usual beat."""

# A resting heart beats about every 0.8 s: public constants, not fitted ones.
_RESTING_RR_S, _RR_SPREAD_S, _LOG_RATIO_SPREAD = 0.8, 0.3, 0.2
_OWN = 4  # columns of the RR features that are about the beat itself
_RHYTHM = slice(_OWN, RR_FEATURES.index("rr_around_q90_s") + 1)
LEAST_SCALE_MV = 0.05  # of a usual beat: a lead that shows hardly anything is not blown up to the size of the others
_FARTHEST = (
    8.0  # in such units: an electrode that was touched is an outlier in itself, however large
)
RHYTHM_LIMIT = 6.0  # of a logarithmic ratio, in units of its spread: e^1.2, a pause of three beats, and all beyond
_FLAT_MV = 1e-3  # below a fifth of the database's resolution of 5 µV a window is flat: it is centred, not amplified


class Features(Protocol):
    """Turns beats into the named arrays that the model's inputs take."""

    @property
    def features_crossing_beats(self) -> tuple[str, ...]:
        """Features that another beat's presence changes; a beat-level privacy claim must not use them."""

    @property
    def uses_rr(self) -> bool:
        """Whether `transform` needs `rr`."""

    @property
    def uses_template(self) -> bool:
        """Whether `transform` needs `templates_mv`."""

    def names(self) -> frozenset[str]:
        """The names of the arrays `transform` makes."""

    def transform(
        self, signals_mv: np.ndarray, rr: np.ndarray | None, templates_mv: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """The model's named inputs, row by row.

        Args:
          signals_mv: (num_beats, window, leads) millivolts.
          rr: (num_beats, 20), the columns of `beats.RR_FEATURES`, where that is used.
          templates_mv: (num_beats, window, leads) millivolts, the usual beat of each one's record, where that is used.
        """


Rhythm = bool | Literal["rhythm"]
"""Of `rr`: no second input; how early the beat and the next one come; or also the rhythm in which it stands."""


@settings
class SignalFeatures:
    """The window itself.

    Attributes:
      normalize: `beat` gives every lead of every beat mean 0 and variance 1; `record` subtracts the mean of the record's usual
        beat (`data.windows.template`) and divides by its standard deviation, lead by lead, so that a beat's size beside
        the others of its record is kept; `none` leaves millivolts.
      difference: beside each lead, how the beat differs from its record's usual beat, in the same units: what is unusual
        for this heart. Needs `normalize` to be `record` or `none`.
      rr: add the RR features as a second input: how early the beat and the next one come; `rhythm` adds the five intervals
        before and after it, and how irregular half a minute is.
    """

    normalize: Literal["beat", "record", "none"] = "beat"
    difference: bool = False
    rr: Rhythm = False

    def __post_init__(self):
        if self.difference and self.normalize == "beat":
            raise ValueError(
                "features.difference=true compares a beat with its record's usual beat, and features.normalize=beat scales every "
                "beat by itself; type features.normalize=record"
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
        """See `Features`; `signal` is (num_beats, window, leads) float32, with `difference` (num_beats, window, 2 leads)."""
        if self.uses_template:
            templates_mv = template_of(templates_mv)
        return {
            "signal": self._signal(signals_mv.astype(np.float32), templates_mv),
            **_rr_features(self.rr, rr),
        }

    def _signal(self, signal: np.ndarray, templates_mv: np.ndarray | None) -> np.ndarray:
        if self.normalize == "beat":
            signal = signal - signal.mean(axis=1, keepdims=True)
            return signal / np.maximum(signal.std(axis=1, keepdims=True), _FLAT_MV)
        parts = [signal]
        if self.difference:
            parts.append(signal - templates_mv)
        if self.normalize == "record":
            scale = np.maximum(templates_mv.std(axis=1, keepdims=True), LEAST_SCALE_MV)
            parts[0] = signal - templates_mv.mean(axis=1, keepdims=True)
            parts = [np.clip(part / scale, -_FARTHEST, _FARTHEST) for part in parts]
        return np.concatenate(parts, axis=2)


_Millivolts = Annotated[Number, Field(ge=-1000, le=1000)]


@settings
class ImageFeatures:
    """A grey 64×64 line plot of the first lead.

    Attributes:
      scale: `fixed` draws every beat on the same millivolt axis, so that amplitude survives; `autoscale` stretches each beat
        to the height of its picture, as the predecessor did.
      limits_mv: bottom and top of the fixed axis; 99 % of MIT-BIH's beats lie wholly within the default.
      size: side of the picture, pixels.
      rr: as in `SignalFeatures`.
    """

    scale: Literal["fixed", "autoscale"] = "fixed"
    limits_mv: tuple[_Millivolts, _Millivolts] = (-2.5, 3.5)
    size: Annotated[Whole, Field(ge=8, le=512)] = 64
    rr: Rhythm = False

    uses_template = False

    def __post_init__(self):
        if not self.limits_mv[0] < self.limits_mv[1]:
            raise ValueError(
                f"features.limits_mv={list(self.limits_mv)} must rise; try features.limits_mv=[-2.5,3.5]"
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
        """See `Features`; `image` is (num_beats, size, size, 1) uint8, 255 white, a quarter of the memory of float32."""
        from ecgexp.features.render import render_beats

        images = render_beats(
            signals_mv[:, :, 0], size=self.size, scale=self.scale, limits_mv=self.limits_mv
        )
        return {"image": images[..., None], **_rr_features(self.rr, rr)}


def transform_beats(features: Features, beats: BeatSet) -> dict[str, np.ndarray]:
    """The features of all beats, each one resident array."""
    templates_mv = beats.template_of_each() if features.uses_template else None
    return features.transform(beats.signals_mv, beats.rr, templates_mv)


def feature_shapes(features: dict[str, np.ndarray]) -> dict[str, Shape]:
    """The shape of one row of each feature: what `ModelBuilder.build` asks for."""
    return {name: array.shape[1:] for name, array in features.items()}


def intervals_of(rr: np.ndarray | None) -> np.ndarray:
    """`rr` of an input that uses it.

    Raises:
      ValueError: it is missing or has other columns; the message says what to pass.
    """
    if rr is None or rr.shape[1] != len(RR_FEATURES):
        raise ValueError(
            f"this model also takes the RR features: pass rr=(num_beats, {len(RR_FEATURES)}), the columns of beats.RR_FEATURES"
        )
    return rr


def template_of(templates_mv: np.ndarray | None) -> np.ndarray:
    """`templates_mv` of an input that uses it.

    Raises:
      ValueError: it is missing; the message says what to pass.
    """
    if templates_mv is None:
        raise ValueError(
            "this model compares beats with their record's usual beat: pass templates_mv, shaped as signals_mv"
        )
    return templates_mv


def _crossing_rr(rhythm: Rhythm) -> tuple[str, ...]:
    if not rhythm:
        return ()
    return RR_FEATURES[: _RHYTHM.stop] if rhythm == "rhythm" else RR_FEATURES[:_OWN]


def _rr_features(rhythm: Rhythm, rr: np.ndarray | None) -> dict[str, np.ndarray]:
    """`rr`: (num_beats, 4) of the beat itself, or (num_beats, 18) with the rhythm it stands in; nothing where it is not used."""
    if not rhythm:
        return {}
    rr = intervals_of(rr)
    parts = [
        _of_the_beat(rr[:, :_OWN]),
        *([_of_the_rhythm(rr[:, _RHYTHM])] if rhythm == "rhythm" else []),
    ]
    return {"rr": np.concatenate(parts, axis=1).astype(np.float32)}


def _of_the_beat(rr: np.ndarray) -> np.ndarray:
    """(num_beats, 4): how early this and the next beat come, against the last ten and the record; and the heart's period."""
    previous, following, local, to_record = rr.T
    # Early or late is said in proportion to the heart's own rhythm, which is what tells a premature beat across patients.
    ratios = log_ratio(np.stack([previous / local, following / local, to_record], axis=1))
    period = (local[:, None] - _RESTING_RR_S) / _RR_SPREAD_S
    return np.concatenate([ratios, period], axis=1)


def _of_the_rhythm(rr: np.ndarray) -> np.ndarray:
    """(num_beats, 14): the ten intervals round the beat, and how far those of half a minute spread, against the longest tenth.

    Not against their median: where most beats are premature, that is a premature beat's.
    """
    ratios = log_ratio(rr[:, :-1] / rr[:, -1:])
    return np.clip(ratios, -RHYTHM_LIMIT, RHYTHM_LIMIT)


def log_ratio(ratio: np.ndarray, unit: float | np.ndarray = _LOG_RATIO_SPREAD) -> np.ndarray:
    """Logarithms of ratios of intervals, in units that may be each beat's own."""
    return np.log(np.maximum(ratio, 1e-3)) / unit
