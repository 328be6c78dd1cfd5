"""`dataset=folder`: mixed records, annotations, patients, unreadable records, and the cache."""

import shutil

import numpy as np
import pytest
import wfdb
from edf_bytes import edf_file

from ecgexp.config.compose import load_experiment
from ecgexp.data import FolderDataset, RecordedDataset
from ecgexp.data.beats import beats_sha256
from ecgexp.data.preprocessing.one_record import LEFT_RECORD
from ecgexp.settings.declaration import ConfigError, DataError

SYMBOLS = "NNVNNNAN"


def write(folder, record_id, *, fs=360, leads=("MLII", "V1"), seed=0, annotator="atr", **changes):
    """10 s of noise with eight beats, one a second."""
    path = folder / record_id
    path.parent.mkdir(parents=True, exist_ok=True)
    signals = np.random.default_rng(seed).normal(size=(10 * fs, len(leads)))
    wfdb.wrsamp(
        path.name,
        fs=fs,
        units=["mV"] * len(leads),
        sig_name=list(leads),
        p_signal=signals,
        fmt=["16"] * len(leads),
        write_dir=str(path.parent),
        **changes,
    )
    samples = np.arange(1, 9) * fs
    wfdb.wrann(path.name, annotator, samples, list(SYMBOLS), write_dir=str(path.parent))


@pytest.fixture
def mixed(tmp_path):
    """A folder with records of three devices and a CSV of their patients."""
    folder = tmp_path / "recordings"
    write(folder, "holter/p1_1", seed=1)
    write(folder, "holter/p1_2", fs=250, leads=("II", "V5", "V1"), seed=2)
    write(folder, "ward/p2", fs=128, leads=("ECG MLII",), seed=3)
    (tmp_path / "patients.csv").write_text(
        "record,patient\nholter/p1_1,one\nholter/p1_2,one\nward/p2,two\n"
    )
    return folder


def make(folder, **changes):
    return FolderDataset(**{"path": folder, "window_ms": (100, 100), **changes})


def test_folder_of_mixed_records_gives_beats_of_one_shape(mixed, caplog):
    beats = make(mixed).load()
    assert beats.signals_mv.shape == (24, 72, 1)
    assert set(beats.record_ids) == {"holter/p1_1", "holter/p1_2", "ward/p2"}
    assert "".join(beats.symbols[:8]) == SYMBOLS
    assert (beats.database, beats.patients_are) == ("recordings", "assumed")
    assert beats.patient_ids.tolist() == beats.record_ids.tolist()
    assert "which is MLII in 1 record" in caplog.text


def test_named_lead_is_found_in_every_spelling(mixed, caplog):
    aliases = {"MLII": ["MLII", "II"]}
    beats = make(mixed, leads=["MLII"], lead_aliases=aliases, on_error="skip").load()
    assert len(np.unique(beats.record_ids)) == 3
    without = make(mixed, leads=["MLII"]).load()
    assert without.dropped["record holter/p1_2 has no lead MLII"] == 8


@pytest.mark.parametrize(
    ("rule", "patients"),
    [
        ({"patients": "patients.csv"}, {"one", "two"}),
        ({"patient_pattern": r"/(p\d)"}, {"p1", "p2"}),
    ],
)
def test_patients_of_the_rule_are_stated(mixed, rule, patients):
    rule = {
        key: mixed.parent / value if key == "patients" else value for key, value in rule.items()
    }
    beats = make(mixed, **rule).load()
    assert (set(beats.patient_ids), beats.patients_are) == (patients, "stated")


def test_patient_in_a_comment_is_read_from_each_header(tmp_path):
    write(tmp_path, "a", comments=["age 60", "Patient: 7 (Jane Doe)"])
    write(tmp_path, "b", comments=["Patient: 7"], seed=1)
    beats = make(tmp_path, patient_comment=r"Patient: (\d+)").load()
    assert set(beats.patient_ids) == {"7"}


