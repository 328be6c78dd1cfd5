"""Several runs of one claim as one classifier: the mean of their probabilities, judged once."""

from collections.abc import Sequence

import numpy as np

from ecgexp._validate import DataError
from ecgexp.evaluation.evaluator import Evaluation, evaluate
from ecgexp.results.measured import Measured
from ecgexp.seeding import Seeds
from ecgexp.tracking.reading import StoredRun

_PREDICTIONS = "predictions/test.parquet"
_WHO = ["record", "sample"]


def judge_together(measured: Measured) -> Evaluation:
    """The scores of the mean probability, with intervals by patient.

    Raises:
      DataError: a run kept no predictions, or they are of other beats than the first run's.
    """
    import pandas as pd

    tables = [pd.read_parquet(_file(run)) for run in measured.runs]
    first = tables[0]
    if any(not table[_WHO].equals(first[_WHO]) for table in tables):
        raise DataError(
            f"the runs behind “{measured.claim.label}” were tested on different beats; run {measured.claim.command}"
        )
    names = [name for name in first.columns if name.startswith("probability/")]
    classes = [name.partition("/")[2] for name in names]
    return evaluate(
        labels=pd.Index(classes).get_indexer(first["class"]), probabilities=np.mean([table[names] for table in tables], axis=0),
        class_names=classes, record_ids=first["record"].to_numpy(str), patient_ids=first["patient"].to_numpy(str),
        majority_class=_commonest(measured, classes), rng=Seeds(0).generator("bootstrap"),
    )  # fmt: skip


def _file(run: StoredRun) -> str:
    file = run.artifact(_PREDICTIONS)
    if file is None:
        raise DataError(f"run {run.name} ({run.run_id}) kept no {_PREDICTIONS}; run it again")
    return str(file)


def _commonest(measured: Measured, classes: Sequence[str]) -> int:
    counts = measured.rows[0].counts.get("train", {})
    return int(np.argmax([counts.get(name, 0) for name in classes]))
