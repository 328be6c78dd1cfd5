"""The link to MLflow's table of runs, with the columns that are worth looking at.

MLflow's pages keep the columns of a table in the browser, or in a tag of the experiment that a link
names: a shared view. Neither the tag nor the link is documented, so they are used with the version
of MLflow with which they were tested, and another one gets the link to its own table.
"""

import json
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from ecgexp.settings.redaction import redact

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from ecgexp.tracking.mlflow.store import Store

_PATIENCE_S = 5.0
_WORKFLOW = {"workflowType": "machine_learning"}  # by default the pages are for language models

TESTED = "3.17"
"""Version of MLflow with which the view was tested in a browser (`scripts/mlflow_pages.py`)."""

VIEW = "ecgexp"
TAG = f"mlflow.sharedViewState.{VIEW}"

COLUMNS = {
    "tags.`dataset.name`": 95,
    "tags.`model`": 80,
    "tags.`trainer`": 80,
    "metrics.`privacy/epsilon`": 115,
    "metrics.`test/accuracy`": 105,
    "metrics.`test/macro_f1`": 110,
    "metrics.`test/jk_index`": 105,
    "metrics.`validation/macro_f1`": 155,
}
"""Columns of the table -> width in pixels."""

SECTIONS = {
    "curve/validation": True,
    "validation": True,
    "test": True,
    "privacy": True,
    "test/clients": False,
    "resources": False,
    "sweep": False,
}
"""Sections of the charts, by the beginning of a metric's name -> whether they are open."""

# The page nests the runs of a sweep below its parent, closed, where it orders them by time. Ordered
# by a score it lists all, and the parents, which have none, last.
_BEST_FIRST = {"orderByKey": "metrics.`validation/macro_f1`", "orderByAsc": False}


def state() -> dict[str, object]:
    """Return the state of MLflow's page that shows `COLUMNS`, the best run by validation first."""
    return {
        **_BEST_FIRST,
        "searchFilter": "",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": list(COLUMNS),
        "columnOrder": list(COLUMNS),
        "columnWidths": dict(COLUMNS),
        "runsHiddenMode": "FIRST_20_RUNS",
        "compareRunCharts": [],  # the page adds one of each metric
        "compareRunSections": [_section(name, is_open) for name, is_open in SECTIONS.items()],
        "isAccordionReordered": True,
    }


def _section(name: str, is_open: bool) -> dict[str, object]:
    return {
        "uuid": f"ecgexp/{name}",
        "name": name,
        "display": is_open,
        "columns": 2,  # in three, the titles are cut
        "cardHeight": 320,
        "isReordered": True,
        "deleted": False,
        "isGenerated": False,
    }


def is_tested(version: str) -> bool:
    """Return whether the view was tested with that version of MLflow.

    Example:
      >>> is_tested("3.17.2"), is_tested("3.18.0"), is_tested("")
      (True, False, False)
    """
    return version.split(".")[:2] == TESTED.split(".")


def with_view(store: "Store") -> "Store":
    """Return the store with its view, which is written if MLflow's pages have the tested version.

    A store that refuses the view is returned as it is: a run does not depend on it.

    Args:
      store: an open store.
    """
    if not is_tested(_version_of_pages(store.uri)):
        return store
    try:
        write_view(store.client, store.experiment_id)
    except Exception:  # noqa: BLE001 - SQLAlchemy and requests raise their own types
        return store
    return replace(store, has_view=True)


def _version_of_pages(uri: str) -> str:
    """Return the version of the MLflow that shows the store: a server's, or the installed one.

    Empty where the server does not tell.
    """
    import mlflow

    if not uri.startswith(("http://", "https://")):
        return mlflow.__version__
    import requests  # a dependency of MLflow

    with suppress(OSError):  # requests' errors are OSErrors
        answer = requests.get(f"{uri.rstrip('/')}/version", timeout=_PATIENCE_S)
        if answer.ok:
            return answer.text.strip()
    return ""


def write_view(client: "MlflowClient", experiment_id: str) -> None:
    """Write the view into the experiment, unless it is there.

    Args:
      client: of the store.
      experiment_id: the experiment.

    Raises:
      MlflowException: the store refuses the tag, or does not answer.
    """
    text = json.dumps(state(), separators=(",", ":"))
    if client.get_experiment(experiment_id).tags.get(TAG) != text:
        client.set_experiment_tag(experiment_id, TAG, text)


def newest_experiment(client: "MlflowClient") -> str | None:
    """Return the experiment of the newest run, after writing the view into all experiments.

    Args:
      client: of a store that is not a server.

    Returns:
      Its id; None where the store has no runs.
    """
    import mlflow

    experiments = [one.experiment_id for one in client.search_experiments()]
    runs = client.search_runs(experiments, order_by=["attributes.start_time DESC"], max_results=1)
    if is_tested(mlflow.__version__):
        for experiment_id in experiments:
            write_view(client, experiment_id)
    return runs[0].info.experiment_id if runs else None


def runs_link(address: str, experiment_id: str, *, has_view: bool) -> str:
    """Return the address of the table of an experiment's runs.

    Args:
      address: of the server.
      experiment_id: the experiment.
      has_view: whether `write_view` has written the view; if not, the table is MLflow's own.

    Example:
      >>> runs_link("http://127.0.0.1:5000", "1", has_view=True)
      'http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=ecgexp'
    """
    query = _WORKFLOW | ({"viewStateShareKey": VIEW} if has_view else {})
    return f"{redact(address.rstrip('/'))}/#/experiments/{experiment_id}/runs?{urlencode(query)}"


def experiments_link(address: str) -> str:
    """Return the address of the list of experiments.

    Args:
      address: of the server.
    """
    return f"{redact(address.rstrip('/'))}/#/experiments?{urlencode(_WORKFLOW)}"
