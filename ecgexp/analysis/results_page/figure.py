"""What a promise costs on patients never seen before, in one figure.

Import this module only where figures are made: it loads matplotlib.
"""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ecgexp.analysis.results_page.measured import Measured
from ecgexp.analysis.results_page.tables import STALE
from ecgexp.evaluation.style import BLUE, GREEN, INK, MUTED, VERMILION, grouped, new_figure, styled

# Not macro F1: some of the experiments have a class Q, and some leave its few beats out.
_PANELS = {"accuracy": "test accuracy", "f1/V": "test F1 of V"}
_DASHES = ("--", "-.")
_MARKS = ((BLUE, "o"), (VERMILION, "s"), (GREEN, "D"))


@styled
def privacy_figure(measured: Sequence[Measured]) -> Figure:
    """Scores against ε, a line for each to whom something is promised; hollow marks are projections and no promise of a run.

    Args:
      measured: claims with a finite ε, joined by label; those without are drawn as horizontal lines.
    """
    figure = new_figure(
        9.6,
        4.4,
        title="What a promise costs on patients never seen before",
        source=_source(measured),
    )
    for axes, (score, name) in zip(figure.subplots(1, len(_PANELS)), _PANELS.items(), strict=True):
        _draw(axes, measured, score)
        axes.set_ylabel(name)
    named = sorted(
        zip(*reversed(axes.get_legend_handles_labels()), strict=True), key=lambda pair: pair[0]
    )
    figure.legend(
        [handle for _, handle in named],
        [label for label, _ in named],
        loc="outside lower center",
        ncols=2,
    )
    return figure


def _source(measured: Sequence[Measured]) -> str:
    row = measured[0].rows[0]
    beats = sum(row.counts.get("test", {}).values())
    return f"{row.database}, DS1 → DS2, {grouped(beats)} test beats; mean and range over seeds"


def _draw(axes: Axes, measured: Sequence[Measured], score: str) -> None:
    axes.set_xscale("log")
    private = [one for one in measured if math.isfinite(one.epsilon.mean)]
    for place, label in enumerate(dict.fromkeys(one.result_row.label for one in private)):
        colour, marker = _MARKS[place % len(_MARKS)]
        part = sorted(
            (one for one in private if one.result_row.label == label),
            key=lambda one: one.epsilon.mean,
        )
        found = [one.score(score) for one in part]
        reach = [[f.mean - f.low for f in found], [f.high - f.mean for f in found]]
        means = [f.mean for f in found]
        axes.errorbar(
            [one.epsilon.mean for one in part], means, yerr=reach, color=colour, marker=marker, markeredgecolor=INK,
            markeredgewidth=0.7, capsize=3, zorder=3,
            label=f"promised to {label}" + (f" ({STALE})" if any(one.is_stale for one in part) else ""),
        )  # fmt: skip
        projected = [
            (one.projected, mean, one.population)
            for one, mean in zip(part, means, strict=True)
            if one.projected
        ]
        if projected:
            axes.plot(
                [p[0] for p in projected], [p[1] for p in projected], color=colour, marker=marker, markerfacecolor="white",
                linestyle=":", linewidth=1, label=f"promised to {label}, projected to {grouped(projected[0][2])}: no promise",
            )  # fmt: skip
    without = [one for one in measured if not math.isfinite(one.epsilon.mean)]
    for place, one in enumerate(without):
        found, dash = one.score(score), _DASHES[place % len(_DASHES)]
        axes.axhline(
            found.mean,
            color=INK,
            linewidth=1.1,
            linestyle=dash,
            label=f"promised to {one.result_row.label}",
        )
        axes.axhspan(found.low, found.high, color=INK, alpha=0.08, linewidth=0)
    always = (
        0.0 if score == "f1/V" else measured[0].score(f"majority/{score}").mean
    )  # who always says N finds no V
    axes.axhline(always, color=MUTED, linewidth=1.3, linestyle=":", label="always N")
    axes.xaxis.set_major_locator(LogLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("ε (log; privacy is stronger to the left)")
    axes.grid(visible=True)
