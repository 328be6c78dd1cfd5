"""The results of the stages of the study, from a store or from the published results."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ecgexp.analysis.find_runs import StoredRun
from ecgexp.analysis.results_page.groups import PublishedResults
from ecgexp.analysis.results_page.record import PublishedResult
from ecgexp.replication.run_index import RunIndex
from ecgexp.replication.stages import Stage


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
