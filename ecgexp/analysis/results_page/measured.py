"""The runs behind a claim, read back from MLflow."""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ecgexp.analysis.find_runs import StoredRun
from ecgexp.analysis.results_page.asked import RunIndex
from ecgexp.analysis.results_page.rows import ResultRow
from ecgexp.analysis.run_rows import Row, read_row
from ecgexp.analysis.spread import Spread, interval_of, score_of, spread
from ecgexp.privacy import accounting
from ecgexp.privacy.plan import default_delta
from ecgexp.settings.declaration import DataError
from ecgexp.tracking.params import has_effect


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A claim and the finished runs behind it, one a seed.

    Attributes:
      result_row: what is claimed.
      runs: the newest of each seed, by seed.
      rows: the same, read.
    """

    result_row: ResultRow
    runs: tuple[StoredRun, ...]
    rows: tuple[Row, ...]

    def score(self, name: str) -> Spread:
        """Mean and range over the seeds of a test score, e.g. `f1/V`."""
        return score_of(self.rows, "test", name)

    def interval(self, name: str) -> tuple[float, float]:
        """95 % by bootstrap over patients: the means over the seeds of the ends that each run has; NaN where none has any."""
        found = [
            ends
            for row in self.rows
            if (ends := interval_of(row.metrics, "test", name)) is not None
        ]
        return spread(low for low, _ in found).mean, spread(high for _, high in found).mean

    @property
    def delta(self) -> float:
        """The δ that the experiment has today: typed, or the default of as many units; NaN without a guarantee."""
        privacy = self.rows[0].privacy
        if self.rows[0].guarantee == "none" or privacy is None:
            return math.nan
        if self.result_row.delta is None and "num_units" in privacy:
            return default_delta(int(privacy["num_units"]))
        return self.rows[0].delta if self.result_row.delta is None else self.result_row.delta

    @property
    def is_stale(self) -> bool:
        """Whether its noise was calibrated to a target at a δ that the experiment no longer has: it is to be run again."""
        return self.result_row.is_calibrated and any(row.delta != self.delta for row in self.rows)

    @property
    def epsilon(self) -> Spread:
        """ε of one run at `delta`, from its recorded events; as it was calibrated if `is_stale`; infinite without a guarantee."""
        return spread(
            row.epsilon if self.is_stale else _epsilon_at(row, self.delta) for row in self.rows
        )

    @property
    def population(self) -> int | None:
        """Units of the larger population that the runs name; None where they name none."""
        return self._hypothetical_population.get("population")

    @property
    def projected(self) -> float | None:
        """ε of the same steps for that population with as much noise on the mean update: no promise of any run."""
        return self._hypothetical_population.get("same_noise_on_mean", {}).get(
            "projected_epsilon_pld"
        )

    @property
    def _hypothetical_population(self) -> Mapping[str, Any]:
        return (self.rows[0].privacy or {}).get("hypothetical_population") or {}


def _epsilon_at(row: Row, delta: float) -> float:
    """ε of a run at another δ than its own, by the accountant that it names."""
    privacy = row.privacy or {}
    if row.guarantee != "private" or row.delta == delta or not privacy.get("event"):
        return row.epsilon
    event = accounting.from_json(privacy["event"])
    return accounting.smallest_epsilon(
        event, delta, privacy["accountant"], privacy["neighboring_relation"]
    )[0]


def measure(result_rows: Sequence[ResultRow], asked: RunIndex) -> list[Measured]:
    """The runs of each claim.

    Args:
      result_rows: what is claimed.
      asked: the store that has the runs.

    Raises:
      DataError: a run is missing; the message gives the command that makes it.
    """
    found = []
    for result_row in result_rows:
        runs = asked.newest(result_row.typed, result_row.seeds)
        if missing := [
            str(seed) for seed, run in zip(result_row.seeds, runs, strict=True) if run is None
        ]:
            raise DataError(
                f"no finished run with seed {', '.join(missing)} is behind “{result_row.label}”; make it: {result_row.command}"
            )
        there = tuple(run for run in runs if run is not None)
        found.append(
            Measured(result_row=result_row, runs=there, rows=tuple(read_row(run) for run in there))
        )
    return found


@dataclass(frozen=True, kw_only=True)
class TestSetEvaluation:
    """A run that was tested on DS2.

    Attributes:
      day: when.
      experiment: its experiment.
      run: its name in MLflow, and what was typed for it that the name leaves out.
      accuracy: on the test beats.
      jk_index: likewise; NaN where it is not defined.
    """

    day: str
    experiment: str
    run: str
    accuracy: float
    jk_index: float


def evaluations_of_test_set(
    result_rows: Sequence[ResultRow], asked: RunIndex
) -> list[TestSetEvaluation]:
    """Every run in the claims' experiments that saw the test beats of DS2, whatever came of it, in the order of time."""
    found = [
        (run.started, experiment, run)
        for experiment in dict.fromkeys(result_row.experiment for result_row in result_rows)
        for run in asked.all_runs([f"experiment={experiment}"])
        if "test/accuracy" in run.metrics
        and run.params.get("split._target_", "").endswith("InterPatient")
    ]
    return [
        TestSetEvaluation(
            day=datetime.fromtimestamp(started, UTC).strftime("%Y-%m-%d %H:%M"), experiment=experiment, run=_told(run),
            accuracy=run.metrics["test/accuracy"], jk_index=run.metrics.get("test/jk_index", float("nan")),
        )
        for started, experiment, run in sorted(found, key=lambda item: item[0])
    ]  # fmt: skip


def _told(run: StoredRun) -> str:
    """A job of a sweep is called after what it differs in from the other jobs: what they shared is in its command."""
    words = shlex.split(run.tags.get("command", ""))[1:]
    keys = [word.partition("=")[0].lstrip("+~") for word in words]
    typed = [
        word
        for word, key in zip(words, keys, strict=True)
        if key != "experiment" and has_effect(key)
    ]
    return " ".join(
        [run.name, *(word for word in typed if word.rpartition(".")[2] not in run.name)]
    )
