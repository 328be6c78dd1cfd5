"""The comparison of two stored runs on their common beats."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ecgexp.analysis.comparison import notes
from ecgexp.analysis.comparison.reading import (
    Differences,
    PrivacyGuarantee,
    differences,
    read_guarantee,
    read_predictions,
)
from ecgexp.analysis.find_runs import StoredRun
from ecgexp.evaluation.paired_differences import PairedDifferences, paired_differences
from ecgexp.evaluation.paired_tests import McNemar, SignFlip, mcnemar, sign_flip_test
from ecgexp.evaluation.pairs import Pairs, Predictions, match
from ecgexp.settings.declaration import DataError
from ecgexp.tracking.local.artifact_files import plain

_DEFAULT_METRIC = "macro_f1"


@dataclass(frozen=True, kw_only=True)
class RunComparison:
    """The comparison of two runs.

    Attributes:
      a: the reference run.
      b: the run that is compared with it.
      split: whose beats.
      differing: settings and origin.
      pairs: the beats of both; None where they cannot be compared.
      problem: why not; empty otherwise.
      scores: their scores; None without pairs.
      by_beat: McNemar's test; None without pairs.
      by_patient: the sign-flip test over patients; None without pairs, or if patients are unknown.
      guarantees: of A and of B.
      warnings: problems that limit the comparison.
      notes: remarks on the figures.
      verdict: one sentence.
    """

    a: StoredRun
    b: StoredRun
    split: str
    differing: Differences
    pairs: Pairs | None
    problem: str
    scores: PairedDifferences | None
    by_beat: McNemar | None
    by_patient: SignFlip | None
    guarantees: tuple[PrivacyGuarantee, PrivacyGuarantee]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    verdict: str

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON values; an undefined score is null."""
        pairs, scores = self.pairs, self.scores
        values = {
            "split": self.split,
            "runs": {
                key: {
                    "run_id": run.run_id,
                    "name": run.name,
                    "status": run.status,
                    "privacy": asdict(guarantee),
                }
                for key, run, guarantee in zip("ab", (self.a, self.b), self.guarantees, strict=True)
            },
            "settings": [asdict(row) for row in self.differing.settings],
            "origin": [asdict(row) for row in self.differing.origin],
            "only_seed_differs": self.differing.only_seed,
            "problem": self.problem or None,
            "beats": pairs
            and {
                "common": len(pairs.labels),
                "only_a": pairs.only_a,
                "only_b": pairs.only_b,
                "patients": pairs.num_patients,
            },
            "intervals": scores and scores.note,
            "scores": []
            if scores is None
            else [
                asdict(row) | {"difference": row.difference, "leaves_zero_out": row.leaves_zero_out}
                for row in scores.differences
            ],
            "decisive": scores and scores.decisive.key,
            "classes_in_average": scores and list(scores.averaged),
            "mcnemar": self.by_beat and asdict(self.by_beat),
            "sign_flip": self.by_patient and asdict(self.by_patient),
            "warnings": self.warnings,
            "notes": self.notes,
            "verdict": self.verdict,
        }
        return plain(values)


def compare_runs(
    a: StoredRun, b: StoredRun, *, split: str = "test", num_resamples: int = 2000, seed: int = 0
) -> RunComparison:
    """Compare run B with run A on the beats of a split that both were evaluated on.

    The verdict uses the score that selected the epoch of both runs (`selection.metric`), or
    macro F1 if they differ in it.

    Args:
      a: the reference run.
      b: the run that is compared with it.
      split: `test` or `validation`.
      num_resamples: resamples of the bootstrap; 0 for no intervals.
      seed: of the resamples.

    Returns:
      The comparison.

    Raises:
      DataError: a run has no predictions of the split, or they cannot be read. Predictions that can
        be read but not compared are not an error: `problem` gives the reason.

    Example:
      >>> from ecgexp.analysis import find_run
      >>> found = compare_runs(find_run("outputs/first"), find_run("outputs/second"))
      >>> found.by_beat.only_a_right, found.by_beat.only_b_right
      (0, 10)
    """
    predictions = read_predictions(a, split), read_predictions(b, split)
    pairs, problem = _pairs(a, b, predictions)
    scores = by_beat = by_patient = None
    if pairs is not None:
        rng = np.random.default_rng(seed)
        scores = paired_differences(
            pairs, rng=rng, num_resamples=num_resamples, metric=_metric(a, b)
        )
        by_beat = mcnemar(pairs.right_a, pairs.right_b)
        if pairs.knows_patients:
            by_patient = sign_flip_test(pairs.right_a, pairs.right_b, pairs.patients)
    differing, guarantees = differences(a, b), (read_guarantee(a), read_guarantee(b))
    return RunComparison(
        a=a,
        b=b,
        split=split,
        differing=differing,
        pairs=pairs,
        problem=problem,
        scores=scores,
        by_beat=by_beat,
        by_patient=by_patient,
        guarantees=guarantees,
        warnings=tuple(notes.warnings(a, b, split, pairs)),
        notes=tuple(notes.notes(a, b, split, differing, scores, guarantees)),
        verdict=notes.verdict(scores, problem, differing),
    )


def _pairs(
    a: StoredRun, b: StoredRun, predictions: tuple[Predictions, Predictions]
) -> tuple[Pairs | None, str]:
    databases = [run.tags.get("dataset.name") for run in (a, b)]
    # In two databases equal record names mean different records.
    if None not in databases and databases[0] != databases[1]:
        return None, f"A was evaluated on {databases[0]}, and B on {databases[1]}"
    try:
        return match(*predictions), ""
    except DataError as error:
        return None, str(error)


def _metric(a: StoredRun, b: StoredRun) -> str:
    chosen_by = {run.params.get("selection.metric", _DEFAULT_METRIC) for run in (a, b)}
    return chosen_by.pop() if len(chosen_by) == 1 else _DEFAULT_METRIC
