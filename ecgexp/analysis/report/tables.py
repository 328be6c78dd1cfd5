"""The tables of the report page, as values: of training, time and memory, and numbers of beats."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ecgexp.analysis import formatting
from ecgexp.analysis.report.groups import Configuration
from ecgexp.analysis.run_rows import Row
from ecgexp.analysis.spread import Spread, spread

MOST_COUNTS = 3


class Cell(str):
    """The text of a cell by which its column can be sorted.

    Args:
      text: As the page shows it.
      key: The number to sort by; None or NaN: after all others.

    Attributes:
      key: As the script of the page reads it; empty for a cell that comes last.
    """

    key: str

    def __new__(cls, text: str, key: float | None = None):
        """Make the text, with its key."""
        made = super().__new__(cls, text)
        value = math.nan if key is None else float(key)
        made.key = "" if math.isnan(value) else repr(value).replace("inf", "Infinity")
        return made


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table whose first column names its rows.

    Attributes:
      name: unique on the page; letters, digits and `-`.
      caption: title of the table.
      columns: headers.
      groups: groups of rows; the first cell of a group's first row is the header of the group, and
        other rows do not have that cell.
      notes: lines below the table.
      is_sortable: whether a reader can sort it; every group has one row then.
      foot: rows below the others, which are never sorted.
      row_name: what a row is, for screen readers.
      scores: columns whose largest value comes first when a reader sorts by them.
    """

    name: str
    caption: str
    columns: Sequence[str]
    groups: Sequence[Sequence[Sequence[str]]]
    notes: Sequence[str] = ()
    is_sortable: bool = False
    foot: Sequence[Sequence[str]] = ()
    row_name: str = "configuration"
    scores: Sequence[str] = ()


def training_table(configurations: Sequence[Configuration]) -> Table:
    """Return values that training measured; they depend on private data without noise."""
    measured = {
        f"training {name.replace('_', ' ')}, last": f"curve/train/{name}"
        for name in ("loss", "accuracy", "clipped_fraction", "gradient_norm")
    } | {"validation macro F1": "validation/macro_f1", "validation accuracy": "validation/accuracy"}
    measured = {
        heading: key
        for heading, key in measured.items()
        if any(_has(one, key) for one in configurations)
    }
    groups = [
        [
            [
                f"[{one.number}]",
                formatting.figure(spread(row.step for row in one.rows)),
                *(
                    or_dash(spread(row.metrics.get(key) for row in one.rows), formatting.score)
                    for key in measured.values()
                ),
            ]
        ]
        for one in configurations
    ]
    return Table(
        name="training",
        caption="Training: the selected epoch or round, and values that were measured on the way",
        columns=["", "selected", *measured],
        groups=groups,
    )


def seconds(configuration: Configuration) -> Spread:
    """Return the duration of a run in seconds, over the seeds."""
    return spread(row.seconds for row in configuration.rows)


def resource_table(configurations: Sequence[Configuration]) -> Table:
    """Return the duration of runs, and their memory if it was logged."""
    memory = sorted(
        {
            name
            for one in configurations
            for row in one.rows
            for name in row.metrics
            if "memory" in name.lower() and not name.startswith("curve/")
        }
    )
    groups = []
    for one in configurations:
        taken = [row.seconds for row in one.rows if row.seconds is not None]
        used = [
            or_dash(spread(row.metrics.get(name) for row in one.rows), formatting.figure)
            for name in memory
        ]
        total = formatting.duration(spread([sum(taken)])) if taken else "–"
        groups.append(
            [
                [
                    f"[{one.number}]",
                    f"{len(one.rows)}",
                    or_dash(seconds(one), formatting.duration),
                    total,
                    *used,
                ]
            ]
        )
    notes = [] if memory else ["Memory was not logged."]
    return Table(
        name="resources",
        caption="Time and memory",
        columns=["", "runs", "time of a run", "all runs", *memory],
        groups=groups,
        notes=notes,
    )


def count_tables(configurations: Sequence[Configuration], splits: Sequence[str]) -> list[Table]:
    """Return the numbers of beats of each class in each split.

    If seeds or settings assign beats differently there are several tables, at most `MOST_COUNTS`.
    """
    assigned: list[tuple[dict, Row]] = []
    for row in (row for one in configurations for row in one.rows):
        counts = {split: dict(row.counts[split]) for split in splits if split in row.counts}
        if counts and counts not in [known for known, _ in assigned]:
            assigned.append((counts, row))
    tables = []
    for number, (counts, row) in enumerate(assigned[:MOST_COUNTS], start=1):
        body = [
            [[split, *(f"{counts[split].get(name, 0)}" for name in row.classes)]]
            for split in counts
        ]
        caption = f"Beats of {row.database}" + (
            f", as assigned in run {row.name}" if len(assigned) > 1 else ""
        )
        tables.append(
            Table(
                name=f"beats-{number}",
                caption=caption,
                columns=["", *row.classes],
                groups=body,
                row_name="split",
            )
        )
    if len(assigned) > MOST_COUNTS:
        more = (
            f"Other runs assign the beats in {len(assigned) - MOST_COUNTS} other ways, which are "
            "not shown."
        )
        tables[-1] = replace(tables[-1], notes=[more])
    return tables


def _has(one: Configuration, key: str) -> bool:
    return any(key in row.metrics for row in one.rows)


def or_dash(found: Spread, write: Callable[[Spread], str]) -> str:
    """Format a score; a dash if no run has it."""
    return write(found) if found.is_defined else "–"
