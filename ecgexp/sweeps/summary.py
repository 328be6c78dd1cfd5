"""The state of a sweep at its end, and its table for the console, MLflow and spreadsheets."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ecgexp.formatting import epsilon_text, score_text
from ecgexp.privacy.search_accounting import SearchPrivacyLoss
from ecgexp.sweeps.rows import GOOD, Row
from ecgexp.tracking.local.headline import headline_scores

if TYPE_CHECKING:
    from rich.table import Table

PRIVACY_FILE = "sweep_privacy.txt"

# Columns of the table; a column without a value is left out.
_SCORES = {
    "accuracy": "test/accuracy",
    "macro F1": "test/macro_f1",
    "validation macro F1": "validation/macro_f1",
    "ε": "privacy/epsilon",
}


@dataclass(frozen=True, kw_only=True)
class Closed:
    """The state of a sweep at the end of an invocation.

    Attributes:
      rows: one per job, in order.
      search_loss: privacy loss of all runs of the sweep together; None if none is private.
      store: privacy loss of all runs of the store that were trained on the same patients; None if
        none is private.
      url_hint: where to find the parent run.
      report: command that writes the report of the sweep.
      parent: folder of the parent run, which has `sweep_privacy.txt`.
      folder: folder of the invocation.
      run_id: MLflow run of the parent; None without MLflow.
      is_interrupted: whether a signal ended the sweep.
    """

    rows: tuple[Row, ...]
    search_loss: SearchPrivacyLoss | None
    store: SearchPrivacyLoss | None
    url_hint: str
    report: str
    parent: str
    folder: str
    run_id: str | None = None
    is_interrupted: bool = False

    @property
    def privacy(self) -> str:
        """Both privacy losses as text, each paragraph once; empty if no run is private."""
        parts = [
            part
            for loss in (self.search_loss, self.store)
            if loss is not None
            for part in loss.text.strip().split("\n\n")
        ]
        once = reversed(dict.fromkeys(reversed(parts)))
        return "\n\n".join(once) + "\n" * bool(parts)

    def privacy_lines(self) -> list[str]:
        """Return the privacy losses in short; `privacy` has the assumptions.

        Returns:
          Nothing if no run is private.
        """
        own, store = self.search_loss, self.store
        if own is None:
            return [] if store is None else [f"ε: {store.short}", self._where()]
        lines = [
            "ε in the table is of one job, if no other is released and it was not chosen by their "
            "results"
        ]
        is_all = store is not None and (store.runs, store.epsilon_all) == (
            own.runs,
            own.epsilon_all,
        )
        alone = "; the store has no other run on the same people" if is_all else ""
        lines.append(f"{own.short}{alone}")
        lines += [] if store is None or is_all else [store.short]
        return [*lines, self._where()]

    def _where(self) -> str:
        return (
            "no ε covers the scores on validation and test beats; assumptions and bounds: "
            f"{self.parent}/{PRIVACY_FILE}, and the report"
        )

    @property
    def unfinished(self) -> int:
        """Number of jobs without a result."""
        return sum(row.status not in GOOD for row in self.rows)

    @property
    def is_out_of_time(self) -> bool:
        """Whether jobs lack a result, and `max_minutes` ended each of them."""
        open_jobs = [row.status for row in self.rows if row.status not in GOOD]
        return bool(open_jobs) and set(open_jobs) == {"out of time"}

    def headline(self) -> dict[str, Any]:
        """Return JSON-serializable values, which `console.json=true` prints."""
        state = "KILLED" if self.is_interrupted else "FAILED"
        state = "OUT_OF_TIME" if self.is_out_of_time else state
        loss = self.search_loss
        return {
            "status": state if self.unfinished else "FINISHED",
            "folder": self.folder,
            "run_id": self.run_id,
            "epsilon_all": None if loss is None else loss.epsilon_all,
            "delta": None if loss is None else loss.delta,
            "report": self.report,
            "jobs": [_job(row) for row in self.rows],
        }

    def table(self) -> "Table":
        """Return one row per job, for the console."""
        from rich import box
        from rich.table import Table

        scores = _scores(self.rows)
        table = Table(box=box.SIMPLE_HEAD, title_justify="left")
        table.add_column("folder", justify="right")
        table.add_column("overrides")
        for name in scores:
            table.add_column(name, justify="right")
        table.add_column("s", justify="right")
        table.add_column("")
        for row in self.rows:
            values = [_figure(key, (row.metrics or {}).get(key)) for key in scores.values()]
            seconds = f"{row.seconds:.0f}" if row.seconds else ""
            status = ", ".join(filter(None, (row.status, row.begins)))
            table.add_row(str(row.number), row.name, *values, seconds, status)
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
            f"{', '.join(classes)}: folder {', '.join(numbers)}"
            for classes, numbers in sets.items()
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


def _job(row: Row) -> dict[str, Any]:
    metrics = row.metrics or {}
    return {
        "job": row.number,
        "overrides": row.name,
        "status": row.status,
        "reason": row.reason,
        "begins": row.begins,
        "folder": row.run_dir,
        "run_id": row.run_id,
        "seconds": row.seconds,
        "scores": headline_scores(metrics),
        "epsilon": metrics.get("privacy/epsilon"),
    }


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
