"""Figures of an evaluation. Each function returns a matplotlib `Figure`; the caller saves it.

Import this module only where figures are made: it loads matplotlib.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ecgexp.evaluation.calibration import reliability
from ecgexp.evaluation.style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    SKY,
    VERMILION,
    class_style,
    new_figure,
    styled,
    widen,
)
from ecgexp.formatting import count_text, percent_text

_FEW = 30
# Smallest range of an axis: of accuracy and macro F1, and of the loss as a fraction of its value.
_LEAST_SHARE, _LEAST_LOSS = 0.1, 0.2


@styled
def confusion_figure(confusion: np.ndarray, class_names: Sequence[str], *, source: str) -> Figure:
    """Draw counts, colored by the fraction of the true class, so that rare classes are visible too.

    Args:
      confusion: (classes, classes) counts; rows are true classes.
      class_names: (classes,).
      source: Which data, e.g. `"mitdb 1.0.0, test"`.
    """
    confusion, size = np.asarray(confusion), len(class_names)
    true, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    fractions = confusion / np.maximum(true, 1)[:, None]
    figure = new_figure(
        2.6 + 0.85 * size, 2.2 + 0.7 * size, title="Confusion matrix", source=source
    )
    axes = figure.add_subplot()
    # The square root of the fraction: 2 % of all N beats taken for S is many beats, and should not
    # look white.
    image = axes.imshow(fractions, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1), aspect="auto")
    for i, j in np.ndindex(size, size):
        if confusion[i, j]:
            text = f"{count_text(confusion[i, j])}\n{percent_text(fractions[i, j])}"
            weight = "bold" if i == j else "normal"
            axes.text(
                j,
                i,
                text,
                ha="center",
                va="center",
                weight=weight,
                color="white" if fractions[i, j] > 0.35 else INK,
            )
    axes.set_xticks(
        range(size), [_with_count(*item) for item in zip(class_names, predicted, strict=True)]
    )
    axes.set_yticks(
        range(size), [_with_count(*item) for item in zip(class_names, true, strict=True)]
    )
    axes.set(xlabel="predicted class, beats", ylabel="true class, beats")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(size - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(size - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="minor", length=0)
    bar = figure.colorbar(
        image, ax=axes, label="fraction of the true class", ticks=[0, 0.05, 0.25, 0.5, 1]
    )
    bar.outline.set_visible(False)
    return figure


@styled
def roc_figure(
    labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str], *, source: str
) -> Figure:
    """Draw one-vs-rest ROC curves; at the right enlarged for false-positive rates up to 10 %.

    Args:
      labels: (n,) int class index.
      probabilities: (n, classes).
      class_names: (classes,).
      source: Which data.
    """
    from sklearn.metrics import auc, roc_curve

    figure = new_figure(9.6, 5.4, title="ROC curves, one-vs-rest", source=source)
    whole, corner = figure.subplots(1, 2)
    for axes, right in ((whole, 1.0), (corner, 0.1)):
        _unit_axes(
            axes,
            xlabel="false-positive rate",
            ylabel="sensitivity",
            right=right,
        )
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":", label="chance")
    corner.set_title("false-positive rate up to 10 %")

    def draw(positive: np.ndarray, scores: np.ndarray, style: Mapping[str, Any], name: str) -> None:
        false_positive_rate, sensitivity, _ = roc_curve(positive, scores)
        area = auc(false_positive_rate, sensitivity)
        label = f"{name}: AUROC {area:.3f}, {count_text(positive.sum())} beats"
        for axes in (whole, corner):
            axes.plot(false_positive_rate, sensitivity, **style, label=label)

    _draw_classes(whole, labels, probabilities, class_names, draw)
    return figure


@styled
def precision_recall_figure(
    labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str], *, source: str
) -> Figure:
    """Draw one-vs-rest precision-recall curves; bars at the right mark the prevalence.

    Arguments as in `roc_figure`.
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve

    figure = new_figure(6.6, 6.2, title="Precision-recall curves, one-vs-rest", source=source)
    axes = figure.add_subplot()
    _unit_axes(axes, xlabel="sensitivity (recall)", ylabel="positive predictivity (precision)")
    axes.set_title(
        "bars at the right edge: prevalence (precision of a random classifier)",
        fontsize=8,
        color=MUTED,
    )

    def draw(positive: np.ndarray, scores: np.ndarray, style: Mapping[str, Any], name: str) -> None:
        predictivity, sensitivity, _ = precision_recall_curve(positive, scores)
        prevalence, area = positive.mean(), average_precision_score(positive, scores)
        label = f"{name}: AUPRC {area:.3f}, prevalence {prevalence:.2g}"
        axes.step(sensitivity, predictivity, **style, where="post", label=label)
        axes.plot(
            [1.005, 1.035], [prevalence] * 2, color=style["color"], linewidth=2.5, clip_on=False
        )

    _draw_classes(axes, labels, probabilities, class_names, draw)
    return figure


