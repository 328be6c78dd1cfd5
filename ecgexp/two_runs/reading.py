"""What a comparison needs of a stored run: what it said of each beat, and what it promises."""

import math
from dataclasses import dataclass

import numpy as np

from ecgexp._validate import DataError
from ecgexp.evaluation.pairs import Predictions
from ecgexp.tracking.reading import StoredRun

_PROBABILITY = "probability/"


@dataclass(frozen=True, kw_only=True)
class Promise:
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


def read_promise(run: StoredRun) -> Promise:
    """The promise that `run` ended with.

    Raises:
      DataError: its statement is damaged.
    """
    epsilon = run.metrics.get("privacy/epsilon", math.nan)
    if not math.isfinite(epsilon):
        return Promise()
    stated = (run.read_json("result.json") or {}).get("privacy") or run.read_json("privacy.json") or {}
    rows = {name: int(stated.get(name) or 1) for name in ("rows_per_unit", "overlapping_rows")}
    return Promise(
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
    import pandas as pd

    try:
        table = pd.read_parquet(file)
        samples = table["sample"].to_numpy().astype(np.int64)
        record, patient, true, predicted = (
            table[name].to_numpy().astype(str) for name in ("record", "patient", "class", "predicted")
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} of run {run.name} is not a table of predictions: {error}") from error
    names = tuple(name.removeprefix(_PROBABILITY) for name in table.columns if name.startswith(_PROBABILITY))
    if not len(table) or not names:
        raise DataError(
            f"{file} of run {run.name} holds {len(table)} beats of {len(names)} classes: nothing to compare"
        )
    return Predictions(
        records=record, samples=samples, patients=patient, classes=true, predicted=predicted, class_names=names,
        probabilities=table[[_PROBABILITY + name for name in names]].to_numpy(),
    )  # fmt: skip
