"""A user's own database is a YAML file in the folder of `--config-dir`."""

import shutil

import pytest
from tiny_records import write_record

from ecgexp.config.data_settings import load_data_settings
from ecgexp.data.datasets.catalog import Database, read_own_database
from ecgexp.data.datasets.own_databases import own_databases
from ecgexp.data.datasets.recorded import RecordedDataset
from ecgexp.data.formats.single_record import database_of
from ecgexp.settings.build import build_node, to_node
from ecgexp.settings.declaration import ConfigError

DESCRIPTION = """\
_target_: ecgexp.data.Database
name: ward
version: 2
title: Recordings of our ward
fs_hz: 360
lead_names: [MLII, V1]
record_sets: {first: [p1a, p2a]}
patient_pattern: '^(p[0-9]+)'
same_as: {p9.*: mitdb/100}
"""
DATASET = """\
defaults:
  - svdb
  - /database@database: ward
  - _self_
leads: [MLII]
"""


@pytest.fixture
def own(tmp_path):
    for group, text in {"database": DESCRIPTION, "dataset": DATASET}.items():
        (tmp_path / group).mkdir()
        (tmp_path / group / "ward.yaml").write_text(text)
    return tmp_path


def test_own_database_is_read_as_it_is_described(own):
    folder = own / "data" / "ward"
    folder.mkdir(parents=True)
    for seed, record in enumerate(("p1a", "p1b", "p2a")):
        write_record(folder, record, seed=seed)
    (folder / "RECORDS").write_text("p1a\np1b\np2a\n")
    words = ["dataset=ward", f"data.root={own / 'data'}", "data.cache_dir=null"]
    dataset = load_data_settings(words, own=own).dataset
    assert isinstance(dataset, RecordedDataset)
    beats = dataset.load()
    assert (beats.database, set(beats.patient_ids.tolist())) == ("ward 2", {"p1", "p2"})
    chosen = load_data_settings([*words, "dataset.records=first"], own=own).dataset
    assert chosen.records == ("p1a", "p2a")
    assert build_node(to_node(dataset)) == dataset
    assert read_own_database(own, "ward") == dataset.entry


def test_single_record_is_recognized_by_its_folder(own):
    folder = own / "data" / "ward" / "1.0"
    folder.mkdir(parents=True)
    write_record(folder, "p1a")
    databases = own_databases(own)
    found = database_of(folder / "p1a", databases)
    assert (str(found), found.patient_of("p1a")) == ("ward 2", "p1")
    assert database_of(folder / "p1a").name == "record"
    shutil.copytree(folder, own / "data" / "other")
    assert database_of(own / "data" / "other" / "p1a", databases).name == "record"


def test_folder_without_a_database_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"--config-dir=.*use a folder with database/NAME\.yaml"):
        own_databases(tmp_path)


def test_own_database_replaces_that_of_another_dataset(own):
    words = ["dataset=svdb", "+database@dataset.database=ward", "dataset.leads=[V1]"]
    assert str(load_data_settings(words, own=own).dataset) == "ward 2"


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("name: ward", "name: mitdb", r"\.name=mitdb: it is the name of a published database"),
        ("name: ward", "name: ../x", r"\.name='\.\./x': use at most 64 letters"),
        ("^(p[0-9]+)", "^(p[0-9]+", r"patient_pattern=.* not a regular expression"),
        ("^(p[0-9]+)", "^p[0-9]+", r"patient_pattern=.* 0 groups"),
        ("mitdb/100", "mitdb", r"same_as=mitdb: it is not database/record"),
        ("mitdb/100", r"mitdb/\2", r"same_as=mitdb/.*: invalid group reference"),
        ("version: 2", "version: 2\nslug: ../../etc", r"slug='\.\./\.\./etc': use a folder below"),
        ("fs_hz: 360", "fs: 360", r"fs_hz is missing|\.fs is not a setting"),
        ("ecgexp.data.Database", "os.system", r"_target_|no line"),
    ],
)
def test_unusable_description_is_refused_in_one_line(own, old, new, match):
    path = own / "database" / "ward.yaml"
    path.write_text(DESCRIPTION.replace(old, new))
    for read in (
        lambda: load_data_settings(["dataset=ward"], own=own),
        lambda: read_own_database(own, "ward"),
    ):
        with pytest.raises(ConfigError, match=match) as refused:
            read()
        assert "\n" not in str(refused.value)


def test_missing_description_is_refused_with_its_path(tmp_path):
    with pytest.raises(ConfigError, match=r"ward: there is no .*database.ward\.yaml; write it"):
        read_own_database(tmp_path, "ward")


def test_own_database_without_a_slug_is_not_fetched(tmp_path):
    from ecgexp.data.formats.download import download

    entry = Database(name="ward", version="1", title="Ward", fs_hz=360)
    with pytest.raises(ConfigError, match="not published on PhysioNet; copy its files"):
        download(entry, tmp_path)
