"""The runs of the study, read back from MLflow by what was asked of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ecgexp.analysis.find_runs import StoredRun
from ecgexp.analysis.results_page.asked import RunIndex
from ecgexp.replication.stages import Stage
from ecgexp.settings.declaration import DataError


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


def check_complete(measured: Sequence[Measured], num_seeds: int) -> None:
    """Refuses a study with a stage that has not run.

    Raises:
      DataError: names the first, with the command that runs it.
    """
    for one in measured:
        if len(one.runs) < num_seeds:
            raise DataError(
                f"replication/{one.stage.protocol}, {one.stage.label}: {len(one.runs)} of {num_seeds} runs are there; make them: "
                "ECGEXP_DATA=… uv run python scripts/parity_study.py"
            )


def gather(
    stages: Iterable[Stage], seeds: Sequence[int], asked: RunIndex, *, more: Sequence[str] = ()
) -> list[Measured]:
    """The latest finished run of each stage and seed.

    Args:
      stages: to look for.
      seeds: to look for.
      asked: the store that has the runs.
      more: further overrides that the runs had.

    Raises:
      DataError: there is no such store.
    """
    found = [(stage, asked.newest([*stage.overrides, *more], seeds)) for stage in stages]
    return [
        Measured(stage=stage, runs=tuple(run for run in runs if run is not None))
        for stage, runs in found
    ]