@styled
def reliability_figure(labels: np.ndarray, probabilities: np.ndarray, *, source: str) -> Figure:
    """Draw the accuracy by predicted probability, above a histogram of that probability.

    Args:
      labels: (n,) int class index.
      probabilities: (n, classes).
      source: Which data.
    """
    bins = reliability(labels, probabilities)
    figure = new_figure(
        5.4,
        5.8,
        title=f"Reliability diagram, ECE {bins.expected_calibration_error:.4f}",
        source=source,
    )
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    top.plot([0, 1], [0, 1], color=MUTED, linestyle=":", linewidth=1, label="perfect calibration")
    low, high = np.fmin(bins.confidence, bins.accuracy), np.fmax(bins.confidence, bins.accuracy)
    top.vlines(bins.confidence, low, high, color=VERMILION, linewidth=3, alpha=0.6, label="gap")
    top.plot(bins.confidence, bins.accuracy, color=BLUE, linewidth=1, clip_on=False)
    few = (bins.counts > 0) & (
        bins.counts < _FEW
    )  # hollow: one beat in a bin is right or wrong, and means little
    for chosen, fill, label in (
        (bins.counts >= _FEW, BLUE, "observed"),
        (few, "white", f"observed, under {_FEW} beats"),
    ):
        style = {
            "linestyle": "none",
            "marker": "o",
            "color": BLUE,
            "markerfacecolor": fill,
            "clip_on": False,
        }
        top.plot(bins.confidence[chosen], bins.accuracy[chosen], **style, label=label)
    top.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    top.grid(visible=True)
    top.legend(loc="upper left")
    bottom.bar(
        bins.edges[:-1],
        bins.counts,
        width=np.diff(bins.edges),
        align="edge",
        color=SKY,
        edgecolor="white",
    )
    bottom.set(
        yscale="log", ylim=(0.5, None), xlabel="probability of the predicted class", ylabel="beats"
    )
    return figure


@styled
def learning_curves_figure(
    history: Mapping[str, Sequence[float]],
    *,
    source: str,
    metrics: Sequence[str] = ("loss", "accuracy", "macro_f1"),
    step_name: str = "epoch",
    best_step: int | None = None,
) -> Figure:
    """Draw learning curves, one panel for each metric, with training and validation in one panel.

    Args:
      history: `"<split>/<metric>"` -> one value for each step from step 1, NaN where it was not
        measured.
      source: Which data.
      metrics: Panels, left to right; those that the history does not have are left out.
      step_name: `"epoch"` or `"round"`.
      best_step: 1-based step whose weights were kept.
    """
    panels = [
        metric for metric in metrics if any(key.partition("/")[2] == metric for key in history)
    ]
    figure = new_figure(1 + 3.4 * max(len(panels), 1), 3.6, title="Learning curves", source=source)
    styles = {
        "train": (SKY, "--", "s"),
        "validation": (BLUE, "-", "o"),
        "test": (VERMILION, "-.", "^"),
    }
    for axes, metric in zip(
        np.atleast_1d(figure.subplots(1, len(panels))) if panels else [], panels, strict=True
    ):
        for key, values in history.items():
            split, _, name = key.partition("/")
            if name == metric:
                steps = np.arange(1, len(values) + 1)
                known = ~np.isnan(np.asarray(values, float))
                color, dash, marker = styles.get(split, (GREEN, ":", "D"))
                axes.plot(
                    steps[known],
                    np.asarray(values)[known],
                    linestyle=dash,
                    marker=marker,
                    ms=3,
                    color=color,
                    label=split,
                )
        if best_step is not None:
            axes.axvline(
                best_step,
                color=MUTED,
                linestyle=":",
                linewidth=1,
                label=f"selected: {step_name} {best_step}",
            )
        axes.set(xlabel=step_name, title=metric.replace("_", " ").replace("f1", "F1"))
        axes.set_xlim(0.5, max(map(len, history.values())) + 0.5)
        if metric == "loss":
            widen(axes, _LEAST_LOSS * max(abs(end) for end in axes.get_ylim()))
        else:
            widen(axes, _LEAST_SHARE, top=1.0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(visible=True)
        axes.legend()
    return figure


def _draw_classes(
    axes: Axes,
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    draw: Callable[[np.ndarray, np.ndarray, Mapping[str, Any], str], None],
) -> None:
    for i, name in enumerate(class_names):
        positive = labels == i
        if positive.any() and not positive.all():
            draw(positive, probabilities[:, i], class_style(i), name)
        else:
            counts = f"{count_text(positive.sum())} of {count_text(len(labels))} beats"
            label = f"{name}: undefined, {counts}"
            axes.plot([], [], **class_style(i), label=label)
    axes.figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, handlelength=3
    )


def _unit_axes(axes: Axes, *, xlabel: str, ylabel: str, right: float = 1.0) -> None:
    axes.set(
        xlabel=xlabel, ylabel=ylabel, xlim=(-0.005 * right, 1.005 * right), ylim=(-0.005, 1.01)
    )
    axes.grid(visible=True)


def _with_count(name: str, count: int) -> str:
    return f"{name}\n{count_text(count)}"
