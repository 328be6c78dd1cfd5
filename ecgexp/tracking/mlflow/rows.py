"""Read the runs of a store: requested values of each run, of all runs at once.

A SQLite store is read by SQL and without MLflow, whose import alone takes seconds, and which makes
an object of every value. Nothing is written, and no table is created or upgraded.
"""

import math
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ecgexp.settings.declaration import DataError
from ecgexp.settings.installation import to_type
from ecgexp.settings.paths import SQLITE
from ecgexp.settings.redaction import redact
from ecgexp.storage.atomic import resolved
from ecgexp.tracking.mlflow.existing_store import check_sqlite_file, open_existing
from ecgexp.tracking.reasons import reason

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

V = TypeVar("V")

_BUSY_S = 20.0
_PAGE = 1000
_MOST_IDS = 500  # in one statement; SQLite has a limit


@dataclass(frozen=True, kw_only=True)
class Which:
    """Which runs of a store to read; by default all.

    Attributes:
      experiment: name of their experiment.
      run_id: id of the only run.
      tag: (name, value) of a tag.
      filter_string: in MLflow's search language; read by MLflow.
    """

    experiment: str | None = None
    run_id: str | None = None
    tag: tuple[str, str] | None = None
    filter_string: str = ""


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
      artifacts: address of its artifacts.
      params: the requested parameters that it has.
      metrics: the requested metrics that it has, their last values; NaN where undefined.
      tags: the requested tags that it has.
    """

    run_id: str
    name: str
    status: str
    started: float
    seconds: float | None
    experiment: str
    artifacts: str
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


def read_rows(
    uri: str,
    *,
    which: Which = Which(),  # noqa: B008 - frozen
    params: Collection[str] | None = None,
    metrics: Collection[str] | None = None,
    tags: Collection[str] | None = None,
) -> list[StoreRow]:
    """Return runs of a store, oldest first.

    **Guarantees**: the same rows as by MLflow's client (`tests/unit/tracking/test_store_rows.py`).

    Args:
      uri: `sqlite:///FILE`, or the address of a server or database.
      which: the runs to read.
      params: names of the parameters to read; None: all.
      metrics: names of the metrics to read; None: all.
      tags: names of the tags to read; None: all.

    Raises:
      DataError: there is no store at `uri`, it cannot be read, or the filter is invalid.
    """
    if not _is_plain_sqlite(uri) or which.filter_string:
        return _by_client(uri, which, params, metrics, tags)

    def read(connection: sqlite3.Connection) -> list[StoreRow]:
        return _by_sql(connection, which, params, metrics, tags)

    return _in_sqlite(uri, read)


def experiment_names(uri: str) -> list[str]:
    """Return the names of all experiments of a store that were not deleted there.

    Raises:
      DataError: there is no store at `uri`, or it cannot be read.
    """
    if not _is_plain_sqlite(uri):
        return sorted(_experiments(open_existing(uri)).values())
    names = "SELECT name FROM experiments WHERE lifecycle_stage = 'active' ORDER BY name"
    return _in_sqlite(uri, lambda connection: [name for (name,) in connection.execute(names)])


def _is_plain_sqlite(uri: str) -> bool:
    return uri.startswith(SQLITE) and "?" not in uri


def _in_sqlite(uri: str, read: Callable[[sqlite3.Connection], V]) -> V:
    file = resolved(Path.cwd() / uri.removeprefix(SQLITE))
    check_sqlite_file(file)
    try:
        with closing(
            # Not `ro`, which cannot undo the transaction of a killed writer.
            sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=_BUSY_S)
        ) as connection:
            connection.execute("BEGIN")  # one state of the store, whatever runs write meanwhile
            return read(connection)
    except sqlite3.Error as error:
        raise DataError(
            f"--store {uri}: the store cannot be read ({error}); check it with "
            f"{to_type('ecgexp-doctor')}, or use another --store"
        ) from error


def _by_sql(
    connection: sqlite3.Connection,
    which: Which,
    params: Collection[str] | None,
    metrics: Collection[str] | None,
    tags: Collection[str] | None,
) -> list[StoreRow]:
    asked: dict[str, tuple[str, ...]] = {
        "runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active'": ()
    }
    if which.experiment is not None:
        asked["experiments.name = ?"] = (which.experiment,)
    if which.run_id is not None:
        asked["run_uuid = ?"] = (which.run_id,)
    if which.tag is not None:
        asked["run_uuid IN (SELECT run_uuid FROM tags WHERE key = ? AND value = ?)"] = which.tag
    found = {
        run_id: StoreRow(
            run_id=run_id,
            name=name or run_id,
            status=status,
            started=(start or 0) / 1000,
            seconds=None if end is None or start is None else (end - start) / 1000,
            experiment=experiment,
            artifacts=artifacts or "",
        )
        for run_id, name, status, start, end, experiment, artifacts in connection.execute(
            "SELECT run_uuid, runs.name, status, start_time, end_time, experiments.name, "
            "artifact_uri FROM runs JOIN experiments USING (experiment_id) "
            f"WHERE {' AND '.join(asked)} ORDER BY start_time, run_uuid",
            [value for values in asked.values() for value in values],
        )
    }
    ids = None if which == Which() or len(found) > _MOST_IDS else list(found)
    for run_id, key, value in _values(connection, "params", "value", params, ids):
        if run_id in found:
            found[run_id].params[key] = value
    for run_id, key, value in _values(connection, "tags", "coalesce(value, '')", tags, ids):
        if run_id in found:
            found[run_id].tags[key] = value
    last = "CASE WHEN is_nan THEN NULL ELSE value END"
    for run_id, key, value in _values(connection, "latest_metrics", last, metrics, ids):
        if run_id in found:
            found[run_id].metrics[key] = math.nan if value is None else value
    return list(found.values())


def _values(
    connection: sqlite3.Connection,
    table: str,
    column: str,
    keys: Collection[str] | None,
    ids: Collection[str] | None,
) -> sqlite3.Cursor:
    """Ask for values of some runs; None as keys or ids: of all."""
    asked = {
        name: values
        for name, values in {"key": keys, "run_uuid": ids}.items()
        if values is not None
    }
    conditions = [f"{name} IN ({', '.join('?' * len(values))})" for name, values in asked.items()]
    return connection.execute(
        f"SELECT run_uuid, key, {column} FROM {table}"
        + (f" WHERE {' AND '.join(conditions)}" if conditions else ""),
        [value for values in asked.values() for value in values],
    )


def _by_client(
    uri: str,
    which: Which,
    params: Collection[str] | None,
    metrics: Collection[str] | None,
    tags: Collection[str] | None,
) -> list[StoreRow]:
    client = open_existing(uri)
    from mlflow.exceptions import MlflowException

    try:
        experiments = _experiments(client)
        return [
            StoreRow(
                run_id=run.info.run_id,
                name=run.info.run_name or run.info.run_id,
                status=run.info.status,
                started=(run.info.start_time or 0) / 1000,
                seconds=(run.info.end_time - run.info.start_time) / 1000
                if run.info.end_time
                else None,
                experiment=experiments[run.info.experiment_id],
                artifacts=run.info.artifact_uri or "",
                params=_chosen(run.data.params, params),
                metrics={
                    key: math.nan if math.isnan(value) else value
                    for key, value in _chosen(run.data.metrics, metrics).items()
                },
                tags=_chosen(run.data.tags, tags),
            )
            for run in _runs(client, experiments, which)
        ]
    except Exception as error:  # noqa: BLE001 - MLflow, requests and SQLAlchemy have own types
        if which.filter_string and isinstance(error, MlflowException):
            raise DataError(
                f"--filter {which.filter_string!r}: MLflow cannot parse it: {error.message}; use "
                "its search language, e.g. 'metrics.`test/macro_f1` > 0.5'"
            ) from error
        raise DataError(
            f"--store {redact(uri)}: the store cannot be read ({reason(error)}); use another "
            "--store, or --runs-dir alone"
        ) from error


def _chosen(values: Mapping[str, V], keys: Collection[str] | None) -> dict[str, V]:
    return dict(values) if keys is None else {key: values[key] for key in keys if key in values}


def _experiments(client: "MlflowClient") -> dict[str, str]:
    """Return id -> name of all experiments."""
    return {
        one.experiment_id: one.name
        for one in _all_pages(
            lambda token: client.search_experiments(max_results=_PAGE, page_token=token)
        )
    }


def _runs(client: "MlflowClient", experiments: Mapping[str, str], which: Which) -> "Iterator[Run]":
    ids = [one for one, name in experiments.items() if which.experiment in (None, name)]
    if not ids:  # MLflow would search all
        return iter(())
    conditions = [which.filter_string] if which.filter_string else []
    if which.run_id is not None:
        conditions.append(f"attributes.run_id = '{which.run_id}'")
    if which.tag is not None:
        conditions.append("tags.`{}` = '{}'".format(*which.tag))
    return _all_pages(
        lambda token: client.search_runs(
            ids,
            " and ".join(conditions),
            order_by=["attributes.start_time ASC"],
            max_results=_PAGE,
            page_token=token,
        )
    )


def _all_pages(ask: Callable[[str | None], Any]) -> Iterator[Any]:
    """Yield everything that `ask(token)` lists, page by page."""
    token: str | None = None
    while True:
        page = ask(token)
        yield from page
        token = page.token
        if not token:
            return
