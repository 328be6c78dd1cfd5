"""The runs of the study, read back from MLflow by what was asked of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ecgexp._validate import DataError
from ecgexp.config import for_the_record, load_config
from ecgexp.parity.stages import Stage
from ecgexp.tracking.params import flatten, loggable
from ecgexp.tracking.reading import StoredRun, search_runs

# What may differ between two runs that are the same: where they and their data are kept, and how they were started.
_FREE = ("tracking.", "sweep.", "data.", "dataset.root", "dataset.cache_dir", "checkpoints.", "resume", "name")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A stage and its runs.

    Attributes:
      stage: what was asked for.
      runs: one a seed, of those that finished.
    """

    stage: Stage
    runs: tuple[StoredRun, ...]

    def values(self, metric: str) -> list[float]:
        """Of the runs that have it."""
        return [run.metrics[metric] for run in self.runs if metric in run.metrics]

    def mean(self, metric: str) -> float | None:
        """Over the seeds; None where no run has it."""
        values = self.values(metric)
        return sum(values) / len(values) if values else None

    @property
    def source(self) -> str | None:
        """Which data, e.g. `mitdb 1.0.0`."""
        return next((run.tags.get("dataset.name") for run in self.runs), None)


def gather(
    stages: Iterable[Stage], seeds: Sequence[int], *, more: Sequence[str] = (), uri: str | None = None
) -> list[Measured]:
    """The latest finished run of each stage and seed.

    Args:
      stages: to look for.
      seeds: to look for.
      more: further overrides that the runs had.
      uri: the store; None: `default_uri()`.

    Raises:
      DataError: there is no such store.
    """
    known: dict[str, list[StoredRun]] = {}
    found = []
    for stage in stages:
        name = str(load_config([*stage.overrides, *more]).tracking.experiment_name)
        if name not in known:
            known[name] = _finished(name, uri)
        asked = [_deciding(_recorded([*stage.overrides, *more, f"seed={seed}"])) for seed in seeds]
        runs = [next((run for run in known[name] if _deciding(run.params) == one), None) for one in asked]
        found.append(Measured(stage=stage, runs=tuple(run for run in runs if run is not None)))
    return found


def _finished(experiment: str, uri: str | None) -> list[StoredRun]:
    """Newest first; none where nothing was run yet."""
    try:
        runs = search_runs(experiment=experiment, uri=uri)
    except DataError as error:
        if f"no experiment {experiment}" in str(error):
            return []
        raise
    return [run for run in reversed(runs) if run.status == "FINISHED"]


def _recorded(overrides: Sequence[str]) -> dict[str, Any]:
    return loggable(flatten(for_the_record(load_config(overrides))))


def _deciding(params: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in params.items() if not name.startswith(_FREE)}
