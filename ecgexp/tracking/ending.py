"""The end of a run, completed by whoever comes next.

A run ends in this order: `result.json`; `run.json`, which says FINISHED; the states of its training are removed; what the
store has not heard is delivered, and the end last; `run.json`, which says that the store has all. A process that is killed in
between leaves the rest undone. A FINISHED `run.json` means that there is nothing to train any more, so the rest is done by
`resume=`, by `ecgexp-sync` or by the sweep that the run belongs to.
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


def complete(folder: Path, *, store: str | None = None) -> str:
    """Does whatever is missing of the end of a run that no longer runs; to repeat it does nothing.

    **Guarantees**: afterwards the store says how the run ended and has all of it; a run that has finished keeps no states of
    its training; nothing half-written is left in its folder (`tests/test_ending.py`).

    Args:
      folder: of the run, held by this process.
      store: the address of its store; None: the one that it was made in.

    Returns:
      What was done, e.g. `states of its training removed, 12 points, the end (FINISHED)`; empty where nothing was missing.

    Raises:
      DataError: the run still runs, or is damaged.
      TrackerUnavailable: the store does not answer; what has arrived stays.
    """
    values = _ended(folder)
    words = []
    if values["status"] == "FINISHED" and remove_checkpoints(folder):
        words.append("states of its training removed")
    if litter := remove_litter_below(folder):
        words.append(
            f"{len(litter)} half-written {'file' if len(litter) == 1 else 'files'} removed"
        )
    if values.get("store"):
        words += _deliver(folder, values, store or _own_store(folder, values))
    return ", ".join(words)


def _deliver(folder: Path, values: dict[str, Any], uri: str) -> list[str]:
    from ecgexp.tracking.mlflow.existing_store import open_existing
    from ecgexp.tracking.mlflow.health import close_replaced
    from ecgexp.tracking.mlflow.replay import replay
    from ecgexp.tracking.mlflow.store import Store

    client, run_id = open_existing(uri), values["run_id"]
    if (
        run_id is None
    ):  # its process was killed before it knew its run in the store, of which nothing is known there
        closed = close_replaced(client, folder, by=None)
        sent = f"the end ({values['status']})" if closed else ""
    else:
        sent = replay(folder, Store(client=client, uri=uri, experiment_id=""), run_id)
    write_run(folder, values | {"store": values["store"] | {"whole": True}})
    return [sent] if sent else []


def _ended(folder: Path) -> dict[str, Any]:
    """What the run says of itself; one that stopped without a word is closed.

    Raises:
      DataError: it still runs, or nobody here can tell.
    """
    values = read_run(folder)
    if is_being_made(values):
        raise DataError(f"{folder} is still running; type this again when it has ended")
    if values["status"] == "RUNNING":
        host = values["tags"].get("process.host")
        if host != platform.node():
            raise DataError(
                f"{folder} says that it runs on {host}, which cannot be seen from here; sync it there"
            )
        last = max(
            path.stat().st_mtime
            for path in (folder / "run.json", folder / "metrics.jsonl")
            if path.exists()
        )
        values |= {
            "status": "KILLED",
            "reason": "its process ended without saying how",
            "ended": round(last, 3),
        }
        write_run(folder, values)
    return values


def _own_store(folder: Path, values: dict[str, Any]) -> str:
    """The store that the run was made in; its password, which no run writes down, comes from the environment.

    Raises:
      DataError: nobody knows the password.
    """
    uri = values["store"]["uri"]
    if redact(default_uri()) == uri:
        return default_uri()
    try:
        return with_credentials(uri)
    except ConfigError as error:
        why = str(error).replace("use tracking.uri= with them", "use --store with them")
        raise DataError(f"{folder}: {why}") from error
