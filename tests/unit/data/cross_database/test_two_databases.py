"""Two databases as one dataset: leads by position, distinct ids, and refusals with a remedy."""

import os
from dataclasses import replace

import numpy as np
import pytest
from mitdb_records import DS1, DS2, MITDB
from two_folders import MITDB_NAMES, PATIENTS, SVDB_NAMES, draw_heartbeats, write_record

from ecgexp.config.compose import load_experiment
from ecgexp.data.datasets import catalog
from ecgexp.data.datasets.cross_database import TwoDatabases
from ecgexp.data.datasets.parts import DatabasePart
from ecgexp.data.datasets.recorded import RecordedDataset
from ecgexp.data.preprocessing import pipeline
from ecgexp.settings.declaration import ConfigError, DataError

COLUMNS = ("signals_mv", "rr", "symbols", "r_samples")


def make(root, *, train=None, test=None, **shared):
    """Build the dataset as `dataset=mitdb_to_svdb` does, on the generated folders."""
    first = {"records": MITDB_NAMES, "verify": "header", **(train or {})}
    second = {"database": "svdb", "records": SVDB_NAMES, "leads": ["ECG1"], **(test or {})}
    parts = (DatabasePart(root=root, **values) for values in (first, second))
    return TwoDatabases(**dict(zip(("train", "test"), parts, strict=True)), **shared)


@pytest.fixture(scope="module")
def beats(data_root):
    return make(data_root).load()


@pytest.fixture(scope="module")
def patients():
    return [draw_heartbeats(patient) for patient in list(PATIENTS)[:2]]


def test_beats_of_both_databases_are_concatenated(data_root, beats):
    dataset = make(data_root)
    first, second = (part.load() for part in dataset.parts.values())
    for name in COLUMNS:
        np.testing.assert_array_equal(
            getattr(beats, name), np.concatenate([getattr(one, name) for one in (first, second)])
        )
    assert beats.parts.tolist() == ["train"] * len(first) + ["test"] * len(second)
    assert (beats.database, beats.lead_names, beats.fs_hz) == (
        "mitdb 1.0.0 -> svdb 1.0.0",
        ("MLII -> ECG1",),
        360.0,
    )


def test_record_and_patient_ids_have_the_database_as_prefix(beats):
    assert sorted(set(beats.record_ids.tolist())) == [f"mitdb/{n}" for n in MITDB_NAMES] + [
        f"svdb/{n}" for n in SVDB_NAMES
    ]
    assert set(beats.patient_ids[beats.parts == "test"]) == {f"svdb/{name}" for name in SVDB_NAMES}


def test_records_201_and_202_have_one_patient(tmp_path, patients):
    for record, drawn in {"201": patients[0], "202": draw_heartbeats(2, seconds=10)}.items():
        write_record(tmp_path / "mitdb", record, drawn, fs_hz=360)
    write_record(tmp_path / "svdb", "800", patients[1], fs_hz=128)
    beats = make(tmp_path, train={"records": ["201", "202"]}, test={"records": ["800"]}).load()
    assert set(beats.patient_ids.tolist()) == {"mitdb/201+202", "svdb/800"}


def test_equal_names_in_two_databases_are_two_patients(tmp_path, patients):
    """No two published databases have a record name in common at present."""
    twin = replace(catalog.find_database("svdb"), name="twin", records=("100",))
    write_record(tmp_path / "mitdb", "100", patients[0], fs_hz=360)
    write_record(tmp_path / "twin", "100", patients[0], fs_hz=128)
    parts = {
        "train": DatabasePart(root=tmp_path / "mitdb", records=["100"], verify="header"),
        "test": DatabasePart(
            root=tmp_path / "twin", database=twin, records=["100"], leads=["ECG1"]
        ),
    }
    beats = TwoDatabases(**parts).load()
    assert set(beats.patient_ids.tolist()) == {"mitdb/100", "twin/100"}


def test_take_keeps_the_part_of_every_beat(beats):
    rows = np.asarray([len(beats) - 1, 0, 5])
    taken = beats.take(rows)
    assert taken.parts.tolist() == ["test", "train", "train"]
    assert taken.record_ids.tolist() == beats.record_ids[rows].tolist()
    with pytest.raises(ValueError, match="parts has 0 rows for"):
        replace(beats, parts=np.zeros(0, "<U5"))


def test_digest_depends_on_both_parts(data_root, beats):
    assert make(data_root).load().digest == beats.digest
    changed = [
        make(data_root, train={"records": MITDB_NAMES[1:]}),
        make(data_root, test={"records": SVDB_NAMES[1:]}),
        make(data_root, test={"leads": ["ECG2"]}),
        make(data_root, window_ms=(200, 300)),
    ]
    assert len({beats.digest, *(one.load().digest for one in changed)}) == 5


