"""The runs behind a claim, read back from MLflow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ecgexp._validate import DataError
from ecgexp.report.rows import Row, read_row
from ecgexp.report.spread import Spread, score_of, spread
from ecgexp.results.asked import all_runs, experiment_of, finished_runs, newest
from ecgexp.results.claims import Claim
from ecgexp.tracking.reading import StoredRun


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


def measure(claims: Sequence[Claim], uri: str | None = None) -> list[Measured]:
    """The runs of each claim.

    Args:
      claims: what is claimed.
      uri: the store; None: the usual one.

    Raises:
      DataError: a run is missing; the message gives the command that makes it.
    """
    known: dict[str, list[StoredRun]] = {}
    found = []
    for claim in claims:
        name = experiment_of(claim.typed)
        if name not in known:
            known[name] = finished_runs(name, uri)
        runs = [newest(known[name], [*claim.typed, f"seed={seed}"]) for seed in claim.seeds]
        if missing := [str(seed) for seed, run in zip(claim.seeds, runs, strict=True) if run is None]:
            raise DataError(
                f"no finished run with seed {', '.join(missing)} is behind “{claim.label}”; make it: {claim.command}"
            )
        there = tuple(run for run in runs if run is not None)
        found.append(Measured(claim=claim, runs=there, rows=tuple(read_row(run) for run in there)))
    return found


@dataclass(frozen=True, kw_only=True)
class Look:
    """A run that was tested on DS2.

    Attributes:
      day: when.
      experiment: its experiment.
      run: its name in MLflow.
      accuracy: on the test beats.
      jk_index: likewise; NaN where it is not defined.
    """

    day: str
    experiment: str
    run: str
    accuracy: float
    jk_index: float


def looks(claims: Sequence[Claim], uri: str | None = None) -> list[Look]:
    """Every run in the claims' experiments that saw the test beats of DS2, whatever came of it, in the order of time."""
    names = dict.fromkeys(experiment_of(claim.typed) for claim in claims)
    found = [
        (run.started, name, run)
        for name in names
        for run in all_runs(name, uri)
        if "test/accuracy" in run.metrics and run.params.get("split._target_", "").endswith("InterPatient")
    ]
    return [
        Look(
            day=datetime.fromtimestamp(started, UTC).strftime("%Y-%m-%d %H:%M"), experiment=name, run=run.name,
            accuracy=run.metrics["test/accuracy"], jk_index=run.metrics.get("test/jk_index", float("nan")),
        )
        for started, name, run in sorted(found, key=lambda item: item[0])
    ]  # fmt: skip
