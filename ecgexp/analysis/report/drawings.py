"""The figures of the page with captions, and with their numbers as text for screen readers.

Import this module only where figures are made: it loads matplotlib.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from ecgexp.analysis import formatting
from ecgexp.analysis.report import curves, figures, published, score_tables, tables
from ecgexp.analysis.report.groups import Configuration, client_scores
from ecgexp.analysis.report.svg import inline_svg
from ecgexp.evaluation.missing import AVERAGES
from ecgexp.evaluation.names import metric_name
from ecgexp.formatting import number_text

MOST_MATRICES, MOST_FIRST = 12, 3
MOST_CLIENT_FIGURES = 6
_MOST_ROWS = 40
_MOST_CLIENTS = 50


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure of the page.

    Attributes:
      title: text above the figure.
      svg: the figure.
      caption: text below the figure; may be empty.
    """

    title: str
    svg: Markup
    caption: str = ""


def is_synthetic(databases: Sequence[str]) -> bool:
    """Return whether any of the databases is synthetic."""
    return any("synthetic" in name.lower() for name in databases)


def curve_drawings(configurations: Sequence[Configuration], split: str) -> list[Drawing]:
    """Return macro F1 and accuracy against ε; empty if no configuration has a finite ε."""
    every = curves.curves(configurations)
    databases = _databases(configurations)
    drawings = []
    for score, name in curves.SCORES.items() if every else ():
        drawn = curves.best_curves(configurations, score, split=split)
        figure = curves.curve_figure(
            configurations,
            score,
            split=split,
            synthetic=is_synthetic(databases),
            references=published.applies_to(databases),
        )
        points = [
            f"[{one.number}] at ε {formatting.epsilon(one.epsilon)}: "
            f"{formatting.score(one.score(split, score))}"
            for curve in drawn
            for one in curve.configurations
        ]
        lines = [
            f"no privacy [{one.number}]: {formatting.score(one.score(split, score))}"
            for one in curves.baselines(configurations)
        ]
        lines += [
            f"majority-class baseline: {formatting.score(found)}"
            for found in curves.majorities(configurations, split, score)
        ]
        drawings.append(
            Drawing(
                title=f"ε against {split} {name}",
                svg=inline_svg(
                    figure,
                    name=f"curve-{score}",
                    title=f"ε against {split} {name}",
                    description="; ".join([*points, *lines]),
                ),
                caption=" ".join(_curve_notes(configurations, split, score, drawn, len(every))),
            )
        )
    return drawings


def _curve_notes(
    configurations: Sequence[Configuration],
    split: str,
    score: str,
    drawn: Sequence[curves.Curve],
    every: int,
) -> list[str]:
    notes = score_tables.average_notes(configurations, split) if score in AVERAGES else []
    if len(drawn) < every:
        notes = [*notes, f"The {len(drawn)} of {every} curves that reach the highest scores."]
    if not curves.are_numbered(drawn):
        notes = [
            *notes,
            f"More than {curves.MOST_NUMBERED} points, so they have no numbers: the table of "
            "scores has ε and scores of each configuration.",
        ]
    return notes


def class_drawings(configurations: Sequence[Configuration], split: str) -> list[Drawing]:
    """Return a figure per class."""
    shown = [one for one in configurations if one.classes][:_MOST_ROWS]
    names = list(dict.fromkeys(name for one in shown for name in one.classes))
    found = []
    for place, name in enumerate(names):
        having = [one for one in shown if name in one.classes]
        numbers = [
            f"[{one.number}] "
            + ", ".join(
                f"{label} {formatting.score(one.score(split, f'{score}/{metric_name(name)}'))}"
                for score, label in formatting.CLASS_SCORES.items()
            )
            for one in having
        ]
        figure = figures.class_figure(
            having, name, split=split, synthetic=is_synthetic(_databases(having))
        )
        title = f"class {name}"
        svg = inline_svg(figure, name=f"class-{place}", title=title, description="; ".join(numbers))
        found.append(Drawing(title=title, svg=svg))
    return found


