"""The patients on whom a configuration is worst, and strips of the record around its mistakes.

Import this module only where figures are made: it loads matplotlib.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecgexp.analysis import formatting
from ecgexp.analysis.report import drawings, figures
from ecgexp.analysis.report.groups import Configuration
from ecgexp.analysis.report.svg import inline_svg
from ecgexp.analysis.report.tables import Cell, Table
from ecgexp.analysis.run_rows import Row
from ecgexp.analysis.spread import spread
from ecgexp.evaluation.stored_tables import StoredPredictions, StoredStrip, read_predictions
from ecgexp.evaluation.stored_tables import read_strips as read_stored
from ecgexp.settings.declaration import DataError

MOST_PATIENTS, MOST_STRIPS = 6, 8


@dataclass(frozen=True, kw_only=True)
class WorstPatients:
    """The worst patients of one configuration, and its mistakes in their context.

    Attributes:
      number: of the configuration.
      table: the patients with the lowest accuracy.
      run_name: of the run of the strips.
      strips: of its first run that stored any.
      problem: why the strips cannot be shown; empty otherwise.
    """

    number: int
    table: Table
    run_name: str
    strips: Sequence[drawings.Drawing]
    problem: str = ""


def worst(configurations: Sequence[Configuration]) -> list[WorstPatients]:
    """Return the worst patients of each configuration that stored its test predictions.

    Args:
      configurations: those whose patients may be shown.
    """
    chosen = {one.number: one for one in configurations}.values()
    found = []
    for one in chosen:
        rows = [row for row in one.rows if row.by_patient is not None and all(row.patients)]
        if not rows:
            continue
        run_name, strips, problem = _strips(one.number, rows)
        found.append(
            WorstPatients(
                number=one.number,
                table=_table(one, rows),
                run_name=run_name,
                strips=strips,
                problem=problem,
            )
        )
    return found


def _table(one: Configuration, rows: Sequence[Row]) -> Table:
    """Return a row per patient, lowest accuracy first, over the runs that have the patient."""
    accuracies: dict[str, list[float]] = {}
    summed: dict[str, np.ndarray] = {}
    for row in rows:
        for patient, matrix in row.counts_by_patient.items():
            accuracies.setdefault(patient, []).append(np.trace(matrix) / matrix.sum())
            summed[patient] = summed.get(patient, 0) + matrix
    worst_first = sorted(accuracies, key=lambda name: (np.mean(accuracies[name]), name))
    groups = []
    for patient in worst_first[:MOST_PATIENTS]:
        matrix, found = summed[patient], spread(accuracies[patient])
        support = matrix.sum(axis=1)
        groups.append(
            [
                [
                    patient,
                    f"{support.sum() // len(accuracies[patient])}",
                    Cell(formatting.score(found), found.mean),
                    f"{support.max() / support.sum():.3f}",
                    _worst_mistake(matrix, one.classes),
                ]
            ]
        )
    return Table(
        name=f"patients-{one.number}",
        caption=f"Patients with the lowest accuracy, of {len(worst_first)}: "
        f"[{one.number}] {one.label}".rstrip(),
        columns=["", "test beats", "accuracy", "its most frequent class", "most frequent mistake"],
        groups=groups,
        row_name="patient",
    )


def _worst_mistake(matrix: np.ndarray, classes: Sequence[str]) -> str:
    wrong = matrix * (1 - np.eye(len(matrix), dtype=int))
    if not wrong.any():
        return "none"
    i, j = divmod(int(wrong.argmax()), len(wrong))
    return f"{classes[i]} taken for {classes[j]}: {wrong[i, j]} of {matrix[i].sum()}"


def _strips(number: int, rows: Sequence[Row]) -> tuple[str, list[drawings.Drawing], str]:
    """Return the run's name, the strips and a problem, of the first run with strips."""
    for row in rows:
        run = row.run
        path, predictions = (
            run.artifact(name)
            for name in ("tables/test_strips.parquet", "predictions/test.parquet")
        )
        if path is None or predictions is None:
            continue
        try:
            known = read_predictions(predictions, fix=run.fix)
            strips = read_stored(path, fix=run.fix)[:MOST_STRIPS]
        except DataError as error:
            return row.name, [], str(error)
        synthetic = drawings.is_synthetic([row.database])
        drawn = [
            _drawing(strip, known, name=f"strip-{number}-{place}", synthetic=synthetic)
            for place, strip in enumerate(strips)
        ]
        return row.name, [part for part in drawn if part is not None], ""
    return "", [], ""


def _drawing(
    strip: StoredStrip, known: StoredPredictions, *, name: str, synthetic: bool
) -> drawings.Drawing | None:
    """Return the figure of a strip; None if the run has no prediction of its beat."""
    of_record = np.flatnonzero(known.records == strip.record)
    seconds = (known.samples[of_record] - strip.sample) / strip.record_hz
    centers = of_record[known.samples[of_record] == strip.sample]
    if not len(centers):
        return None
    center = int(centers[0])
    beats = []
    for row, second in zip(of_record, seconds, strict=True):
        if abs(second) <= 5:
            true, predicted = str(known.classes[row]), str(known.predicted[row])
            wrong = true != predicted
            beats.append((float(second), f"{true}→{predicted}" if wrong else true, wrong))
    minutes, second = divmod(strip.sample / strip.record_hz, 60)
    place = f"record {strip.record}, {int(minutes)}:{second:04.1f}"
    if known.patients[center] != strip.record:
        place += f", patient {known.patients[center]}"
    probability = known.probabilities[center].max()
    title = (
        f"{place}: {known.classes[center]} taken for {known.predicted[center]} "
        f"(probability {probability:.3f})"
    )
    words = ", ".join(text for _, text, _ in sorted(beats))
    svg = inline_svg(
        figures.strip_figure(strip, beats, synthetic=synthetic),
        name=name,
        title=title,
        description=f"classes of the beats from left to right: {words}",
    )
    return drawings.Drawing(title=title, svg=svg)
