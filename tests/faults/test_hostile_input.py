"""Untrusted names and files give no access outside the data folder and execute nothing."""

import hashlib
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_records import TINY, tiny_source, write_record

from ecgexp.data.datasets.recorded import RecordedDataset
from ecgexp.data.formats.record_paths import annotation_file, locate
from ecgexp.data.formats.single_record import read_single
from ecgexp.data.formats.wfdb_reader import read_record
from ecgexp.data.preprocessing.cache import CachedBeats, load_or_preprocess
from ecgexp.data.preprocessing.pipeline import preprocess_records
from ecgexp.data.preprocessing.settings import Preprocessing
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.storage.digests import digest

NAMES = [
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    ".",
    "",
    "a/b",
    "a\\b",
    "~a",
    "a\0",
    "a\nb",
    "file:a",
    "s3://a",
    "100.hea",
    "a" * 65,
]


class Bomb:
    """What a pickle does when it is read: makes a folder."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return Path.mkdir, (self.place,)


@pytest.fixture
def nothing_is_opened(monkeypatch):
    """From here on no file is opened for its content."""

    def refuse(path, *args, **kwargs):
        raise AssertionError(f"{path} was opened")

    for name in ("read_bytes", "read_text", "open"):
        monkeypatch.setattr(Path, name, refuse)


@pytest.mark.parametrize("name", NAMES)
def test_a_record_name_is_no_path(tmp_path, nothing_is_opened, name):
    with pytest.raises(
        ValueError, match=r"(?s)dataset\.records=.* is not in mitdb|at least 1 character"
    ):
        RecordedDataset(root=tmp_path, records=(name,))
    for layout in ("wfdb", "kaggle_csv"):
        with pytest.raises(
            DataError,
            match=r"record name .* is refused: only letters, digits, - and _ .*use a name "
            r"such as '100'",
        ) as caught:
            preprocess_records(Preprocessing(), tiny_source(tmp_path, (name,), layout=layout))
        assert str(caught.value).isprintable()


def test_the_command_refuses_such_a_name_in_one_line(tmp_path, monkeypatch):
    from ecgexp.config.compose import load_experiment

    with pytest.raises(ConfigError, match=r"dataset\.records.*\.\./\.\./etc/passwd"):
        load_experiment(
            ["dataset=mitdb", "dataset.records=[../../etc/passwd]", f"data.root={tmp_path}"]
        )


@pytest.mark.parametrize("annotator", ["../atr", "/etc/passwd", "a/b", "..", "", "a" * 17])
def test_an_annotators_name_is_no_path(tmp_path, annotator):
    with pytest.raises(
        ConfigError, match="is refused: a name of letters and digits is needed; use e.g. atr"
    ):
        annotation_file(tmp_path / "a", annotator)


@pytest.fixture
def beside(tmp_path):
    """A sound record, and in another folder a copy of its signals that it could do as well with."""
    for name in ("records", "elsewhere"):
        (tmp_path / name).mkdir()
    write_record(tmp_path / "records")
    shutil.copy(tmp_path / "records" / "a.dat", tmp_path / "elsewhere" / "b.dat")
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "../elsewhere/b.dat",
        "BASE/elsewhere/b.dat",
        "./a.dat",
        "x/../a.dat",
        "..",
        "~/b.dat",
        "file://BASE/elsewhere/b.dat",
        "a.dat::b",
    ],
)
def test_a_header_reaches_no_file_but_those_beside_it(beside, name):
    read_record(beside / "records", "a", TINY)
    header = beside / "records" / "a.hea"
    header.write_text(header.read_text().replace("a.dat", name.replace("BASE", str(beside))))
    with pytest.raises(
        DataError, match=r"a\.hea names the signal file .*, which is not in its folder"
    ):
        read_record(beside / "records", "a", TINY)
    with pytest.raises(
        DataError, match=r"a\.hea names the signal file .*, which is not in its folder"
    ):
        read_single(locate(str(beside / "records" / "a")), annotator="atr")


def test_a_header_of_segments_draws_in_no_other_headers(beside):
    (beside / "records" / "a.hea").write_text("a/2 2 360 2160\n../elsewhere/b 1080\nb 1080\n")
    with pytest.raises(
        DataError,
        match=r"a\.hea names the signal file '\.\./elsewhere/b', which is not in its folder",
    ):
        read_record(beside / "records", "a", TINY)


def with_object_array(path, place):
    np.save(path.open("wb"), np.asarray([Bomb(place)], object), allow_pickle=True)


def with_pickle(path, place):
    path.write_bytes(pickle.dumps(Bomb(place)))


def with_an_endless_array(path, place):
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1125899906842624,), }\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head)


@pytest.mark.parametrize("plant", [with_object_array, with_pickle, with_an_endless_array])
@pytest.mark.parametrize("consistent", [False, True], ids=["array", "array and index"])
def test_a_planted_cache_file_runs_nothing_and_is_replaced(tmp_path, caplog, plant, consistent):
    write_record(tmp_path)
    settings = Preprocessing(window_ms=(100, 100), cache_dir=tmp_path / "cache")
    beats = preprocess_records(settings, tiny_source(tmp_path))
    (index,) = (tmp_path / "cache").glob("beats-*.json")
    values = json.loads(index.read_text())
    kept = tmp_path / "cache" / "arrays" / f"{values['arrays']['signals_mv']}.npy"
    plant(kept, tmp_path / "sentinel")
    if consistent:
        values["arrays"]["signals_mv"] = hashlib.sha256(kept.read_bytes()).hexdigest()
        kept.rename(kept.with_name(f"{values['arrays']['signals_mv']}.npy"))
        del values["sha256"]
        index.write_text(json.dumps(values | {"sha256": digest(values)}))
    again = preprocess_records(settings, tiny_source(tmp_path))
    assert "is damaged" in caplog.text
    np.testing.assert_array_equal(again.signals_mv, beats.signals_mv)
    assert load_or_preprocess(tmp_path / "cache", values["key"], never).beats.digest == beats.digest
    assert not (tmp_path / "sentinel").exists()


def never() -> CachedBeats:
    raise AssertionError("the file that was put in its place is not sound")


def test_such_a_file_would_run_if_it_were_trusted(tmp_path):
    with_object_array(tmp_path / "beats.npy", tmp_path / "sentinel")
    np.load(tmp_path / "beats.npy", allow_pickle=True)
    assert (tmp_path / "sentinel").exists()
