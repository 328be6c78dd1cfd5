"""How often the test sets of a page were evaluated, and the bound on the accuracy by patient."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecgexp.analysis.report.groups import Configuration
from ecgexp.analysis.report.tables import Cell
from ecgexp.analysis.run_rows import Row
from ecgexp.evaluation.patient_bound import CONFIDENCE, hoeffding_margin
from ecgexp.experiment.logged_evaluation import bound_scope
from ecgexp.formatting import score_text
from ecgexp.tracking.local.result import EvaluationValues

COLUMN = "accuracy by patient (evaluation of this test set)"


@dataclass(frozen=True, kw_only=True)
class EvaluationCounts:
    """The evaluations of the test sets of a page.

    **Guarantees** (`tests/unit/analysis/report/test_evaluation_counts.py`): the bound is over all
    evaluations of the test set that the log of the store has, or that a run of the page knew of,
    whichever are more.

    Attributes:
      counted: test set -> number of its evaluations in the log of the store.
    """

    counted: Mapping[str, int]

    def total(self, rows: Sequence[Row]) -> dict[str, int]:
        """Return test set -> number of its evaluations so far, for the test sets of some runs."""
        found: dict[str, int] = {}
        for one in _evaluations(rows):
            name = one.get("test_set", "")
            known = max(one.get("evaluations", 1), self.counted.get(name, 0))
            found[name] = max(known, found.get(name, 0))
        return found

    def cell(self, one: Configuration, total: Mapping[str, int]) -> str:
        """Return the cell of `COLUMN`, e.g. `0.921 ± 0.692 (evaluation 7)`.

        Args:
          one: a configuration of the page.
          total: what `total` returns for all runs of the page.
        """
        found = _evaluations(one.rows)
        if not found:
            return "–"
        places = ", ".join(
            f"{values.get('number')}{', again' if values.get('is_repeat') else ''}"
            for values in found
        )
        which = f"({places})" if len(found) > 1 else f"(evaluation {places})"
        accuracies = [
            value for values in found if (value := values.get("accuracy_by_patient")) is not None
        ]
        if len(accuracies) < len(found):
            return f"– {which}"
        mean = math.fsum(accuracies) / len(accuracies)
        return Cell(f"{score_text(mean)} {self._margin(found, total)} {which}", mean)

    def _margin(self, found: Sequence[EvaluationValues], total: Mapping[str, int]) -> str:
        test_sets = {values.get("test_set", "") for values in found}
        # A mean over test sets of their own has no bound that holds for all together.
        if len(test_sets) > 1 or any(values.get("margin") is None for values in found):
            return "(no bound)"
        margin = hoeffding_margin(found[0].get("patients") or 0, total[test_sets.pop()])
        return f"± {score_text(margin)}"

    def notes(self, rows: Sequence[Row]) -> list[str]:
        """Return a sentence on each test set of the runs."""
        total, notes = self.total(rows), []
        for name, number in total.items():
            of_set = [row for row in rows if _test_set(row) == name]
            bounded = [one for one in _evaluations(of_set) if one.get("margin") is not None]
            patients = bounded[0].get("patients") if bounded else None
            which = f"The test set of run {of_set[0].name}" if len(total) > 1 else "This test set"
            text = f"{which} was evaluated {_times(number)} so far"
            if patients is None:
                notes.append(f"{text}.")
                continue
            scope = bound_scope(evaluations=number, patients=patients, confidence=CONFIDENCE)
            notes.append(f"{text}. Accuracy by patient: {scope}.")
        return notes


def _evaluations(rows: Sequence[Row]) -> list[EvaluationValues]:
    return [row.evaluation for row in rows if row.evaluation]


def _test_set(row: Row) -> str | None:
    return (row.evaluation or {}).get("test_set")


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
