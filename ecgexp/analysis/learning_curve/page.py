"""A learning curve as an HTML page with a figure, in the style of the report."""

from datetime import datetime
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from ecgexp.analysis.learning_curve import words
from ecgexp.analysis.learning_curve.siblings import PatientsNeeded
from ecgexp.analysis.report.drawings import Drawing
from ecgexp.analysis.report.page import render_template
from ecgexp.analysis.report.svg import drawn, inline_svg, panel
from ecgexp.analysis.report.tables import Table
from ecgexp.evaluation.style import BLUE, MUTED

_FOLDER = Path(__file__).parent
_TITLE = "Learning curve"


def render(found: PatientsNeeded, *, made: datetime) -> str:
    """Render the page.

    Args:
      found: The curve.
      made: Date and time that the page shows.

    Returns:
      The HTML text.
    """
    table = Table(
        name="curve",
        caption=f"{words.NAME} on {words.kind(found)}",
        columns=list(words.COLUMNS),
        groups=[[row] for row in words.rows(found)],
        row_name="patients",
    )
    context: dict[str, Any] = {
        "title": words.title(found),
        "made": made.strftime("%Y-%m-%d %H:%M %Z").strip(),
        "synthetic": found.is_synthetic,
        "answer": words.answer(found),
        "notes": list(words.notes(found)),
        "curve_table": table,
        "figure": _drawing(found) if found.curve.points else None,
    }
    return render_template("learning_curve.html.j2", context, folder=_FOLDER)


def _drawing(found: PatientsNeeded) -> Drawing:
    numbers = "; ".join(f"{row[0]} patients: {row[2]} ({row[3]})" for row in words.rows(found))
    more = " Dashed: extrapolation." if found.curve.extrapolation is not None else ""
    return Drawing(
        title=_TITLE,
        svg=inline_svg(
            curve_figure(found), name="learning-curve", title=_TITLE, description=numbers
        ),
        caption=f"Mean {words.NAME} on {words.kind(found)} with its 95 % interval; small dots are "
        f"runs.{more}",
    )


@drawn
def curve_figure(found: PatientsNeeded) -> Figure:
    """Return the figure: score against the number of training patients.

    Args:
      found: The curve, with at least one point.
    """
    points, more = found.curve.points, found.curve.extrapolation
    figure = panel(5.2, 3.2, synthetic=found.is_synthetic)
    axes = figure.subplots()
    axes.set_xscale("log")
    sizes = [point.patients for point in points]
    for point in points:
        axes.plot(
            [point.patients] * len(point.known),
            point.known,
            ".",
            color=MUTED,
            markersize=4,
            zorder=3,
        )
        if point.interval is not None:
            axes.plot([point.patients] * 2, point.interval, color=BLUE, linewidth=2.2, alpha=0.45)
    axes.plot(sizes, [point.mean for point in points], "o-", color=BLUE, markersize=5)
    if more is not None:
        last = points[-1]
        axes.plot([last.patients, more.patients], [last.mean, more.score], "--", color=MUTED)
        axes.plot([more.patients] * 2, more.interval, color=MUTED, linewidth=2.2, alpha=0.45)
        axes.plot([more.patients], [more.score], "o", color=MUTED, fillstyle="none")
        axes.annotate(
            "extrapolation",
            (more.patients, more.interval[0]),
            xytext=(0, -4),
            textcoords="offset points",
            ha="right",
            va="top",
            color=MUTED,
            fontsize=8,
        )
        sizes = [*sizes, more.patients]
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(x=0.08, y=0.12)
    axes.set_xlabel("training patients")
    axes.set_ylabel(
        f"{words.NAME}, {found.split if found.split == 'validation' else 'out-of-fold'}"
    )
    return figure
