"""Scores on new patients against ε, in one figure.

Import this module only where figures are made: it loads matplotlib.
"""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from ecgexp.analysis.results_page.groups import ResultGroup
from ecgexp.analysis.results_page.tables import BASELINE
from ecgexp.evaluation.style import BLUE, GREEN, INK, MUTED, VERMILION, new_figure, styled
from ecgexp.formatting import count_text

# Not macro F1: experiments differ in whether they include the few beats of class Q.
_PANELS = {"test/accuracy": "accuracy", "test/f1/V": "F1 of class V"}
_DASHES = ("--", "-.")
_MARKS = ((BLUE, "o"), (VERMILION, "s"), (GREEN, "D"))
_TICKS = (0.1, 0.3, 1, 3, 10, 30)


@styled
def privacy_figure(groups: Sequence[ResultGroup], labels: Sequence[str]) -> Figure:
    """Draw mean and range over seeds against ε of one run, a line for each kind of guarantee.

    ε of a hypothetical population is not drawn, because it is not a guarantee of any run.

    Args:
      groups: results; those without a guarantee are drawn as horizontal lines.
      labels: label per group: the features of a group without a guarantee, otherwise empty.
    """
    figure = new_figure(
        9.6, 4.5, title="Privacy guarantee and scores on new patients", source=_source(groups)
    )
    panels = figure.subplots(1, len(_PANELS))
    for axes, (score, name) in zip(panels, _PANELS.items(), strict=True):
        _draw(axes, groups, labels, score)
        axes.set_ylabel(name)
    handles, names = panels[-1].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2)
    return figure


def _source(groups: Sequence[ResultGroup]) -> str:
    beats = sorted({group.first.evaluated.beats or 0 for group in groups})
    counts = " or ".join(count_text(count) for count in beats)
    database = groups[0].first.evaluated.database
    return f"{database}, DS1 → DS2, {counts} test beats; mean and range over seeds"


def _draw(axes: Axes, groups: Sequence[ResultGroup], labels: Sequence[str], score: str) -> None:
    axes.set_xscale("log")
    private = [group for group in groups if group.privacy is not None]
    for place, guarantee in enumerate(dict.fromkeys(group.first.guarantee for group in private)):
        color, marker = _MARKS[place % len(_MARKS)]
        part = sorted(
            (group for group in private if group.first.guarantee == guarantee),
            key=lambda group: group.epsilon.mean,
        )
        found = [group.score(score) for group in part]
        axes.errorbar(
            [group.epsilon.mean for group in part],
            [one.mean for one in found],
            yerr=[[one.mean - one.low for one in found], [one.high - one.mean for one in found]],
            color=color,
            marker=marker,
            markeredgecolor=INK,
            markeredgewidth=0.7,
            capsize=3,
            zorder=3,
            label=_label(part),
        )
    without = [
        (group, label) for group, label in zip(groups, labels, strict=True) if group.privacy is None
    ]
    for place, (group, label) in enumerate(without):
        found, dash = group.score(score), _DASHES[place % len(_DASHES)]
        text = f"{group.first.guarantee}, {label}"
        axes.axhline(found.mean, color=INK, linewidth=1.1, linestyle=dash, label=text)
        axes.axhspan(found.low, found.high, color=INK, alpha=0.08, linewidth=0)
    baseline = 0.0 if score == "test/f1/V" else groups[0].score("test/majority/accuracy").mean
    axes.axhline(baseline, color=MUTED, linewidth=1.3, linestyle=":", label=BASELINE)
    epsilons = [group.epsilon.mean for group in private]
    axes.set_xlim(min(epsilons) / 1.6, max(epsilons) * 1.6)
    axes.xaxis.set_major_locator(FixedLocator(_TICKS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("ε of one run (log scale)")
    axes.grid(visible=True)


def _label(groups: Sequence[ResultGroup]) -> str:
    """The guarantee, its δ, and whether it has to be measured again."""
    deltas = sorted({group.privacy.delta for group in groups if group.privacy is not None})
    stale = ", to be measured again" if any(group.stale for group in groups) else ""
    deltas_text = ", ".join(f"{delta:g}" for delta in deltas if not math.isnan(delta))
    return f"{groups[0].first.guarantee} (δ {deltas_text}{stale})"
