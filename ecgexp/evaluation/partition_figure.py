"""Figure of a client partition: the number of beats of each class and client.

Import this module only where figures are made: it loads matplotlib.
"""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure

from ecgexp.evaluation.style import (
    FAINT,
    INK,
    MUTED,
    VERMILION,
    clients_in_words,
    new_figure,
    styled,
)
from ecgexp.formatting import count_text

_MOST_NUMBERED = 80  # beyond so many clients no number in a cell could be read
_BLUES = ListedColormap(
    matplotlib.colormaps["Blues"](np.linspace(0.12, 1, 256))
)  # one beat is not white, none is

Counts = Mapping[str, Mapping[str, Mapping[str, int]]]


@styled
def partition_figure(counts: Counts, class_names: Sequence[str], *, source: str) -> Figure:
    """Draw one row for each client, one panel for each part, colored by the log number of beats.

    The scale is logarithmic, and the same in all panels, since N is a hundred times as common as F
    and clients differ in size as much. A client without beats in a split is blank there; clients
    that were not trained on stand below a line, those of the validation split first.

    Args:
      counts: Split -> client id -> class -> beats, as `ClientPartition.class_counts` gives them.
      class_names: The columns.
      source: Which data, e.g. `"mitdb 1.0.0"`.
    """
    splits = [name for name, part in counts.items() if part]
    trained = sorted(counts["train"])
    clients = list(dict.fromkeys(client for name in splits for client in sorted(counts[name])))
    numbered, size = len(clients) <= _MOST_NUMBERED, len(class_names)
    row = 0.34 if len(clients) <= 12 else 0.22 if numbered else max(0.02, 14 / len(clients))
    title = f"Beats of each class by client, {clients_in_words(len(clients))}"
    width, height = 2.4 + len(splits) * 0.56 * (size + 1), row * len(clients)
    figure = new_figure(width, 1.7 + height, title=title, source=source)
    panels = np.atleast_1d(figure.subplots(1, len(splits), sharey=True))
    tables = [_table(counts[name], clients, class_names) for name in splits]
    norm = LogNorm(vmin=1, vmax=max(2, *(table.max() for table in tables)))
    images = []
    for axes, name, table in zip(panels, splits, tables, strict=True):
        image = axes.imshow(
            np.ma.masked_equal(table, 0),
            cmap=_BLUES,
            norm=norm,
            aspect="auto",
            interpolation="none",
        )
        images.append(image)
        if numbered:
            _write_numbers(axes, table, norm)
            axes.hlines(
                np.arange(len(clients) + 1) - 0.5, -0.5, size + 0.5, color=FAINT, linewidth=0.5
            )
        _label_columns(axes, name, table, class_names)
        if 0 < len(trained) < len(clients):
            axes.axhline(len(trained) - 0.5, color=VERMILION, linewidth=1)
    _label_rows(panels[0], clients, len(trained), numbered=numbered)
    bar = figure.colorbar(
        images[-1], ax=panels, label="beats", aspect=max(6, 6 * height), fraction=0.03, pad=0.01
    )
    bar.ax.yaxis.set_major_formatter(lambda value, _: count_text(round(value)))
    bar.outline.set_visible(False)
    return figure


def _table(
    part: Mapping[str, Mapping[str, int]], clients: Sequence[str], class_names: Sequence[str]
) -> np.ndarray:
    """(clients, classes) int64, 0 for clients that the split does not have."""
    return np.array(
        [[part.get(client, {}).get(name, 0) for name in class_names] for client in clients],
        np.int64,
    )


def _write_numbers(axes: Axes, table: np.ndarray, norm: LogNorm) -> None:
    totals = table.sum(axis=1)
    for i, j in np.ndindex(table.shape):
        if table[i, j]:
            color = "white" if norm(table[i, j]) > 0.55 else INK
            axes.text(
                j, i, count_text(table[i, j]), ha="center", va="center", fontsize=7, color=color
            )
        elif totals[i]:  # the client has beats in this split, but none of the class
            axes.text(j, i, "0", ha="center", va="center", fontsize=7, color=MUTED)
    for i in np.flatnonzero(totals):
        axes.text(
            table.shape[1],
            i,
            count_text(totals[i]),
            ha="center",
            va="center",
            fontsize=7,
            weight="bold",
        )


def _label_columns(axes: Axes, name: str, table: np.ndarray, class_names: Sequence[str]) -> None:
    size, present = len(class_names), int((table.sum(axis=1) > 0).sum())
    axes.set_title(f"{name}: {clients_in_words(present)}")
    labels = [
        f"{name}\n{count_text(count)}"
        for name, count in zip(class_names, table.sum(axis=0), strict=True)
    ]
    axes.set_xticks(range(size + 1), [*labels, f"all\n{count_text(table.sum())}"], fontsize=8)
    axes.set_xlim(-0.5, size + 0.5)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _label_rows(axes: Axes, clients: Sequence[str], num_trained: int, *, numbered: bool) -> None:
    places = np.arange(len(clients))
    if not numbered:
        places = places[:: -(-len(clients) // 60)]
    axes.set_yticks(places, [clients[int(i)] for i in places], fontsize=8 if numbered else 6)
    axes.set_ylabel(
        "client; below the line: new clients, not in training"
        if num_trained < len(clients)
        else "client"
    )
