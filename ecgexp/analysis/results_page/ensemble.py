"""Several runs of one configuration as one classifier, by the mean of their probabilities."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ecgexp.analysis.comparison.reading import read_predictions
from ecgexp.analysis.find_runs import StoredRun
from ecgexp.analysis.results_page.from_run import check_alike, published_result, scores_of
from ecgexp.analysis.results_page.record import PublishedResult
from ecgexp.analysis.run_rows import read_row
from ecgexp.evaluation.evaluator import Evaluation, evaluate
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import DataError


def published_ensemble(runs: Sequence[StoredRun]) -> PublishedResult:
    """Return the published result of an ensemble.

    Args:
      runs: at least two runs of one configuration with different seeds.

    Raises:
      DataError: a run cannot be published or has no predictions, or the runs differ in more than
        their seed.
    """
    if len(runs) < 2:
        raise DataError("--ensemble: one run is not an ensemble; use two or more")
    lines = sorted((published_result(run) for run in runs), key=lambda line: line.seeds)
    check_alike(lines)
    first = lines[0]
    if any(line.privacy for line in lines):
        raise DataError(
            "--ensemble: the runs have privacy guarantees, and an ensemble has a larger ε than "
            "each of them; add the runs one by one"
        )
    return replace(
        first,
        kind="ensemble",
        seeds=tuple(line.seeds[0] for line in lines),
        metrics=scores_of(evaluate_together(runs).metrics("test")),
        provenance=replace(first.provenance, run=" ".join(line.provenance.run for line in lines)),
        seconds=None,
    )


def evaluate_together(runs: Sequence[StoredRun]) -> Evaluation:
    """Evaluate the mean of the probabilities of several runs, with intervals over patients.

    Raises:
      DataError: a run has no predictions, they are of other beats than those of the first run, or
        the number of training beats of each class is unknown.
    """
    found = [read_predictions(run, "test") for run in runs]
    first = found[0]
    for run, one in zip(runs, found, strict=True):
        if not (
            np.array_equal(one.records, first.records)
            and np.array_equal(one.samples, first.samples)
        ):
            raise DataError(
                f"run {run.name}: it was evaluated on other beats than run {runs[0].name}; run "
                "both on the same data"
            )
    classes, trained = list(first.class_names), read_row(runs[0]).counts.get("train", {})
    if not any(trained.values()):
        raise DataError(
            f"run {runs[0].name}: it does not store how many training beats each class has, so the "
            "majority-class baseline is unknown; use runs without a privacy guarantee"
        )
    return evaluate(
        labels=np.array([classes.index(name) for name in first.classes]),
        probabilities=np.mean([one.probabilities for one in found], axis=0),
        class_names=classes,
        record_ids=first.records,
        patient_ids=first.patients,
        majority_class=int(np.argmax([trained.get(name, 0) for name in classes])),
        rng=Seeds(0).generator("bootstrap"),
    )
