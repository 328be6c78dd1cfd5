"""The cache returns what was preprocessed and nothing else; a damaged entry is computed again."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace

import numpy as np
import pytest
from tiny_records import TINY, tiny_source, write_record

from ecgexp.data.formats import wfdb_reader
from ecgexp.data.preprocessing.pipeline import preprocess_records
from ecgexp.data.preprocessing.settings import Preprocessing
from ecgexp.settings.declaration import DataError


@pytest.fixture
def reads(monkeypatch):
    """Names of the records that are read from their files."""
    calls = []
    read = wfdb_reader.read_record
    monkeypatch.setattr(
        wfdb_reader, "read_record", lambda *args: calls.append(args[1]) or read(*args)
    )
    return calls


def index_of(tiny):
    (path,) = (tiny / "cache").glob("beats-*.json")
    return path


def load(tiny, **changes):
    settings = Preprocessing(window_ms=(100, 100), cache_dir=tiny / "cache", **changes)
    return preprocess_records(settings, tiny_source(tiny))


def assert_equal(first, second):
    for field in fields(first):
        np.testing.assert_equal(getattr(first, field.name), getattr(second, field.name))


def test_cached_beats_equal_preprocessed_ones_in_every_field(tiny, reads):
    first = load(tiny)
    assert_equal(first, load(tiny))
    assert reads == ["a"]
    assert first.r_samples.tolist() == [200, 500, 800]
    assert index_of(tiny).is_file()


@pytest.mark.parametrize(
    "changes",
    [
        {"baseline": "none"},
        {"leads": ("V1",)},
        {"fs_hz": 180.0},
        {"relocate_ms": 20.0},
        {"missing_lead": "first"},
    ],
)
def test_cache_key_depends_on_settings(tiny, reads, changes):
    assert load(tiny).digest != load(tiny, **changes).digest
    assert reads == ["a", "a"]


def test_cache_key_ignores_settings_without_effect(tiny, reads):
    load(tiny)
    load(tiny, bandpass_hz=(1.0, 30.0))
    assert reads == ["a"]


def test_cache_key_depends_on_file_content(tiny, reads):
    first = load(tiny)
    write_record(tiny, seed=5)
    assert load(tiny).digest != first.digest
    assert reads == ["a", "a"]


def test_cache_key_is_independent_of_file_times(tiny, reads):
    first = load(tiny)
    os.utime(tiny / "a.dat", (1, 1))
    assert load(tiny).digest == first.digest
    assert reads == ["a"]


def test_cache_key_differs_at_equal_size_and_time(tiny, reads):
    """File times are equal after unpacking an archive with a single time, or after `touch -r`."""
    times = (tiny / "a.atr").stat()
    first = load(tiny)
    write_record(tiny, symbols=("N", "A", "N"))
    for path in tiny.glob("a.*"):
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    second = load(tiny)
    assert first.symbols.tolist() == ["N", "V", "N"]
    assert second.symbols.tolist() == ["N", "A", "N"]
    assert reads == ["a", "a"]


def test_cache_key_differs_between_folders(tmp_path):
    found = []
    for name, symbols in (("A", "NVN"), ("B", "NAN")):
        (tmp_path / name).mkdir()
        write_record(tmp_path / name, symbols=tuple(symbols))
        for path in (tmp_path / name).iterdir():
            os.utime(path, (1, 1))
        settings = Preprocessing(window_ms=(100, 100), cache_dir=tmp_path / "cache")
        found.append(preprocess_records(settings, tiny_source(tmp_path / name)).symbols.tolist())
    assert found == [["N", "V", "N"], ["N", "A", "N"]]


def test_cache_key_depends_on_the_catalog(tiny):
    settings = Preprocessing(window_ms=(100, 100), cache_dir=tiny / "cache")
    changed = replace(TINY, same_patient={"a": "another patient"})
    patients = [
        preprocess_records(settings, tiny_source(tiny, database=database)).patient_ids[0]
        for database in (TINY, changed)
    ]
    assert patients == ["a", "another patient"]


def test_cache_key_depends_on_every_file_of_the_header(tiny, reads):
    """A header may name other signal files than `a.dat`."""
    (tiny / "a.dat").rename(tiny / "other.dat")
    header = (tiny / "a.hea").read_text().replace("a.dat", "other.dat")
    (tiny / "a.hea").write_text(header)
    first = load(tiny)
    write_record(tiny, seed=5)
    (tiny / "a.dat").rename(tiny / "other.dat")
    (tiny / "a.hea").write_text((tiny / "a.hea").read_text().replace("a.dat", "other.dat"))
    assert load(tiny).digest != first.digest
    assert reads == ["a", "a"]


def test_file_replaced_during_reading_is_refused(tiny, monkeypatch):
    read = wfdb_reader.read_record

    def replaced_meanwhile(*args):
        record = read(*args)
        write_record(tiny, symbols=("N", "A", "N"))
        return record

    monkeypatch.setattr(wfdb_reader, "read_record", replaced_meanwhile)
    with pytest.raises(DataError, match="was changed while it was being read; run this again"):
        load(tiny)
    assert not list((tiny / "cache").glob("beats-*"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[: len(b) // 2],
        lambda b: b"",
        lambda b: b[:300] + bytes([b[300] ^ 255]) + b[301:],
    ],
)
def test_damaged_entry_is_replaced_with_a_warning(tiny, reads, caplog, damage):
    first = load(tiny)
    path = index_of(tiny)
    path.write_bytes(damage(path.read_bytes()))
    assert_equal(first, load(tiny))
    assert "is damaged" in caplog.text
    assert path.name in caplog.text
    assert_equal(first, load(tiny))
    assert reads == ["a", "a"]


def test_pickled_array_in_the_cache_is_not_loaded(tiny, caplog):
    first = load(tiny)
    path = next((tiny / "cache" / "arrays").iterdir())
    with path.open("wb") as file:
        np.save(file, np.asarray([{"evil": print}], dtype=object))
    assert_equal(first, load(tiny))
    assert "is damaged" in caplog.text


def test_concurrent_jobs_get_the_beats_and_write_one_entry(tiny):
    barrier = threading.Barrier(4)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: (barrier.wait(), load(tiny))[1], range(4)))
    for result in results:
        assert_equal(results[0], result)
    assert index_of(tiny).is_file()
    assert not list((tiny / "cache").rglob(".*"))


def test_cache_not_writable_is_a_warning(tiny, caplog):
    (tiny / "cache").write_text("a file where the folder should be")
    assert len(load(tiny)) == 3
    assert "could not be cached" in caplog.text


def test_failed_write_leaves_no_files(tiny, monkeypatch, caplog):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ecgexp.data.preprocessing.cache.os.fsync", full)
    assert len(load(tiny)) == 3
    assert "No space left" in caplog.text
    assert [path for path in (tiny / "cache").rglob("*") if path.is_file()] == []


def test_warnings_are_repeated_from_the_cache(tiny, reads, caplog):
    write_record(tiny, "b", leads=("V5", "V1"), seed=3)
    settings = Preprocessing(window_ms=(100, 100), cache_dir=tiny / "cache")
    for _ in range(2):
        caplog.clear()
        beats = preprocess_records(settings, tiny_source(tiny, ("a", "b")))
        assert "records b lack a lead of dataset.leads and are left out" in caplog.text
        assert beats.dropped == {"window leaves the record": 0, "record b has no lead MLII": 3}
    assert reads == ["a", "b"]


def test_missing_lead_is_handled_as_configured(tiny, caplog):
    write_record(tiny, "b", leads=("V5", "V1"), seed=3)
    settings = Preprocessing(window_ms=(100, 100), baseline="none")
    first = preprocess_records(
        replace(settings, missing_lead="first"), tiny_source(tiny, ("a", "b"))
    )
    assert "b (MLII <- V5)" in caplog.text
    v5 = preprocess_records(replace(settings, leads=("V5",)), tiny_source(tiny, ("b",)))
    np.testing.assert_array_equal(first.signals_mv[3:], v5.signals_mv)
    with pytest.raises(
        DataError, match=r"missing_lead=error: record b has the leads V5, V1, but not MLII"
    ):
        preprocess_records(replace(settings, missing_lead="error"), tiny_source(tiny, ("a", "b")))
    with pytest.raises(DataError, match="no beat is left"):
        preprocess_records(settings, tiny_source(tiny, ("b",)))


def test_leads_have_the_configured_order(tiny):
    settings = Preprocessing(window_ms=(100, 100), baseline="none", leads=("V1", "MLII"))
    swapped = preprocess_records(settings, tiny_source(tiny))
    plain = preprocess_records(replace(settings, leads=("MLII", "V1")), tiny_source(tiny))
    np.testing.assert_array_equal(swapped.signals_mv, plain.signals_mv[:, :, ::-1])


def test_resampled_record_keeps_its_published_samples(tiny):
    settings = Preprocessing(window_ms=(100, 100), fs_hz=180.0, baseline="none")
    beats = preprocess_records(settings, tiny_source(tiny))
    assert beats.signals_mv.shape == (3, 36, 1)
    assert beats.r_samples.tolist() == [200, 500, 800]
    np.testing.assert_allclose(beats.rr[:, 0], 300 / 360, rtol=1e-6)


def test_progress_is_reported(tiny):
    calls = []
    settings = Preprocessing(window_ms=(100, 100))
    preprocess_records(
        settings,
        tiny_source(tiny),
        on_progress=lambda *call: calls.append(call),
    )
    assert calls == [(0, 1, "a"), (1, 1, "")]


def test_entry_of_an_earlier_layout_is_ignored_silently(tiny, reads, caplog, monkeypatch):
    settings = Preprocessing(window_ms=(100, 100), cache_dir=tiny / "cache")
    for version in (1, 2):
        monkeypatch.setattr("ecgexp.data.preprocessing.cache.STORAGE_VERSION", version)
        preprocess_records(settings, tiny_source(tiny))
    assert reads == ["a", "a"]
    assert caplog.text == ""
