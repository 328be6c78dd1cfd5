import numpy as np
import pytest
from edf_bytes import edf_file
from tiny_records import write_record

from ecgexp.data.datasets import catalog
from ecgexp.data.formats.record_paths import annotation_file, locate, locate_all
from ecgexp.data.formats.single_record import database_of, published_name, read_single
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.storage.digests import file_sha256


def edit_header(folder, old, new):
    header = folder / "a.hea"
    text = header.read_text()
    assert old in text
    header.write_text(text.replace(old, new))


@pytest.mark.parametrize("suffix", ["", ".hea"])
def test_record_is_found_with_and_without_suffix(tiny, suffix):
    assert locate(f"{tiny}/a{suffix}") == tiny / "a"


@pytest.mark.parametrize("name", ["b", "a.dat", "nowhere/a", ""])
def test_missing_record_is_refused_with_a_remedy(tiny, name):
    with pytest.raises(
        DataError,
        match=r"was not found: .*use the path of a WFDB, EDF or CSV|is refused: only letters",
    ):
        locate(f"{tiny}/{name}" if name else "")


def test_single_record_has_signals_and_annotations_of_its_files(tiny, tmp_path):
    digital = write_record(tmp_path)
    record, database = read_single(tmp_path / "a", annotator="atr")
    np.testing.assert_allclose(record.signals_mv, (digital - 1024) / 200, atol=1e-12)
    assert (record.samples.tolist(), record.symbols.tolist()) == ([200, 500, 800], ["N", "V", "N"])
    assert (record.lead_names, record.fs_hz, record.record_id) == (("MLII", "V1"), 360.0, "a")
    assert str(database) == "record a"


def test_annotations_of_another_annotator_are_read(tiny):
    import wfdb

    wfdb.wrann("a", "qrs", np.asarray([300]), ["N"], write_dir=str(tiny))
    record, _ = read_single(tiny / "a", annotator="qrs")
    assert record.samples.tolist() == [300]


def test_record_without_annotations_is_read_without_them(tiny):
    (tiny / "a.atr").unlink()
    record, _ = read_single(tiny / "a", annotator=None)
    assert record.signals_mv.shape == (1080, 2)
    assert len(record.beat_samples) == len(record.symbols) == 0
    with pytest.raises(DataError, match=r"a\.atr is missing; copy the record's files again"):
        read_single(tiny / "a", annotator="atr")


@pytest.mark.parametrize("annotator", ["", "../atr", "a.b", "a/b"])
def test_annotator_that_is_not_a_suffix_is_refused(tiny, annotator):
    with pytest.raises(ConfigError, match=r"the annotator .* is refused.*use e\.g\. atr"):
        annotation_file(tiny / "a", annotator)


def test_record_in_the_folder_of_a_database_belongs_to_it(tmp_path):
    folder = tmp_path / "mitdb" / "1.0.0"
    folder.mkdir(parents=True)
    write_record(folder, "202")
    write_record(folder, "999")
    assert str(read_single(folder / "202", annotator="atr")[1]) == "mitdb 1.0.0"
    assert read_single(folder / "202", annotator="atr")[0].patient_id == "201+202"
    assert str(read_single(folder / "999", annotator="atr")[1]) == "record 999"


def test_synthetic_record_is_recognized_by_its_header(database):
    record, found = read_single(database.folder / "s001", annotator="atr")
    assert str(found) == "synthetic (virtual patients, seed 0)"
    assert record.patient_id == "p001"
    assert len(record.beat_samples) > 50


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    from types import SimpleNamespace

    from ecgexp.data.synthetic.database import write_database

    folder = tmp_path_factory.mktemp("virtual")
    write_database(folder, num_patients=1, minutes=1.0, seed=0)
    return SimpleNamespace(folder=folder)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("a 2 360 1080", "a 2 360 0", "states a length of 0 samples"),
        ("a 2 360 1080", "a 0 360 1080", "names no signals"),
        ("a 2 360 1080", "a 2 0 1080", "states 0 Hz|is not a WFDB header"),
        ("a 2 360 1080", "a 2 360 1081", "bytes, but its header states"),
        ("a 2 360 1080", "", "is not a WFDB header"),
    ],
)
def test_damaged_header_is_refused_in_one_line_with_a_remedy(tiny, old, new, words):
    edit_header(tiny, old, new)
    with pytest.raises(DataError, match=words) as caught:
        read_single(tiny / "a", annotator="atr")
    assert "copy the record's files again" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_empty_header_is_refused(tiny):
    (tiny / "a.hea").write_text("")
    with pytest.raises(DataError, match="is not a WFDB header"):
        read_single(tiny / "a", annotator=None)


