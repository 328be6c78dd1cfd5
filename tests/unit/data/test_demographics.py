"""Sex and decade of age come from headers on demand; exact ages and dates go nowhere."""

import numpy as np
import pytest
from edf_bytes import edf_file
from tiny_records import write_record

from ecgexp.data import FolderDataset
from ecgexp.data.formats.demographics import Demographics, decade, of_comments, of_edf

EXACT = ("67", "1931", "JAN", "Zenobia")


@pytest.mark.parametrize(
    ("comments", "sex", "age"),
    [
        (["69 M 1085 1629 x1", "Aldomet, Inderal"], "male", "60-69"),  # mitdb 100
        (["-1 M 742 654 x1"], "male", "unknown"),  # mitdb 104
        (["24 F 2532 1725 x1"], "female", "20-29"),
        (["<age>: 65 <sex>: F <diagnoses> Coronary artery disease"], "female", "60-69"),
        (["Zenobia", "Age: 97", "Sex: Male"], "male", "90 or older"),
        (["gender=f", "AGE = 8"], "female", "0-9"),
        (["Sex: ?", "age: 140"], "unknown", "unknown"),
        (["stage: 67 M", "Essex: F", "born 1931"], "unknown", "unknown"),
        (["Age: 01-02-1931"], "unknown", "unknown"),
        ([], "unknown", "unknown"),
    ],
)
def test_comments_give_sex_and_decade(comments, sex, age):
    assert of_comments(comments) == Demographics(sex=sex, age=age)


@pytest.mark.parametrize(
    ("patient", "recording", "sex", "age"),
    [
        ("X F 02-MAR-1931 Zenobia", "Startdate 01-MAR-1999 X X X", "female", "60-69"),
        ("X F 28-FEB-1931 Zenobia", "Startdate 01-MAR-2001 X X X", "female", "70-79"),
        ("X M X X", "Startdate 01-MAR-1999 X X X", "male", "unknown"),
        ("X X 31-FEB-1931 X", "Startdate 01-MAR-1999 X X X", "unknown", "unknown"),
        ("Zenobia, born 1931", "Hospital", "unknown", "unknown"),
    ],
)
def test_edf_fields_give_sex_and_decade(tmp_path, patient, recording, sex, age):
    path = tmp_path / "a.edf"
    signal = {"digital": np.arange(200), "samples": 100}
    path.write_bytes(edf_file([signal], kind="EDF+C", patient=patient, recording=recording))
    assert of_edf(path) == Demographics(sex=sex, age=age)
    path.write_bytes(edf_file([signal], patient=patient, recording=recording))
    assert of_edf(path) == Demographics()


def test_decades_end_at_90():
    assert [decade(age) for age in (0, 9.9, 10, 89, 90, 120, 121, None)] == [
        *("0-9", "0-9", "10-19", "80-89", "90 or older", "90 or older", "unknown", "unknown")
    ]


@pytest.mark.parametrize("pseudonyms", [False, True])
def test_beats_have_decades_only_on_demand(tmp_path, pseudonyms):
    folder = tmp_path / "records"
    folder.mkdir()
    for seed, record in enumerate("ab"):
        write_record(folder, record, seed=seed)
    with (folder / "a.hea").open("a") as header:
        header.write("# Zenobia\n# Age: 67 Sex: F, born 01-JAN-1931\n")
    changes = {"pseudonyms": pseudonyms, "cache_dir": tmp_path / "cache", "window_ms": (100, 100)}
    assert FolderDataset(path=folder, **changes).load().demographics == {}
    beats = FolderDataset(path=folder, demographics=True, **changes).load()
    assert list(beats.demographics) == list(beats.recordings)
    assert list(beats.demographics.values()) == [
        Demographics(sex="female", age="60-69"),
        Demographics(),
    ]
    cached = b"".join(path.read_bytes() for path in (tmp_path / "cache").rglob("*.json"))
    for text in EXACT[1:]:
        assert text.encode() not in cached
