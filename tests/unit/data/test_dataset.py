"""The settings of a recorded dataset, and the search for its files."""

import subprocess
import sys
from dataclasses import replace

import pytest
from mitdb_records import DS1, DS2, MITDB, PACED, TWO_LEAD, WITHIN_RECORD

from ecgexp.config.compose import load_experiment
from ecgexp.data.datasets.catalog import find_database, published_databases
from ecgexp.data.datasets.recorded import RecordedDataset, find_folder
from ecgexp.settings.declaration import ConfigError, DataError, build


@pytest.mark.parametrize(
    "place",
    [
        ".",
        "mitdb",
        "mitdb/1.0.0",
        "files/mitdb/1.0.0",
        "physionet.org/files/mitdb/1.0.0",
        "mit-bih-arrhythmia-database-1.0.0",
    ],
)
def test_folder_in_every_known_layout_is_found(tmp_path, place):
    folder = tmp_path / place
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "100.hea").touch()
    assert find_folder(tmp_path, MITDB, MITDB.records, "wfdb").resolve() == folder.resolve()


def test_hidden_folders_are_not_searched(tmp_path):
    (tmp_path / "mitdb/1.0.0/.part").mkdir(parents=True)
    (tmp_path / "mitdb/1.0.0/.part/100.hea").touch()
    with pytest.raises(DataError, match="not found"):
        find_folder(tmp_path, MITDB, MITDB.records, "wfdb")


def test_two_possible_folders_are_refused_by_name(tmp_path):
    for place in ("old", "new"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "100.hea").touch()
    with pytest.raises(
        DataError,
        match=r"dataset\.root=.*: mitdb was found in .*new, .*old; use dataset\.root=.*new",
    ):
        find_folder(tmp_path, MITDB, ("100",), "wfdb")


def test_missing_database_is_refused_with_a_remedy(tmp_path):
    with pytest.raises(
        DataError,
        match=r"dataset=mitdb: not found in .*; run `ecgexp-fetch "
        r"mitdb`, or "
        r"set ECGEXP_DATA",
    ):
        RecordedDataset(root=tmp_path).load()
    with pytest.raises(
        DataError, match=r"dataset=mitdb_csv: not found in .*; unpack mondejar/mitbih-database"
    ):
        RecordedDataset(root=tmp_path, layout="kaggle_csv").load()


@pytest.mark.parametrize("name", ["mitdb", "mitdb_csv", *published_databases()])
def test_shipped_datasets_build(name):
    dataset = load_experiment([f"dataset={name}", "data.root=r", "data.cache_dir=c"]).dataset
    assert isinstance(dataset, RecordedDataset)
    assert (dataset.root.name, dataset.cache_dir.name) == ("r", "c")
    assert dataset.window_samples == (90, 90)


def test_records_are_names_numbers_or_a_record_set():
    assert RecordedDataset(records=[100, "114"]).records == ("100", "114")
    assert RecordedDataset(records="within_record").records == WITHIN_RECORD
    assert RecordedDataset(records=100).records == ("100",)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (
            {"database": "mitbd"},
            "dataset.database='mitbd': .*; use one of afdb, .*mitdb",
        ),
        ({"records": ["110"]}, r"110 is not in mitdb 1\.0\.0"),
        ({"records": ["../100"]}, r"\.\./100 is not in mitdb"),
        ({"records": []}, "no record is not in mitdb"),
        (
            {"leads": ["MLI"]},
            r"dataset\.leads=.*: mitdb 1\.0\.0 has no lead MLI; use leads of MLII",
        ),
        (
            {"lead_aliases": {"MLII": "II"}},
            r"dataset\.lead_aliases=\{MLII: II\}: mitdb 1\.0\.0 has no lead II; use leads of MLII",
        ),
        (
            {"lead_aliases": {"II": "MLII"}},
            r"dataset\.lead_aliases=\{II: MLII\}: II is not among dataset\.leads=\[MLII\]",
        ),
        (
            {"leads": ["MLII", "V1"], "lead_aliases": {"MLII": "V1"}},
            r"dataset\.lead_aliases=\{MLII: V1\}: two of the leads MLII, V1 would be read from one",
        ),
        ({"leads": ["MLII", "MLII"]}, "MLII is listed twice, at positions 1 and 2"),
        ({"window_ms": [0, 1]}, r"dataset\.window_ms=\[0\.0, 1\.0\] is shorter than two samples"),
        ({"bandpass_hz": [40, 0.5]}, r"dataset\.bandpass_hz=\[40\.0, 0\.5\] must increase"),
        ({"fs_hz": 0}, r"dataset\.fs_hz=0 is not usable"),
        ({"baseline": "medain"}, r"dataset\.baseline='medain' is not usable"),
        ({"lead": ["MLII"]}, r"dataset\.lead is not a setting; did you mean dataset\.leads\?"),
    ],
)
def test_invalid_settings_are_refused(values, match):
    with pytest.raises(ConfigError, match=match):
        build(RecordedDataset, values, path="dataset")


def test_settings_classes_import_no_heavy_library():
    code = (
        "import sys, ecgexp.data.datasets.recorded, ecgexp.data.grouping, "
        "ecgexp.data.splits.inter_patient, ecgexp.data.leakage\n"
        "print([m for m in ('scipy', 'wfdb', 'pandas', 'sklearn', 'tensorflow', "
        "'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_described_databases_are_complete_and_marked():
    described = published_databases()
    for name, entry in described.items():
        assert (entry.name, entry.slug, entry.remedy) == (name, f"{name}/1.0.0", "")
        assert all((entry.title, entry.doi, entry.license))
        replace(entry, name="mine").checked("database")
    assert [name for name, entry in described.items() if entry.verified] == ["mitdb"]
    assert [name for name, entry in described.items() if entry.records is not None] == ["mitdb"]


def test_record_sets_of_mitdb_divide_its_records():
    assert len(MITDB.records) == 48
    assert sorted((*DS1, *DS2, *PACED)) == list(MITDB.records)
    assert MITDB.record_set("without_pacemaker") == tuple(sorted(DS1 + DS2))
    lacking_v1 = {"100", "103", "114", "117", "123", "124"}
    assert tuple(sorted({*DS1, *DS2} - lacking_v1)) == TWO_LEAD


def test_patients_and_digests_of_published_databases():
    assert len({MITDB.patient_of(record) for record in MITDB.records}) == 47
    assert len(MITDB.published_sha256()) == 147
    incartdb, edb, qtdb = map(find_database, ("incartdb", "edb", "qtdb"))
    assert incartdb.patient_of("I02", ["<age>: 65", " patient 1"]) == "1"
    assert {edb.patient_of(name) for name in ("e0118", "e0121", "e0122")} == {"e0118-e0122"}
    assert qtdb.patient_of("sele0129") == qtdb.patient_of("sele0133") == "e0129+e0133"
    with pytest.raises(DataError, match=r"I02\.hea does not name its patient"):
        incartdb.patient_of("I02", [])


def test_lead_aliases_are_given_as_a_mapping():
    overrides = ["dataset=incartdb", "dataset.leads=[MLII]", "dataset.lead_aliases={MLII: II}"]
    assert load_experiment(overrides).dataset.recorded_leads == ("II",)
    plain, aliased = RecordedDataset(), RecordedDataset(lead_aliases={"MLII": "V5"})
    assert "lead_aliases" not in plain.parameters()  # the key of caches of earlier versions
    assert aliased.parameters()["lead_aliases"] == {"MLII": "V5"}
