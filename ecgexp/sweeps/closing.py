"""The parent run of a sweep: created before the first job, and ended with a table and ε."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ecgexp.formatting import epsilon_text, score_text
from ecgexp.privacy.search_accounting import SearchPrivacyLoss
from ecgexp.settings.declaration import ConfigError
from ecgexp.sweeps.attempts import Attempt
from ecgexp.sweeps.identity import sweep_name
from ecgexp.sweeps.spent import both_privacy_losses
from ecgexp.sweeps.sweep import Sweep
from ecgexp.tracking.base import Tracker
from ecgexp.tracking.local.result import known_run_id
from ecgexp.tracking.local.tracker import read_metrics

if TYPE_CHECKING:
    from rich.table import Table

# Columns of the table; a column without a value is left out.
_SCORES = {
    "accuracy": "test/accuracy",
    "macro F1": "test/macro_f1",
    "validation macro F1": "validation/macro_f1",
    "ε": "privacy/epsilon",
}
_GOOD = ("finished", "done before")


@dataclass(frozen=True, kw_only=True)
class Row:
    """The state of one job.

    Attributes:
      number: number of the job in this invocation.
      name: overrides of the job that the sweep varies.
      status: `finished`, `done before`, `failed`, `refused`, `interrupted` or `not started`.
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
        return sum(row.status not in _GOOD for row in self.rows)

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


def create_parent_run(sweep: Sweep, tracking: Any, command: str) -> Tracker:
    """Create the parent run, or continue it if the same overrides have one that was not deleted.

    Args:
      sweep: the sweep, as opened.
      tracking: settings of `tracking=`, the same as those of the jobs.
      command: command that started the sweep.

    Returns:
      The tracker of the parent run.

    Raises:
      ConfigError: the store is not available.
    """
    name = sweep_name(sweep.typed)
    known = known_run_id(sweep.parent_dir)
    try:
        tracker = tracking.start(run_name=name, run_dir=sweep.parent_dir, resume_run_id=known)
    except ConfigError:
        if known is None:
            raise
        tracker = tracking.start(run_name=name, run_dir=sweep.parent_dir)
    overrides = {f"sweep.override.{key}": value for key, value in map(_split, sweep.typed)}
    tracker.set_tags(
        {
            "sweep.overrides": " ".join(sweep.typed),
            "sweep.digest": sweep.home.name,
            "command": command,
            "sweep.role": "parent",
            **overrides,
        }
    )
    return tracker


def close(sweep: Sweep, parent: Tracker, *, interrupted: bool) -> Closed:
    """Summarize the invocation, log the summary to the parent run and end it.

    Args:
      sweep: the sweep, none of whose jobs is running.
      parent: tracker from `create_parent_run`.
      interrupted: whether the user interrupted the sweep.

    Returns:
      The summary.
    """
    search_loss, store = both_privacy_losses(sweep.home, sweep.private_dir)
    closed = Closed(
        rows=tuple(_rows(sweep)), search_loss=search_loss, store=store, url_hint=parent.url_hint
    )
    counts = {
        status: sum(row.status == status for row in closed.rows)
        for status in (*_GOOD, "failed", "refused")
    }
    metrics = {
        f"sweep/jobs_{status.replace(' ', '_')}": float(count) for status, count in counts.items()
    }
    metrics |= {"sweep/jobs": float(len(closed.rows))} | (
        {} if search_loss is None else search_loss.metrics()
    )
    if store is not None and store.epsilon_all is not None and store.delta is not None:
        metrics |= {"sweep/epsilon_store": store.epsilon_all, "sweep/delta_store": store.delta}
    # All invocations share one parent run; each invocation is one step.
    parent.log_metrics(metrics, step=_invocations(sweep) + 1)
    parent.log_text(closed.csv(), "tables/sweep.csv")
    parent.log_dict(
        {"jobs": [asdict(row) for row in closed.rows], "typed": list(sweep.typed)}, "sweep.json"
    )
    if closed.privacy:
        parent.log_text(closed.privacy, "sweep_privacy.txt")
        losses = {"sweep": search_loss and asdict(search_loss), "store": store and asdict(store)}
        parent.log_dict(losses, "sweep_privacy.json")
    parent.set_tags({"mlflow.note.content": closed.markdown()})
    if interrupted:
        parent.finish(
            "KILLED", f"interrupted with {closed.unfinished} of {len(closed.rows)} jobs unfinished"
        )
    elif closed.unfinished:
        parent.finish("FAILED", f"{closed.unfinished} of {len(closed.rows)} jobs did not finish")
    else:
        parent.finish("FINISHED")
    return closed


def _rows(sweep: Sweep) -> list[Row]:
    outcomes, latest = (
        sweep.outcomes(),
        {attempt.digest: attempt for attempt in sweep.attempts.all()},
    )
    planned = sweep.planned
    numbers = sorted(outcomes) if planned is None else range(len(planned))
    rows = []
    for number in numbers:
        outcome = outcomes.get(number)
        if outcome is not None:
            rows.append(_row(number, outcome, latest.get(outcome["digest"])))
        elif planned is not None:
            rows.append(Row(number=number, name=planned[number], status="not started"))
    return rows


def _row(number: int, outcome: Mapping[str, Any], attempt: Attempt | None) -> Row:
    if attempt is None:
        return Row(number=number, name=outcome["name"], status="failed", reason=outcome["reason"])
    status = "done before" if outcome["outcome"] == "kept" else attempt.status.lower()
    return Row(
        number=number,
        name=outcome["name"],
        status="interrupted" if status in ("running", "killed") else status,
        reason=attempt.reason,
        seconds=attempt.seconds,
        metrics=attempt.metrics,
        run_id=attempt.run_id,
        run_dir=attempt.run_dir,
        command=attempt.command,
    )


def _invocations(sweep: Sweep) -> int:
    return max(
        (step or 0 for step, _ in read_metrics(sweep.parent_dir / "metrics.jsonl")), default=0
    )


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


def _split(override: str) -> tuple[str, str]:
    key, _, value = override.partition("=")
    return key.lstrip("+~").replace("@", "."), value
