"""Records of patients that the model may have been trained on are noted, under any name."""

import numpy as np
import pandas as pd
import pytest

from ecgexp.inference.training_patients import exposure_of

INTER = {"split._target_": "ecgexp.data.InterPatient", "split.division": "auto"}
INTRA = {"split._target_": "ecgexp.data.IntraPatient"}


def table_of(**patients):
    rows = [
        (record, patient, sample) for record, patient in patients.items() for sample in (100, 200)
    ]
    return pd.DataFrame(rows, columns=["record", "patient", "sample"])


def notes(params, database, tests, record, patient, *, known_as=None, samples=(100, 200)):
    exposure = exposure_of(params, database, tests)
    return list(exposure.notes(record, known_as or record, patient, np.asarray(samples)))


def test_exposure_names_the_other_record_of_the_patient():
    tests = table_of(**{"202": "201+202", "100": "100"})
    (line,) = notes(INTER, "mitdb 1.0.0", tests, "202", "201+202")
    assert "202: the model may have been trained on this patient" in line
    assert "record 201" in line
    assert notes(INTER, "mitdb 1.0.0", tests, "100", "100") == []


@pytest.mark.parametrize("records", [["100", "202"], "ds2"])
def test_exposure_needs_the_other_record_to_be_read(records):
    tests = table_of(**{"202": "201+202", "100": "100"})
    assert (
        notes({**INTER, "dataset.records": records}, "mitdb 1.0.0", tests, "202", "201+202") == []
    )


def test_exposure_of_a_record_that_the_run_did_not_read():
    params = {**INTER, "dataset.records": [100, 201]}  # as they are typed
    lines = notes(params, "mitdb 1.0.0", table_of(**{"100": "100"}), "202", "201+202")
    assert len(lines) == 1
    assert "of whom the run also read record 201" in lines[0]
    assert notes(params, "mitdb 1.0.0", table_of(**{"100": "100"}), "103", "103") == []


def test_exposure_of_a_copy_under_another_name():
    lines = notes(INTER, "mitdb 1.0.0", table_of(**{"100": "100"}), "x", "101", known_as="101")
    assert "x: the signal is that of record 101 of mitdb 1.0.0" in lines
    assert any("not tested on 2 of these beats" in line for line in lines)
    (line,) = notes(INTER, "mitdb 1.0.0", table_of(**{"100": "100"}), "x", "100", known_as="100")
    assert "is that of record 100" in line


def test_exposure_without_annotations_is_noted():
    (line,) = notes(INTER, "mitdb 1.0.0", table_of(**{"100": "100"}), "101", "101", samples=())
    assert "has no test beat of this record; the model may have been trained on it" in line


VIRTUAL = "synthetic (virtual patients, seed 0)"


@pytest.mark.parametrize("split", [INTER, {"split._target_": "ecgexp.data.PatientKFold"}])
def test_exposure_virtual_patient_tested_under_any_name(split):
    """s001 and s002 are of p001; with a split by patient, test patients have no training record."""
    params = {**split, "dataset.num_patients": 6}
    tests = table_of(s001="p001", s003="p002")
    assert notes(params, VIRTUAL, tests, "s001", "p001") == []
    assert notes(params, VIRTUAL, tests, "s002", "p001", samples=()) == []
    assert notes(params, VIRTUAL, tests, "s002", "p001") == []


def test_exposure_virtual_patient_trained_under_another_name():
    params = {**INTER, "dataset.num_patients": 6}
    lines = notes(params, VIRTUAL, table_of(s003="p002"), "s002", "p001")
    assert any("of whom the run also read record s001" in line for line in lines)


def test_exposure_of_a_split_by_beat_is_all_records():
    params = {**INTRA, "dataset.num_patients": 6}
    (line,) = notes(params, VIRTUAL, table_of(s001="p001", s002="p001"), "s001", "p001")
    assert "of whom the run also read record s002" in line


def test_exposure_without_test_predictions_is_noted():
    """With a privacy guarantee a run may have published no predictions."""
    assert "not tested on 2 of these beats" in notes(INTER, "mitdb 1.0.0", None, "101", "101")[0]
