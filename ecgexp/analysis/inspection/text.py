"""The page as blocks of text, for the console."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgexp.analysis.inspection import words
from ecgexp.analysis.inspection.facts import (
    ClassFacts,
    Inspection,
    PossibleSplit,
    TypicalBeats,
)
from ecgexp.formatting import count_text, percent_text

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}
_MOST_FINDINGS = 30
_BARS = "▁▂▃▄▅▆▇█"
_STRIP = 40


def render(inspection: Inspection) -> Iterator[Any]:
    """Yield the parts of the page: lines and rich objects.

    Args:
      inspection: What the page shows.
    """
    from rich.text import Text

    yield Text(inspection.title, style="bold")
    yield _facts(inspection)
    yield ""
    yield _classes(inspection)
    if inspection.ungrouped:
        left_out = " · ".join(f"{one} {count_text(n)}" for one, n in inspection.ungrouped.items())
        yield f"in no class, left out: {left_out}"
    yield ""
    yield _splits(inspection.splits)
    yield from _impossible(inspection.splits)
    if inspection.typical is not None:
        yield ""
        yield from _typical(inspection.typical)
    yield ""
    yield from _findings(inspection)
    for line in words.CAVEATS:
        yield Text(line, style="dim")


def _grid() -> "Table":
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _facts(inspection: Inspection) -> "Table":
    from rich.text import Text

    table = _grid()
    for name, text in words.facts(inspection):
        table.add_row(name, Text(text))
    return table


def _table(*headings: str, right: Sequence[str] = ()) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings:
        is_right = heading in right
        table.add_column(heading, justify="right" if is_right else "left", overflow="fold")
    return table


def _classes(inspection: Inspection) -> "Table":
    right = ("beats", "share", "patients", "beats of a patient")
    table = _table("class", "symbols", *right, right=right)
    for one in inspection.classes:
        table.add_row(*_escaped(_class_row(one, inspection)))
    return table


def _class_row(one: ClassFacts, inspection: Inspection) -> list[str]:
    total = len(inspection.labeled)
    return [
        one.name,
        " ".join(one.symbols) or "none",
        count_text(one.beats),
        percent_text(one.beats / total) if one.beats else "",
        str(len(one.of_patients)) if inspection.labeled.knows_patients else "unknown",
        words.per_patient(one) if inspection.labeled.knows_patients else "",
    ]


def _splits(splits: Sequence[PossibleSplit]) -> "Table":
    table = _table("split", "part", "patients", "beats", "classes", right=("patients", "beats"))
    for one in splits:
        for number, (name, size) in enumerate(one.parts.items()):
            option = f"{one.option}{' (chosen)' if one.is_chosen else ''}" if not number else ""
            table.add_row(
                *_escaped(
                    [
                        option,
                        name,
                        "–" if size.patients is None else str(size.patients),
                        count_text(size.beats),
                        words.counts(size.classes),
                    ]
                )
            )
    return table


def _impossible(splits: Sequence[PossibleSplit]) -> Iterator["Text"]:
    from rich.text import Text

    for one in splits:
        if one.reason:
            style = "bold red" if one.is_chosen else "dim"
            yield Text(words.impossible(one), style=style)


def _typical(typical: TypicalBeats) -> Iterator[Any]:
    """Yield a strip of blocks for each class and lead: its median beat."""
    yield f"typical beats {typical.beats_of}: median, {words.span(typical)}"
    right = ("beats", "records")
    table = _table("class", "lead", "median beat", typical.units, *right, right=right)
    low = min(float(one.min()) for one in typical.median_mv.values())
    high = max(float(one.max()) for one in typical.median_mv.values())
    for name, median in typical.median_mv.items():
        for column, lead in enumerate(typical.leads):
            curve = median[:, column]
            beats, records = typical.numbers[name]
            table.add_row(
                *_escaped(
                    [
                        name if not column else "",
                        lead,
                        strip(curve, low, high),
                        f"{curve.min():.2f} to {curve.max():.2f}".replace("-", "−"),
                        count_text(beats) if not column else "",
                        count_text(records) if not column else "",
                    ]
                )
            )
    yield table


def strip(curve_mv: np.ndarray, low: float, high: float) -> str:
    """Return a curve as a line of blocks, from `low` to `high` millivolts.

    Args:
      curve_mv: (window,) float32.
      low: Value of the lowest block.
      high: Value of the highest block.
    """
    pieces = np.array_split(curve_mv, min(_STRIP, len(curve_mv)))
    # The value farthest from the median of the beat, so that a narrow peak is not averaged away.
    middle = float(np.median(curve_mv))
    peaks = [piece[np.abs(piece - middle).argmax()] for piece in pieces]
    height = max(high - low, 1e-9)
    places = np.clip(((np.asarray(peaks) - low) / height * len(_BARS)).astype(int), 0, 7)
    return "".join(_BARS[place] for place in places)


def _findings(inspection: Inspection) -> Iterator["Text"]:
    from rich.text import Text

    if not inspection.findings:
        yield Text("nothing is wrong", style="bold green")
        return
    for one in inspection.findings[:_MOST_FINDINGS]:
        yield Text.assemble((f"{one.level}: ", _STYLES[one.level]), one.text)
    if len(inspection.findings) > _MOST_FINDINGS:
        yield Text(f"and {len(inspection.findings) - _MOST_FINDINGS} more; see --output or --json")


def _escaped(cells: Sequence[str]) -> list[str]:
    from rich.markup import escape

    return [escape(cell) for cell in cells]
