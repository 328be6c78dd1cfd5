"""Read the runs of a store for a list: few values of each run, of all runs at once.

A SQLite store is read by SQL and without MLflow, whose import alone takes seconds. Nothing is
written, and no table is created or upgraded.
"""

import math
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ecgexp.settings.declaration import DataError
from ecgexp.settings.paths import SQLITE
from ecgexp.settings.redaction import redact
from ecgexp.storage.atomic import resolved
from ecgexp.tracking.mlflow.existing_store import check_sqlite_file, open_existing
from ecgexp.tracking.reasons import reason

if TYPE_CHECKING:
    from mlflow import MlflowClient

_BUSY_S = 20.0
_PAGE = 1000


@dataclass(kw_only=True)
class StoreRow:
    """A run of a store that was not deleted there.

    Attributes:
      run_id: its id.
      name: as the UI shows it.
      status: FINISHED, FAILED, KILLED or RUNNING.
      started: seconds since 1970; 0 if unknown.
      seconds: from start to end; None while it runs.
      experiment: name of its experiment.
      params: the requested parameters that it has.
      metrics: the requested metrics that it has, their last values.
      tags: the requested tags that it has.
    """

    run_id: str
    name: str
    status: str
    started: float
    seconds: float | None
    experiment: str
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


def read_rows(
    uri: str, *, params: Collection[str], metrics: Collection[str], tags: Collection[str]
) -> list[StoreRow]:
    """Return the runs of a store, oldest first.

    **Guarantees**: the same rows as by MLflow's client (`tests/unit/tracking/test_store_rows.py`).

    Args:
      uri: `sqlite:///FILE`, or the address of a server or database.
      params: names of the parameters to read.
      metrics: names of the metrics to read.
      tags: names of the tags to read.

    Raises:
      DataError: there is no store at `uri`, or it cannot be read.
    """
    if not uri.startswith(SQLITE) or "?" in uri:
        return _by_client(uri, params, metrics, tags)
    file = resolved(Path.cwd() / uri.removeprefix(SQLITE))
    check_sqlite_file(file)
    try:
        with closing(
            # Not `ro`, which cannot undo the transaction of a killed writer.
            sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=_BUSY_S)
        ) as connection:
            connection.execute("BEGIN")  # one state of the store, whatever runs write meanwhile
            return _by_sql(connection, params, metrics, tags)
    except sqlite3.Error as error:
        raise DataError(
            f"--store {uri}: the store cannot be read ({error}); check it with ecgexp-doctor, or "
            "use another --store"
        ) from error


def _by_sql(
    connection: sqlite3.Connection,
    params: Collection[str],
    metrics: Collection[str],
    tags: Collection[str],
) -> list[StoreRow]:
    found = {
        run_id: StoreRow(
            run_id=run_id,
            name=name or run_id,
            status=status,
            started=(start or 0) / 1000,
            seconds=None if end is None or start is None else (end - start) / 1000,
            experiment=experiment,
        )
        for run_id, name, status, start, end, experiment in connection.execute(
            "SELECT run_uuid, runs.name, status, start_time, end_time, experiments.name "
            "FROM runs JOIN experiments USING (experiment_id) "
            "WHERE runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active' "
            "ORDER BY start_time, run_uuid"
        )
    }
    for run_id, key, value in _values(connection, "params", "value", params):
        if run_id in found:
            found[run_id].params[key] = value
    for run_id, key, value in _values(connection, "tags", "value", tags):
        if run_id in found:
            found[run_id].tags[key] = value
    asked = "CASE WHEN is_nan THEN NULL ELSE value END"
    for run_id, key, value in _values(connection, "latest_metrics", asked, metrics):
        if run_id in found and value is not None:
            found[run_id].metrics[key] = value
    return list(found.values())


def _values(
    connection: sqlite3.Connection, table: str, column: str, keys: Collection[str]
) -> sqlite3.Cursor:
    marks = ", ".join("?" * len(keys))
    return connection.execute(
        f"SELECT run_uuid, key, {column} FROM {table} WHERE key IN ({marks})", tuple(keys)
    )


def _by_client(
    uri: str, params: Collection[str], metrics: Collection[str], tags: Collection[str]
) -> list[StoreRow]:
    client = open_existing(uri)
    try:
        return list(_pages(client, params, metrics, tags))
    except Exception as error:  # noqa: BLE001 - MLflow, requests and SQLAlchemy have own types
        raise DataError(
            f"--store {redact(uri)}: the store cannot be read ({reason(error)}); use another "
            "--store, or --runs-dir alone"
        ) from error


def _pages(
    client: "MlflowClient",
    params: Collection[str],
    metrics: Collection[str],
    tags: Collection[str],
) -> Iterator[StoreRow]:
    experiments = {
        one.experiment_id: one.name for one in client.search_experiments(max_results=_PAGE)
    }
    token: str | None = None
    while experiments:
        page = client.search_runs(
            list(experiments),
            order_by=["attributes.start_time ASC"],
            max_results=_PAGE,
            page_token=token,
        )
        for run in page:
            info, data = run.info, run.data
            yield StoreRow(
                run_id=info.run_id,
                name=info.run_name or info.run_id,
                status=info.status,
                started=(info.start_time or 0) / 1000,
                seconds=(info.end_time - info.start_time) / 1000 if info.end_time else None,
                experiment=experiments[info.experiment_id],
                params={key: data.params[key] for key in params if key in data.params},
                metrics={
                    key: data.metrics[key]
                    for key in metrics
                    if not math.isnan(data.metrics.get(key, math.nan))
                },
                tags={key: data.tags[key] for key in tags if key in data.tags},
            )
        token = page.token
        if not token:
            return
