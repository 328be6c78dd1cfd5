"""Privacy–utility curves: scores against ε.

Import this module only where figures are made: it loads matplotlib.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ecgexp.analysis.formatting import LEVELS
from ecgexp.analysis.report import published
from ecgexp.analysis.report.groups import Configuration, distinguishing_labels, series, set_up
from ecgexp.analysis.report.svg import cut, drawn, panel
from ecgexp.analysis.spread import Spread, spread
from ecgexp.evaluation.style import BLUE, GREEN, INK, MUTED, ORANGE, PURPLE, SKY, VERMILION

SCORES = {"macro_f1": "macro F1", "accuracy": "accuracy"}
MOST_CURVES, MOST_LINES, MOST_NUMBERED = 12, 6, 60

# Shape and color together, so that a gray print is legible; the dark edge makes pale markers
# visible.
_MARKS = tuple(zip((BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY), "osD^vP", strict=True))
_DASHES = ("--", "-.", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (7, 2, 1, 2)), (0, (1, 1)))
_AXES_HEIGHT, _LINE_HEIGHT = 3.1, 0.18  # inches, of the axes and of a line of the legend
_LEAST_HEIGHT = 0.1  # smallest range of the y axis, as a score
_TICK_GAP = 0.055  # between the letters of two ticks, as a fraction of the axis


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Configurations that differ in their noise only, by increasing ε.

    Attributes:
      label: level of the guarantee, and the settings that distinguish this curve from others.
      configurations: by increasing ε, which is finite.
    """

    label: str
    configurations: Sequence[Configuration]


def curves(configurations: Sequence[Configuration]) -> list[Curve]:
    """Return the curves of all configurations with noise and a finite ε."""
    groups: dict[frozenset[tuple[str, str]], list[Configuration]] = {}
    for configuration in configurations:
        if configuration.guarantee != "none" and 0 < configuration.epsilon.high < math.inf:
            groups.setdefault(series(configuration), []).append(configuration)
    parts = [sorted(part, key=lambda one: one.epsilon.mean) for part in groups.values()]
    labels = distinguishing_labels([dict(key) for key in groups])
    return [
        Curve(label=_curve_label(part[0], label), configurations=part)
        for part, label in zip(parts, labels, strict=True)
    ]


def best_curves(configurations: Sequence[Configuration], score: str, *, split: str) -> list[Curve]:
    """Return the curves to draw: of many, the `MOST_CURVES` with the highest scores.

    Args:
      configurations: with and without noise.
      score: a key of `SCORES`.
      split: `test` or `validation`.
    """
    every = curves(configurations)
    ranked = sorted(
        range(len(every)),
        key=lambda place: -max(
            (
                found.mean
                for one in every[place].configurations
                if (found := one.score(split, score)).is_defined
            ),
            default=-math.inf,
        ),
    )
    return [every[place] for place in sorted(ranked[:MOST_CURVES])]


def are_numbered(drawn_curves: Sequence[Curve]) -> bool:
    """Return whether the points have the numbers of their configurations beside them.

    More than `MOST_NUMBERED` numbers would hide each other and the points.
    """
    return sum(len(curve.configurations) for curve in drawn_curves) <= MOST_NUMBERED


def baselines(configurations: Sequence[Configuration]) -> list[Configuration]:
    """Return the baselines: configurations without noise that are comparable to a noisy one.

    Comparable configurations share data, split, features and model (`groups.set_up`).
    """
    noisy = {set_up(one) for curve in curves(configurations) for one in curve.configurations}
    return [one for one in configurations if one.guarantee == "none" and set_up(one) in noisy]


def majorities(configurations: Sequence[Configuration], split: str, score: str) -> list[Spread]:
    """Return the majority-class baseline of each database.

    It is a mean over all runs, whose test beats may differ.
    """
    names = dict.fromkeys(one.database for one in configurations)
    rows = [
        [row for one in configurations if one.database == name for row in one.rows]
        for name in names
    ]
    found = [spread(row.metrics.get(f"{split}/majority/{score}") for row in part) for part in rows]
    return [part for part in found if part.is_defined]


@drawn
def curve_figure(
    configurations: Sequence[Configuration],
    score: str,
    *,
    split: str,
    synthetic: bool,
    references: bool,
) -> Figure:
    """Draw one score against ε.

    Args:
      configurations: with and without noise.
      score: a key of `SCORES`.
      split: `test` or `validation`.
      synthetic: whether the data are synthetic.
      references: whether to draw published accuracies too.

    Returns:
      The figure, without a title.
    """
    figure = panel(3.8, _AXES_HEIGHT, synthetic=synthetic)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    drawn_curves = best_curves(configurations, score, split=split)
    for place, curve in enumerate(drawn_curves):
        _draw_curve(
            axes,
            curve,
            score,
            split,
            *_MARKS[place % len(_MARKS)],
            numbered=are_numbered(drawn_curves),
        )
    for place, one in enumerate(baselines(configurations)[:MOST_LINES]):
        found = one.score(split, score)
        if found.is_defined:
            label = cut(f"no privacy, [{one.number}]: {found.mean:.3f}", 46)
            axes.axhline(
                found.mean,
                color=INK,
                linewidth=1.1,
                linestyle=_DASHES[place],
                label=label,
                zorder=1,
            )
            axes.axhspan(found.low, found.high, color=INK, alpha=0.08, linewidth=0)
    for found in majorities(configurations, split, score)[:MOST_LINES]:
        label = f"majority-class baseline: {found.mean:.3f}"
        axes.axhline(found.mean, color=MUTED, linewidth=1.3, linestyle=":", label=label, zorder=1)
        axes.axhspan(found.low, found.high, color=MUTED, alpha=0.1, linewidth=0)
    if references and score == "accuracy":
        _draw_published(axes)
    _finish(axes, SCORES[score], split)
    if references and score == "accuracy":
        _letter_ticks(axes)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=1, handlelength=2.6)
    figure.set_figheight(_AXES_HEIGHT + _LINE_HEIGHT * len(labels))
    return figure


