"""The other figures of the page, each narrow enough for a phone.

Import this module only where figures are made: it loads matplotlib.
"""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ecgexp.analysis import formatting
from ecgexp.analysis.report.groups import ClientScore, Configuration
from ecgexp.analysis.report.svg import cut, drawn, panel
from ecgexp.analysis.spread import Spread
from ecgexp.evaluation.names import metric_name
from ecgexp.evaluation.stored_tables import StoredStrip
from ecgexp.evaluation.style import BLUE, FAINT, GREEN, INK, MUTED, SKY, VERMILION
from ecgexp.formatting import count_text

_CLASS_MARKS = {
    "f1": (BLUE, "o"),
    "sensitivity": (VERMILION, "^"),
    "positive_predictivity": (GREEN, "s"),
}
_WIDTH = 3.6
_LEAST_SHARE = 0.1  # smallest range of an accuracy
_LEAST_MV = 1.0  # smallest range of a strip


@drawn
def class_figure(
    configurations: Sequence[Configuration], name: str, *, split: str, synthetic: bool
) -> Figure:
    """Draw F1, sensitivity and positive predictivity of one class, one row per configuration.

    Bars show the range over the seeds.

    Args:
      configurations: rows, top to bottom.
      name: the class.
      split: `test` or `validation`.
      synthetic: whether the data are synthetic.
    """
    count = len(configurations)
    figure = panel(_WIDTH, 1.15 + 0.34 * count, synthetic=synthetic)
    axes = figure.add_subplot()
    for shift, (score, label) in zip(
        (-0.2, 0.0, 0.2), formatting.CLASS_SCORES.items(), strict=True
    ):
        found = [one.score(split, f"{score}/{metric_name(name)}") for one in configurations]
        _draw_spreads(axes, found, shift, *_CLASS_MARKS[score], label)
    axes.hlines(
        np.arange(1, count) - 0.5,
        0,
        1,
        color=FAINT,
        linewidth=0.6,
        transform=axes.get_yaxis_transform(),
    )
    _rows(axes, [f"[{one.number}]" for one in configurations])
    axes.set(xlim=(-0.02, 1.02), xlabel="score")
    axes.grid(visible=True, axis="x")
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, handletextpad=0.2
    )
    return figure


@drawn
def confusion_panel(confusion: np.ndarray, classes: Sequence[str], *, synthetic: bool) -> Figure:
    """Draw a confusion matrix: counts, colored by the fraction of the true class.

    Args:
      confusion: (classes, classes) counts; rows are true classes.
      classes: names of the classes.
      synthetic: whether the data are synthetic.
    """
    size = len(classes)
    fractions = confusion / np.maximum(confusion.sum(axis=1), 1)[:, None]
    figure = panel(_WIDTH, 0.75 + 0.5 * size, synthetic=synthetic)
    axes = figure.add_subplot()
    # Squares, not an image, because the content policy of the page forbids images; transparent, so
    # that dark mode has a dark background. By the square root of the fraction: 2 % of all N beats
    # is many beats, and should not look empty.
    for i, j in np.ndindex(size, size):
        square = Rectangle((j + 0.02, i + 0.02), 0.96, 0.96, linewidth=0)
        square.set(facecolor=BLUE, alpha=0.04 + 0.96 * math.sqrt(fractions[i, j]))
        axes.add_patch(square)
        if confusion[i, j]:
            axes.text(
                j + 0.5,
                i + 0.5,
                count_text(int(confusion[i, j])),
                ha="center",
                va="center",
                fontsize=9 if size < 6 else 7.5,
                weight="bold" if i == j else "normal",
                color="white" if fractions[i, j] > 0.6 else INK,
            )
    axes.set_xlim(0, size)
    names = [cut(name, 8) for name in classes]
    axes.set_xticks(np.arange(size) + 0.5, names)
    axes.set_yticks(np.arange(size) + 0.5, names)
    axes.set(xlabel="predicted", ylabel="true", ylim=(size, 0))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