def test_record_without_annotations_is_refused_or_skipped(mixed):
    (mixed / "ward" / "p2.atr").rename(mixed / "ward" / "p2.qrs")
    with pytest.raises(
        DataError, match=r"ward/p2 has no annotation file p2\.atr \(there is \.qrs\); use dataset\."
    ):
        make(mixed).load()
    beats = make(mixed, on_error="skip").load()
    assert len(np.unique(beats.record_ids)) == 2
    assert "no annotation file" in beats.skipped["ward/p2"]
    assert len(make(mixed / "ward", annotator="qrs").load()) == 8


def damage(mixed):
    with (mixed / "ward" / "p2.dat").open("r+b") as file:
        file.write(b"\x11\x22")


def shorten(mixed):
    (mixed / "ward" / "p2.dat").write_bytes(b"\0\0")


def remove(mixed):
    (mixed / "ward" / "p2.dat").unlink()


def header(mixed):
    (mixed / "ward" / "p2.hea").write_bytes(b"\xff\xfe")


@pytest.mark.parametrize("spoil", [damage, shorten, remove, header])
def test_record_that_cannot_be_read_stops_or_is_skipped(mixed, caplog, spoil):
    cache = mixed.parent / "cache"
    spoil(mixed)
    with pytest.raises(DataError, match=r"p2\.(dat|hea).*(dataset\.on_error=skip)") as caught:
        make(mixed).load()
    assert str(caught.value).isprintable()
    for _ in range(2):  # from the files, then from the cache
        caplog.clear()
        beats = make(mixed, on_error="skip", cache_dir=cache).load()
        assert list(beats.skipped) == ["ward/p2"]
        assert "1 record cannot be read and is left out (dataset.on_error=skip)" in caplog.text
    assert len(beats) == 16


def test_messages_name_files_relative_to_the_folder(mixed):
    damage(mixed)
    with pytest.raises(DataError, match=r"^dataset=folder: ward/p2\.dat ") as caught:
        make(mixed).load()
    assert str(mixed) not in str(caught.value)


@pytest.mark.parametrize("line", ["Jane O'Doe", 'Jane "J" O\'Doe', "p2 1 Jane", "# a\nJane Doe"])
def test_messages_quote_no_text_of_a_header(mixed, line):
    path = mixed / "ward" / "p2.hea"
    path.write_text(path.read_text() + f"{line}\n")
    for text in (f"{line}\n{path.read_text()}", f"{path.read_text()}{line}\n"):
        path.write_text(text)
        with pytest.raises(DataError, match=r"^dataset=folder: ward/p2\.hea ") as caught:
            make(mixed).load()
        assert "Jane" not in str(caught.value)
        assert "Doe" not in str(caught.value)


def test_unsafe_name_is_refused_or_skipped(mixed):
    write(mixed, "-rf", seed=5)
    with pytest.raises(DataError, match=r"dataset=folder: the name '-rf' is refused.*rename"):
        make(mixed).load()
    assert list(make(mixed, on_error="skip").load().skipped) == ["-rf"]


def test_copy_of_a_record_is_refused(mixed):
    for suffix in (".hea", ".dat", ".atr"):
        text = (mixed / "ward" / f"p2{suffix}").read_bytes()
        (mixed / "holter" / f"p2{suffix}").write_bytes(text)
    with pytest.raises(DataError, match="records holter/p2 and ward/p2 hold the same signal"):
        make(mixed, on_error="skip").load()


def test_cache_of_equal_names_in_subfolders_is_not_mixed(tmp_path):
    write(tmp_path / "x", "a", seed=1)
    write(tmp_path / "y", "a", seed=2)
    make_cached = lambda: make(tmp_path, cache_dir=tmp_path / ".cache").load()  # noqa: E731
    first, again = make_cached(), make_cached()
    np.testing.assert_array_equal(first.signals_mv, again.signals_mv)
    assert first.digest == again.digest
    shutil.copy(tmp_path / "x" / "a.atr", tmp_path / "y" / "a.atr")
    other = make(tmp_path, patient_pattern="^(x|y)", cache_dir=tmp_path / ".cache").load()
    assert set(other.patient_ids) == {"x", "y"}


