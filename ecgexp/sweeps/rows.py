"""The state of each job of a sweep, as recorded so far."""

from collections.abc import Mapping
from dataclasses import dataclass

from ecgexp.settings.declaration import OutOfTime
from ecgexp.sweeps.attempts import Attempt
from ecgexp.sweeps.invocation import OutcomeValues
from ecgexp.sweeps.sweep import Sweep

GOOD = ("finished", "done before", "pruned")
"""States of jobs that are not run again."""

NOT_ENDED = ("running", "not started")
"""States of jobs that have not ended, as far as is recorded."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """The state of one job.

    Attributes:
      number: number of the job in this invocation.
      name: overrides of the job that the sweep varies.
      status: `finished`, `done before`, `pruned`, `failed`, `refused`, `interrupted`,
        `out of time`, `running` or `not started`.
      reason: why there is no result.
      begins: how a job that was tried before began, e.g. `resumed at epoch 3`.
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
    begins: str | None = None
    seconds: float = 0.0
    metrics: Mapping[str, float] | None = None
    run_id: str | None = None
    run_dir: str | None = None
    command: str | None = None


def rows(sweep: Sweep) -> list[Row]:
    """Return the state of each job of an invocation, in order.

    Args:
      sweep: the sweep, as opened.

    Returns:
      One row per planned job; of a search, one per job that was reached.
    """
    latest = {attempt.digest: attempt for attempt in sweep.attempts.all()}
    outcomes, planned = sweep.outcomes(), sweep.planned
    numbers = sorted(outcomes) if planned is None else range(len(planned))
    found = []
    for number in numbers:
        outcome = outcomes.get(number)
        if outcome is not None:
            found.append(_row(number, outcome, latest.get(outcome["digest"])))
        elif planned is not None:
            found.append(Row(number=number, name=planned[number], status="not started"))
    return found


def _row(number: int, outcome: OutcomeValues, attempt: Attempt | None) -> Row:
    name, begins = outcome["name"], outcome.get("begins")
    if outcome["outcome"] == "ran" and not outcome["reason"]:
        earlier = outcome.get("earlier_start")
        if attempt is None or attempt.start == earlier:  # its own attempt has not begun
            return Row(number=number, name=name, status="running", begins=begins)
    if attempt is None:
        return Row(number=number, name=name, status="failed", reason=outcome["reason"])
    is_kept = outcome["outcome"] == "kept" and attempt.status == "FINISHED"
    status = "done before" if is_kept else attempt.status.lower()
    return Row(
        number=number,
        name=name,
        status=_ended_by(attempt) if status == "killed" else status,
        reason=attempt.reason,
        begins=begins,
        seconds=attempt.seconds,
        metrics=attempt.metrics,
        run_id=attempt.run_id,
        run_dir=attempt.run_dir,
        command=attempt.command,
    )


def _ended_by(attempt: Attempt) -> str:
    return "out of time" if OutOfTime.__name__ in (attempt.reason or "") else "interrupted"
