"""The patients of a user's own records: table, name, comment, and what is refused in one line."""

import re

import pytest

from ecgexp.data.formats.patients import PatientRule, compiled, read_table
from ecgexp.settings.declaration import ConfigError, DataError

RECORDS = ["100", "ward/101"]


def table(tmp_path, text, *, records=RECORDS, is_complete=True):
    path = tmp_path / "patients.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_table(path, records, is_complete=is_complete)


@pytest.mark.parametrize(
    "text",
    [
        "record,patient\n100,p1\nward/101,p2\n",
        "\ufeffPatient;born;Record\r\np1;1950;100\r\np2;1960;ward/101\r\n\r\n",
        'record\tpatient\n"100"\tp1\nward/101\t p2 \n',
    ],
)
def test_table_names_the_patient_of_every_record(tmp_path, text):
    assert table(tmp_path, text) == {"100": "p1", "ward/101": "p2"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("record,patient\n100,p1\n", r"no line names the patient of ward/101; add a line"),
        ("record,patient\n100,a\n100,b\n", r"line 3 names record '100' again; name each"),
        ("record,patient\n100,a\n999,b\n", r"line 3 names record '999', which is not in .*100"),
        ("record,patient\n100,\n", r"line 2 gives record '100' no usable patient; use an id"),
        ("record,patient\n100,a\x07\n", r"no usable patient; use an id"),
        ("record,patient\n100,a,b\n", r"line 2 has 3 fields, but the heading has 2; correct"),
        ("100,a\n", r"does not name the column record once; begin it with the line record,patient"),
        ("record,patient,patient\n", r"does not name the column patient once"),
        ("", r"does not name the column record once"),
        (b"\xff\xfe", r"cannot be read \(it is not text in UTF-8\); use a CSV"),
        ('record,patient\n"100', r"correct|fields"),
    ],
)
def test_table_that_is_not_usable_is_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(DataError, match=rf"dataset\.patients=.*{message}") as caught:
        table(tmp_path, text)
    assert str(caught.value).isprintable()


def test_table_that_is_missing_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"dataset\.patients=.*cannot be read .*use a CSV"):
        read_table(tmp_path / "absent.csv", RECORDS, is_complete=True)


def test_table_of_a_selection_may_name_other_records(tmp_path):
    text = "record,patient\n100,a\n999,b\n"
    found = table(tmp_path, text, records=["100"], is_complete=False)
    assert PatientRule(table=found).patient_of("100", ()) == "a"


@pytest.mark.parametrize(
    ("pattern", "patient"), [(r"p\d+", "p07"), (r"^p(\d+)/", "07"), (r"(?:x|p)(0\d)", "07")]
)
def test_patient_is_the_group_or_the_match_in_the_name(pattern, patient):
    rule = PatientRule(name_pattern=re.compile(pattern))
    assert (rule.patient_of("p07/night2", ()), rule.patients_are) == (patient, "stated")


def test_patient_of_a_comment_is_only_the_group():
    rule = PatientRule(comment_pattern=re.compile(r"Patient (\w+)"))
    assert rule.patient_of("a", ["69 M", "Patient x7, Jane Doe"]) == "x7"
    with pytest.raises(DataError, match=r"dataset\.patient_comment=.* record a; use") as caught:
        rule.patient_of("a", ["Jane Doe"])
    assert "Jane" not in str(caught.value)


def test_name_without_match_is_refused():
    with pytest.raises(DataError, match=r"dataset\.patient_pattern=p\+: .* record a; use"):
        PatientRule(name_pattern=re.compile("p+")).patient_of("a", ())


def test_record_without_a_rule_is_assumed_to_be_a_patient():
    assert PatientRule().patient_of("a/b", ["Patient 7"]) == "a/b"
    assert PatientRule().patients_are == "assumed"


@pytest.mark.parametrize("pattern", ["(", "(a)(b)"])
def test_pattern_that_is_not_usable_is_refused(pattern):
    with pytest.raises(ConfigError, match=r"dataset\.patient_pattern=.*(use|put)"):
        compiled("dataset.patient_pattern", pattern)
