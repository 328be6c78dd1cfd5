"""Names of leads: exact, in another spelling, by an alias, and the first one."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_records import tiny_source, write_record

from ecgexp.data.formats.leads import FIRST_LEAD, find_lead, find_leads
from ecgexp.data.preprocessing.pipeline import preprocess_records
from ecgexp.data.preprocessing.settings import Preprocessing
from ecgexp.settings.declaration import DataError

SETTINGS = Preprocessing(window_ms=(100, 100), baseline="none")


@pytest.mark.parametrize(
    ("wanted", "names", "found"),
    [
        ("II", ["I", "II"], "II"),
        ("II", ["ii", "II"], "II"),  # the exact name first
        ("MLII", ["V1", "mlII"], "mlII"),
        ("II", ["ECG I", "ECG II"], "ECG II"),
        ("aVR", ["Lead_AVR"], "Lead_AVR"),
        ("Lead II", ["II"], "II"),
        ("ECG1", ["ECG 1", "ECG2"], "ECG 1"),
        ("ECG", ["ECG"], "ECG"),
        ("II", ["ECG II", "Lead II"], None),  # ambiguous
        ("II", ["III", "I", "MLII"], None),
        ("V1", [], None),
    ],
)
def test_lead_is_found_exactly_or_in_one_other_spelling(wanted, names, found):
    assert find_lead([wanted], names) == found


def test_first_spelling_of_several_is_preferred():
    assert find_lead(["MLII", "II"], ["II", "MLII"]) == "MLII"
    assert find_lead(["MLII", "II"], ["V1", "II"]) == "II"


def test_lead_of_the_record_is_used_once():
    assert find_leads([["II"], ["ii"]], ["II", "V1"]) == ["II", None]


def test_leads_null_is_the_first_lead_of_each_record(tmp_path, caplog):
    write_record(tmp_path, "a", leads=("MLII", "V1"))
    write_record(tmp_path, "b", leads=("V5", "V1"), seed=1)
    settings = replace(SETTINGS, leads=None)
    assert settings.leads == (FIRST_LEAD,)
    beats = preprocess_records(settings, tiny_source(tmp_path, ("a", "b")))
    assert beats.lead_names == (FIRST_LEAD,)
    named = replace(SETTINGS, leads=("MLII",), lead_aliases={"MLII": ["MLII", "V5"]})
    same = preprocess_records(named, tiny_source(tmp_path, ("a", "b")))
    np.testing.assert_array_equal(beats.signals_mv, same.signals_mv)
    assert (
        "leads=null uses the first lead of each record, which is MLII in 1 record and V5 in 1"
        in caplog.text
    )
    assert "lead MLII is lead MLII or V5 of the records (dataset.lead_aliases)" in caplog.text


def test_lead_in_another_spelling_is_read_and_reported(tmp_path, caplog):
    write_record(tmp_path, "a", leads=("mlii", "V1"))
    beats = preprocess_records(SETTINGS, tiny_source(tmp_path))
    assert len(beats) == 3
    assert "lead MLII is mlii in 1 record" in caplog.text


def test_missing_lead_names_every_spelling(tmp_path):
    write_record(tmp_path, "a")
    settings = replace(
        SETTINGS, leads=("II",), lead_aliases={"II": ["II", "D2"]}, missing_lead="error"
    )
    with pytest.raises(DataError, match=r"MLII, V1, but not II or D2; use dataset.missing_lead="):
        preprocess_records(settings, tiny_source(tmp_path))


@pytest.mark.parametrize(
    "changes",
    [
        {"leads": [FIRST_LEAD, "V1"]},
        {"leads": None, "lead_aliases": {FIRST_LEAD: "V1"}},
        {"leads": ["II"], "lead_aliases": {"II": []}},
        {"leads": ["II", "V1"], "lead_aliases": {"II": ["V1", "II"]}},
    ],
)
def test_leads_that_cannot_be_meant_are_refused(changes):
    with pytest.raises(ValueError, match=r"dataset\.lead\w+=.*use") as caught:
        Preprocessing(**changes)
    assert "\n" not in str(caught.value.errors()[0]["ctx"]["error"])
