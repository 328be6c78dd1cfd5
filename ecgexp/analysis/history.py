"""The metrics of each epoch or round of a run."""

from pathlib import Path
from typing import TYPE_CHECKING

from ecgexp.analysis.find_runs import StoredRun
from ecgexp.tracking.local.tracker import read_metrics
from ecgexp.tracking.mlflow.existing_store import default_uri, open_existing

if TYPE_CHECKING:
    import pandas as pd

_CURVE = "curve/"


def read_history(run: StoredRun, *, folder: Path | None, uri: str | None) -> "pd.DataFrame":
    """Read the metrics of each epoch or round, from the run's folder or else from its store.

    Args:
      run: the run.
      folder: of the run; None if it is not on this machine.
      uri: the store; None: `default_uri()`.

    Returns:
      One row for each epoch or round, with its number as index; a column for each metric.

    Raises:
      DataError: the file or the store cannot be read.
    """
    import pandas as pd

    steps: dict[int, dict[str, float | None]] = {}
    if folder is not None:
        for step, metrics in read_metrics(folder / "metrics.jsonl"):
            if step is not None:
                steps.setdefault(step, {}).update(metrics)
    else:
        client = open_existing(uri or default_uri())
        for name in run.metrics:
            if name.startswith(_CURVE):
                for point in client.get_metric_history(run.run_id, name):
                    steps.setdefault(point.step, {})[name] = point.value
    table = pd.DataFrame.from_dict(steps, orient="index", dtype=float).sort_index()
    return table.rename(columns=lambda name: name.removeprefix(_CURVE)).rename_axis("step")
