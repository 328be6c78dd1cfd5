"""The state of a sweep at its end, and its table for the console, MLflow and spreadsheets."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ecgexp.formatting import epsilon_text, score_text
from ecgexp.privacy.search_accounting import SearchPrivacyLoss

if TYPE_CHECKING:
    from rich.table import Table

# Columns of the table; a column without a value is left out.
_SCORES = {
    "accuracy": "test/accuracy",
    "macro F1": "test/macro_f1",
    "validation macro F1": "validation/macro_f1",
    "ε": "privacy/epsilon",
}
GOOD = ("finished", "done before", "pruned")
"""States of jobs that are not run again."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """The state of one job.

    Attributes:
      number: number of the job in this invocation.
      name: overrides of the job that the sweep varies.
      status: `finished`, `done before`, `pruned`, `failed`, `refused`, `interrupted` or
        `not started`.
      reason: why there is no result.
      seconds: wall-clock time of the run.
      metrics: final metrics.
      run_id: MLflow run.
      run_dir: folder of the run.
      command: command that runs the job alone.
    """

    number: int
    name: str
    status: str
    reason: str | None = None
    seconds: float = 0.0
    metrics: Mapping[str, float] | None = None
    run_id: str | None = None
    run_dir: str | None = None
    command: str | None = None


@dataclass(frozen=True, kw_only=True)
class Closed:
    """The state of a sweep at the end of an invocation.

    Attributes:
      rows: one per job, in order.
      search_loss: privacy loss of all runs of the sweep together; None if none is private.
      store: privacy loss of all runs of the store that were trained on the same patients; None if
        none is private.
      url_hint: where to find the parent run.
    """

    rows: tuple[Row, ...]
    search_loss: SearchPrivacyLoss | None
    store: SearchPrivacyLoss | None
    url_hint: str

    @property
    def privacy(self) -> str:
        """Both privacy losses as text; empty if no run is private."""
        return "\n".join(
            search_loss.text
            for search_loss in (self.search_loss, self.store)
            if search_loss is not None
        )

    @property
    def unfinished(self) -> int:
        """Number of jobs without a result."""
        return sum(row.status not in GOOD for row in self.rows)

    def table(self) -> "Table":
        """Return one row per job, for the console."""
        from rich import box
        from rich.table import Table

        scores = _scores(self.rows)
        table = Table(box=box.SIMPLE_HEAD, title_justify="left")
        table.add_column("job", justify="right")
        table.add_column("overrides")
        for name in scores:
            table.add_column(name, justify="right")
        table.add_column("s", justify="right")
        table.add_column("")
        for row in self.rows:
            values = [_figure(key, (row.metrics or {}).get(key)) for key in scores.values()]
            seconds = f"{row.seconds:.0f}" if row.seconds else ""
            table.add_row(str(row.number), row.name, *values, seconds, row.status)
        return table

    def markdown(self) -> str:
        """Return the table as Markdown, for the description of the parent run."""
        scores = _scores(self.rows)
        lines = [
            f"| job | {' | '.join(scores)} | s | |",
            f"| --- |{' --: |' * (len(scores) + 1)} --- |",
        ]
        for row in self.rows:
            values = [_figure(key, (row.metrics or {}).get(key)) for key in scores.values()]
            scored = " | ".join(values)
            lines.append(f"| {row.name} | {scored} | {row.seconds:.0f} | {row.status} |")
        notes = "".join(f"\n\n{note}" for note in self.notes())
        return "\n".join(lines) + notes + (f"\n\n{self.privacy}" if self.privacy else "")

    def notes(self) -> list[str]:
        """Return a note if the jobs' macro averages are over different classes; else nothing."""
        sets: dict[tuple[str, ...], list[str]] = {}
        for row in self.rows:
            split = "test" if "test/accuracy" in (row.metrics or {}) else "validation"
            support = {
                name: count
                for name, count in (row.metrics or {}).items()
                if name.startswith(f"{split}/support/")
            }
            if support:
                present = tuple(
                    sorted(name.rpartition("/")[2] for name, count in support.items() if count)
                )
                sets.setdefault(present, []).append(str(row.number))
        if len(sets) < 2:
            return []
        shown = "; ".join(
            f"{', '.join(classes)}: job {', '.join(numbers)}" for classes, numbers in sets.items()
        )
        return [
            f"Macro F1 is over different classes, so these jobs cannot be ranked by it: {shown}"
        ]

    def csv(self) -> str:
        """Return one row per job, with all final metrics that any job has."""
        names = sorted({name for row in self.rows for name in row.metrics or {}})
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["job", "overrides", "status", "seconds", "run_id", "command", *names])
        for row in self.rows:
            values = [(row.metrics or {}).get(name, "") for name in names]
            writer.writerow(
                [
                    row.number,
                    row.name,
                    row.status,
                    row.seconds,
                    row.run_id or "",
                    row.command or "",
                    *values,
                ]
            )
        return out.getvalue()


def _scores(rows: Sequence[Row]) -> dict[str, str]:
    present = {name for row in rows for name in row.metrics or {}}
    columns = {name: key for name, key in _SCORES.items() if key in present}
    if "test/macro_f1" in present:
        columns.pop("validation macro F1", None)
    return columns


def _figure(key: str, value: float | None) -> str:
    if value is None:
        return ""
    return epsilon_text(value, decimals=3) if key == "privacy/epsilon" else score_text(value)
