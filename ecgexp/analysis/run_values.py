"""The values of a listed run that other programs read: `ecgexp-runs --json` and `ecgexp.runs`."""

from datetime import UTC, datetime
from typing import Any

from ecgexp.analysis.run_list import HEADLINES, SPLITS, ListedRun


def as_json(run: ListedRun) -> dict[str, Any]:
    """Return the line of `--json`; its keys are stable, and unknown values are None.

    Args:
      run: the run.
    """
    return {
        "run_id": run.run_id,
        "folder": None if run.folder is None else str(run.folder),
        "name": run.name,
        "status": run.status,
        "reason": run.reason or None,
        "host": run.host or None,
        "started": _iso(run.started),
        "seconds": run.seconds,
        "experiment": run.experiment or None,
        "debug": run.debug or None,
        "sweep": run.sweep or None,
        "parent_id": run.parent_id,
        "trainer": run.trainer or None,
        "dataset": run.dataset or None,
        "model": run.model or None,
        "seed": int(run.params["seed"]) if "seed" in run.params else None,
        "guarantee": run.guarantee,
        "epsilon": run.epsilon,
        "delta": run.privacy.get("delta"),
        "unit": run.unit or None,
        "scores": {
            split: {name: run.scores.get(split, {}).get(name) for name in HEADLINES}
            for split in SPLITS
        },
        "command": run.command or None,
    }


def _iso(seconds: float) -> str | None:
    if not seconds:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
