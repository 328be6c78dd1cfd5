"""The summary of a recording as a figure: heart rate, ectopic runs, signal quality, classes."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from ecgexp.evaluation.style import BLUE, MUTED, ORANGE, SKY, VERMILION, new_figure, styled
from ecgexp.inference.summary import RecordingSummary
from ecgexp.inference.summary_text import clock

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS = {"V": VERMILION, "S": ORANGE}
_HOUR_S = 3600.0


@styled
def summary_figure(summary: RecordingSummary, *, source: str) -> Figure:
    """Draw a summary.

    Args:
      summary: The summary.
      source: What the model was trained on, for the title.

    Returns:
      The figure: heart rate by hour, runs of S and V and pauses, the share of usable ECG by hour,
      and the share of each class.
    """
    figure = new_figure(
        9.0,
        5.6,
        title=f"{summary.record_id}: {clock(summary.seconds)}, {summary.num_beats} beats",
        source=f"annotated by a model trained on {source}; no diagnosis",
    )
    grid = figure.add_gridspec(3, 2, width_ratios=(3.2, 1), height_ratios=(2, 1.4, 1))
    rate = figure.add_subplot(grid[0, 0])
    events = figure.add_subplot(grid[1, 0], sharex=rate)
    quality = figure.add_subplot(grid[2, 0], sharex=rate)
    hours = np.arange(len(summary.rates))
    length = summary.seconds / _HOUR_S
    middles = (hours + np.minimum(hours + 1, length)) / 2
    _draw_rate(rate, summary, middles)
    _draw_events(events, summary)
    widths = np.minimum(hours + 1, length) - hours
    quality.bar(middles, 100 * summary.usable_by_hour, width=0.94 * widths, color=SKY)
    quality.set_ylim(0, 100)
    quality.set_ylabel("usable ECG\nin %")
    quality.set_xlabel("hours from the start of the recording")
    quality.set_xlim(0, length)
    _draw_classes(figure.add_subplot(grid[:, 1]), summary)
    for axes in (rate, events):
        axes.tick_params(labelbottom=False)
    return figure


def _draw_rate(axes: "Axes", summary: RecordingSummary, middles: np.ndarray) -> None:
    low, mean, high = summary.rates.T
    axes.vlines(middles, low, high, color=SKY, linewidth=4, alpha=0.6, label="lowest to highest")
    axes.plot(middles, mean, color=BLUE, marker="o", markersize=3, label="mean")
    axes.set_ylabel("heart rate\nper minute")
    axes.grid(axis="y")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2)


def _draw_events(axes: "Axes", summary: RecordingSummary) -> None:
    names = [*summary.runs, "pause"]
    for place, name in enumerate(names):
        if name == "pause":
            times, sizes = summary.pauses[:, 0], 10 * summary.pauses[:, 1]
        else:
            times = np.asarray([run.seconds for run in summary.runs[name]])
            sizes = np.asarray([4.0 * run.num_beats for run in summary.runs[name]])
        axes.scatter(
            times / _HOUR_S,
            np.full(len(times), place),
            s=np.clip(sizes, 8, 200),
            color=_COLORS.get(name, MUTED),
            alpha=0.5,
            linewidths=0,
        )
    labels = [name if name == "pause" else f"runs of {name}" for name in names]
    axes.set_yticks(range(len(names)), labels)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x")


def _draw_classes(axes: "Axes", summary: RecordingSummary) -> None:
    names = [*summary.counts, "?"]
    numbers = [*summary.counts.values(), summary.num_unclassified]
    shares = [100 * number / max(1, summary.num_beats) for number in numbers]
    places = range(len(names))
    axes.barh(places, shares, color=[_COLORS.get(name, BLUE) for name in names])
    for place, (share, number) in enumerate(zip(shares, numbers, strict=True)):
        is_wide = share > 60
        axes.annotate(
            f"{share:.2f} % ({number})",
            (share, place),
            xytext=(-3 if is_wide else 3, 0),
            textcoords="offset points",
            ha="right" if is_wide else "left",
            va="center",
            color="white" if is_wide else "black",
            fontsize=8,
        )
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of the beats")
