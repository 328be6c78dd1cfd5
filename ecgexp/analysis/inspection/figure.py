"""The figure of typical beats: median and middle 80 %, one column per class and one row per lead.

Import this module only where figures are made: it loads matplotlib.
"""

from matplotlib.figure import Figure

from ecgexp.analysis.inspection.facts import TypicalBeats
from ecgexp.analysis.report.drawings import Drawing
from ecgexp.analysis.report.svg import drawn, inline_svg, panel
from ecgexp.evaluation.style import FAINT, class_style

MOST_LEADS = 12
_WIDTH, _HEIGHT = 1.75, 1.45  # inches of one panel
_LEAST_MV = 0.5  # height of the axis, so that noise does not fill it


def typical_drawing(typical: TypicalBeats, *, synthetic: bool) -> Drawing:
    """Return the figure for the page, with its numbers as text for screen readers.

    Args:
      typical: How beats of each class look.
      synthetic: Whether the beats are of virtual patients.
    """
    title = "Typical beats"
    numbers = "; ".join(
        f"class {name}, lead {lead}: {median[:, column].min():.2f} to "
        f"{median[:, column].max():.2f} {typical.units}"
        for name, median in typical.median_mv.items()
        for column, lead in enumerate(typical.leads[:MOST_LEADS])
    )
    more = len(typical.leads) - MOST_LEADS
    few = f"; {more} more leads are not drawn" if more > 0 else ""
    return Drawing(
        title=title,
        svg=inline_svg(
            typical_figure(typical, synthetic=synthetic),
            name="typical",
            title=title,
            description=numbers,
        ),
        caption=f"Median (line) and middle 80 % (area) {typical.beats_of}, at most 20 of a record "
        f"and class{few}.",
    )


@drawn
def typical_figure(typical: TypicalBeats, *, synthetic: bool) -> Figure:
    """Return the figure.

    Args:
      typical: How beats of each class look.
      synthetic: Whether the beats are of virtual patients.
    """
    leads = typical.leads[:MOST_LEADS]
    names = list(typical.median_mv)
    figure = panel(0.6 + _WIDTH * len(names), 0.7 + _HEIGHT * len(leads), synthetic=synthetic)
    axes = figure.subplots(len(leads), len(names), sharex=True, sharey="row", squeeze=False)
    for row, lead in enumerate(leads):
        for column, name in enumerate(names):
            one, style = axes[row, column], class_style(column) | {"linestyle": "-"}
            one.axhline(0, color=FAINT, linewidth=0.6)
            one.axvline(0, color=FAINT, linewidth=0.6)
            one.fill_between(
                typical.times_ms,
                typical.low_mv[name][:, row],
                typical.high_mv[name][:, row],
                color=style["color"],
                alpha=0.25,
                linewidth=0,
            )
            one.plot(typical.times_ms, typical.median_mv[name][:, row], **style)
            one.margins(x=0)
            if not row:
                beats, records = typical.numbers[name]
                one.set_title(f"{name}\n{beats} beats, {records} rec.", fontsize=8.5)
            if row == len(leads) - 1:
                one.set_xlabel("ms")
        axes[row, 0].set_ylabel(f"{lead or 'first lead'} ({typical.units})")
        low, high = axes[row, 0].get_ylim()
        spare = max(0.0, _LEAST_MV - (high - low)) / 2
        axes[row, 0].set_ylim(low - spare, high + spare)
    return figure
