"""What the model sees of a beat: the signal window, or the picture of it; optionally the RR intervals round it.

Every number here is a constant or comes from the one beat, never from other beats, so an input adds nothing to what a
privacy statement must cover. The RR features are the exception, and say so in `features_crossing_beats`.
"""

from typing import Annotated, Literal, Protocol

import numpy as np
from pydantic import Field

from ecgexp._validate import settings
from ecgexp.beats import RR_FEATURES, BeatSet
from ecgexp.models.base import Shape

# A resting heart beats about every 0.8 s: public constants, not fitted ones.
_RESTING_RR_S, _RR_SPREAD_S, _LOG_RATIO_SPREAD = 0.8, 0.3, 0.2
_FLAT_MV = 1e-3  # below a fifth of the database's resolution of 5 µV a window is flat: it is centred, not amplified


class Input(Protocol):
    """Turns beats into the named arrays that the model's inputs take."""

    @property
    def features_crossing_beats(self) -> tuple[str, ...]:
        """Features that another beat's presence changes; a beat-level privacy claim must not use them."""

    def names(self) -> frozenset[str]:
        """The names of the arrays `transform` makes."""

    def transform(self, signals_mv: np.ndarray, rr: np.ndarray | None) -> dict[str, np.ndarray]:
        """(num_beats, window, leads) mV and (num_beats, 4) RR features -> the model's named inputs, row by row."""


@settings
class SignalInput:
    """The window itself.

    Attributes:
      normalize: `beat` gives every lead of every beat mean 0 and variance 1; `none` leaves millivolts.
      rr: add the RR features as a second input.
    """

    normalize: Literal["beat", "none"] = "beat"
    rr: bool = False

    @property
    def features_crossing_beats(self) -> tuple[str, ...]:
        """See `Input`."""
        return RR_FEATURES if self.rr else ()

    def names(self) -> frozenset[str]:
        """See `Input`."""
        return frozenset({"signal", "rr"} if self.rr else {"signal"})

    def transform(self, signals_mv: np.ndarray, rr: np.ndarray | None) -> dict[str, np.ndarray]:
        """See `Input`; `signal` is (num_beats, window, leads) float32."""
        signal = signals_mv.astype(np.float32)
        if self.normalize == "beat":
            signal = signal - signal.mean(axis=1, keepdims=True)
            signal = signal / np.maximum(signal.std(axis=1, keepdims=True), _FLAT_MV)
        return {"signal": signal, **(_rr_input(rr) if self.rr else {})}


@settings
class ImageInput:
    """A grey 64×64 line plot of the first lead.

    Attributes:
      scale: `fixed` draws every beat on the same millivolt axis, so that amplitude survives; `autoscale` stretches each beat
        to the height of its picture, as the predecessor did.
      limits_mv: bottom and top of the fixed axis; 99 % of MIT-BIH's beats lie wholly within the default.
      size: side of the picture, pixels.
      rr: add the RR features as a second input.
    """

    scale: Literal["fixed", "autoscale"] = "fixed"
    limits_mv: tuple[float, float] = (-2.5, 3.5)
    size: Annotated[int, Field(ge=8)] = 64
    rr: bool = False

    def __post_init__(self):
        if not self.limits_mv[0] < self.limits_mv[1]:
            raise ValueError(f"input.limits_mv={list(self.limits_mv)} must rise; try input.limits_mv=[-2.5,3.5]")

    @property
    def features_crossing_beats(self) -> tuple[str, ...]:
        """See `Input`."""
        return RR_FEATURES if self.rr else ()

    def names(self) -> frozenset[str]:
        """See `Input`."""
        return frozenset({"image", "rr"} if self.rr else {"image"})

    def transform(self, signals_mv: np.ndarray, rr: np.ndarray | None) -> dict[str, np.ndarray]:
        """See `Input`; `image` is (num_beats, size, size, 1) uint8, 255 white, a quarter of the memory of float32."""
        from ecgexp.images.render import render_beats

        pictures = render_beats(signals_mv[:, :, 0], size=self.size, scale=self.scale, limits_mv=self.limits_mv)
        return {"image": pictures[..., None], **(_rr_input(rr) if self.rr else {})}


def transform_beats(model_input: Input, beats: BeatSet) -> dict[str, np.ndarray]:
    """The features of all beats, each one resident array."""
    return model_input.transform(beats.signals_mv, beats.rr)


def input_shapes(features: dict[str, np.ndarray]) -> dict[str, Shape]:
    """The shape of one row of each feature: what `ModelBuilder.build` asks for."""
    return {name: array.shape[1:] for name, array in features.items()}


def _rr_input(rr: np.ndarray | None) -> dict[str, np.ndarray]:
    """(num_beats, 4): how early this and the next beat come, against the last ten and the record; and the heart's period."""
    if rr is None:
        raise ValueError(
            "this model also takes the RR features: pass rr=(num_beats, 4), the columns of beats.RR_FEATURES"
        )
    previous, following, local, to_record = rr.T
    # Early or late is said in proportion to the heart's own rhythm, which is what tells a premature beat across patients.
    ratios = (
        np.log(np.maximum(np.stack([previous / local, following / local, to_record], axis=1), 1e-3)) / _LOG_RATIO_SPREAD
    )
    return {"rr": np.concatenate([ratios, (local[:, None] - _RESTING_RR_S) / _RR_SPREAD_S], axis=1).astype(np.float32)}
