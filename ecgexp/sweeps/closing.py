"""The parent run of a sweep: created before the first job, and ended with a table and ε."""

from dataclasses import asdict, replace
from typing import Any

from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.installation import to_type
from ecgexp.sweeps.identity import sweep_name
from ecgexp.sweeps.rows import GOOD, Row, rows
from ecgexp.sweeps.spent import both_privacy_losses
from ecgexp.sweeps.summary import PRIVACY_FILE, Closed
from ecgexp.sweeps.sweep import Sweep
from ecgexp.tracking.base import Tracker
from ecgexp.tracking.local.result import known_run_id
from ecgexp.tracking.local.tracker import read_metrics


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
        rows=tuple(_ended(sweep)),
        search_loss=search_loss,
        store=store,
        url_hint=parent.url_hint,
        report=to_type(["ecgexp-report", str(sweep.invocation)]),
        parent=str(sweep.parent_dir),
        folder=str(sweep.invocation),
        run_id=parent.run_id,
        is_interrupted=interrupted,
    )
    counts = {
        status: sum(row.status == status for row in closed.rows)
        for status in (*GOOD, "failed", "refused")
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
        parent.log_text(closed.privacy, PRIVACY_FILE)
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


def _ended(sweep: Sweep) -> list[Row]:
    """Return the rows of a sweep none of whose jobs is running: one that has not ended was cut."""
    return [
        replace(row, status="interrupted") if row.status == "running" else row
        for row in rows(sweep)
    ]


def _invocations(sweep: Sweep) -> int:
    return max(
        (step or 0 for step, _ in read_metrics(sweep.parent_dir / "metrics.jsonl")), default=0
    )


def _split(override: str) -> tuple[str, str]:
    key, _, value = override.partition("=")
    return key.lstrip("+~").replace("@", "."), value
