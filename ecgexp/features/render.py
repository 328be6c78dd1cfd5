"""Draw beats as line plots of 64x64 pixels, equal to those of a matplotlib figure.

Jun et al. 2018 ("ECG arrhythmia classification using a 2-D convolutional neural network") classify
beats from small gray line plots. A matplotlib figure for each beat takes about 7 ms, mostly for
layout, axes and the PNG file. Here Agg, the rasterizer of matplotlib, is called directly with the
coordinates of matplotlib's default axes. The images equal the plots and are drawn about a hundred
times faster.
"""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ecgexp.settings.declaration import ConfigError, DataError

if TYPE_CHECKING:
    from matplotlib.backends.backend_agg import RendererAgg

Scale = Literal["fixed", "autoscale"]

# The 105 053 beats of MIT-BIH in lead MLII (baseline removed, 90 + 90 samples) range from -3.4 to
# 4.1 mV; 99.2 % are completely within these limits, including all fusion beats. Wider limits would
# reduce the resolution of all beats for a few records with high amplitudes.
DEFAULT_LIMITS_MV = (-2.5, 3.5)

_INCHES = 2.0
_LINE_WIDTH_PT = 1.5
# Defaults of matplotlib: position of the axes, margin around the data as a share of its range, and
# simplification of lines.
_LEFT, _BOTTOM, _RIGHT, _TOP = 0.125, 0.11, 0.9, 0.88
_MARGIN = 0.05
_SIMPLIFY_FROM, _SIMPLIFY_THRESHOLD_PX = 128, 1 / 9


def render_beats(
    signals_mv: np.ndarray,
    *,
    size: int = 64,
    scale: Scale = "fixed",
    limits_mv: tuple[float, float] = DEFAULT_LIMITS_MV,
) -> np.ndarray:
    """Draw each beat as a black line on white, without axes, as matplotlib on 2 x 2 inches.

    Equal input gives equal images, independent of `matplotlib.rcParams`. One core draws about 20
    000 beats per second, so that worker processes are not needed.

    Args:
      signals_mv: (num_beats, window) float, millivolts, one lead.
      size: Side of the image in pixels; the line width is proportional to it.
      scale: `"fixed"` shows `limits_mv` in every image, which keeps the amplitude, and clips values
        outside; `"autoscale"` scales each beat to the full height, as the plots in the literature.
      limits_mv: Lowest and highest millivolts shown with `"fixed"`; not used with `"autoscale"`.

    Returns:
      (num_beats, size, size) uint8; 255 is white, row 0 is the top.

    Raises:
      ConfigError: The size, scale or limits are invalid.
      DataError: The beats are NaN or infinite, or not of shape (num_beats, window).

    Example:
      >>> images = render_beats(np.zeros((2, 180)), size=32)
      >>> images.shape
      (2, 32, 32)
    """
    _check(signals_mv, size, scale, limits_mv)
    signals_mv = signals_mv.astype(np.float32, copy=False)
    heights = _autoscaled(signals_mv) if scale == "autoscale" else _fixed(signals_mv, limits_mv)
    return _draw_lines(size * (_BOTTOM + (_TOP - _BOTTOM) * heights), size)


def _autoscaled(signals_mv: np.ndarray) -> np.ndarray:
    """Return heights in the axes from 0 to 1, scaled for each beat; 0.5 for a flat beat."""
    low, high = signals_mv.min(1, keepdims=True), signals_mv.max(1, keepdims=True)
    span = high - low
    fractions = np.divide(signals_mv - low, span, out=np.full_like(signals_mv, 0.5), where=span > 0)
    return _with_margin(fractions)


def _fixed(signals_mv: np.ndarray, limits_mv: tuple[float, float]) -> np.ndarray:
    """Return heights in the axes, 0 and 1 at `limits_mv`; the renderer clips values outside."""
    low, high = limits_mv
    return (signals_mv - low) / (high - low)


def _with_margin(fractions: np.ndarray) -> np.ndarray:
    return (fractions + _MARGIN) / (1 + 2 * _MARGIN)


def _draw_lines(heights_px: np.ndarray, size: int) -> np.ndarray:
    """Draw a polyline for each row of heights, in pixels above the bottom of the image."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.path import Path
    from matplotlib.transforms import IdentityTransform

    num_beats, window = heights_px.shape
    line = Path(np.empty((window, 2)))
    line.should_simplify, line.simplify_threshold = window >= _SIMPLIFY_FROM, _SIMPLIFY_THRESHOLD_PX
    vertices = np.asarray(line.vertices)  # the array itself, not a copy
    vertices[:, 0] = size * (_LEFT + (_RIGHT - _LEFT) * _with_margin(np.linspace(0, 1, window)))

    renderer, in_place = RendererAgg(size, size, size / _INCHES), IdentityTransform()
    pen, canvas = _pen(renderer, size), np.asarray(renderer.buffer_rgba())
    images = np.empty((num_beats, size, size), np.uint8)
    with rc_context({"agg.path.chunksize": 0}):  # the only user setting that Agg reads
        for image, heights in zip(images, heights_px, strict=True):
            canvas[...] = 255
            vertices[:, 1] = heights
            renderer.draw_path(pen, line, in_place)
            image[...] = canvas[..., 0]
    return images


def _pen(renderer: "RendererAgg", size: int) -> Any:
    """Return the graphics context of a solid black line, clipped to the axes."""
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
            f"signals_mv has shape {signals_mv.shape}, but an image needs (num_beats, window) with "
            "at "
            "least 2 samples; choose one lead first, e.g. beats.signals_mv[..., 0]"
        )
    if not np.isfinite(signals_mv).all():
        row = int(np.flatnonzero(~np.isfinite(signals_mv).all(1))[0])
        raise DataError(
            f"signals_mv is NaN or infinite in beat {row}; drop that beat or correct its record"
        )
    if size < 8:
        raise ConfigError(
            f"features.size={size} must be at least 8 pixels; use e.g. features.size=64"
        )
    if scale not in ("fixed", "autoscale"):
        raise ConfigError(
            f"features.scale={scale!r} is not a scale; use features.scale=fixed or "
            "features.scale=autoscale"
        )
    if scale == "fixed" and not (np.isfinite(limits_mv).all() and limits_mv[0] < limits_mv[1]):
        raise ConfigError(
            f"features.limits_mv={list(limits_mv)} must be two finite numbers, the lower first; "
            f"use e.g. features.limits_mv={list(DEFAULT_LIMITS_MV)}"
        )
