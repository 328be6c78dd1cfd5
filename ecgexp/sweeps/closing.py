"""The two ends of a sweep's parent run: made before the first job, and after the last given the table and the privacy loss."""

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

# The columns of the table, where any job has the metric.
_SCORES = {
    "accuracy": "test/accuracy", "macro F1": "test/macro_f1", "validation macro F1": "validation/macro_f1",
    "ε": "privacy/epsilon",
}  # fmt: skip
_GOOD = ("finished", "done before")


@dataclass(frozen=True, kw_only=True)
class Row:
    """What became of one job.

    Attributes:
      number: of the job in this invocation.
      name: its swept overrides.
      status: `finished`, `done before`, `failed`, `refused`, `interrupted` or `not started`.
      reason: why it has no result.
      seconds: the run took.
      metrics: its final metrics.
      run_id: in MLflow.
      run_dir: its folder.
      command: what runs it alone.
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
    """A sweep at the end of an invocation.

    Attributes:
      rows: one a job, in order.
      search_loss: the privacy loss of the sweep's runs together; None where none is private.
      store: that of all runs of the store on the same people; None where none is private.
      url_hint: where the parent run can be looked at.
    """

    rows: tuple[Row, ...]
    search_loss: SearchPrivacyLoss | None
    store: SearchPrivacyLoss | None
    url_hint: str

    @property
    def privacy(self) -> str:
        """Both losses in prose; empty where no run is private."""
        return "\n".join(
            search_loss.text
            for search_loss in (self.search_loss, self.store)
            if search_loss is not None
        )

    @property
    def unfinished(self) -> int:
        """Jobs without a result."""
        return sum(row.status not in _GOOD for row in self.rows)

    def table(self) -> "Table":
        """One row a job, for the console."""
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
        """The same for the parent run's page."""
        scores = _scores(self.rows)
        lines = [
            f"| job | {' | '.join(scores)} | s | |", f"| --- |{' --: |' * (len(scores) + 1)} --- |",
            *(
                f"| {row.name} | {' | '.join(_figure(key, (row.metrics or {}).get(key)) for key in scores.values())} | "
                f"{row.seconds:.0f} | {row.status} |"
                for row in self.rows
            ),
        ]  # fmt: skip
        notes = "".join(f"\n\n{note}" for note in self.notes())
        return "\n".join(lines) + notes + (f"\n\n{self.privacy}" if self.privacy else "")

    def notes(self) -> list[str]:
        """Jobs whose averages are over other classes than those of the other jobs, which the table cannot rank."""
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
            f"Macro F1 is over different classes, which rank nothing against each other: {shown}"
        ]

    def csv(self) -> str:
        """One row a job with every final metric that any of them has."""
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
    """The parent run, new or continued: the same overrides always have the same one, unless it was deleted.

    Args:
      sweep: just opened.
      tracking: the settings of `tracking=` that its jobs have.
      command: as it was typed.

    Raises:
      ConfigError: the store cannot be reached or used.
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
            "sweep.overrides": " ".join(sweep.typed), "sweep.digest": sweep.home.name, "command": command,
            "sweep.role": "parent", **overrides,
        }
    )  # fmt: skip
    return tracker


def close(sweep: Sweep, parent: Tracker, *, interrupted: bool) -> Closed:
    """Sums the invocation up and ends the parent run.

    Args:
      sweep: whose jobs have ended, one way or another.
      parent: as `create_parent_run` made it.
      interrupted: somebody stopped it.
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
    if store is not None and store.epsilon_all is not None:
        metrics |= {"sweep/epsilon_store": store.epsilon_all, "sweep/delta_store": store.delta}
    # The parent run is one run over all invocations, so each is a step of it.
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
    numbers = range(len(sweep.planned)) if sweep.planned is not None else sorted(outcomes)
    rows = []
    for number in numbers:
        outcome = outcomes.get(number)
        if outcome is None:
            rows.append(Row(number=number, name=sweep.planned[number], status="not started"))
        else:
            rows.append(_row(number, outcome, latest.get(outcome["digest"])))
    return rows


def _row(number: int, outcome: Mapping[str, Any], attempt: Attempt | None) -> Row:
    if attempt is None:
        return Row(number=number, name=outcome["name"], status="failed", reason=outcome["reason"])
    status = "done before" if outcome["outcome"] == "kept" else attempt.status.lower()
    return Row(
        number=number, name=outcome["name"], status="interrupted" if status in ("running", "killed") else status,
        reason=attempt.reason, seconds=attempt.seconds, metrics=attempt.metrics, run_id=attempt.run_id,
        run_dir=attempt.run_dir, command=attempt.command,
    )  # fmt: skip


def _invocations(sweep: Sweep) -> int:
    return max(
        (step or 0 for step, _ in read_metrics(sweep.parent_dir / "metrics.jsonl")), default=0
    )


def _scores(rows: Sequence[Row]) -> dict[str, str]:
    there = {name for row in rows for name in row.metrics or {}}
    columns = {name: key for name, key in _SCORES.items() if key in there}
    if "test/macro_f1" in there:
        columns.pop("validation macro F1", None)
    return columns


def _figure(key: str, value: float | None) -> str:
    if value is None:
        return ""
    return epsilon_text(value, decimals=3) if key == "privacy/epsilon" else score_text(value)


def _split(override: str) -> tuple[str, str]:
    key, _, value = override.partition("=")
    return key.lstrip("+~").replace("@", "."), value
