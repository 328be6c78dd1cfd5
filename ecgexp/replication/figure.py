"""The study as a figure: scores as protocol errors are removed, and ε as printed and corrected."""

import math
from collections.abc import Sequence
from typing import Any

from ecgexp.evaluation.style import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    new_figure,
    styled,
)
from ecgexp.formatting import score_text
from ecgexp.replication.gather import StageResult
from ecgexp.replication.reported_epsilon import Ladder
from ecgexp.replication.tables import LADDER_NAMES

_TITLES = {
    "central": "Images, centralized",
    "dp": "DP-SGD as printed, noise multiplier 1.4",
    "federated": "Ten records, federated",
}
_STYLES = {
    "as_printed": (VERMILION, "-", "o"),
    "right_count": (ORANGE, "--", "s"),
    "tight": (SKY, "-.", "^"),
    "ten_copies": (PURPLE, "-", "D"),
    "no_amplification": (BLUE, "-", "v"),
}


@styled
def study_figure(measured: Sequence[StageResult], ladders: Sequence[Ladder]) -> Any:
    """Return a matplotlib figure of two panels.

    Args:
      measured: the stages, in order.
      ladders: ε per noise multiplier.
    """
    databases = sorted({one.source for one in measured if one.source}) or ["not run"]
    num_seeds = max((len(one.runs) for one in measured), default=0)
    seeds = "one seed" if num_seeds == 1 else f"mean and range of {num_seeds} seeds"
    source = f"{', '.join(databases)}, test; {seeds}; a narrowed network"
    rows = sum(1 if one.stage.corrected else 2.4 for one in measured)
    figure = new_figure(
        11.5,
        max(4.6, 1.6 + 0.34 * rows),
        title="The replicated study as its protocol errors are removed one after another",
        source=source,
    )
    left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
    _draw_scores(left, measured)
    _draw_ladders(right, ladders)
    return figure


def _draw_scores(axes: Any, measured: Sequence[StageResult]) -> None:
    place, places, labels = 0.0, [], []
    for i, one in enumerate(measured):
        if not one.stage.corrected:
            place += 1.4 if i else 0.4
            axes.text(
                0.0,
                place,
                _TITLES[one.stage.protocol],
                transform=axes.get_yaxis_transform(),
                weight="bold",
                va="center",
            )
            place += 1.0
        places.append(place)
        labels.append(one.stage.label)
        _draw_stage(axes, place, one)
        place += 1.0
    axes.set_yticks(places, labels)
    axes.set(xlim=(0, 1.02), ylim=(place, -0.4), xlabel="score on the test beats of the stage")
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=True, axis="x")
    handles = [
        axes.plot([], [], "o", color=BLUE, label="accuracy")[0],
        axes.plot([], [], "D", color=VERMILION, label="macro F1")[0],
        axes.plot(
            [],
            [],
            "|",
            color=INK,
            markersize=11,
            markeredgewidth=1.6,
            label="majority-class baseline",
        )[0],
    ]
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.4, -0.09),
        ncols=3,
        handletextpad=0.2,
        columnspacing=1.2,
    )


def _draw_stage(axes: Any, place: float, one: StageResult) -> None:
    always = one.mean("test/majority/accuracy")
    if always is not None:
        axes.plot([always], [place], "|", color=INK, markersize=11, markeredgewidth=1.6)
    for metric, color, mark, above in (
        ("test/macro_f1", VERMILION, "D", False),
        ("test/accuracy", BLUE, "o", True),
    ):
        values, mean = one.values(metric), one.mean(metric)
        if mean is None:
            continue
        axes.plot([min(values), max(values)], [place, place], color=color, linewidth=2.2, alpha=0.5)
        axes.plot([mean], [place], mark, color=color, markersize=6.5 if above else 5.5)
        side = {"va": "bottom", "y": place - 0.16} if above else {"va": "top", "y": place + 0.16}
        axes.text(x=mean, s=score_text(mean), ha="center", fontsize=7, color=color, **side)
    if not one.runs:
        axes.text(0.5, place, "not run", ha="center", va="center", color=MUTED, fontsize=8)


def _draw_ladders(axes: Any, ladders: Sequence[Ladder]) -> None:
    noises = [ladder.noise_multiplier for ladder in ladders]
    for name, (color, dash, mark) in _STYLES.items():
        values = [getattr(ladder, name) for ladder in ladders]
        axes.plot(
            noises,
            values,
            color=color,
            linestyle=dash,
            marker=mark,
            markersize=4,
            label=LADDER_NAMES[name],
        )
    top = 4 * max(v for ladder in ladders for v in vars(ladder).values() if math.isfinite(v))
    axes.set_yscale("log")
    axes.set(ylim=(0.2, 2.2 * top), xlabel="noise multiplier", ylabel="ε at δ = 4e-6")
    axes.axhline(top, color=GREEN, linewidth=2)
    axes.text(
        noises[-1],
        top * 0.93,
        "executed steps: ∞, no noise was added",
        color=GREEN,
        ha="right",
        va="top",
    )
    axes.set_yticks([0.3, 1, 3, 10, 30, 100, top], ["0.3", "1", "3", "10", "30", "100", "∞"])
    axes.minorticks_off()
    axes.grid(visible=True, axis="y", color=FAINT)
    axes.set_title("ε of 20 epochs (no guarantee of any run)")
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.09), ncols=2, columnspacing=1.2)
