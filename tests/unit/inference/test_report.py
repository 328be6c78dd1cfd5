import numpy as np
import pytest
from rich.console import Console
from stubs import make_annotated, make_model

from ecgexp.evaluation.beat_matching import match_beats
from ecgexp.inference.agreement import agree
from ecgexp.inference.report import agreement_notes, model_notes, notes, render


def shown(model, records):
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    for part in render(model, records):
        console.print(part)
    return console.export_text()


def rows(text):
    return [line.split() for line in text.splitlines()]


def test_agreement_counts_classified_beats_that_have_a_class():
    one = make_annotated([0, 0, 1, 1, -1], "NVVNN")
    two = make_annotated([1, 0, 0], "VQL")
    found = agree(make_model(), [one, two])
    assert found.confusion.tolist() == [[2, 1], [1, 2]]
    assert (found.num_beats, found.num_without_class) == (6, 1)
    assert found.scores()["accuracy"] == pytest.approx(4 / 6)
    assert found.scores()["sensitivity/V"] == pytest.approx(2 / 3)


def test_agreement_ignores_beats_without_a_reference():
    found = agree(make_model(), [make_annotated([0, 1])])
    assert (found.num_beats, found.num_without_class) == (0, 0)


def test_tables_count_every_beat_once():
    text = shown(
        make_model(),
        [make_annotated([0, 0, 1, 1, -1], "NVVNN"), make_annotated([0], "N", record_id="b")],
    )
    assert ["a", "reference", "5", "2", "2", "1", "0.500"] in rows(text)
    assert ["b", "reference", "1", "1", "0", "0", "1.000"] in rows(text)
    assert ["N", "2", "1", "0.667"] in rows(text)
    assert ["V", "1", "1", "0.500"] in rows(text)
    assert ["+P", "0.667", "0.500"] in rows(text)
    assert "accuracy 0.600" in text
    assert "detector" not in text


def test_report_without_a_reference_has_no_agreement():
    text = shown(make_model(), [make_annotated([0, 1])])
    assert ["a", "reference", "2", "1", "1", "–"] in rows(text)
    assert "agreement with the reference" not in text


def test_model_notes_name_classes_without_training_beats():
    assert list(model_notes(make_model())) == []
    (note,) = model_notes(make_model(unlearned=("V",)))
    assert "no training beat of class V" in note
    (withheld,) = model_notes(make_model(unlearned=None))
    assert "privacy guarantee" in withheld


def test_agreement_without_a_class_is_noted():
    assert list(agreement_notes(make_model(), [make_annotated([0, 1], "NV")])) == []
    assert list(agreement_notes(make_model(), [make_annotated([0, 1])])) == []
    absent, constant = agreement_notes(make_model(), [make_annotated([0, 0], "NN")])
    assert "no reference beat is of class V" in absent
    assert "predicts N for each of 2 beats" in constant


def test_agreement_names_the_classes_of_an_average():
    model, record = (
        make_model(names=("N", "V", "F")),
        make_annotated([0, 1], "NV", names=("N", "V", "F")),
    )
    assert "macro F1 over N, V 1.000" in shown(model, [record])


def test_detection_table_has_sensitivity_and_predictivity():
    detection = match_beats(np.asarray([100, 200, 300]), np.asarray([100, 200, 450, 900]), 1000.0)
    text = shown(
        make_model(), [make_annotated([0, 1, 0, 0], "NV", source="detector", detection=detection)]
    )
    assert "within 150 ms" in text
    assert ["a", "3", "4", "3", "1.0000", "0.7500"] in rows(text)


def said(model, record, database="tiny 1"):
    return list(notes(model, record, database=database, patient_id="p", known_as=record.record_id))


def test_ordinary_record_has_no_notes():
    record = make_annotated([0, 1], "NV", fs_hz=360.0)
    assert said(make_model(tested_on={"a": np.asarray([100, 200])}), record) == []


def test_limitations_of_a_record_are_noted():
    record = make_annotated([0, -1], "NV", substitute="V5 replaces MLII", aliases={"V1": "C1"})
    lines = said(make_model(), record, database="synthetic a")
    assert "a: a synthetic record of a virtual patient" in lines
    assert "a: lead C1 of the record is used as V1 of the model" in lines
    assert "a: V5 replaces MLII, as allowed in training" in lines
    assert "a: resampled from 250 to the model's 360 Hz" in lines
    assert "a: unclassified beats, window leaves the record: 1" in lines


@pytest.mark.parametrize("source", ["reference", "detector"])
def test_beats_of_possible_training_are_noted(source):
    record = make_annotated([0, 1, 0], "NV?", fs_hz=360.0, source=source)
    assert "not tested on 2 of these beats" in said(make_model(), record)[0]
    assert said(make_model(), record, database="another 1") == []


def test_only_beats_outside_the_test_part_may_be_training():
    record = make_annotated([0, 1, 0], "NVN", fs_hz=360.0)
    assert "on 1 of these" in said(make_model(tested_on={"a": np.asarray([100, 300])}), record)[0]


def test_records_of_the_test_database_are_not_training():
    record = make_annotated([0, 1, 0], "NV?", fs_hz=360.0, substitute="V5 replaces ECG1")
    model = make_model(database="tiny 1 -> other 2", leads=("MLII",))
    assert "not tested on 2 of these beats" in said(model, record)[-1]
    (line,) = said(model, record, database="other 2")
    assert line == "a: V5 replaces ECG1, as allowed in training"
    assert "trained on tiny 1\n" in "\n".join(
        line.rstrip() for line in shown(model, [record]).splitlines()
    )