@pytest.mark.parametrize("order", [("ECG1", "ECG2"), ("ECG2", "ECG1")])
def test_leads_are_mapped_by_name_in_the_given_order(tmp_path, patients, order):
    """The order in the file does not matter: the second record of svdb has ECG2 first."""
    for number, drawn in enumerate(patients):
        write_record(tmp_path / "mitdb", MITDB_NAMES[number], drawn, fs_hz=360)
        write_record(
            tmp_path / "svdb",
            SVDB_NAMES[number],
            drawn,
            fs_hz=128,
            leads=("ECG2", "ECG1") if number else None,
        )
    names = {
        "train": {"records": MITDB_NAMES[:2], "leads": ["MLII", "V1"]},
        "test": {"records": SVDB_NAMES[:2]},
    }
    names["test"]["leads"] = order
    beats = make(tmp_path, **names).load()
    assert beats.lead_names == (f"MLII -> {order[0]}", f"V1 -> {order[1]}")
    for number in range(2):
        one, other = (
            beats.signals_mv[beats.record_ids == name].mean(axis=0)
            for name in (f"mitdb/{MITDB_NAMES[number]}", f"svdb/{SVDB_NAMES[number]}")
        )
        correlation = np.corrcoef(one.T, other.T)[:2, 2:]  # rows: MLII, V1; columns: as configured
        correlation = correlation if order[0] == "ECG1" else correlation[:, ::-1]
        assert correlation.diagonal().min() > 0.98
        assert correlation[0, 1] < 0.9


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("policy", ["skip", "first", "error"])
def test_missing_lead_is_handled_by_the_setting_of_its_part(
    tmp_path, patients, caplog, part, policy
):
    """One record of each database lacks the lead; the setting of a part affects only this part."""
    for folder, names, fs_hz in (("mitdb", MITDB_NAMES, 360), ("svdb", SVDB_NAMES, 128)):
        write_record(tmp_path / folder, names[0], patients[0], fs_hz=fs_hz)
        write_record(tmp_path / folder, names[1], patients[1], fs_hz=fs_hz, leads=("V5", "V2"))
    values = {"train": {"records": MITDB_NAMES[:2]}, "test": {"records": SVDB_NAMES[:2]}}
    values[part]["missing_lead"] = policy
    dataset = make(tmp_path, **values)
    names = {"train": ("mitdb", "100", "101", "MLII"), "test": ("svdb", "800", "801", "ECG1")}
    database, _, lacking, lead = names[part]
    if policy == "error":
        with pytest.raises(
            DataError,
            match=rf"record {lacking} has the leads V5, V2, but not {lead}; use "
            rf"dataset\.{part}\.miss",
        ):
            dataset.load()
        return
    beats = dataset.load()
    expected = {"mitdb/100", "svdb/800"} | (
        {f"{database}/{lacking}"} if policy == "first" else set()
    )
    assert set(beats.record_ids.tolist()) == expected
    left_out = {
        f"{name}: record {record} has no lead {lead}" for name, _, record, lead in names.values()
    }
    if policy == "first":
        left_out.remove(f"{database}: record {lacking} has no lead {lead}")
        assert f"another lead replaces a missing one in {lacking} ({lead} <- V5)" in caplog.text
    else:
        assert f"(dataset.{part}.missing_lead=first uses another lead" in caplog.text
    assert left_out | {f"{name}: window leaves the record" for name in ("mitdb", "svdb")} == set(
        beats.dropped
    )
    assert all(beats.dropped[reason] > 20 for reason in left_out)


def test_published_digests_of_both_databases_are_compared(data_root, monkeypatch):
    """The package has a list of mitdb; a list of svdb would be found by its name."""
    asked = []

    def published(name):
        asked.append(name)
        return {"801.dat": "0" * 64} if name == "svdb-1.0.0.sha256" else {}

    monkeypatch.setattr(catalog, "_published_sha256", published)
    with pytest.raises(
        DataError,
        match=r"801\.dat is not the file that PhysioNet publishes in svdb "
        r".*dataset\.test\.verify=header",
    ):
        make(data_root).load()
    assert "svdb-1.0.0.sha256" in asked
    assert len(make(data_root, test={"verify": "header"}).load()) > 0


def test_files_of_a_fake_mitdb_are_refused(data_root):
    with pytest.raises(DataError, match=r"mitdb 1\.0\.0 .*dataset\.train\.verify=header"):
        make(data_root, train={"verify": "published"}).load()


