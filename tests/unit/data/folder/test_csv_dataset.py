"""Recordings in CSV files are a dataset with the same beats as WFDB records of the same signals."""

import logging

import numpy as np
import pytest
import wfdb

from ecgexp.data import FolderDataset, FolderPart, JoinedDataset
from ecgexp.settings.declaration import DataError

FS, SECONDS = 250, 12
BEATS = np.arange(200, FS * SECONDS - 150, 230)


def signals(seed):
    rng = np.random.default_rng(seed)
    digital = rng.integers(-20, 20, (FS * SECONDS, 2))
    digital[BEATS] += 200
    return digital


def write(folder, name, seed, *, symbols="NVN", gap=()):
    """A recording as CSV, and the same as WFDB in `wfdb/`."""
    (folder / "csv").mkdir(parents=True, exist_ok=True)
    (folder / "wfdb").mkdir(exist_ok=True)
    digital = signals(seed)
    names = [symbols[number % len(symbols)] for number in range(len(BEATS))]
    lines = ["time_ms,II (mV),V1 (mV)"]
    lines += [
        f"{4 * at},{first / 200},{second / 200}"
        for at, (first, second) in enumerate(digital.tolist())
        if at not in gap
    ]
    (folder / "csv" / f"{name}.csv").write_text("\n".join(lines) + "\n")
    rows = [f"{sample},{symbol}" for sample, symbol in zip(BEATS, names, strict=True)]
    table = folder / "csv" / f"{name}_annotations.csv"
    table.write_text("\n".join(["sample,symbol", *rows]) + "\n")
    wfdb.wrsamp(
        name,
        fs=FS,
        sig_name=["II", "V1"],
        units=["mV"] * 2,
        fmt=["16"] * 2,
        d_signal=digital,
        adc_gain=[200.0] * 2,
        baseline=[0] * 2,
        write_dir=str(folder / "wfdb"),
    )
    wfdb.wrann(name, "atr", BEATS, names, write_dir=str(folder / "wfdb"))


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, "p1_a", 1)
    write(tmp_path, "p2_a", 2, symbols="NNA")
    return tmp_path


def load(folder, **values):
    return FolderDataset(
        path=folder / "csv", recorded_hz=250.0, **{"patient_pattern": "^(p[0-9])", **values}
    ).load()


def test_csv_dataset_has_the_beats_of_the_same_wfdb_records(folder):
    found = load(folder)
    expected = FolderDataset(path=folder / "wfdb", patient_pattern="^(p[0-9])").load()
    np.testing.assert_allclose(found.signals_mv, expected.signals_mv, atol=1e-6)
    for name in ("symbols", "record_ids", "patient_ids", "r_samples", "rr"):
        assert getattr(found, name).tolist() == getattr(expected, name).tolist()
    assert found.dropped == expected.dropped
    assert (len(found), found.patients_are) == (24, "stated")


def test_tables_that_could_be_recordings_are_counted_in_a_note(folder, caplog):
    names = ["Zenobia", "born"]
    for name in names:
        rows = "\n".join(f"{at},{at / 3},-1e-3" for at in range(9))
        (folder / "csv" / f"{name}.csv").write_text(f"II,V1,V2\n{rows}\n")
    (folder / "csv" / "staff.csv").write_text("name,age\nA,1\nB,2\nC,3\nD,4\nE,5\n")
    (folder / "csv" / "beats.csv").write_text("\n".join(["0.1,0.2,0.3,0"] * 9) + "\n")
    caplog.set_level(logging.INFO)
    assert set(load(folder).record_ids) == {"p1_a", "p2_a"}
    assert "dataset.path: 2 CSV files of numbers are left out" in caplog.text
    assert "dataset=csv takes" in caplog.text
    assert not [name for name in names if name in caplog.text]
    caplog.clear()
    for name in names:
        (folder / "csv" / f"{name}.csv").unlink()
    load(folder)
    assert "left out" not in caplog.text


def test_csv_part_of_joined_has_the_beats_of_the_same_wfdb_part(folder):
    """The other part is WFDB, of other recordings; the layout of CSV files is one of a part."""
    write(folder / "other", "p3_a", 3)
    other = FolderPart(path=folder / "other" / "wfdb", name="other")
    csv = FolderPart(path=folder / "csv", name="own", formats=["csv"], recorded_hz=250.0)
    wfdb = FolderPart(path=folder / "wfdb", name="own")
    found, expected = (JoinedDataset(parts=(other, part)).load() for part in (csv, wfdb))
    np.testing.assert_allclose(found.signals_mv, expected.signals_mv, atol=1e-6)
    for name in ("symbols", "record_ids", "patient_ids", "r_samples"):
        assert getattr(found, name).tolist() == getattr(expected, name).tolist()
    assert set(found.patient_ids) == {"other/p3_a", "own/p1_a", "own/p2_a"}
    with JoinedDataset(parts=(other, csv)).open_records() as read:
        assert read("own/p1_a").lead_names == ("II", "V1")


def test_csv_dataset_drops_beats_at_gaps_and_counts_them(folder):
    write(folder, "p1_a", 1, gap=range(BEATS[3] + 5, BEATS[3] + 8))
    found = load(folder, baseline="none")
    assert found.dropped["signal missing in the window"] == 1
    assert len(found) == 23


