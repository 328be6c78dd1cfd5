"""Style of all figures: colors, sizes and the line that names the data."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.typing import RcKeyType

P = ParamSpec("P")

# Okabe & Ito 2008, distinguishable with any color vision; their yellow is too faint for a line on
# white.
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
)
INK, MUTED, FAINT = "#222222", "#6b6b6b", "#d9d9d9"
# Color and dash together, so that a gray print can be read too.
CLASS_COLORS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, INK, MUTED)
CLASS_DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), "-", "--")

_RC: "dict[RcKeyType, Any]" = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}


def styled(make: Callable[P, Figure]) -> Callable[P, Figure]:
    """Run a function that makes a figure with this style; matplotlib's settings are not changed."""

    @wraps(make)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(_RC):
            return make(*args, **kwargs)

    return wrapper


def new_figure(width: float, height: float, *, title: str, source: str) -> Figure:
    """Return an empty Agg figure outside pyplot; it is garbage-collected and opens no window.

    Args:
      width: Inches.
      height: Inches.
      title: What is shown.
      source: Which data, e.g. `"mitdb 1.0.0, test"`. Where it says "synthetic", the corner says so
        too.
    """
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{title}\n{source}", fontsize=11)
    if "synthetic" in source.lower():
        mark = {
            "boxstyle": "square,pad=0.3",
            "facecolor": "white",
            "edgecolor": VERMILION,
            "linewidth": 0.8,
        }
        figure.text(
            0.012, 0.985, "synthetic", ha="left", va="top", color=VERMILION, fontsize=7.5, bbox=mark
        )
    return figure


def widen(axes: "Axes", least: float, *, top: float | None = None) -> None:
    """Give the y axis at least a range, around its middle, so that noise does not fill the figure.

    Args:
      axes: The axes, with everything drawn.
      least: Smallest range.
      top: Largest value that makes sense, e.g. 1 for a share: the axis ends a little above it.
    """
    low, high = axes.get_ylim()
    height, middle = max(high - low, least), (low + high) / 2
    high = middle + height / 2
    if top is not None:
        high = min(high, top + 0.02 * height)
    axes.set_ylim(high - height, high)


def class_style(index: int) -> dict[str, Any]:
    """Return color and line style of a class."""
    return {
        "color": CLASS_COLORS[index % len(CLASS_COLORS)],
        "linestyle": CLASS_DASHES[index % len(CLASS_DASHES)],
    }


def clients_in_words(count: int) -> str:
    """Return `1 client` or e.g. `10 clients`."""
    return "1 client" if count == 1 else f"{count} clients"
