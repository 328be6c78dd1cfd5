"""Millivolts in, 64x64 line plots out: the picture of a matplotlib figure without the figure.

Jun et al. 2018 ("ECG arrhythmia classification using a 2-D convolutional neural network") classify beats from small
grey line plots. A figure for each beat costs some 7 ms, nearly all of it for layout, axes and a PNG file. What reaches
the picture is one call of Agg, the rasteriser below matplotlib; it is made here directly, with the coordinates that
matplotlib's default axes would have used. So the pictures equal the plots, two orders of magnitude sooner.
"""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ecgexp.settings.declaration import ConfigError, DataError

if TYPE_CHECKING:
    from matplotlib.backends.backend_agg import RendererAgg

Scale = Literal["fixed", "autoscale"]

# MIT-BIH's 105 053 beats in lead MLII (baseline removed, 90 + 90 samples) range from -3.4 to 4.1 mV; 99.2 % lie wholly
# within these limits, all fusion beats among them. Wider ones would spend every beat's pixels on a few tall records.
DEFAULT_LIMITS_MV = (-2.5, 3.5)

_INCHES = 2.0
_LINE_WIDTH_PT = 1.5
_LEFT, _BOTTOM, _RIGHT, _TOP = (
    0.125,
    0.11,
    0.9,
    0.88,
)  # the axes in the figure: matplotlib's defaults …
_MARGIN = 0.05  # … and what its autoscaling leaves free on either side of the data, as a share of the data's range
_SIMPLIFY_FROM, _SIMPLIFY_THRESHOLD_PX = (
    128,
    1 / 9,
)  # … and the lines whose invisible corners it leaves out


def render_beats(
    signals_mv: np.ndarray,
    *,
    size: int = 64,
    scale: Scale = "fixed",
    limits_mv: tuple[float, float] = DEFAULT_LIMITS_MV,
) -> np.ndarray:
    """Draws each beat as a black line on white, without axes, as matplotlib would on a figure of 2 x 2 inches.

    Equal input gives equal pictures, whatever `matplotlib.rcParams` says. One core draws about 20 000 beats a second,
    so all of MIT-BIH takes five; starting worker processes would cost a good part of what they save.

    Args:
      signals_mv: (num_beats, window) float, millivolts, one lead.
      size: side of the picture in pixels; the line's width grows with it.
      scale: `"fixed"` shows `limits_mv` in every picture, so that amplitude survives, and cuts off what lies outside;
        `"autoscale"` stretches each beat to the full height, as the plots in the literature do.
      limits_mv: lowest and highest millivolts shown under `"fixed"`; `"autoscale"` does not look at it.

    Returns:
      (num_beats, size, size) uint8; 255 is white, row 0 is the top.

    Raises:
      ConfigError: for a size, scale or limits that make no picture.
      DataError: for beats that are not finite or not of shape (num_beats, window).
    """
    _check(signals_mv, size, scale, limits_mv)
    signals_mv = signals_mv.astype(np.float32, copy=False)
    heights = _autoscaled(signals_mv) if scale == "autoscale" else _fixed(signals_mv, limits_mv)
    return _draw_lines(size * (_BOTTOM + (_TOP - _BOTTOM) * heights), size)


def _autoscaled(signals_mv: np.ndarray) -> np.ndarray:
    """Heights in the axes from 0 to 1, each beat filling them but for the margins; a flat one lies in the middle."""
    low, high = signals_mv.min(1, keepdims=True), signals_mv.max(1, keepdims=True)
    span = high - low
    fractions = np.divide(signals_mv - low, span, out=np.full_like(signals_mv, 0.5), where=span > 0)
    return _with_margin(fractions)


def _fixed(signals_mv: np.ndarray, limits_mv: tuple[float, float]) -> np.ndarray:
    """Heights in the axes, 0 and 1 at `limits_mv`; what exceeds them is left to the pen's clipping."""
    low, high = limits_mv
    return (signals_mv - low) / (high - low)


def _with_margin(fractions: np.ndarray) -> np.ndarray:
    return (fractions + _MARGIN) / (1 + 2 * _MARGIN)


def _draw_lines(heights_px: np.ndarray, size: int) -> np.ndarray:
    """Draws one polyline for each row of heights, in pixels above the picture's bottom, evenly spaced over the axes."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.path import Path
    from matplotlib.transforms import IdentityTransform

    num_beats, window = heights_px.shape
    line = Path(np.empty((window, 2)))
    line.should_simplify, line.simplify_threshold = window >= _SIMPLIFY_FROM, _SIMPLIFY_THRESHOLD_PX
    line.vertices[:, 0] = size * (
        _LEFT + (_RIGHT - _LEFT) * _with_margin(np.linspace(0, 1, window))
    )

    renderer, in_place = RendererAgg(size, size, size / _INCHES), IdentityTransform()
    pen, canvas = _pen(renderer, size), np.asarray(renderer.buffer_rgba())
    images = np.empty((num_beats, size, size), np.uint8)
    with rc_context(
        {"agg.path.chunksize": 0}
    ):  # the one preference of the user that Agg would still look up
        for image, heights in zip(images, heights_px, strict=True):
            canvas[...] = 255
            line.vertices[:, 1] = heights
            renderer.draw_path(pen, line, in_place)
            image[...] = canvas[..., 0]
    return images


def _pen(renderer: "RendererAgg", size: int) -> Any:
    """The graphics context of a solid black matplotlib line that ends where the axes end."""
    from matplotlib.transforms import Bbox

    pen = renderer.new_gc()
    pen.set_foreground((0.0, 0.0, 0.0, 1.0), isRGBA=True)
    pen.set_linewidth(_LINE_WIDTH_PT)
    pen.set_antialiased(True)
    pen.set_capstyle("projecting")
    pen.set_joinstyle("round")
    pen.set_snap(None)
    pen.set_clip_rectangle(
        Bbox.from_extents(size * _LEFT, size * _BOTTOM, size * _RIGHT, size * _TOP)
    )
    return pen


def _check(signals_mv: np.ndarray, size: int, scale: str, limits_mv: tuple[float, float]) -> None:
    if signals_mv.ndim != 2 or signals_mv.shape[1] < 2:
        raise DataError(
            f"signals_mv has shape {signals_mv.shape}, a picture needs (num_beats, window) with 2 samples or more; "
            "choose one lead first, e.g. beats.signals_mv[..., 0]"
        )
    if not np.isfinite(signals_mv).all():
        row = int(np.flatnonzero(~np.isfinite(signals_mv).all(1))[0])
        raise DataError(
            f"signals_mv holds a value that is not finite in beat {row}; drop that beat or mend its record"
        )
    if size < 8:
        raise ConfigError(f"features.size={size} must be at least 8 pixels; try features.size=64")
    if scale not in ("fixed", "autoscale"):
        raise ConfigError(
            f"features.scale={scale!r} is not a scale; type features.scale=fixed or features.scale=autoscale"
        )
    if scale == "fixed" and not (np.isfinite(limits_mv).all() and limits_mv[0] < limits_mv[1]):
        raise ConfigError(
            f"features.limits_mv={list(limits_mv)} must be two finite numbers, the lower first; "
            f"try features.limits_mv={list(DEFAULT_LIMITS_MV)}"
        )
