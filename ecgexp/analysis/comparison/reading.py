"""What a comparison needs of a stored run: what it said of each beat, and what it promises."""

import math
from dataclasses import dataclass

from ecgexp.analysis.find_runs import StoredRun
from ecgexp.evaluation import stored_tables
from ecgexp.evaluation.pairs import Predictions
from ecgexp.settings.declaration import DataError
from ecgexp.tracking.local.result import PrivacyValues, ResultValues


@dataclass(frozen=True, kw_only=True)
class PrivacyGuarantee:
    """What a run promises.

    Attributes:
      epsilon: ε; None where the run makes no claim.
      delta: δ; None likewise.
      unit: beat, record or patient; None likewise.
      rows_per_unit: rows that one heartbeat is accounted for.
      overlapping_rows: the most rows that share samples with one heartbeat's window.
      epsilon_overlap: ε of so many rows together; None where they are no more than the unit's own, or no bound is known.
    """

    epsilon: float | None = None
    delta: float | None = None
    unit: str | None = None
    rows_per_unit: int = 1
    overlapping_rows: int = 1
    epsilon_overlap: float | None = None


def read_guarantee(run: StoredRun) -> PrivacyGuarantee:
    """The promise that `run` ended with.

    Raises:
      DataError: its statement is damaged.
    """
    epsilon = run.metrics.get("privacy/epsilon", math.nan)
    if not math.isfinite(epsilon):
        return PrivacyGuarantee()
    result = run.read_json("result.json", ResultValues) or {}
    stated = result.get("privacy") or run.read_json("privacy.json", PrivacyValues) or {}
    rows = {name: int(stated.get(name) or 1) for name in ("rows_per_unit", "overlapping_rows")}
    return PrivacyGuarantee(
        epsilon=epsilon, delta=run.metrics.get("privacy/delta"), unit=run.params.get("privacy.unit"),
        epsilon_overlap=stated.get("epsilon_overlap"), **rows,
    )  # fmt: skip


def read_predictions(run: StoredRun, split: str) -> Predictions:
    """What `run` said of the beats of `split`.

    Raises:
      DataError: it kept none, or they cannot be read.
    """
    path = f"predictions/{split}.parquet"
    file = run.artifact(path)
    if file is None:
        raise DataError(
            f"run {run.name} ({run.run_id}) has no {path}: it did not finish, was not judged on {split} beats (evaluate_on=), "
            "or is the parent of a sweep, whose runs can be compared one by one"
        )
    found = stored_tables.read_predictions(file, fix=run.fix)
    if not len(found.samples):
        raise DataError(
            f"{file} of run {run.name} holds no beats: there is nothing to compare; use another split"
        )
    return Predictions(
        records=found.records, samples=found.samples, patients=found.patients, classes=found.classes,
        predicted=found.predicted, class_names=found.class_names, probabilities=found.probabilities,
    )  # fmt: skip
