"""`results/runs.jsonl`, the published results: the schema of a line, reading and writing."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ecgexp.analysis.formatting import LEVELS
from ecgexp.settings.declaration import ConfigError, DataError, NonNegative, build, settings
from ecgexp.storage.atomic import replacing
from ecgexp.storage.reading import read_lines, read_text, refusal

_FIX = "restore the line from git, or add the run again with scripts/results_page.py --add"

Kind = Literal["run", "mean", "ensemble"]
Training = Literal["centralized", "federated"]

_ROUNDED = 0.0011  # a mean and its range, each rounded to three digits
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}( \d{2}:\d{2})?")
_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@settings
class Score:
    """The value of one metric.

    Attributes:
      value: of the run, or the mean over the seeds.
      interval: 95 % by bootstrap over patients; of several seeds the mean of their ends.
      range: least and greatest over the seeds; None for one run.
    """

    value: float
    interval: tuple[float, float] | None = None
    range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for name, ends in (("interval", self.interval), ("range", self.range)):
            if ends is not None and ends[0] > ends[1]:
                raise DataError(f"{name}={list(ends)}: the lower end is above the upper one")
        if self.range is not None and not (
            self.range[0] - _ROUNDED <= self.value <= self.range[1] + _ROUNDED
        ):
            raise DataError(f"range={list(self.range)}: the mean {self.value} is outside it")


@settings
class Privacy:
    """The privacy guarantee of a run, as its ledger gave it.

    Attributes:
      unit: unit of privacy.
      epsilon: ε of one run, by `accountant`.
      delta: δ.
      noise_multiplier: of each step; None where it was calibrated and not kept.
      accountant: `pld` or `rdp`.
      neighboring_relation: see `PrivacyPlan.neighboring_relation`; empty where it was not kept.
      epsilon_rdp: ε by RDP; None where it was not kept.
      epsilon_overlap: ε of all rows that share samples with one heartbeat; None without such rows.
      hypothetical_population: units of the hypothetical population; None without one.
      hypothetical_epsilon: ε of the same steps for that population, with as much noise on the mean
        update. It is not a guarantee of any run.
    """

    unit: Literal["beat", "record", "patient"]
    epsilon: NonNegative
    delta: Annotated[float, Field(gt=0, lt=1)]
    noise_multiplier: NonNegative | None = None
    accountant: Literal["pld", "rdp"] = "pld"
    neighboring_relation: str = ""
    epsilon_rdp: NonNegative | None = None
    epsilon_overlap: NonNegative | None = None
    hypothetical_population: Annotated[int, Field(gt=0)] | None = None
    hypothetical_epsilon: NonNegative | None = None

    def __post_init__(self) -> None:
        if (self.hypothetical_population is None) != (self.hypothetical_epsilon is None):
            raise DataError(
                "hypothetical_epsilon: it requires hypothetical_population; set both or neither"
            )


@settings
class EvaluatedBeats:
    """The beats that a result is measured on.

    Attributes:
      split: name of the test set; `DS2` for the test set of the inter-patient division of MIT-BIH.
      database: name and version; empty where it was not kept.
      beats: number of beats; None where it was not kept.
      patients: number of patients; None where it was not kept.
      sha256: digest of the test beats, `data.test_sha256` of `result.json`; empty where it was not
        kept.
    """

    split: Annotated[str, Field(min_length=1)]
    database: str = ""
    beats: Annotated[int, Field(gt=0)] | None = None
    patients: Annotated[int, Field(gt=0)] | None = None
    sha256: str = ""

    def __post_init__(self) -> None:
        if self.sha256 and not _SHA256.fullmatch(self.sha256):
            raise DataError(f"sha256={self.sha256}: it is not 64 hexadecimal digits")


@settings
class Provenance:
    """Where a result comes from.

    Attributes:
      source: `run`: written from the run itself by `--add`; `carried over`: copied from a page of
        this repository that no run at hand backs.
      date: UTC; the start of the run, or the day on which the page stated the number.
      commit: the code of the run; for a number that was carried over, the commit that stated it.
      run: id of the run in MLflow, or the name of its folder; empty where it was carried over.
      note: further provenance.
    """

    source: Literal["run", "carried over"]
    date: str
    commit: str
    run: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not _DATE.fullmatch(self.date):
            raise DataError(f"date={self.date}: it is not of the form 2026-11-27 06:53")
        if not _COMMIT.fullmatch(self.commit):
            raise DataError(f"commit={self.commit}: it is not the name of a commit")
        if (self.source == "run") != bool(self.run):
            raise DataError(f"source={self.source}: only a result with that source has a run")


@settings
class PublishedResult:
    """One line of `results/runs.jsonl`.

    Attributes:
      kind: `run`: one run; `mean`: mean and range over seeds whose runs were not kept one by one;
        `ensemble`: the mean of the probabilities of several runs, as one classifier.
      experiment: an option of `experiment=`.
      overrides: overrides of the experiment's settings, sorted, without the seed and settings that
        do not affect a result.
      seeds: seeds of the runs; one for `run`.
      training: centralized or federated.
      evaluated: the beats that `metrics` are measured on.
      metrics: metric key -> score; a metric that is not defined is left out.
      provenance: where the numbers come from.
      status: final status; a run that failed is in the evaluation log only.
      variant: how an earlier form of the experiment differed; such a line is in the evaluation log
        only.
      privacy: privacy guarantee; None without one.
      seconds: duration of the shortest and the longest run; None where it was not kept.
      settings: dotted name -> value of all settings that affect a result, without the seed; empty
        where it was carried over.
      versions: library -> version; empty where it was carried over.
      stale: why the result must be measured again; empty if it is current.
      notes: limits of the result, in sentences.
    """

    kind: Kind
    experiment: Annotated[str, Field(min_length=1)]
    overrides: tuple[str, ...] = ()
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    training: Training
    evaluated: EvaluatedBeats
    metrics: dict[str, Score]
    provenance: Provenance
    status: Literal["FINISHED", "FAILED"] = "FINISHED"
    variant: str = ""
    privacy: Privacy | None = None
    seconds: tuple[NonNegative, NonNegative] | None = None
    settings: dict[str, str] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    stale: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.kind == "run") != (len(self.seeds) == 1):
            raise DataError(
                f"kind={self.kind}: {len(self.seeds)} seeds do not fit it; one run has one seed"
            )
        if tuple(sorted(set(self.seeds))) != self.seeds:
            raise DataError(f"seeds={list(self.seeds)}: they are not in order, each once")
        if tuple(sorted(self.overrides)) != self.overrides:
            raise DataError(f"overrides={list(self.overrides)}: they are not sorted")
        if self.provenance.source == "run" and not (self.settings and self.evaluated.sha256):
            raise DataError(
                "source=run: settings or evaluated.sha256 is missing; use --add, which writes them"
            )
        if self.kind == "mean" and self.provenance.source == "run":
            raise DataError("kind=mean: runs are added one by one; use --add with each of them")
        if self.kind != "mean" and any(score.range for score in self.metrics.values()):
            raise DataError(f"kind={self.kind}: only a mean over seeds has a range")

    @property
    def key(self) -> tuple[str, tuple[str, ...]]:
        """Results with the same key, and different seeds, are of one configuration."""
        return self.experiment, self.overrides

    @property
    def guarantee(self) -> str:
        """E.g. `patient-level DP, federated`; `no privacy` without a guarantee."""
        if self.privacy is None:
            return "no privacy"
        return f"{LEVELS[self.privacy.unit]} DP, {self.training}"


def as_json(result: PublishedResult) -> dict[str, Any]:
    """Return the JSON values of a line; fields with their default are left out."""
    values = _without_defaults(asdict(result))
    return {"kind": result.kind, **values}


def _without_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    kept = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            value = _without_defaults(value)
        if value not in (None, "", (), {}, "FINISHED"):
            kept[name] = value
    return kept


def read_results(path: Path) -> list[PublishedResult]:
    """Read all published results, in the order of the file.

    Raises:
      DataError: a line is damaged, breaks the schema or repeats a run; the message names the line.
    """
    if not read_text(path, fix=_FIX).endswith("\n"):  # such a line would be left out
        raise refusal(path, "ends within a line", fix=_FIX)
    found: list[PublishedResult] = []
    known: dict[str, int] = {}
    for number, values in enumerate(read_lines(path, dict[str, Any], fix=_FIX), start=1):
        try:
            result = build(PublishedResult, values, path="")
        except (ConfigError, DataError) as error:
            raise refusal(path, f"line {number}: {error}", fix=_FIX) from error
        if (run := result.provenance.run) and result.kind == "run":
            if run in known:
                raise refusal(path, f"line {number}: run={run} is in line {known[run]}", fix=_FIX)
            known[run] = number
        found.append(result)
    return found


def write_results(path: Path, results: Sequence[PublishedResult]) -> None:
    """Replace the file by these results."""
    lines = [json.dumps(as_json(one), ensure_ascii=False, allow_nan=False) for one in results]
    with replacing(path) as part:
        part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
