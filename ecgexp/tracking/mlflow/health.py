"""Checks of a store.

Whether it can be written, and which runs have the status RUNNING without a process.
"""

import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ecgexp.tracking.local.run_json import RUN_DIR_TAG
from ecgexp.tracking.mlflow.quiet import quieten
from ecgexp.tracking.mlflow.store_tables import create_tables, why_not
from ecgexp.tracking.provenance import NO_STATUS, has_ended

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True, kw_only=True)
class StaleRun:
    """A run with the status RUNNING whose process has ended.

    Attributes:
      run_id: in MLflow.
      name: as the UI shows it.
    """

    run_id: str
    name: str


def check_sqlite(file: Path) -> None:
    """Check that the store `file` can be written, or created if it is missing.

    An older one is upgraded on a copy.

    Raises:
      ConfigError: it cannot; the message gives the reason and the remedy.
    """
    try:
        if file.exists():
            _check_database(file)
            quieten()
            create_tables(file)
        else:
            _check_folder(next(parent for parent in file.parents if parent.exists()))
    except (OSError, sqlite3.Error) as error:
        raise why_not(file, error) from error


def find_stale(uri: str) -> list[StaleRun]:
    """Return the RUNNING runs of this machine whose process has ended, as after `kill -9`.

    Runs of other machines, and runs without the tags of a process, are left out.

    Args:
      uri: an existing store, absolute.
    """
    quieten()
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    running = _all_pages(client, experiments)
    return [
        StaleRun(run_id=run.info.run_id, name=run.info.run_name)
        for run in running
        if has_ended(run.data.tags)
    ]


def close_stale(uri: str) -> list[StaleRun]:
    """Set the status of stale runs to KILLED, with the reason, and return them."""
    stale = find_stale(uri)
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    for run in stale:
        client.set_tag(
            run.run_id,
            "status.reason",
            f"{NO_STATUS}; closed by ecgexp-doctor",
        )
        client.set_terminated(run.run_id, status="KILLED")
    return stale


def close_replaced(client: "MlflowClient", folder: Path, *, by: str | None) -> list[str]:
    """Close the runs that were started from a folder whose `run.json` has another id, or none.

    Their process was killed before it noted the id.

    Args:
      client: client of the store.
      folder: folder of a run, held by this process.
      by: the id of the folder's run; None if it has none.

    Returns:
      The ids of the closed runs; runs of another machine, or of a running process, stay unchanged.

    Raises:
      TrackerUnavailable: the store does not answer.
    """
    from ecgexp.tracking.mlflow.tracker import REASON_TAG, reaching

    closed = []
    with reaching():
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        for run in _all_pages(client, experiments):
            tags, run_id = run.data.tags, run.info.run_id
            if (
                run_id == by
                or tags.get(RUN_DIR_TAG) != str(folder.absolute())
                or not has_ended(tags)
            ):
                continue
            then = f"; it was started again as {by}" if by else ""
            client.set_tag(run_id, REASON_TAG, f"{NO_STATUS}{then}")
            client.set_terminated(run_id, status="KILLED")
            closed.append(run_id)
    return closed


def _all_pages(client, experiments: list[str]) -> Iterator:
    token = None
    while experiments:
        page = client.search_runs(
            experiments, filter_string="attributes.status = 'RUNNING'", page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def _check_database(file: Path) -> None:
    with sqlite3.connect(file, timeout=5) as connection:
        found = connection.execute("PRAGMA quick_check").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        connection.execute("BEGIN IMMEDIATE")  # takes the lock of a writer
        connection.rollback()
    connection.close()


def _check_folder(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder):
        pass