def test_each_part_is_cached_separately(data_root, tmp_path, monkeypatch):
    first = make(data_root, train={"cache_dir": tmp_path}, test={"cache_dir": tmp_path}).load()
    assert len(list(tmp_path.glob("beats-*.json"))) == 2
    monkeypatch.setattr(pipeline, "_Preprocessed", None)
    again = make(data_root, train={"cache_dir": tmp_path}, test={"cache_dir": tmp_path}).load()
    assert again.digest == first.digest
    np.testing.assert_array_equal(again.signals_mv, first.signals_mv)
    alone = RecordedDataset(
        root=data_root, database="svdb", records=SVDB_NAMES, leads=["ECG1"], cache_dir=tmp_path
    ).load()
    assert alone.record_ids[0] == "800"


def test_progress_names_the_database(data_root):
    calls = []
    make(data_root).load(lambda *what: calls.append(what))
    assert calls[0] == (0, 6, "mitdb/100")
    assert (5, 6, "svdb/805") in calls


@pytest.mark.parametrize(
    ("there", "absent"), [("mitdb", ["svdb"]), ("svdb", ["mitdb"]), ("", ["mitdb", "svdb"])]
)
def test_missing_database_is_refused_before_preprocessing(
    tmp_path, data_root, monkeypatch, there, absent
):
    if there:
        os.symlink(data_root / there, tmp_path / there)
    monkeypatch.setattr(pipeline, "preprocess_records", None)
    with pytest.raises(ConfigError) as refused:
        make(tmp_path).load()
    for name in ("mitdb", "svdb"):
        assert (f"ecgexp-fetch {name}" in str(refused.value)) is (name in absent)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["dataset.train.fs_hz=250"],
            r"dataset\.train\.fs_hz is not a setting; use dataset\.fs_hz$",
        ),
        (
            ["dataset.test.window_ms=[100,200]"],
            r"dataset\.test\.window_ms is not a setting; use dataset\.window_ms$",
        ),
        (
            ["dataset.test._target_=ecgexp.data.RecordedDataset"],
            r"dataset\.test\._target_=ecgexp\.data\.RecordedDataset: .*; use "
            r"ecgexp\.data\.DatabasePart",
        ),
        (
            ["dataset.test.leads=[ECG1,ECG2]"],
            r"dataset\.test\.leads=\[ECG1,ECG2\]: .*leads=\[MLII\]; use the same number",
        ),
        (
            ["dataset.test.leads=[MLII]"],
            r"^dataset\.test\.leads=\['MLII'\]: svdb 1\.0\.0 has no lead MLII; use leads of "
            r"ECG1, ECG2",
        ),
        (
            ["dataset.train.records=[800]"],
            r"^dataset\.train\.records=\['800'\]: 800 is not in mitdb 1\.0\.0",
        ),
        (
            ["dataset.test.database=mitdb", "dataset.test.leads=[V1]"],
            r"dataset\.test\.database=mitdb: .*use dataset=mitdb split=inter_patient",
        ),
        (
            ["dataset.baseline=bandpass", "dataset.bandpass_hz=[0.5,64]"],
            r"svdb 1\.0\.0 at 128 Hz can be filtered below 64 Hz",
        ),
        (
            ["dataset.train.lead=[V1]"],
            r"dataset\.train\.lead is not a setting; did you mean dataset\.train\.leads\?",
        ),
    ],
)
def test_invalid_settings_are_refused(overrides, message):
    with pytest.raises(ConfigError, match=message):
        load_experiment(["experiment=mitdb_to_svdb_resnet1d_centralized", *overrides])


@pytest.mark.parametrize(("database", "leads"), [("svdb", ("ECG1",)), ("incartdb", ("II",))])
def test_shipped_datasets_train_on_records_without_pacemaker(database, leads):
    dataset = load_experiment([f"dataset=mitdb_to_{database}", "split=cross_database"]).dataset
    assert str(dataset) == f"mitdb 1.0.0 -> {database} 1.0.0"
    assert dataset.train.records == MITDB.record_set("without_pacemaker")
    assert (dataset.test.records, set(dataset.train.records)) == (None, {*DS1, *DS2})
    assert (dataset.train.leads, dataset.test.leads) == (("MLII",), leads)
    assert dataset.window_samples == (90, 90)


def test_shared_settings_apply_to_both_parts():
    values = [
        "dataset.fs_hz=250",
        "dataset.window_ms=[200,300]",
        "dataset.baseline=bandpass",
        "dataset.train.records=ds1",
    ]
    dataset = load_experiment(["experiment=mitdb_to_svdb_resnet1d_centralized", *values]).dataset
    for part in dataset.parts.values():
        assert (part.fs_hz, part.window_ms, part.baseline) == (250.0, (200.0, 300.0), "bandpass")
    assert dataset.window_samples == (50, 75)
    assert dataset.train.records == DS1
