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
    """

    epsilon: float | None = None
    delta: float | None = None
    unit: str | None = None


def read_promise(run: StoredRun) -> Promise:
    """The promise that `run` ended with."""
    epsilon = run.metrics.get("privacy/epsilon", math.nan)
    if not math.isfinite(epsilon):
        return Promise()
    return Promise(epsilon=epsilon, delta=run.metrics.get("privacy/delta"), unit=run.params.get("privacy.unit"))


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