def test_changed_samples_are_refused_by_the_checksum(tiny):
    content = bytearray((tiny / "a.dat").read_bytes())
    content[300] ^= 1
    (tiny / "a.dat").write_bytes(content)
    with pytest.raises(DataError, match="checksum"):
        read_single(tiny / "a", annotator=None)


def test_copy_of_a_published_record_is_known_under_its_name(tiny, monkeypatch):
    """It is recognized by the SHA-256 of its signal, and belongs to the patient of the original."""
    assert (published_name(tiny / "a"), database_of(tiny / "a").name) == ("a", "record")
    published = {"201.dat": file_sha256(tiny / "a.dat")}
    monkeypatch.setattr(
        catalog, "_published_sha256", lambda name: published if name.startswith("mitdb") else {}
    )
    database = database_of(tiny / "a")
    assert (published_name(tiny / "a"), database.name) == ("201", "mitdb")
    assert database.patient_of("a") == "201+202"


def test_folders_lists_and_patterns_stand_for_their_records(tmp_path):
    for name in ("a", "b"):
        write_record(tmp_path, name)
    (tmp_path / "LIST").write_text("b\na\n")
    for name, stems in (("", "ab"), ("LIST", "ba"), ("[b]*", "b"), ("a", "a"), ("b.hea", "b")):
        found = locate_all([f"{tmp_path}/{name}"], skip=False)
        assert found == [tmp_path / stem for stem in stems]


@pytest.mark.parametrize(("suffix", "typed"), [("edf", ""), ("edf", ".edf"), ("EDF", ".EDF")])
def test_edf_record_is_read_with_annotations_of_its_own(tmp_path, suffix, typed):
    digital = np.arange(720)
    signal = {"digital": digital, "samples": 360, "label": "MLII"}
    content = edf_file([signal], kind="EDF+C", annotations=[(0.5, "N"), (1.0, "lights off")])
    (tmp_path / f"x.{suffix}").write_bytes(content)
    stem = locate(f"{tmp_path}/x{typed}")
    assert stem == tmp_path / "x"
    record, database = read_single(stem, annotator="atr")
    np.testing.assert_allclose(record.signals_mv[:, 0], digital / 1000, atol=1e-12)
    assert (record.beat_samples.tolist(), record.fs_hz) == ([180], 360.0)
    assert str(database) == "record x"
    assert published_name(stem) == "x"


def test_edf_records_of_a_folder_are_found_once(tmp_path):
    (tmp_path / "LIST").write_text("x.edf\na\n")
    refused = tmp_path / "$.edf"
    refused.write_bytes(b"")
    with pytest.raises(DataError, match="there is no record; use a folder"):
        locate_all([str(tmp_path)], skip=True)
    refused.rename(tmp_path / "x.edf")
    write_record(tmp_path, "a")
    assert locate_all([str(tmp_path)], skip=False) == [tmp_path / "a", tmp_path / "x"]
    assert locate_all([f"{tmp_path}/LIST"], skip=False) == [tmp_path / "x", tmp_path / "a"]
    write_record(tmp_path, "x")
    with pytest.raises(DataError, match=r"x\.hea beside it .*rename or move one"):
        locate_all([f"{tmp_path}/x.edf"], skip=False)
    with pytest.raises(DataError, match="records of the same name; rename"):
        locate_all([str(tmp_path)], skip=False)
