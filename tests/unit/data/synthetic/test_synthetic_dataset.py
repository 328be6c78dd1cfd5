import shutil
from dataclasses import replace

import numpy as np
import pytest

from ecgexp.config.compose import load_experiment
from ecgexp.data.datasets.catalog import published_databases
from ecgexp.data.datasets.synthetic import SyntheticDataset
from ecgexp.settings.declaration import ConfigError, DataError, build

TINY = {"num_patients": 3, "minutes": 0.4}
AAMI5 = {"N": "N", "L": "N", "R": "N", "A": "S", "V": "V", "F": "F", "/": "Q", "f": "Q"}
NLRVPA6 = {symbol: symbol for symbol in "NLRV/A"}


def test_synthetic_beats_name_their_database_outside_the_catalog():
    beats = SyntheticDataset(seed=3, **TINY).load()
    assert beats.database == "synthetic (virtual patients, seed 3)"
    assert "synthetic" not in published_databases()


def test_synthetic_beats_have_counts_of_the_common_pipeline():
    """The first beat of each record is at 200 ms, so that its window of 250 ms leaves the record.

    Record s005 has no MLII.
    """
    beats = SyntheticDataset(**TINY).load()
    assert beats.signals_mv.shape == (len(beats), 180, 1)
    assert list(dict.fromkeys(beats.record_ids)) == ["s001", "s002", "s003", "s004"]
    assert set(beats.patient_ids[np.isin(beats.record_ids, ["s001", "s002"])]) == {"p001"}
    assert beats.dropped["window leaves the record"] == 4
    assert any("s005" in reason for reason in beats.dropped)
    assert set(beats.symbols) == set("NLRVAF/f")


def test_leads_of_the_record_without_mlii_are_selectable():
    beats = SyntheticDataset(leads=("V5", "V2"), **TINY).load()
    assert set(beats.record_ids) == {"s005"}


def test_beats_with_and_without_cache_are_equal(tmp_path):
    beats = [
        SyntheticDataset(cache_dir=folder, **TINY).load() for folder in (None, tmp_path, tmp_path)
    ]
    assert len({b.digest for b in beats}) == 1
    for other in beats[1:]:
        assert np.array_equal(beats[0].signals_mv, other.signals_mv)
        assert np.array_equal(beats[0].symbols, other.symbols)


def test_files_are_written_once_per_set_of_parameters(tmp_path):
    SyntheticDataset(cache_dir=tmp_path, **TINY).load()
    (first,) = tmp_path.glob("synthetic-*")
    written = {path.name: path.stat().st_mtime_ns for path in first.iterdir()}
    SyntheticDataset(cache_dir=tmp_path, window_ms=(200, 300), **TINY).load()
    assert {path.name: path.stat().st_mtime_ns for path in first.iterdir()} == written
    SyntheticDataset(cache_dir=tmp_path, seed=1, **TINY).load()
    assert len(list(tmp_path.glob("synthetic-*"))) == 2
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".synthetic")]


def test_failed_write_leaves_no_partial_folder(tmp_path, monkeypatch):
    import wfdb

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(wfdb, "wrann", full)
    with pytest.raises(DataError, match=r"cannot be written to .*No space left on device.*TMPDIR"):
        SyntheticDataset(cache_dir=tmp_path, **TINY).load()
    assert list(tmp_path.iterdir()) == []


def test_cache_not_writable_is_a_warning(tmp_path, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    beats = SyntheticDataset(cache_dir=blocked, **TINY).load()
    assert beats.digest == SyntheticDataset(**TINY).load().digest
    assert f"could not be cached in {blocked}" in caplog.text


def test_folder_written_by_another_run_first_is_used(tmp_path, monkeypatch, caplog):
    import os
    import shutil

    rename = os.rename

    def too_late(partial, folder):
        shutil.copytree(partial, folder)  # the other run
        rename(partial, folder)

    monkeypatch.setattr(os, "rename", too_late)
    assert len(SyntheticDataset(cache_dir=tmp_path, **TINY).load()) > 0
    assert "could not be cached" not in caplog.text
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".synthetic")]


def _flip(folder):
    content = bytearray((folder / "s003.dat").read_bytes())
    content[1000] ^= 1
    (folder / "s003.dat").write_bytes(content)


def _relabel(folder):
    import wfdb

    read = wfdb.rdann(str(folder / "s001"), "atr")
    wfdb.wrann("s001", "atr", read.sample, ["V"] * len(read.sample), fs=360, write_dir=str(folder))