def test_record_of_a_low_frequency_is_not_filtered_beyond_it(mixed):
    with pytest.raises(DataError, match=r"dataset\.bandpass_hz=.* ward/p2 at 128 Hz .*use a lower"):
        make(mixed, baseline="bandpass", bandpass_hz=(0.5, 70)).load()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"records": ()}, r"dataset\.records=\[\].*use dataset\.records=null"),
        ({"name": "my data"}, r"dataset\.name='my data': use at most 64"),
        ({"name": "mitdb"}, r"dataset\.name=mitdb: .*use dataset=mitdb"),
        ({"patients": "a.csv", "patient_pattern": "a"}, r"dataset\.patients and .*use one"),
        ({"patient_comment": "("}, r"dataset\.patient_comment=.*use e\.g\."),
        ({"annotator": "../atr"}, "annotator"),
    ],
)
def test_folder_settings_that_are_not_usable_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make("recordings", **changes)


def test_folder_without_path_is_refused_before_anything_starts():
    dataset = load_experiment(["dataset=folder"]).dataset
    with pytest.raises(ConfigError, match=r"dataset\.path=null .*use dataset\.path="):
        dataset.check_there()


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("data/mitdb/1.0.0", "mitdb-1.0.0"),
        ("data/mitdb", "mitdb_"),
        ("my data/Über", "ber"),
        ("x/*/a?", "x"),
    ],
)
def test_title_is_one_word_and_no_published_database(path, title):
    assert str(make(path)) == title
    assert str(make(path, name="holter")) == "holter"


def test_records_are_read_by_their_ids(mixed):
    with make(mixed).open_records() as read:
        record = read("holter/p1_2")
    assert (record.record_id, record.fs_hz) == ("holter/p1_2", 250)
    assert record.lead_names == ("II", "V5", "V1")


def test_edf_is_read_beside_wfdb_and_its_fields_stay_in_it(mixed, caplog):
    digital = np.random.default_rng(9).integers(-3000, 3000, 100 * 10)
    signal = {"digital": digital, "samples": 100, "label": "ECG II"}
    path = mixed / "ward" / "night.EDF"
    path.write_bytes(edf_file([signal], patient="X F 01-JAN-1950 Jane_Doe"))
    with pytest.raises(DataError, match=r"ward/night has no annotations; put night\.csv with"):
        make(mixed).load()
    wfdb.wrann("night", "atr", np.arange(1, 9) * 100, list(SYMBOLS), write_dir=str(path.parent))
    beats = make(mixed).load()
    own = beats.record_ids == "ward/night"
    assert "".join(beats.symbols[own]) == SYMBOLS
    assert set(beats.patient_ids[own]) == {"ward/night"}
    assert "Jane" not in str(beats) + caplog.text
    table = "".join(f"{second},PVC\n" for second in range(1, 9))
    path.with_suffix(".csv").write_text(f"seconds,symbol\n{table}")
    assert "PVC, no beat unless dataset.symbols maps it, 8" in (make(mixed).load(), caplog.text)[1]
    beats = make(mixed, symbols={"PVC": "V"}).load()
    assert set(beats.symbols[beats.record_ids == "ward/night"]) == {"V"}


@pytest.mark.real_data
def test_folder_of_mitdb_gives_the_beats_of_mitdb(real_root, tmp_path):
    folder, records = RecordedDataset(root=real_root).folder(), ("100", "102", "114", "201", "202")
    table = tmp_path / "patients.csv"
    lines = (f"{name},{'201+202' if name in ('201', '202') else name}" for name in records)
    table.write_text("\n".join(["record,patient", *lines]))
    own = FolderDataset(path=folder, leads=["MLII"], records=records, patients=table).load()
    published = RecordedDataset(root=real_root, records=records).load()
    assert beats_sha256(own) == beats_sha256(published)
    for name in ("rr", "patient_ids"):
        np.testing.assert_array_equal(getattr(own, name), getattr(published, name))
    assert own.dropped == published.dropped
    assert own.dropped[LEFT_RECORD] >= 2
