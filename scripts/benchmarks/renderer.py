"""Measure how fast beats are rendered as images, and how close these are to matplotlib's.

    uv run python scripts/benchmarks/renderer.py                     # synthetic beats
    ECGEXP_DATA=… uv run python scripts/benchmarks/renderer.py       # and beats of MIT-BIH

Each method renders beats one after another on one core. The methods alternate, and the median
counts. Processor time is measured, so that other load has little effect. The requirement is at
least 15 000 beats/s at a mean absolute difference of at most 0.5 of 255.
"""

import argparse
import io
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread

from ecgexp.cli.streams import command
from ecgexp.features import DEFAULT_LIMITS_MV, render_beats

SCALES = ("fixed", "autoscale")
REAL_RECORDS = (
    "100",
    "106",
    "119",
    "207",
    "214",
    "223",
    "232",
)  # each of the common classes, tall and small beats


def plot(signal_mv: np.ndarray, *, size: int, scale: str, limits_mv: tuple[float, float]) -> Figure:
    """The plot that `render_beats` reproduces: a black line without axes, matplotlib's defaults."""
    figure = Figure(figsize=(2, 2), dpi=size / 2)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot(signal_mv, color="black")
    axes.axis("off")
    if scale == "fixed":
        axes.set_ylim(*limits_mv)
    return figure


def reference_image(
    signal_mv: np.ndarray,
    *,
    size: int = 64,
    scale: str = "fixed",
    limits_mv: tuple[float, float] = DEFAULT_LIMITS_MV,
) -> np.ndarray:
    """Renders one beat by a figure and a PNG, as simple scripts do; (size, size) uint8."""
    png = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        plot(signal_mv, size=size, scale=scale, limits_mv=limits_mv).savefig(
            png, format="png", dpi=size / 2
        )
    png.seek(0)
    return np.round(imread(png)[..., 0] * 255).astype(np.uint8)


def reused_figure(signals_mv: np.ndarray, *, scale: str) -> np.ndarray:
    """Renders all beats with one figure, whose line is changed; (num_beats, 64, 64) uint8."""
    figure = plot(signals_mv[0], size=64, scale=scale, limits_mv=DEFAULT_LIMITS_MV)
    axes = figure.axes[0]
    images = []
    for signal_mv in signals_mv:
        axes.lines[0].set_ydata(signal_mv)
        if scale == "autoscale":
            axes.relim()
            axes.autoscale_view()
        figure.canvas.draw()
        images.append(np.array(figure.canvas.buffer_rgba())[..., 0])
    return np.stack(images)


def figure_per_beat(signals_mv: np.ndarray, *, scale: str) -> np.ndarray:
    """Renders each beat with a new figure and a PNG; (num_beats, 64, 64) uint8."""
    return np.stack([reference_image(signal_mv, scale=scale) for signal_mv in signals_mv])


@dataclass(frozen=True, kw_only=True)
class Way:
    """A method to render beats, and how many of them it renders in about a second."""

    name: str
    draw: Callable[..., np.ndarray]
    num_beats: int


WAYS = (
    Way(name="figure + savefig + imread", draw=figure_per_beat, num_beats=150),
    Way(name="one figure reused", draw=reused_figure, num_beats=1_000),
    Way(name="render_beats (ecgexp)", draw=render_beats, num_beats=20_000),
)


def synthetic_beats(num_beats: int, rng: np.random.Generator) -> np.ndarray:
    """Generates sums of five Gaussians (P, Q, R, S, T; after McSharry 2003) with noise.

    Returns:
      (num_beats, 180) float32, millivolts.
    """
    centers_ms = rng.normal([-180, -30, 0, 30, 220], [20, 4, 3, 4, 25], (num_beats, 5))
    widths_ms = rng.uniform([15, 6, 8, 6, 30], [30, 15, 40, 20, 60], (num_beats, 5))
    heights_mv = rng.uniform([0, -0.4, -2.0, -1.0, -0.4], [0.25, 0, 3.0, 0.2, 0.8], (num_beats, 5))
    time_ms = np.arange(-90, 90) / 0.36
    bumps = np.exp(-0.5 * ((time_ms - centers_ms[..., None]) / widths_ms[..., None]) ** 2)
    beats = np.einsum("bk,bkt->bt", heights_mv, bumps) + rng.normal(
        0, 0.015, (num_beats, len(time_ms))
    )
    return beats.astype(np.float32)