def _exchange(folder):
    one, other = ((folder / f"s00{number}.atr").read_bytes() for number in (1, 2))
    (folder / "s001.atr").write_bytes(other)
    (folder / "s002.atr").write_bytes(one)


def _from_another_seed(folder):
    SyntheticDataset(cache_dir=folder.parent, seed=5, **TINY).load()
    (other,) = set(folder.parent.glob("synthetic-*")) - {folder}
    shutil.rmtree(folder)
    shutil.copytree(other, folder)


def _link(folder):
    folder.rename(folder.parent / "elsewhere")
    _relabel(folder.parent / "elsewhere")
    folder.symlink_to(folder.parent / "elsewhere")


def _make_a_file(folder):
    shutil.rmtree(folder)
    folder.write_text("no folder")


@pytest.mark.parametrize(
    "change",
    [
        _flip,
        _relabel,
        _exchange,
        _from_another_seed,
        _link,
        _make_a_file,
        lambda folder: (folder / "s001.dat").unlink(),
        lambda folder: (folder / "digests.json").unlink(),
        lambda folder: (folder / "digests.json").write_text("[]"),
    ],
)
def test_changed_folder_in_the_cache_is_written_again(tmp_path, change, caplog):
    truth = SyntheticDataset(cache_dir=tmp_path, **TINY).load()
    (folder,) = tmp_path.glob("synthetic-*")
    change(folder)
    for _ in range(2):
        beats = SyntheticDataset(cache_dir=tmp_path, **TINY).load()
        assert beats.digest == truth.digest
        assert np.array_equal(beats.symbols, truth.symbols)
    assert caplog.text.count(f"{folder} were changed") == 1
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".synthetic")]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_patients": 2}, r"dataset\.num_patients=2 .*greater than or equal to 3"),
        ({"minutes": 0.1}, r"dataset\.minutes=0\.1 .*greater than or equal to 0\.4"),
        ({"seed": -1}, r"dataset\.seed=-1"),
        ({"noise": -0.5}, r"dataset\.noise=-0\.5"),
        (
            {"patients": 8},
            r"dataset\.patients is not a setting; did you mean dataset\.num_patients",
        ),
        (
            {"leads": ("II",)},
            r"dataset\.leads=.*virtual patients have no lead II; use leads of MLII, V1, V2, V5",
        ),
    ],
)
def test_settings_out_of_range_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        build(SyntheticDataset, values, path="dataset")


def test_yaml_equals_the_default_settings():
    dataset = load_experiment(["dataset=synthetic"]).dataset
    assert replace(dataset, cache_dir=None) == SyntheticDataset()


@pytest.fixture(scope="module")
def default_beats():
    return SyntheticDataset().load()


def test_default_database_has_rare_classes_in_many_patients(default_beats):
    symbols, counts = np.unique(default_beats.symbols, return_counts=True)
    share = dict(zip(symbols, counts / len(default_beats), strict=True))
    assert 8000 < len(default_beats) < 10000
    assert 0.5 < share["N"] < 0.7
    assert share["A"] < 0.06
    assert share["F"] < 0.03
    for symbol in "NLRVAF/f":
        patients = set(default_beats.patient_ids[default_beats.symbols == symbol])
        assert len(patients) >= 8, symbol


@pytest.mark.slow
@pytest.mark.parametrize(("grouping", "intra_at_least"), [(AAMI5, 0.90), (NLRVPA6, 0.95)])
def test_inter_patient_scores_are_below_intra_patient_scores(
    default_beats, grouping, intra_at_least
):
    """Random forest on windows, macro F1: 0.96 -> 0.62 (AAMI) and 0.98 -> 0.73 (six classes)."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import f1_score

    beats = default_beats.take(np.isin(default_beats.symbols, list(grouping)))
    labels = np.array([grouping[symbol] for symbol in beats.symbols])
    windows = beats.signals_mv[:, :, 0]
    windows = (windows - windows.mean(axis=1, keepdims=True)) / windows.std(axis=1, keepdims=True)
    numbers = np.array([int(patient[1:]) - 1 for patient in beats.patient_ids])
    scores = {}
    for name, test in (
        ("intra", np.random.default_rng(0).random(len(beats)) < 0.5),
        ("inter", numbers // 3 % 2 == 1),
    ):
        assert set(labels[test]) == set(labels[~test]) == set(labels)
        forest = RandomForestClassifier(50, random_state=0).fit(windows[~test], labels[~test])
        scores[name] = f1_score(labels[test], forest.predict(windows[test]), average="macro")
    assert scores["intra"] > intra_at_least
    assert 0.5 < scores["inter"] < scores["intra"] - 0.1