@drawn
def client_panel(clients: Sequence[ClientScore], *, synthetic: bool) -> Figure:
    """Draw the accuracy on each client's test beats, with the majority-class baseline.

    Args:
      clients: worst first; at least one.
      synthetic: whether the data are synthetic.
    """
    count = len(clients)
    figure = panel(_WIDTH, 1.25 + 0.19 * count, synthetic=synthetic)
    axes = figure.add_subplot()
    places = np.arange(count)
    axes.plot(
        [client.majority for client in clients],
        places,
        marker="|",
        color=MUTED,
        ms=9,
        mew=1.4,
        linestyle="none",
        label="majority-class baseline",
    )
    _draw_spreads(axes, [client.accuracy for client in clients], 0.0, BLUE, "o", "the model")
    _rows(axes, [cut(client.client, 12) for client in clients], size=8)
    axes.set_xlabel("accuracy on the client's test beats")
    axes.set_xlim(left=min(axes.get_xlim()[0], 1 - _LEAST_SHARE), right=1.01)
    axes.grid(visible=True, axis="x")
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, handletextpad=0.2
    )
    return figure


@drawn
def time_figure(
    configurations: Sequence[Configuration], seconds: Sequence[Spread], *, synthetic: bool
) -> Figure:
    """Draw the duration of a run, one row per configuration; lines show the range over seeds.

    Args:
      configurations: rows, top to bottom.
      seconds: duration of a run of each configuration.
      synthetic: whether the data are synthetic.
    """
    figure = panel(_WIDTH, 0.85 + 0.26 * len(configurations), synthetic=synthetic)
    axes = figure.add_subplot()
    unit, name = _time_unit(max((found.high for found in seconds if found.is_defined), default=1.0))
    places = np.arange(len(seconds))
    axes.barh(places, [found.mean / unit for found in seconds], height=0.6, color=BLUE)
    axes.hlines(
        places,
        [found.low / unit for found in seconds],
        [found.high / unit for found in seconds],
        color=INK,
        linewidth=1.4,
    )
    _rows(axes, [f"[{one.number}]" for one in configurations])
    axes.set_xlabel(f"{name} per run")
    axes.set_xlim(left=0)
    axes.grid(visible=True, axis="x")
    return figure


@drawn
def strip_figure(
    strip: StoredStrip, beats: Sequence[tuple[float, str, bool]], *, synthetic: bool
) -> Figure:
    """Draw some seconds of a record around a misclassified beat.

    Args:
      strip: the signal.
      beats: (seconds from the misclassified beat, text, whether the beat is misclassified) of each
        beat with a prediction.
      synthetic: whether the data are synthetic.
    """
    figure = panel(10.0, 1.55, synthetic=synthetic)
    axes = figure.add_subplot()
    low, high = float(strip.mv.min()), float(strip.mv.max())
    # A flat line should look flat.
    missing = max(0.0, _LEAST_MV - (high - low)) / 2
    low, high = low - missing, high + missing
    axes.axvspan(-0.3, 0.3, color=SKY, alpha=0.3, linewidth=0)
    axes.plot(strip.seconds, strip.mv, color=INK, linewidth=0.8)
    for second, text, is_wrong in beats:
        axes.annotate(
            text,
            (second, high),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8,
            weight="bold" if is_wrong else "normal",
            color=VERMILION if is_wrong else MUTED,
            annotation_clip=True,
        )
    axes.set(xlim=(-5, 5), ylim=(low, high + 0.12 * (high - low)))
    axes.set_xticks(range(-5, 6))
    axes.set_xlabel("seconds from the misclassified beat", fontsize=8)
    axes.set_ylabel(f"{cut(strip.lead, 8)}, mV", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(visible=True)
    return figure


def _draw_spreads(
    axes: Axes, found: Sequence[Spread], shift: float, color: str, marker: str, label: str
) -> None:
    places = np.arange(len(found)) + shift
    axes.plot(
        [one.mean for one in found],
        places,
        color=color,
        marker=marker,
        ms=5,
        markeredgecolor=INK,
        markeredgewidth=0.5,
        linestyle="none",
        label=label,
        zorder=3,
        clip_on=False,
    )
    # One artist: matplotlib takes milliseconds for each.
    axes.hlines(
        places,
        [one.low for one in found],
        [one.high for one in found],
        color=color,
        linewidth=2,
        capstyle="projecting",
        zorder=2,
        clip_on=False,
    )


def _rows(axes: Axes, names: Sequence[str], *, size: float = 9) -> None:
    axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _time_unit(longest: float) -> tuple[float, str]:
    if math.isfinite(longest) and longest > 2 * 3600:
        return 3600.0, "hours"
    return (60.0, "minutes") if longest > 180 else (1.0, "seconds")