def mitdb_beats(root: Path, num_beats: int, rng: np.random.Generator) -> np.ndarray:
    """Draws random beats of lead MLII, with the baseline removed by medians of 200 and 600 ms.

    Returns:
      (num_beats, 180), millivolts.
    """
    import wfdb
    from scipy.signal import medfilt

    windows = []
    for header in sorted(root.rglob("100.hea"))[:1]:
        for record in REAL_RECORDS:
            path = str(header.with_name(record))
            lead = wfdb.rdrecord(path, channel_names=["MLII"]).p_signal[:, 0]
            lead = lead - medfilt(medfilt(lead, 71), 215)
            annotation = wfdb.rdann(path, "atr")
            is_beat = np.isin(annotation.symbol, list("NLRejAaJSVEF/fQ"))
            r_samples = annotation.sample[
                is_beat & (annotation.sample >= 90) & (annotation.sample < len(lead) - 90)
            ]
            windows.append(lead[r_samples[:, None] + np.arange(-90, 90)])
    if not windows:
        raise SystemExit(
            f"ECGEXP_DATA={root} holds no record 100.hea; unset it or name the folder of MIT-BIH"
        )
    beats = np.concatenate(windows).astype(np.float32)
    return beats[rng.integers(len(beats), size=num_beats)]


def measure(
    signals_mv: np.ndarray, *, scale: str, repeats: int
) -> Iterator[tuple[str, str, float, float, int]]:
    """Measures each method.

    Yields:
      Scale, name, median beats/s, mean and largest absolute difference from the reference.
    """
    common = min(way.num_beats for way in WAYS)
    reference = figure_per_beat(signals_mv[:common], scale=scale).astype(int)
    rates = {way.name: [] for way in WAYS}
    for turn in range(repeats + 1):
        for way in WAYS:
            start = time.process_time()
            way.draw(signals_mv[: way.num_beats], scale=scale)
            if turn > 0:  # the first turn warms up
                rates[way.name].append(way.num_beats / (time.process_time() - start))
    for way in WAYS:
        difference = np.abs(way.draw(signals_mv[:common], scale=scale) - reference)
        yield (
            scale,
            way.name,
            float(np.median(rates[way.name])),
            float(difference.mean()),
            int(difference.max()),
        )


@command
def main() -> None:
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="turns of each way (default 5)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of beats (default 0)")
    arguments = parser.parse_args()

    most = max(way.num_beats for way in WAYS)
    sources = {"synthetic": synthetic_beats(most, np.random.default_rng(arguments.seed))}
    if root := os.environ.get("ECGEXP_DATA"):
        sources["mitdb"] = mitdb_beats(Path(root), most, np.random.default_rng(arguments.seed))

    table = Table(
        title=f"Beats to 64x64 images, one core ({platform.machine()}, "
        f"matplotlib {matplotlib.__version__})"
    )
    for heading in ("beats", "scale", "way"):
        table.add_column(heading, no_wrap=True)
    for heading in ("beats/s", "mean |diff.| of 255", "largest"):
        table.add_column(heading, justify="right")
    for source, signals_mv in sources.items():
        for scale in SCALES:
            for _, name, rate, mean, largest in measure(
                signals_mv, scale=scale, repeats=arguments.repeats
            ):
                table.add_row(source, scale, name, f"{rate:,.0f}", f"{mean:.5f}", str(largest))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
