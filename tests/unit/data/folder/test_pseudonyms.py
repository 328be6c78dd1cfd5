"""Own recordings under pseudonyms: what is written names no record, file or patient."""

import numpy as np
import pytest
from tiny_records import write_record

from ecgexp.config.compose import load_experiment
from ecgexp.data import FolderDataset, FolderPart, JoinedDataset, TwoDatabases
from ecgexp.data.beats import beats_sha256
from ecgexp.data.datasets.pseudonyms import with_pseudonyms
from ecgexp.inference.own_records import own_records
from ecgexp.settings.declaration import ConfigError, DataError

NAMES = ("Quillfeather", "Zenobia", "Ward-Seven")


@pytest.fixture
def named(tmp_path):
    """Three records of two patients whose names are in paths and in the table of patients."""
    folder = tmp_path / "recordings" / "Ward-Seven"
    folder.mkdir(parents=True)
    for seed, record in enumerate(("Zenobia_1", "Zenobia_2", "Quillfeather")):
        write_record(folder, record, seed=seed)
    (tmp_path / "patients.csv").write_text(
        "record,patient\nWard-Seven/Zenobia_1,Zenobia\nWard-Seven/Zenobia_2,Zenobia\n"
        "Ward-Seven/Quillfeather,Quillfeather\n"
    )
    return tmp_path


def hidden(place, **changes):
    values = {"patients": place / "patients.csv", "cache_dir": place / "cache", "pseudonyms": True}
    return FolderDataset(path=place / "recordings", window_ms=(100, 100), **{**values, **changes})


def assert_no_names(*texts):
    for text in texts:
        assert not [name for name in NAMES if name in str(text)], text


def test_ids_name_nobody_and_beats_are_unchanged(named, caplog):
    plain = hidden(named, pseudonyms=False).load()
    beats = hidden(named).load()
    assert_no_names(*beats.record_ids, *beats.patient_ids, *beats.templates_mv, *beats.annotated)
    np.testing.assert_array_equal(beats.signals_mv, plain.signals_mv)
    for ids, own in ((beats.record_ids, plain.record_ids), (beats.patient_ids, plain.patient_ids)):
        pairs = set(zip(ids.tolist(), own.tolist(), strict=True))
        assert len(pairs) == len(set(ids.tolist())) == len(set(own.tolist()))
    assert_no_names(caplog.text)
    with hidden(named).open_records() as read:
        assert read(str(beats.record_ids[0])).patient_id == beats.patient_ids[0]


def test_recordings_are_recognized_without_their_names(named):
    plain, beats = hidden(named, pseudonyms=False).load(), hidden(named, fs_hz=250).load()
    assert list(plain.recordings) == list(plain.annotated) != list(beats.recordings)
    assert list(plain.recordings.values()) == list(beats.recordings.values())
    assert len(set(plain.recordings.values())) == 3


def test_equal_keys_give_equal_pseudonyms_and_others_do_not(named):
    first, again = hidden(named).load(), hidden(named).load()
    assert beats_sha256(first) == beats_sha256(again)
    other = hidden(named, cache_dir=named / "other").load()
    assert not set(first.record_ids.tolist()) & set(other.record_ids.tolist())
    (key,) = (named / "cache" / "pseudonyms").glob("*.key")
    assert key.stat().st_mode & 0o777 == 0o600


def test_errors_and_skipped_records_name_nobody(named):
    broken = named / "recordings" / "Ward-Seven" / "Zenobia_2.dat"
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(DataError, match="bytes") as refused:
        hidden(named).load()
    assert_no_names(refused.value)
    assert refused.value.__cause__ is None
    broken.unlink()
    with pytest.raises(DataError) as missing:
        hidden(named).load()
    assert_no_names(missing.value)
    beats = hidden(named, on_error="skip").load()
    assert len(beats.skipped) == 1
    assert_no_names(beats.skipped)


def test_table_that_does_not_fit_is_refused_without_names(named):
    (named / "patients.csv").write_text("record,patient\nWard-Seven/Zenobia_1,Zenobia\n")
    with pytest.raises(DataError, match=r"dataset\.patients=.*ecgexp-inspect") as refused:
        hidden(named).load()
    assert_no_names(refused.value)


def test_settings_that_would_name_records_or_lose_the_key_are_refused(named):
    with pytest.raises(ValueError, match=r"dataset\.records: .*use a RECORDS file"):
        hidden(named, records=["Ward-Seven/Zenobia_1"])
    with pytest.raises(ValueError, match=r"dataset\.cache_dir=null.*data\.cache_dir="):
        hidden(named, cache_dir=None)


def test_guarantee_gives_own_recordings_pseudonyms(named):
    words = ["dataset=folder", f"dataset.path={named / 'recordings'}", "data.cache_dir=c"]
    private = ["trainer=dp", "privacy.noise_multiplier=1"]
    assert load_experiment(words).dataset.pseudonyms is None
    assert load_experiment([*words, *private]).dataset.pseudonyms is True
    chosen = [*words, *private, "dataset.pseudonyms=false"]
    assert load_experiment(chosen).dataset.pseudonyms is False
    assert load_experiment([*words, *private, "dataset.records=[a]"]).dataset.pseudonyms is None
    with pytest.raises(ConfigError, match=r"dataset\.cache_dir=null.*dataset\.pseudonyms=false"):
        load_experiment([*words, *private, "data.cache_dir=null"])


def test_folders_that_are_parts_get_pseudonyms_too():
    parts = FolderPart(path="a", cache_dir="c"), FolderPart(path="b", cache_dir="c")
    for dataset in (TwoDatabases(train=parts[0], test=parts[1]), JoinedDataset(parts=parts)):
        changed = with_pseudonyms(dataset)
        found = [part.pseudonyms for part in changed.named_parts().values()]
        assert found == [True, True]
        assert with_pseudonyms(changed) is changed


def test_records_of_a_run_under_pseudonyms_are_recognized(named):
    beats = hidden(named).load()
    tested = str(beats.record_ids[0])
    found = own_records(
        {"dataset.path": str(named / "recordings"), "dataset.cache_dir": str(named / "cache")},
        validated=frozenset(),
        tested=frozenset({tested}),
        keeps_records_whole=True,
    )
    assert list(found.files.values()).count(tested) == 1
