"""Figure of the accuracy of each client, one row for each client, worst first.

Import this module only where figures are made: it loads matplotlib.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecgexp.evaluation.comparison import GLOBAL, LABELS, LOCAL_ONLY, PERSONALIZED, POOLED
from ecgexp.evaluation.style import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    VERMILION,
    clients_in_words,
    new_figure,
    styled,
)
from ecgexp.formatting import count_text

_MOST_NAMED = 80  # beyond so many clients no name could be read, and every few are named
_LEAST_WIDTH = 0.1  # smallest range of the accuracy, so that noise does not fill the axis
_HEAD = 1.9  # inches for what stands above and below the rows

# Shape and color together, so that a gray print can be read too.
_STYLES = {
    POOLED: {"marker": "D", "color": ORANGE, "ms": 4},
    LOCAL_ONLY: {"marker": "s", "color": VERMILION, "ms": 4.5},
    PERSONALIZED: {"marker": "^", "color": GREEN, "ms": 5.5},
    GLOBAL: {"marker": "o", "color": BLUE, "ms": 5.5},
}
_BASELINE = {"marker": "|", "color": MUTED, "ms": 9, "mew": 1.4, "linestyle": "none"}


@styled
def per_client_figure(
    rows: Sequence[Mapping[str, Any]], *, majority_class: str, source: str
) -> Figure:
    """Draw the accuracy of one model on each client's beats, beside the majority-class baseline.

    Args:
      rows: As `ClientScores.rows` gives them, worst first; at least one. Without `in_training` no
        client is marked as new.
      majority_class: The class that the baseline always answers.
      source: Which data, e.g. `"mitdb 1.0.0, test"`.
    """
    accuracy = np.array([row["accuracy"] for row in rows])
    majority = np.array([row["majority_accuracy"] for row in rows])
    trained = np.array([row.get("in_training", True) for row in rows])
    known = "in_training" in rows[0]
    figure = new_figure(
        6.4,
        _HEAD + _height(len(rows)),
        title=f"Accuracy by client, {clients_in_words(len(rows))}",
        source=source,
    )
    axes, places = figure.add_subplot(), np.arange(len(rows))
    axes.hlines(places, majority, accuracy, color=FAINT, linewidth=1.4)
    axes.plot(majority, places, label=f"majority-class baseline ({majority_class})", **_BASELINE)
    size = 5.5 if len(rows) <= _MOST_NAMED else 3
    trained_on = "trained on" if known else "the model"
    for chosen, fill, label in (
        (trained, BLUE, trained_on),
        (~trained, "white", "new client, not in training"),
    ):
        if chosen.any():
            style = {
                "linestyle": "none",
                "marker": "o",
                "color": BLUE,
                "markerfacecolor": fill,
                "ms": size,
            }
            axes.plot(
                accuracy[chosen], places[chosen], label=label, clip_on=False, zorder=3, **style
            )
    axes.axvline(
        accuracy.mean(),
        color=BLUE,
        linewidth=1,
        linestyle="--",
        label=f"mean {accuracy.mean():.3f}",
    )
    _label(
        axes, [row["client"] for row in rows], [row["beats"] for row in rows], [accuracy, majority]
    )
    axes.set_xlabel("accuracy on the client's beats")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


@styled
def comparison_figure(
    rows: Sequence[Mapping[str, Any]], overall: Mapping[str, float], *, source: str
) -> Figure:
    """Draw accuracies of several models: left on each client's test beats, right on all test beats.

    A panel without clients is left out. Under a split by patient no client that was trained has
    test beats, and the left one shows clients that are new to the models. Rows are sorted by the
    global model, worst first; at the right by the client's own.

    Args:
      rows: As `BaselineComparison.rows` gives them.
      overall: Model -> accuracy on all test beats, of `global` and `pooled`; NaN for one that
        diverged.
      source: Which data.
    """
    own = sorted((row for row in rows if row["test_beats"]), key=lambda row: row["global_accuracy"])
    everywhere = [
        row for row in rows if not math.isnan(row.get("local_only_test_accuracy", math.nan))
    ]
    everywhere.sort(key=lambda row: row["local_only_test_accuracy"])
    panels = [part for part in ((_draw_own, own), (_draw_everywhere, everywhere)) if part[1]]
    height = _HEAD + max((_height(len(part)) for _, part in panels), default=1)
    figure = new_figure(
        1 + 5.4 * max(len(panels), 1), height, title="Models compared by client", source=source
    )
    handles: dict[str, Any] = {}
    for axes, (draw, part) in zip(
        np.atleast_1d(figure.subplots(1, len(panels) or 1)), panels, strict=False
    ):
        draw(axes, part, overall)
        handles |= {
            label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
    most = 3 * max(len(panels), 1)
    columns = math.ceil(len(handles) / math.ceil(len(handles) / most)) if handles else 1
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns)
    return figure


def _draw_own(axes: Axes, rows: Sequence[Mapping[str, Any]], overall: Mapping[str, float]) -> None:
    columns = {
        model: np.array([row.get(f"{model}_accuracy", math.nan) for row in rows])
        for model in _STYLES
    }
    known = np.array([values for values in columns.values() if not np.isnan(values).all()])
    places, share = np.arange(len(rows)), np.array([row["largest_class_share"] for row in rows])
    axes.hlines(
        places, np.nanmin(known, axis=0), np.nanmax(known, axis=0), color=FAINT, linewidth=1.4
    )
    axes.plot(share, places, label="majority-class baseline of the client", **_BASELINE)
    for model, style in _STYLES.items():
        if not np.isnan(columns[model]).all():
            fill = (
                "none" if model == GLOBAL else style["color"]
            )  # a ring, so that a model beneath it shows
            axes.plot(
                columns[model],
                places,
                label=LABELS[model],
                linestyle="none",
                clip_on=False,
                markerfacecolor=fill,
                **style,
            )
    _label(axes, [_name(row) for row in rows], [row["test_beats"] for row in rows], [*known, share])
    axes.set(
        xlabel="accuracy", title=f"on the client's own test beats: {clients_in_words(len(rows))}"
    )


def _draw_everywhere(
    axes: Axes, rows: Sequence[Mapping[str, Any]], overall: Mapping[str, float]
) -> None:
    values = np.array([row["local_only_test_accuracy"] for row in rows])
    style = {
        "label": LABELS[LOCAL_ONLY],
        "linestyle": "none",
        "clip_on": False,
        **_STYLES[LOCAL_ONLY],
    }
    axes.plot(values, np.arange(len(rows)), **style)
    for model, dash in ((GLOBAL, "-"), (POOLED, "--")):
        if not math.isnan(value := overall.get(model, math.nan)):
            text = f"{LABELS[model]}, on all test beats: {value:.3f}"
            axes.axvline(
                value, color=_STYLES[model]["color"], linestyle=dash, linewidth=1.2, label=text
            )
    lines = [np.array([value]) for value in overall.values() if not math.isnan(value)]
    _label(
        axes,
        [row["client"] for row in rows],
        [row["train_beats"] for row in rows],
        [values, *lines],
        kind="training beats",
    )
    axes.set(xlabel="accuracy", title="on all test beats: each client's own model")


def _label(
    axes: Axes,
    names: Sequence[str],
    beats: Sequence[int],
    values: Sequence[np.ndarray],
    *,
    kind: str = "beats",
) -> None:
    """Label names at the left and beats at the right; the worst client is at the top."""
    count = len(names)
    shown, size = np.arange(count), 8 if count <= 40 else 7
    if count > _MOST_NAMED:
        shown, size = shown[:: -(-count // 60)], 6
    axes.set_yticks(shown, [names[int(i)] for i in shown], fontsize=size)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(count - 0.4, -0.6)
    low = min(float(np.nanmin(part)) for part in values)
    left = max(0.0, min(math.floor(low * 20 - 0.5) / 20, 1 - _LEAST_WIDTH))
    axes.set_xlim(left, 1 + 0.01 * (1 - left))
    column = {"xytext": (42, 0), "textcoords": "offset points", "ha": "right"}
    for place in shown:
        where = {"xy": (1, place), "xycoords": axes.get_yaxis_transform(), "va": "center"}
        axes.annotate(count_text(beats[place]), fontsize=size, color=INK, **where, **column)
    axes.annotate(
        kind, (1, 1.01), xycoords="axes fraction", va="bottom", fontsize=8, color=MUTED, **column
    )
    axes.grid(visible=True, axis="x")
    axes.spines["left"].set_visible(False)


def _height(count: int) -> float:
    """Return the height of a figure with so many rows, in inches."""
    return max(0.7, (0.26 if count <= 12 else 0.2 if count <= _MOST_NAMED else 14 / count) * count)


def _name(row: Mapping[str, Any]) -> str:
    return row["client"] if row["in_training"] else f"{row['client']} (new)"
