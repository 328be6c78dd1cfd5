"""Folders as parts: joined for training, or one for training and another one for testing."""

import shutil

import numpy as np
import pytest
from tiny_records import write_record

from ecgexp.config.compose import load_experiment
from ecgexp.data import FolderDataset, FolderPart, JoinedDataset, TwoDatabases
from ecgexp.data.populations import training_population_of
from ecgexp.privacy.keyed_digests import DigestKey
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.storage.digests import digest

SHARED = {"window_ms": (100, 100), "baseline": "none"}


@pytest.fixture
def wards(tmp_path):
    """Two folders with a record of the same name, at two frequencies."""
    for number, name in enumerate(("ward1", "ward2")):
        (tmp_path / name).mkdir()
        write_record(
            tmp_path / name, "a", seed=number, leads=(("MLII", "V1"), ("II", "V5"))[number]
        )
    return tmp_path


def part(wards, number, **changes):
    return FolderPart(path=wards / f"ward{number}", **changes)


def test_joined_parts_keep_records_and_patients_apart(wards):
    dataset = JoinedDataset(parts=(part(wards, 1), part(wards, 2)), **SHARED)
    beats = dataset.load()
    assert beats.record_ids.tolist() == ["ward1/a"] * 3 + ["ward2/a"] * 3
    assert set(beats.patient_ids) == {"ward1/a", "ward2/a"}
    assert (beats.database, beats.is_of_two, beats.patients_are) == (
        "ward1+ward2",
        False,
        "assumed",
    )
    alone = [FolderDataset(path=wards / name, **SHARED).load() for name in ("ward1", "ward2")]
    np.testing.assert_array_equal(
        beats.signals_mv, np.concatenate([one.signals_mv for one in alone])
    )
    assert len(dataset.preprocessings) == 1
    with dataset.open_records() as read:
        assert read("ward2/a").lead_names == ("II", "V5")


def test_leads_of_joined_parts_correspond_by_position(wards):
    leads = (part(wards, 1, leads=["MLII"]), part(wards, 2, leads=["II"]))
    assert JoinedDataset(parts=leads, **SHARED).load().lead_names == ("MLII/II",)
    with pytest.raises(ValueError, match=r"dataset\.parts\[1\]\.leads=.*use the same number"):
        JoinedDataset(parts=(leads[0], part(wards, 2, leads=["II", "V5"])))


def test_joined_runs_share_a_population_with_each_part(wards):
    key = DigestKey(b"0" * 32)
    joined = JoinedDataset(parts=(part(wards, 1), part(wards, 2)), **SHARED).load()
    alone = FolderDataset(path=wards / "ward2", **SHARED).load()
    assert training_population_of(joined, key) & training_population_of(alone, key)


def test_copy_of_a_record_in_another_part_is_refused(wards):
    for path in (wards / "ward1").iterdir():
        shutil.copy(path, wards / "ward2" / path.name)
    with pytest.raises(DataError, match="records ward1/a and ward2/a hold the same heartbeats"):
        JoinedDataset(parts=(part(wards, 1), part(wards, 2)), **SHARED).load()


def test_parts_of_one_name_are_refused(wards):
    parts = (part(wards, 1, name="x"), part(wards, 2, name="x"))
    with pytest.raises(ValueError, match=r"dataset\.parts\[1\]: .*name x.*use dataset\.parts\[1\]"):
        JoinedDataset(parts=parts)


def test_joined_without_parts_is_refused_with_an_example():
    dataset = load_experiment(["dataset=joined"]).dataset
    with pytest.raises(ConfigError, match=r"dataset=joined: .*use e\.g\. 'dataset\.parts="):
        dataset.check_there()


def test_joined_parts_are_given_on_the_command_line(wards):
    parts = ",".join(
        f"{{_target_: ecgexp.data.FolderPart, path: {wards / name}}}" for name in ("ward1", "ward2")
    )
    dataset = load_experiment(["dataset=joined", f"dataset.parts=[{parts}]"]).dataset
    assert str(dataset) == "ward1+ward2"


def test_two_folders_are_train_and_test(wards):
    dataset = load_experiment(
        [
            "dataset=folder_to_folder",
            "split=cross_database",
            f"dataset.train.path={wards / 'ward1'}",
            f"dataset.test.path={wards / 'ward2'}",
            "dataset.window_ms=[100,100]",
            "dataset.fs_hz=180",
        ]
    ).dataset
    beats = dataset.load()
    assert beats.database == "train -> test"
    assert beats.parts.tolist() == ["train"] * 3 + ["test"] * 3
    assert beats.record_ids[0] == "train/a"
    assert beats.signals_mv.shape == (6, 36, 1)


def test_error_of_a_part_names_its_setting(wards):
    (wards / "ward2" / "a.atr").unlink()
    parts = {"train": part(wards, 1), "test": part(wards, 2)}
    with pytest.raises(DataError, match=r"use dataset\.test\.annotator= .*dataset\.test\.on_error"):
        TwoDatabases(**parts, **SHARED).load()
    with pytest.raises(ConfigError, match=r"dataset\.test\.path=.*no such folder"):
        TwoDatabases(train=parts["train"], test=FolderPart(path=wards / "absent")).load()


def test_digest_of_two_parts_is_that_of_the_published_runs(wards):
    """Results store it: {"train": digest, "test": digest}."""
    dataset = TwoDatabases(train=part(wards, 1), test=part(wards, 2), **SHARED)
    alone = {name: one.load().digest for name, one in dataset.parts.items()}
    beats = dataset.load()
    assert beats.digest == digest(alone)
