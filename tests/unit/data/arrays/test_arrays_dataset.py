"""Beats that are cut already: layouts, labels, patients, and one line for what cannot be read."""

from dataclasses import replace

import numpy as np
import pytest

from ecgexp.config import load_experiment
from ecgexp.data.datasets.arrays import HEARTBEAT_CSV, ArraysDataset
from ecgexp.data.datasets.pseudonyms import with_pseudonyms
from ecgexp.data.grouping import LabelGrouping
from ecgexp.experiment.data import load_run_data
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import ConfigError, DataError


def run_data_of(*overrides):
    experiment = load_experiment(["dataset=arrays", *overrides])
    return experiment.load_run_data(Seeds(0), lambda *_: None)


def test_heartbeat_csv_needs_its_path_only(heartbeat_csv, beats_of):
    run_data = run_data_of(f"dataset.path={heartbeat_csv(num_beats=200)}")
    beats = run_data.beats
    assert beats.class_names == ("N", "S", "V", "F", "Q")
    np.testing.assert_array_equal(beats.signals_mv[:, :, 0], beats_of(200))
    np.testing.assert_array_equal(beats.labels, np.arange(200) % 5)
    assert (beats.fs_hz, beats.patients_are, beats.units) == (125.0, "unknown", "unknown")
    assert HEARTBEAT_CSV in beats.notes
    assert run_data.split.disjoint == "beat"
    assert "beat by beat" in run_data.split.notes[0]
    assert not run_data.data.overlap.is_known


def test_test_file_is_the_test_set_of_its_owners(heartbeat_csv):
    train, test = heartbeat_csv(num_beats=50), heartbeat_csv("test.csv", num_beats=25, seed=1)
    run_data = run_data_of(f"dataset.path={train}", f"dataset.test_path={test}")
    assert run_data.beats.database == "train.csv -> test.csv"
    assert (run_data.beats.parts[run_data.split.test] == "test").all()
    assert len(run_data.split.test) == 25
    assert run_data.split.disjoint == "beat"
    assert "same patients" in run_data.split.notes[0]
    with pytest.raises(ConfigError, match=r"^dataset.test_path: .*split=as_given"):
        run_data_of(f"dataset.path={train}", f"dataset.test_path={test}", "split=intra_patient")


def test_pseudonyms_replace_patients(npz, tmp_path):
    names = np.repeat(["Zoe Stern", "Anna Vogt", "Max Berg"], 4)
    dataset = npz({"patients": "who"}, who=names)
    assert dataset.has_default_pseudonyms
    own = replace(dataset, cache_dir=tmp_path / "cache")
    hidden = with_pseudonyms(own)
    assert hidden.pseudonyms is True
    beats, known = hidden.load(), own.load()
    assert not any(name.split()[0] in f"{beats!r}" for name in names)
    assert not set(names) & {*beats.patient_ids.tolist(), *beats.record_ids.tolist()}
    for patient in set(beats.patient_ids):
        assert len(set(known.patient_ids[beats.patient_ids == patient])) == 1
    assert hidden.load().patient_ids.tolist() == beats.patient_ids.tolist()
    with pytest.raises(ConfigError, match=r"^dataset\.cache_dir=null: .*pseudonyms=false"):
        with_pseudonyms(dataset)


@pytest.mark.parametrize(
    ("patients", "disjoint"), [(list("aabbccddeeff"), "patient"), (None, "beat")]
)
def test_known_patients_are_kept_apart(npz, patients, disjoint):
    given = {} if patients is None else {"patients": "who"}
    dataset = npz(given, who=np.array(patients or ["x"] * 12))
    grouping = LabelGrouping(name="two", classes={"N": ("N",), "V": ("V",)})
    experiment = load_experiment(["dataset=arrays", f"dataset.path={dataset.path}"])
    run_data = load_run_data(
        dataset=dataset,
        grouping=grouping,
        split=experiment.split,
        partition=experiment.partition,
        features=experiment.features,
        seeds=Seeds(0),
        on_progress=lambda *_: None,
    )
    assert dataset.knows_patients == (patients is not None)
    assert run_data.split.disjoint == disjoint
    owners = [set(run_data.beats.patient_ids[rows]) for rows in run_data.indices.values()]
    assert (not set.intersection(*owners)) == (patients is not None)