def test_csv_dataset_reads_digital_values_by_their_gain(folder):
    path = folder / "csv" / "p1_a.csv"
    lines = ["II,V1", *[f"{first},{second}" for first, second in signals(1).tolist()]]
    path.write_text("\n".join(lines) + "\n")
    found = FolderDataset(path=path, recorded_hz=250.0, adc_gain=200.0).load()
    expected = FolderDataset(path=folder / "wfdb" / "p1_a.hea").load()
    np.testing.assert_allclose(found.signals_mv, expected.signals_mv, atol=1e-6)
    assert found.patients_are == "assumed"


def test_patients_beside_csv_recordings_are_no_recording(folder):
    table = folder / "csv" / "patients.csv"
    table.write_text("record,patient\np1_a,x\np2_a,x\n")
    found = load(folder, patients=table, patient_pattern=None)
    assert set(found.patient_ids.tolist()) == {"x"}


def test_csv_recording_that_cannot_be_read_is_refused_or_skipped(folder):
    (folder / "csv" / "p3.csv").write_text("II (mV)\nHarry\n")
    (folder / "csv" / "p3_annotations.csv").write_text("sample,symbol\n1,N\n")
    (folder / "csv" / "p4.csv").write_text("II (mV)\n1\n")
    with pytest.raises(DataError, match=r"^dataset=folder: ") as caught:
        load(folder)
    assert "Harry" not in str(caught.value)
    found = load(folder, on_error="skip")
    assert len(found) == 24
    assert set(found.skipped) == {"p3", "p4"}
    assert "record p4 has no annotation file p4_annotations.csv; use dataset.annotations=" in str(
        found.skipped["p4"]
    )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"formats": []}, r"formats"),
        ({"formats": ["mat"]}, r"formats"),
        ({"annotations": ".csv"}, r"annotations"),
        ({"annotations": "../x.csv"}, r"annotations"),
        ({"units": "mmHg"}, r"units"),
        ({"recorded_hz": 0}, r"recorded_hz"),
    ],
)
def test_csv_settings_that_make_no_sense_are_refused(values, words):
    with pytest.raises(ValueError, match=words):
        FolderDataset(path="x", **values)


def test_csv_path_without_recordings_is_refused(folder):
    (folder / "empty").mkdir()
    for path in (folder / "empty", folder / "nowhere", folder / "csv" / "*.txt"):
        with pytest.raises(DataError, match=r"dataset\.path=.*no (record was found|such folder)"):
            FolderDataset(path=path, formats=["csv"]).load()
    found = FolderDataset(path=folder / "csv" / "p1*.csv").load()
    assert set(found.record_ids.tolist()) == {"p1_a"}


def test_mixed_folder_reads_each_record_by_what_it_is(folder):
    for name in ("p1_b", "p2_b"):
        write(folder, name, 3 if name == "p1_b" else 4)
        (folder / "csv" / f"{name}.csv").rename(folder / "wfdb" / f"{name}_.csv")
        (folder / "csv" / f"{name}_annotations.csv").rename(
            folder / "wfdb" / f"{name}__annotations.csv"
        )
        (folder / "wfdb" / f"{name}.hea").unlink()
    (folder / "wfdb" / "ages.csv").write_text("record,age\np1_a,50\n")
    (folder / "wfdb" / "p1_a.csv").write_text("sample,class,symbol\n5,N,N\n")
    found = FolderDataset(path=folder / "wfdb")
    assert list(found.found_records().files) == ["p1_a", "p1_b_", "p2_a", "p2_b_"]
    assert len(found.load()) == 48
    assert found.load().digest != FolderDataset(path=found.path, units="V").load().digest
    only = FolderDataset(path=folder / "wfdb", formats=["wfdb"])
    assert list(only.found_records().files) == ["p1_a", "p2_a"]
    assert (
        only.load().digest
        == FolderDataset(path=only.path, formats=["wfdb"], units="V").load().digest
    )


def test_two_formats_of_one_name_are_refused_or_chosen(folder):
    for file in (folder / "csv").iterdir():
        file.rename(folder / "wfdb" / file.name)
    with pytest.raises(DataError, match=r"p1_a\.hea and p1_a\.csv.*dataset\.formats"):
        FolderDataset(path=folder / "wfdb").load()
    assert len(FolderDataset(path=folder / "wfdb", formats=["csv"]).load()) == 24


def test_heading_says_whether_a_csv_file_is_a_recording(tmp_path):
    headings = {
        "time_ms,II": True,
        "II (mV),V1 (mV)": True,
        "II [µV]": True,
        "at;II": True,
        "II,V1": False,
        "0.1,0.2": False,
        "seconds,symbol": False,
        "record,patient": False,
        "age (y),II": False,
        "": False,
    }
    for number, heading in enumerate(headings):
        (tmp_path / f"{number}.csv").write_text(heading + "\n1,2\n", encoding="utf-8")
    found = FolderDataset(path=tmp_path, time_column="at").found_records().files
    assert [str(n) in found for n in range(len(headings))] == list(headings.values())


def test_glob_of_csv_files_follows_no_links(folder):
    (folder / "link").symlink_to(folder / "csv")
    found = FolderDataset(path=folder / "*" / "*.csv").found_records()
    assert list(found.files) == ["csv/p1_a", "csv/p2_a"]
