"""Several runs of one claim as one classifier: the mean of their probabilities, judged once."""

import numpy as np

from ecgexp.analysis.comparison.reading import read_predictions
from ecgexp.analysis.results_page.measured import Measured
from ecgexp.evaluation.evaluator import Evaluation, evaluate
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import DataError


def evaluate_together(measured: Measured) -> Evaluation:
    """The scores of the mean probability, with intervals by patient.

    Raises:
      DataError: a run kept no predictions, they are of other beats than the first run's, or the training beats are not told.
    """
    found = [read_predictions(run, "test") for run in measured.runs]
    first = found[0]
    if any(
        not (
            np.array_equal(one.records, first.records)
            and np.array_equal(one.samples, first.samples)
        )
        for one in found
    ):
        raise DataError(
            f"the runs behind “{measured.result_row.label}” were tested on different beats; run {measured.result_row.command}"
        )
    classes, trained = list(first.class_names), measured.rows[0].counts.get("train", {})
    if not any(trained.values()):
        raise DataError(
            f"the runs behind “{measured.result_row.label}” do not tell their training beats, whose commonest class is the baseline; "
            f"run {measured.result_row.command}"
        )
    return evaluate(
        labels=np.array([classes.index(name) for name in first.classes]),
        probabilities=np.mean([one.probabilities for one in found], axis=0), class_names=classes, record_ids=first.records,
        patient_ids=first.patients, majority_class=int(np.argmax([trained.get(name, 0) for name in classes])),
        rng=Seeds(0).generator("bootstrap"),
    )  # fmt: skip