def test_tables_and_arrays_give_equal_beats(tmp_path, npz, beats_of):
    import pandas as pd

    rows, labels = beats_of(12, 30), np.array(list("NV") * 6)
    expected = npz().load()
    table = pd.DataFrame(rows, columns=[f"x{place}" for place in range(30)])
    table = table.assign(label=labels, age=50)
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_parquet(tmp_path / "t.parquet")
    pd.DataFrame({"MLII": list(rows), "label": labels}).to_parquet(tmp_path / "lists.parquet")
    np.save(tmp_path / "x.npy", rows)
    np.save(tmp_path / "y.npy", labels)
    for name, settings in {
        "t.csv": {"ignore": ["age"]},
        "t.parquet": {"ignore": ["age"]},
        "lists.parquet": {},
        "x.npy": {"labels": "y.npy"},
    }.items():
        found = ArraysDataset(path=tmp_path / name, fs_hz=125, **settings).load()
        np.testing.assert_array_equal(found.signals_mv, expected.signals_mv, err_msg=name)
        np.testing.assert_array_equal(found.symbols, labels, err_msg=name)


def test_leads_are_columns_of_lists_or_the_last_axis(tmp_path, npz, beats_of):
    import pandas as pd

    rows = np.stack([beats_of(12, 30), beats_of(12, 30, seed=1)], axis=2)
    expected = npz({"leads": ["II", "V1"]}, signals=rows).load()
    columns = {"II": list(rows[:, :, 0]), "V1": list(rows[:, :, 1])}
    pd.DataFrame(columns | {"y": list("NV") * 6}).to_parquet(tmp_path / "two.parquet")
    found = ArraysDataset(path=tmp_path / "two.parquet", fs_hz=125).load()
    np.testing.assert_array_equal(found.signals_mv, expected.signals_mv)
    assert expected.lead_names == ("II", "V1")


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.array([0, 1] * 6), ["N", "V"]),
        (np.array([0.0, 1.0] * 6), ["N", "V"]),
        (np.array(["0", "1"] * 6), ["N", "V"]),
        (np.eye(2)[[0, 1] * 6], ["N", "V"]),
        (np.array(["N", "V"] * 6), None),
    ],
)
def test_labels_of_any_kind_are_names(npz, labels, classes):
    assert npz({"classes": classes}, labels=labels).load().symbols.tolist() == ["N", "V"] * 6


def test_any_names_are_classes_with_grouping_labels(npz):
    dataset = npz(labels=np.array(["sinus", "afib"] * 6))
    overrides = [f"dataset.path={dataset.path}", "dataset.fs_hz=125"]
    with pytest.raises(DataError, match=r"grouping=labels dataset\.classes=\[afib,sinus\]"):
        run_data_of(*overrides)
    run_data = run_data_of(*overrides, "grouping=labels", "dataset.classes=[sinus,afib]")
    assert run_data.beats.class_names == ("sinus", "afib")


def test_preprocessing_of_the_model_has_the_shape_of_rows(heartbeat_csv):
    dataset = ArraysDataset(path=heartbeat_csv(), r_sample=0)
    (own,) = dataset.preprocessings
    assert (own.window_samples, own.fs_hz, own.baseline) == ((0, 187), 125.0, "none")
    assert dataset.window_samples == (0, 187)


def test_given_intervals_are_the_rr_features(npz):
    rr = np.arange(48, dtype=np.float32).reshape(12, 4)
    beats = npz({"rr": True}, rr=rr).load()
    np.testing.assert_array_equal(beats.rr[:, :4], rr)


@pytest.mark.parametrize(
    ("overrides", "match"),
    [
        (["features=signal_rr"], r"^features.rr=true: .*dataset.rr=true"),
        (["features=signal_in_record"], "^features: .*template.*features=signal"),
        (["features=handcrafted"], "^features: .*features=signal"),
        (["features=image", "model=cnn2d"], "^features.scale=fixed: .*autoscale"),
        (["split=inter_patient"], "^split=inter_patient: .*split=as_given"),
        (["trainer=federated"], "^partition=by_patient: .*partition=iid"),
        (["trainer=dp", "privacy=patient"], "^privacy.unit=patient: .*privacy.unit=beat"),
        (["split=cross_database"], "^split=cross_database: .*split=as_given"),
        (["dataset.path=null"], "^dataset.path=null: .*dataset.path=mitbih_train.csv"),
        (["dataset.path=b.mat"], "^dataset.path=b.mat: .*dataset=folder"),
        (["dataset.test_path=beats.csv"], "^dataset.test_path=beats.csv: the same"),
        (["dataset.test_path=t.npy", "dataset.labels=y.npy"], "^dataset.labels=y.npy: .*.npz"),
        (["grouping=labels"], "dataset.classes="),
    ],
)
def test_parts_that_rows_cannot_serve_raise_unread(overrides, match):
    noise = ["privacy.noise_multiplier=1"] if "trainer=dp" in overrides else []
    path = [] if overrides[0].startswith("dataset.path") else ["dataset.path=beats.csv"]
    with pytest.raises(ConfigError, match=match):
        load_experiment(["dataset=arrays", *path, *overrides, *noise])
