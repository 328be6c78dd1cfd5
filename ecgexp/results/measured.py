"""The runs behind a claim, read back from MLflow."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ecgexp._validate import DataError
from ecgexp.report.rows import Row, read_row
from ecgexp.report.spread import Spread, score_of, spread
from ecgexp.results.claims import Claim
from ecgexp.tracking.reading import StoredRun, search_runs

Runs = Callable[[str], Sequence[StoredRun]]
"""The runs of an experiment, oldest first; none where there is no such experiment."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A claim and the finished runs behind it, one a seed.

    Attributes:
      claim: what is claimed.
      runs: the newest of each seed, by seed.
      rows: the same, read.
    """

    claim: Claim
    runs: tuple[StoredRun, ...]
    rows: tuple[Row, ...]

    def score(self, name: str) -> Spread:
        """Mean and range over the seeds of a test score, e.g. `f1/V`."""
        return spread(score_of([row], "test", name).mean for row in self.rows)

    def interval(self, name: str) -> tuple[float, float]:
        """95 % by bootstrap over patients: the means over the seeds of the ends that each run has; NaN where one has none."""
        metric, slash, of = name.partition("/")
        low, high = (
            spread(row.metrics.get(f"test/{metric}_ci_{end}{slash}{of}") for row in self.rows).mean
            for end in ("low", "high")
        )
        return low, high

    @property
    def epsilon(self) -> Spread:
        """ε of one run; infinite without a promise."""
        return spread(row.epsilon for row in self.rows)

    @property
    def population(self) -> int | None:
        """Units of the larger population that the runs name; None where they name none."""
        return self._projection.get("population")

    @property
    def projected(self) -> float | None:
        """ε of the same steps for that population with as much noise on the mean update: no promise of any run."""
        return self._projection.get("same_noise_on_mean", {}).get("projected_epsilon_pld")

    @property
    def _projection(self) -> Mapping[str, Any]:
        return (self.rows[0].privacy or {}).get("projection") or {}


def store_runs(uri: str | None) -> Runs:
    """Looks runs up in the store `uri`."""

    def runs(experiment: str) -> Sequence[StoredRun]:
        try:
            return search_runs(experiment=experiment, uri=uri)
        except DataError as error:
            if "there is no experiment" in str(error):
                return ()
            raise

    return runs


def measure(claims: Sequence[Claim], runs: Runs) -> list[Measured]:
    """The runs of each claim.

    Raises:
      DataError: a claim has no finished run; the message gives the command that makes some.
    """
    return [_measure(claim, runs) for claim in claims]


def _measure(claim: Claim, runs: Runs) -> Measured:
    newest: dict[str, StoredRun] = {}
    for run in runs(claim.experiment):  # oldest first, so that the newest of a seed stays
        fits = all(run.params.get(name) == value for name, value in claim.params.items())
        if fits and run.status == "FINISHED" and "test/accuracy" in run.metrics:
            newest[run.params.get("seed", "")] = run
    if not newest:
        raise DataError(f"no finished run is behind “{claim.label}”; make some: {claim.command}")
    found = tuple(newest[seed] for seed in sorted(newest))
    return Measured(claim=claim, runs=found, rows=tuple(read_row(run) for run in found))


@dataclass(frozen=True, kw_only=True)
class Look:
    """A run that was tested on DS2.

    Attributes:
      day: when.
      experiment: its experiment.
      changes: what was typed beside the experiment's name.
      accuracy: on the test beats.
      jk_index: likewise; NaN where it is not defined.
    """

    day: str
    experiment: str
    changes: str
    accuracy: float
    jk_index: float


def looks(experiments: Sequence[str], runs: Runs) -> list[Look]:
    """Every run of the experiments that saw the test beats of DS2, whatever came of it, in the order of time."""
    found = []
    for experiment in dict.fromkeys(experiments):
        for run in runs(experiment):
            if "test/accuracy" in run.metrics and run.params.get("split._target_", "").endswith("InterPatient"):
                found.append((run.started, experiment, run))
    return [
        Look(
            day=datetime.fromtimestamp(started, UTC).strftime("%Y-%m-%d %H:%M"), experiment=experiment,
            changes=run.name, accuracy=run.metrics["test/accuracy"],
            jk_index=run.metrics.get("test/jk_index", float("nan")),
        )
        for started, experiment, run in sorted(found, key=lambda item: item[0])
    ]  # fmt: skip
