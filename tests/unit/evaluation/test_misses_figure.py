"""The figure of found and missed beats: every beat of a rare class is accounted for."""

import numpy as np

from ecgexp.evaluation.misses_figure import misses_figure
from ecgexp.evaluation.patient_table import PatientConfusion

NAMES = ("N", "S", "V")
#           true, predicted, patient
BEATS = [
    *[(0, 0, "a")] * 9,
    *[(1, 1, "a")] * 3,
    (1, 2, "a"),
    (1, 0, "b"),
    (0, 2, "c"),
    (0, 2, "c"),
    (1, 2, "c"),
]


def confusion_of(beats=BEATS):
    true, predicted, patients = zip(*beats, strict=True)
    return PatientConfusion.of(np.array(true), np.array(predicted), np.array(patients), NAMES)


def test_rows_count_found_missed_and_false_beats():
    rows = {row["patient"]: row for row in confusion_of().rows()}
    assert (rows["a"]["true/S"], rows["a"]["found/S"]) == (4, 3)
    assert rows["a"]["true/S/as/V"] == 1
    assert rows["c"]["false/V"] == 3
    assert rows["b"]["accuracy"] == 0


def test_figure_states_each_patient_and_leaves_out_those_without_beats():
    figure = misses_figure(confusion_of(), source="mitdb 1.0.0, patients left out")
    (axes,) = [one for one in figure.axes if one.get_title(loc="left").startswith("class S")]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["a   3 of 4", "b   0 of 1", "c   0 of 1"]
    assert axes.get_title(loc="left") == "class S: 3 of 6 found, 0 false"
    # No beat is of class V, so that it has no panel; the most frequent class has none either.
    assert len(figure.axes) == 1


def test_figure_names_the_classes_that_false_beats_have():
    figure = misses_figure(confusion_of([*BEATS, (2, 2, "a")]), source="x")
    (axes,) = [one for one in figure.axes if one.get_title(loc="left").startswith("class V")]
    assert "false: 2 N, 1 S" in [text.get_text() for text in axes.texts]


def test_figure_of_one_class_is_empty():
    assert not misses_figure(confusion_of([(0, 0, "a")]), source="x").axes