def reference_key() -> Mapping[str, str]:
    """Return letter -> label of each published accuracy without noise."""
    return {letter: f"{one.label}: {one.accuracy:.3f}" for letter, one in _lettered()}


def _draw_curve(
    axes: Axes,
    curve: Curve,
    score: str,
    split: str,
    color: str,
    marker: str,
    *,
    numbered: bool,
) -> None:
    known = [
        (one, found)
        for one in curve.configurations
        if (found := one.score(split, score)).is_defined
    ]
    if not known:
        return
    epsilons = [one.epsilon.mean for one, _ in known]
    means = [found.mean for _, found in known]
    score_errors = _error_bars([found for _, found in known])
    # ε differs between seeds if they train on different numbers of beats.
    epsilon_errors = _error_bars([one.epsilon for one, _ in known])
    simulated = any(one.guarantee == "simulation" for one, _ in known)
    axes.errorbar(
        epsilons,
        means,
        yerr=score_errors,
        xerr=epsilon_errors,
        color=color,
        marker=marker,
        markersize=6.5,
        markeredgecolor=INK,
        markeredgewidth=0.7,
        markerfacecolor="white" if simulated else color,
        linewidth=1.2,
        elinewidth=1.6,
        capsize=3.5,
        zorder=3,
        label=cut(curve.label, 56),
    )
    in_order = sorted(zip(epsilons, known, strict=True), key=lambda point: point[0])
    for place, (epsilon, (one, found)) in enumerate(in_order if numbered else ()):
        # Alternately above and below: on a long axis, numbers of close points would overlap.
        high, shift, edge = (found.low, -6, "top") if place % 2 else (found.high, 6, "bottom")
        axes.annotate(
            f"[{one.number}]",
            (epsilon, high),
            xytext=(0, shift),
            textcoords="offset points",
            ha="center",
            va=edge,
            fontsize=8,
            zorder=4,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6},
        )


def _error_bars(found: Sequence[Spread]) -> list[list[float]]:
    """Return the distances from each mean to the lowest and the highest value."""
    return [
        [max(0.0, one.mean - one.low) for one in found],
        [max(0.0, one.high - one.mean) for one in found],
    ]


def _draw_published(axes: Axes) -> None:
    marks = [
        (one.epsilon, one.accuracy) for one in published.SPLIT_LAYER if one.epsilon is not None
    ]
    axes.plot(
        [epsilon for epsilon, _ in marks],
        [accuracy for _, accuracy in marks],
        color=MUTED,
        marker="x",
        markersize=6,
        linestyle=(0, (1, 2)),
        linewidth=1,
        label="published: noise on a split layer*",
        zorder=2,
    )
    for one in published.WITHOUT_NOISE:
        axes.plot(
            [0.955, 1],
            [one.accuracy] * 2,
            color=MUTED,
            linewidth=1.6,
            transform=axes.get_yaxis_transform(),
        )
    axes.plot(
        [], [], color=MUTED, linewidth=1.6, label="published without noise (letters at the right)"
    )


def _letter_ticks(axes: Axes) -> None:
    """Write a letter beside each published tick, without overlaps.

    The limits of the axis must be final.
    """
    low, high = axes.get_ylim()
    lettered = _lettered()
    heights = _spread_out([one.accuracy for _, one in lettered], gap=_TICK_GAP * (high - low))
    for (letter, _), height in zip(lettered, heights, strict=True):
        axes.annotate(
            letter,
            (1, height),
            xycoords=axes.get_yaxis_transform(),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=INK,
            annotation_clip=False,
        )


def _lettered() -> list[tuple[str, published.Published]]:
    ordered = sorted(published.WITHOUT_NOISE, key=lambda one: -one.accuracy)
    return list(zip("abcdefgh", ordered, strict=False))


def _spread_out(heights: Sequence[float], *, gap: float) -> list[float]:
    """Move decreasing `heights` down so that each is at least `gap` below the one before."""
    placed: list[float] = []
    for height in heights:
        placed.append(min(height, placed[-1] - gap) if placed else height)
    return placed


def _finish(axes: Axes, score: str, split: str) -> None:
    low, high = axes.get_ylim()
    # Differences of a thousandth should not fill the figure.
    missing = max(0.0, _LEAST_HEIGHT - (high - low)) / 2
    low, high = low - missing, high + missing
    axes.set_ylim(max(low, -0.02), min(high + 0.06 * (high - low), 1.02))
    left, right = axes.get_xlim()
    axes.set_xlim(left / 1.25, right * 1.25)
    wide = right / left > 30
    axes.xaxis.set_major_locator(
        LogLocator(subs=(1.0,) if right / left > 1e4 else (1.0, 3.0) if wide else (1.0, 2.0, 5.0))
    )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("ε (log scale; stronger privacy to the left)")
    axes.set_ylabel(f"{split} {score}")
    axes.grid(visible=True)


def _curve_label(one: Configuration, label: str) -> str:
    unit = (one.rows[0].privacy or {}).get("unit", "")
    words = [f"{LEVELS.get(unit, unit)} DP".strip(), label]
    if one.guarantee == "simulation":
        words.insert(0, "simulation, no privacy guarantee")
    return ", ".join(word for word in words if word)
