"""Records that a database took over from another one are not in training and test at once."""

from dataclasses import replace

import numpy as np
import pytest
from two_folders import draw_heartbeats, write_record

from ecgexp.data import CrossDatabase, DatabasePart, JoinedDataset, TwoDatabases
from ecgexp.data.datasets.catalog import find_database
from ecgexp.data.datasets.recorded import RecordedDataset
from ecgexp.data.leakage import check_split
from ecgexp.data.populations import training_population_of
from ecgexp.privacy.keyed_digests import DigestKey
from ecgexp.settings.declaration import ConfigError, DataError, build

MITDB = ("100", "101", "118")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Look-alikes: mitdb; nstdb, whose records are of 118 and 119 of mitdb; svdb without a list."""
    folder = tmp_path_factory.mktemp("data")
    drawn = [draw_heartbeats(seed, seconds=10) for seed in range(6)]
    for record, heartbeats in zip(MITDB, drawn, strict=False):
        write_record(folder / "mitdb", record, heartbeats, fs_hz=360)
    for record, heartbeats in zip(("118e06", "119e06"), drawn[3:5], strict=True):
        write_record(folder / "nstdb", record, heartbeats, fs_hz=360)
    (folder / "nstdb" / "RECORDS").write_text("118e06\n119e06\nbw\n")
    write_record(folder / "svdb", "800", drawn[5], fs_hz=128)
    return folder


def mitdb(root, records=MITDB):
    return DatabasePart(root=root, records=records, verify="header")


def nstdb(root, **changes):
    return DatabasePart(database="nstdb", root=root, **changes)


def two(root, policy="refuse", **changes):
    return TwoDatabases(train=mitdb(root), test=nstdb(root, **changes), shared_patients=policy)


def test_shared_patients_are_refused_with_both_remedies(root):
    with pytest.raises(ConfigError, match=r"^dataset\.test: record 118e06 ") as refused:
        two(root).check_there()
    assert "dataset.shared_patients=leave_out_of_train or leave_out_of_test" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("policy", "records"),
    [
        ("leave_out_of_train", {"mitdb/100", "mitdb/101", "nstdb/118e06", "nstdb/119e06"}),
        ("leave_out_of_test", {"mitdb/100", "mitdb/101", "mitdb/118", "nstdb/119e06"}),
    ],
)
def test_shared_patients_are_left_out_of_the_part_that_is_named(root, policy, records):
    beats = two(root, policy).load()
    assert set(beats.record_ids.tolist()) == records
    assert sum("left out: record 118" in note for note in beats.notes) == 1
    beats = replace(beats, labels=np.arange(len(beats)) % 2, class_names=("N", "V"))
    check_split(beats, CrossDatabase(validation_fraction=0).split(beats, np.random.default_rng(0)))


def test_part_of_shared_patients_alone_is_refused(root):
    dataset = two(root, "leave_out_of_test", records=["118e06"])
    with pytest.raises(ConfigError, match=r"^dataset\.test: all records .*leave them out of the"):
        dataset.check_there()


def test_joined_parts_keep_a_patient_in_the_first_one(root):
    parts = (mitdb(root), nstdb(root))
    with pytest.raises(ConfigError, match=r"dataset\.parts\[1\]: .*shared_patients=leave_out$"):
        JoinedDataset(parts=parts).load()
    beats = JoinedDataset(parts=parts, shared_patients="leave_out").load()
    assert "nstdb/118e06" not in beats.record_ids
    assert {"mitdb/118", "nstdb/119e06"} <= set(beats.record_ids.tolist())


def test_two_noisy_records_of_one_original_are_one_patient():
    entry = find_database("nstdb")
    assert entry.patient_of("118e06") == entry.patient_of("118e_6") == "118"


def test_excerpts_belong_to_the_patients_of_the_originals():
    qtdb, edb = find_database("qtdb"), find_database("edb")
    assert qtdb.person_of("sele0129") == edb.person_of("e0133")
    assert [qtdb.origin_of(name) for name in ("sel100", "sel14046", "sel803", "sel16265")] == [
        "mitdb/100",
        "ltdb/14046",
        "svdb/803",
        "nsrdb/16265",
    ]
    assert all(qtdb.why_left_out(name) for name in ("sel30", "sel52", "sel17152"))
    assert qtdb.why_left_out("sel301") is None


def test_runs_on_an_original_and_on_its_copies_share_an_identifier(root):
    key = DigestKey(bytes(32))
    noisy = RecordedDataset(database="nstdb", root=root).load()
    clean = RecordedDataset(root=root, records=["100"], verify="header").load()
    shared = training_population_of(noisy, key) & training_population_of(clean, key)
    assert shared == {"database mitdb"}


def test_records_without_beats_are_left_out_and_unverified_databases_noted(root):
    dataset = RecordedDataset(database="nstdb", root=root)
    beats = dataset.load()
    assert set(beats.record_ids.tolist()) == {"118e06", "119e06"}
    unverified, left_out = beats.notes
    assert unverified.startswith("nstdb 1.0.0: its description was never compared")
    assert left_out == "nstdb 1.0.0: left out: bw (noise without an ECG)"
    assert not RecordedDataset(root=root, records=["100"], verify="header").load().notes
    with pytest.raises(ConfigError, match=r"dataset\.records=.*bw .*noise.*leave it out"):
        build(RecordedDataset, {"database": "nstdb", "records": ["bw"]}, path="dataset")


def test_list_of_records_is_never_assumed(root):
    with pytest.raises(DataError, match=r"svdb.* not found .*ecgexp-fetch svdb"):
        RecordedDataset(database="svdb", root=root, leads=["ECG1"]).check_there()
    dataset = RecordedDataset(database="svdb", root=root, records=["800"], leads=["ECG1"])
    assert dataset.names() == ("800",)


def test_database_without_classes_of_beats_is_refused_before_its_files(tmp_path):
    with pytest.raises(ConfigError, match=r"afdb: it has no classes of beats.*ecgexp-predict"):
        RecordedDataset(database="afdb", leads=None, root=tmp_path).check_there()