def confusion_drawings(
    configurations: Sequence[Configuration], *, first: Sequence[Configuration] = ()
) -> tuple[list[Drawing], list[Drawing]]:
    """Return confusion matrices, summed over seeds.

    Args:
      configurations: of the page.
      first: the configurations to draw first; none: the first ones of the page.

    Returns:
      first: those of `first`, at most `MOST_FIRST`.
      others: those of the first `MOST_MATRICES` other configurations.
    """
    having = having_matrices(configurations)
    numbers = list(dict.fromkeys(one.number for one in first or having))
    by_number = {one.number: one for one in having}
    chosen = [by_number[number] for number in numbers if number in by_number][:MOST_FIRST]
    others = [one for one in having if one not in chosen][: MOST_MATRICES - len(chosen)]
    return _matrices(chosen), _matrices(others)


def _matrices(configurations: Sequence[Configuration]) -> list[Drawing]:
    found = []
    for one in configurations:
        stored = [row.confusion for row in one.rows if row.confusion is not None]
        matrix = np.sum(stored, axis=0)
        title = _title(one)
        figure = figures.confusion_panel(
            matrix, one.classes, synthetic=is_synthetic([one.database])
        )
        numbers = "; ".join(_in_words(matrix, one.classes))
        svg = inline_svg(
            figure,
            name=f"confusion-{one.number}",
            title=f"confusion matrix {title}",
            description=numbers,
        )
        caption = f"sum of {len(stored)} runs" if len(stored) > 1 else "one run"
        found.append(Drawing(title=title, svg=svg, caption=caption))
    return found


def having_matrices(configurations: Sequence[Configuration]) -> list[Configuration]:
    """Return the configurations whose test predictions were stored."""
    return [
        one
        for one in configurations
        if len({row.confusion.shape for row in one.rows if row.confusion is not None}) == 1
    ]


def client_drawings(configurations: Sequence[Configuration]) -> list[Drawing]:
    """Return a figure of clients for the first `MOST_CLIENT_FIGURES` configurations."""
    found = []
    for one in configurations[:MOST_CLIENT_FIGURES]:
        scores = client_scores(one)
        shown = scores[:_MOST_CLIENTS]
        figure = figures.client_panel(shown, synthetic=is_synthetic([one.database]))
        numbers = "; ".join(
            f"{client.client}: {formatting.score(client.accuracy)}" for client in shown
        )
        svg = inline_svg(
            figure,
            name=f"clients-{one.number}",
            title=f"accuracy by client {_title(one)}",
            description=numbers,
        )
        left = (
            f"the worst {len(shown)} of {len(scores)} clients"
            if len(shown) < len(scores)
            else number_text(len(scores), "client")
        )
        found.append(Drawing(title=_title(one), svg=svg, caption=left))
    return found


def time_drawing(configurations: Sequence[Configuration]) -> Drawing | None:
    """Return the figure of durations; None if they are unknown."""
    shown = configurations[:_MOST_ROWS]
    taken = [tables.seconds(one) for one in shown]
    if not any(found.is_defined for found in taken):
        return None
    numbers = "; ".join(
        f"[{one.number}] {formatting.duration(found)}"
        for one, found in zip(shown, taken, strict=True)
    )
    figure = figures.time_figure(shown, taken, synthetic=is_synthetic(_databases(shown)))
    return Drawing(
        title="Time of a run",
        svg=inline_svg(figure, name="time", title="time of a run", description=numbers),
    )


def _title(one: Configuration) -> str:
    return f"[{one.number}] {one.label}".strip()


def _databases(configurations: Sequence[Configuration]) -> list[str]:
    return sorted({one.database for one in configurations})


def _in_words(matrix: np.ndarray, classes: Sequence[str]) -> Iterator[str]:
    for i, name in enumerate(classes):
        parts = ", ".join(
            f"{matrix[i, j]} as {other}" for j, other in enumerate(classes) if matrix[i, j]
        )
        yield f"true {name}: {parts or 'none'}"
