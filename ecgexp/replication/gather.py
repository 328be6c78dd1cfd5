"""The results of the stages of the study, from a store or from the published results.

Runs of a store are found by their whole configuration; the name of an experiment does not suffice.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ecgexp.analysis.find_runs import StoredRun, UnknownExperimentError, search_runs
from ecgexp.analysis.results_page.groups import PublishedResults
from ecgexp.analysis.results_page.record import PublishedResult
from ecgexp.config.compose import for_the_record, load_config
from ecgexp.replication.stages import Stage
from ecgexp.tracking.params import has_effect, loggable, parameters


@dataclass(frozen=True, kw_only=True)
class StageRun:
    """One run of a stage.

    Attributes:
      run_id: in MLflow; empty for a published result without one.
      seed: of the run, as text.
      noise_multiplier: as text; empty without noise.
      database: name and version.
      metrics: metric key -> value.
    """

    run_id: str
    seed: str
    noise_multiplier: str
    database: str
    metrics: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """A stage and its finished runs.

    Attributes:
      stage: the configuration.
      runs: one for each seed with a finished run.
    """

    stage: Stage
    runs: tuple[StageRun, ...]

    def values(self, metric: str) -> list[float]:
        """Return the values of a metric in the runs that have it."""
        return [run.metrics[metric] for run in self.runs if metric in run.metrics]

    def mean(self, metric: str) -> float | None:
        """Return the mean of a metric over the seeds; None if no run has it."""
        values = self.values(metric)
        return sum(values) / len(values) if values else None

    @property
    def source(self) -> str | None:
        """The database, e.g. `mitdb 1.0.0`."""
        return next((run.database for run in self.runs), None)


class RunIndex:
    """The runs of a store, which is searched once for each experiment.

    Args:
      uri: the store; None: the default one.
    """

    def __init__(self, uri: str | None = None):
        self._uri = uri
        self._runs: dict[str, Sequence[StoredRun]] = {}

    def newest(self, overrides: Sequence[str], seeds: Sequence[int]) -> list[StoredRun | None]:
        """Return the newest finished run of a configuration for each seed.

        Args:
          overrides: the configuration, without the seed.
          seeds: the seeds.

        Returns:
          One run per seed; None if there is none.

        Raises:
          DataError: there is no such store.
        """
        config = load_config(overrides)
        finished = [
            (run, _deciding(run.params))
            for run in reversed(self._of(str(config.tracking.experiment_name)))
            if run.status == "FINISHED"
        ]
        found = []
        for seed in seeds:
            config.seed = seed
            wanted = _deciding(loggable(parameters(for_the_record(config))))
            found.append(next((run for run, had in finished if had == wanted), None))
        return found

    def _of(self, experiment: str) -> Sequence[StoredRun]:
        if experiment not in self._runs:
            try:
                self._runs[experiment] = search_runs(experiment=experiment, uri=self._uri)
            except UnknownExperimentError:
                self._runs[experiment] = ()
        return self._runs[experiment]


def gather(
    stages: Iterable[Stage], seeds: Sequence[int], index: RunIndex, *, more: Sequence[str] = ()
) -> list[StageResult]:
    """Return the newest finished run of each stage and seed in a store.

    Args:
      stages: the configurations.
      seeds: the seeds of each.
      index: the store.
      more: further overrides that the runs had.

    Returns:
      One result per stage.

    Raises:
      DataError: there is no such store.
    """
    found = []
    for stage in stages:
        runs = index.newest([*stage.overrides, *more], seeds)
        there = tuple(_of_store(run) for run in runs if run is not None)
        found.append(StageResult(stage=stage, runs=there))
    return found


def published(stages: Iterable[Stage], results: PublishedResults) -> list[StageResult]:
    """Return the published result of each stage.

    Args:
      stages: the configurations.
      results: the published results.

    Returns:
      One result per stage.

    Raises:
      DataError: a stage has none.
    """
    return [
        StageResult(
            stage=stage,
            runs=tuple(
                _of_line(line)
                for line in results.group(
                    stage.overrides[0].removeprefix("experiment="), stage.overrides[1:]
                ).lines
            ),
        )
        for stage in stages
    ]


def _of_store(run: StoredRun) -> StageRun:
    return StageRun(
        run_id=run.run_id,
        seed=run.params.get("seed", ""),
        noise_multiplier=run.params.get("privacy.noise_multiplier", ""),
        database=run.tags.get("dataset.name", ""),
        metrics=run.metrics,
    )


def _of_line(line: PublishedResult) -> StageRun:
    metrics = {name: score.value for name, score in line.metrics.items()}
    if line.privacy is not None:
        metrics["privacy/epsilon"] = line.privacy.epsilon
    return StageRun(
        run_id=line.provenance.run,
        seed=str(line.seeds[0]),
        noise_multiplier=line.settings.get("privacy.noise_multiplier", ""),
        database=line.evaluated.database,
        metrics=metrics,
    )


def _deciding(params: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in params.items() if has_effect(name)}
