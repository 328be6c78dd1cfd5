import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgexp.evaluation.pairs import Predictions, match
from ecgexp.settings.declaration import DataError

BEATS = [  # record, sample, patient, class, predicted
    ("100", 77, "p1", "N", "N"),
    ("100", 370, "p1", "V", "N"),
    ("101", 77, "p2", "N", "V"),
    ("201", 5, "p3", "S", "S"),
    ("202", 5, "p3", "N", "N"),
]
CLASSES = ("N", "S", "V")


def said(beats, class_names=CLASSES):
    records, samples, patients, classes, predicted = (
        np.array(column) for column in zip(*beats, strict=True)
    )
    return Predictions(
        records=records,
        samples=samples,
        patients=patients,
        classes=classes,
        predicted=predicted,
        class_names=class_names,
    )


def changed(row, **values):
    names = ("record", "sample", "patient", "class", "predicted")
    beats = list(BEATS)
    beats[row] = tuple((dict(zip(names, beats[row], strict=True)) | values).values())
    return beats


def test_beats_are_matched_by_record_and_sample():
    other = changed(0, predicted="V")
    pairs = match(said(BEATS), said(other[::-1]))
    assert pairs.labels.tolist() == [0, 2, 0, 1, 0]
    assert pairs.predicted_a.tolist() == [0, 0, 2, 1, 0]
    assert pairs.predicted_b.tolist() == [2, 0, 2, 1, 0]
    assert pairs.right_a.tolist() == [True, False, False, True, True]
    assert pairs.right_b.tolist() == [False, False, False, True, True]
    assert pairs.patients.tolist() == ["p1", "p1", "p2", "p3", "p3"]
    assert (pairs.only_a, pairs.only_b, pairs.num_patients) == (0, 0, 3)


@settings(max_examples=50)
@given(st.permutations(range(5)), st.permutations(range(5)))
def test_pairs_are_independent_of_the_order_of_beats(first, second):
    other = changed(1, predicted="S")
    pairs = match(said([BEATS[i] for i in first]), said([other[i] for i in second]))
    assert pairs.predicted_a.tolist() == [0, 0, 2, 1, 0]
    assert pairs.predicted_b.tolist() == [0, 1, 2, 1, 0]


def test_beats_of_only_one_run_are_counted_and_left_out():
    pairs = match(said(BEATS[:4]), said([BEATS[4], BEATS[3], BEATS[0]]))
    assert (len(pairs.labels), pairs.only_a, pairs.only_b) == (2, 2, 1)
    assert pairs.labels.tolist() == [0, 1]


def test_pairs_are_independent_of_the_order_of_classes():
    pairs = match(said(BEATS), said(BEATS, class_names=("V", "N", "S")))
    assert pairs.class_names == CLASSES
    assert pairs.predicted_b.tolist() == pairs.predicted_a.tolist() == [0, 0, 2, 1, 0]


def test_classes_keep_an_order_that_is_not_alphabetical():
    pairs = match(said(BEATS, class_names=("V", "N", "S")), said(BEATS))
    assert pairs.labels.tolist() == [1, 0, 1, 2, 1]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            said(BEATS, class_names=("N", "S", "V", "F")),
            "the classes N, S, V, and B has N, S, V, F",
        ),
        (
            said([("300", 77, "p9", "N", "N")]),
            "A has 5 beats and B has 1 other ones, so that none is common; .*the same seed",
        ),
        (
            said(changed(1, **{"class": "S"})),
            "1 of 5 common beats have another true class in B than in A .*sample 370 of "
            "record 100, V in A and S in B",
        ),
        (
            said(changed(4, patient="p4")),
            "another patient in B than in A .*record 202, p3 in A and p4 in B",
        ),
        (
            said([*BEATS, BEATS[2]]),
            "sample 77 of record 101 occurs 2 times in the predictions of B",
        ),
        (said(changed(0, predicted="Z")), "Z is not among the classes N, S, V"),
        (said(changed(0, predicted="F")), "F is not among the classes N, S, V"),
    ],
)
def test_predictions_that_cannot_be_paired_are_refused(other, message):
    with pytest.raises(DataError, match=message):
        match(said(BEATS), other)


def renamed(beats, **names):
    return [
        (names.get(f"r{record}", record), sample, names.get(patient, patient), *rest)
        for record, sample, patient, *rest in beats
    ]


WHOLE = [
    *BEATS,
    *[(record, at, patient, "N", "N") for record, patient in (("100", "p1"), ("101", "p2"))
      for at in range(500 + 11 * int(record), 9000, 250)],
]  # fmt: skip


def test_records_and_patients_under_pseudonyms_are_matched():
    hidden = renamed(WHOLE, r100="x1", r101="x0", r201="x3", r202="x2", p1="q2", p2="q1", p3="q0")
    pairs = match(said(WHOLE), said(hidden[1:]))
    assert len(pairs.labels) == len(WHOLE) - 3  # 201 and 202 have a beat each
    assert (pairs.only_a, pairs.only_b) == (3, 2)
    assert set(pairs.patients.tolist()) == {"p1", "p2"}
    assert pairs.predicted_a.tolist() == pairs.predicted_b.tolist()


def test_other_recordings_are_not_taken_for_renamed_ones():
    other = [(f"x{record}", at + 7, *rest) for record, at, *rest in WHOLE]
    with pytest.raises(DataError, match="none is common"):
        match(said(WHOLE), said(other))


def test_copies_under_two_names_are_not_guessed():
    copies = [beat for beat in WHOLE if beat[0] == "100"]
    twice = [*renamed(copies, r100="x"), *renamed(copies, r100="y")]
    with pytest.raises(DataError, match="none is common"):
        match(said(WHOLE), said(twice))


def test_renamed_patients_are_those_of_the_same_beats_only():
    mixed = renamed(WHOLE, r100="x0", r101="x1", p1="q", p2="q")
    with pytest.raises(DataError, match="another patient in B than in A"):
        match(said(WHOLE), said(mixed))


def test_negative_samples_are_not_matched_to_another_record():
    beats = [
        ("100", 7, "p1", "N", "N"),
        ("100", 9, "p1", "N", "N"),
        ("101", -3, "p2", "N", "V"),
    ]  # 7 = 9 + 1 - 3
    pairs = match(said(beats), said(beats[1:]))
    assert (pairs.predicted_a.tolist(), pairs.only_a) == ([0, 2], 1)
