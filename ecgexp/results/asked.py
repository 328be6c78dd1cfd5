"""Runs, found by all that was asked of them: an experiment's name, or a few of its values, would let others in."""

from collections.abc import Mapping, Sequence
from typing import Any

from ecgexp._validate import DataError
from ecgexp.config import for_the_record, load_config
from ecgexp.tracking.params import flatten, loggable
from ecgexp.tracking.reading import StoredRun, search_runs

# What may differ between two runs that are the same: where they and their data are kept, and how they were started.
_FREE = ("tracking.", "sweep.", "data.", "dataset.root", "dataset.cache_dir", "checkpoints.", "resume", "name")


def experiment_of(overrides: Sequence[str]) -> str:
    """The MLflow experiment in which runs with these overrides are."""
    return str(load_config(overrides).tracking.experiment_name)


def finished_runs(experiment: str, uri: str | None) -> list[StoredRun]:
    """Newest first; none where nothing was run yet.

    Raises:
      DataError: there is no such store.
    """
    return [run for run in reversed(all_runs(experiment, uri)) if run.status == "FINISHED"]


def all_runs(experiment: str, uri: str | None) -> Sequence[StoredRun]:
    """Oldest first, whatever came of them; none where nothing was run yet.

    Raises:
      DataError: there is no such store.
    """
    try:
        return search_runs(experiment=experiment, uri=uri)
    except DataError as error:
        if f"no experiment {experiment}" in str(error):
            return []
        raise


def newest(runs: Sequence[StoredRun], overrides: Sequence[str]) -> StoredRun | None:
    """The first of `runs`, newest first, that had the configuration which these overrides make; None where there is none."""
    asked = _deciding(loggable(flatten(for_the_record(load_config(overrides)))))
    return next((run for run in runs if _deciding(run.params) == asked), None)


def _deciding(params: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in params.items() if not name.startswith(_FREE)}
