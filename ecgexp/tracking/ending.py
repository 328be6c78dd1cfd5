"""Complete the end of a run whose process was killed while it ended.

A run ends in this order: write `result.json`; set the status in `run.json` to FINISHED; remove the
checkpoints; deliver the entries that the store lacks, the final status last; note in `run.json`
that the store has all of them. A process that is killed in between leaves the later steps undone.
After a FINISHED `run.json` no training is left, so `resume=`, `ecgexp-sync` or the sweep of the run
does the remaining steps.
"""

import platform
from pathlib import Path
from typing import Any

from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.settings.redaction import redact
from ecgexp.storage.atomic import remove_litter_below
from ecgexp.tracking.credentials import with_credentials
from ecgexp.tracking.local.checkpoint_folder import remove_checkpoints
from ecgexp.tracking.local.run_json import is_being_made, read_run, write_run
from ecgexp.tracking.mlflow.existing_store import default_uri
from ecgexp.tracking.provenance import NO_STATUS


def complete(folder: Path, *, store: str | None = None) -> str:
    """Do the missing steps of the end of a run that no longer runs; a second call changes nothing.

    **Guarantees**: afterwards the store has all entries of the run and its final status; a finished
    run has no checkpoints; its folder has no incomplete files
    (`tests/unit/tracking/test_ending.py`).

    Args:
      folder: folder of the run, held by this process.
      store: address of its store; None: the store that it was started with.

    Returns:
      What was done, e.g. `checkpoints removed, 12 points, final status FINISHED`; empty where
      nothing was missing.

    Raises:
      DataError: the run is still running, or its files are damaged.
      TrackerUnavailable: the store does not answer; entries that have arrived stay.
    """
    values = _ended(folder)
    words = []
    if values["status"] == "FINISHED" and remove_checkpoints(folder):
        words.append("checkpoints removed")
    if litter := remove_litter_below(folder):
        words.append(f"{len(litter)} incomplete {'file' if len(litter) == 1 else 'files'} removed")
    if values.get("store"):
        words += _deliver(folder, values, store or _own_store(folder, values))
    return ", ".join(words)


def _deliver(folder: Path, values: dict[str, Any], uri: str) -> list[str]:
    from ecgexp.tracking.mlflow.existing_store import open_existing
    from ecgexp.tracking.mlflow.health import close_replaced
    from ecgexp.tracking.mlflow.replay import replay
    from ecgexp.tracking.mlflow.store import Store

    client, run_id = open_existing(uri), values["run_id"]
    if run_id is None:
        # The process was killed before it noted the id of its run in the store, and before it sent
        # anything.
        closed = close_replaced(client, folder, by=None)
        sent = f"final status {values['status']}" if closed else ""
    else:
        sent = replay(folder, Store(client=client, uri=uri, experiment_id=""), run_id)
    write_run(folder, values | {"store": values["store"] | {"whole": True}})
    return [sent] if sent else []


def _ended(folder: Path) -> dict[str, Any]:
    """Return the values of `run.json`.

    A run whose process ended without a status is closed as KILLED.

    Raises:
      DataError: the run is still running, or runs on a machine that cannot be checked from here.
    """
    values = read_run(folder)
    if is_being_made(values):
        raise DataError(f"{folder} is still running; use the same command again when it has ended")
    if values["status"] == "RUNNING":
        host = values["tags"].get("process.host")
        if host != platform.node():
            raise DataError(
                f"{folder} has the status RUNNING on {host}, which cannot be checked from here; "
                "use the command ecgexp-sync there"
            )
        last = max(
            path.stat().st_mtime
            for path in (folder / "run.json", folder / "metrics.jsonl")
            if path.exists()
        )
        values |= {
            "status": "KILLED",
            "reason": NO_STATUS,
            "ended": round(last, 3),
        }
        write_run(folder, values)
    return values


def _own_store(folder: Path, values: dict[str, Any]) -> str:
    """Return the store of the run; its password, which no run stores, comes from the environment.

    Raises:
      DataError: the environment has no password.
    """
    uri = values["store"]["uri"]
    if redact(default_uri()) == uri:
        return default_uri()
    try:
        return with_credentials(uri)
    except ConfigError as error:
        why = str(error).replace("use tracking.uri= with them", "use --store with them")
        raise DataError(f"{folder}: {why}") from error
