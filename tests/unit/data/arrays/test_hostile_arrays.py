"""Damaged and hostile files of beats: one line that names the file and the remedy."""

import io
import zipfile

import numpy as np
import pytest

from ecgexp.data.datasets.arrays import ArraysDataset
from ecgexp.settings.declaration import DataError


def header_of(shape, dtype):
    """The header of an .npy file without its data."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    )
    return file.getvalue()


@pytest.mark.parametrize(
    ("arrays", "settings", "match"),
    [
        ({"labels": np.array(["N", None] * 6, object)}, {}, "pickled.*never read"),
        ({"signals": np.zeros((12, 30), object)}, {}, "pickled.*never read"),
        ({"signals": np.full((12, 30), np.nan)}, {}, "no finite value in row 0, column 0"),
        ({"signals": np.full((12, 30), 1e300)}, {}, "no finite value in row 0"),
        ({"signals": np.zeros((12, 2, 30))}, {}, "transpose"),
        ({"signals": np.zeros((0, 30)), "labels": np.zeros(0)}, {}, "0 beats"),
        ({"signals": np.array([["a"] * 30] * 12)}, {}, "no array of numbers"),
        ({"more": np.zeros((12, 30))}, {}, "dataset.signals="),
        ({"labels": np.array(list("NV"))}, {}, "has 12 beats"),
        ({"labels": np.full(12, 0.5)}, {}, "label 0.5 in row 0"),
        ({"labels": np.arange(12) % 3}, {}, r"dataset.classes=\[name0,name1,name2\]"),
        ({"labels": np.arange(12) % 3}, {"classes": ["N", "V"]}, "has the label 2"),
        ({"labels": np.ones((12, 2))}, {}, "not one-hot"),
        ({"labels": np.array(["N", ""] * 6)}, {}, "empty"),
        ({"who": np.array(["a", "b\n"] * 6)}, {"patients": "who"}, None),
        ({"who": np.array(["a", "b\x07c"] * 6)}, {"patients": "who"}, "unprintable patients"),
        ({}, {"patients": "who"}, "no array 'who'"),
        ({}, {"fs_hz": None}, "dataset.fs_hz="),
        ({"signals": np.zeros((12, 2000))}, {}, "above 10 s"),
        ({}, {"leads": ["I", "II"]}, "1 leads"),
    ],
)
def test_unusable_array_file_is_one_line(npz, arrays, settings, match):
    path = npz(**arrays).path
    dataset = ArraysDataset(**{"path": path, "fs_hz": 125} | settings)
    if match is None:
        assert set(dataset.load().patient_ids) == {"a", "b"}
        return
    with pytest.raises(DataError, match=rf"^dataset\.path: beats.npz .*{match}") as caught:
        dataset.load()
    assert "\n" not in str(caught.value)


def test_arrays_larger_than_their_file_are_not_allocated(tmp_path):
    path = tmp_path / "beats.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("signals.npy", header_of((10**9, 187), np.dtype("<f4")))
        archive.writestr("labels.npy", header_of((10**9,), np.dtype("<i8")))
    with pytest.raises(DataError, match=r"^dataset\.path: beats.npz is damaged: array signals"):
        ArraysDataset(path=path, fs_hz=125).load()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "does not begin"),
        ("\xff\xfe", "UTF-8"),
        ("1,2,3,0\n1,2,0\n", "damaged.*same number of columns"),
        ("1,2,3,0\n1,x,3,0\n", "damaged.*samples are numbers"),
        ("1,2,3,0\n1,,3,0\n", "no finite value in row 1, column 1"),
        ("1,2,3,0\n1,inf,3,0\n", "no finite value in row 1, column 1"),
        ("1,2,3,0\n1,2,3,\n", "has no 3 in row 1"),
        ("1,2,3,0\n", "dataset.fs_hz="),
        ("x1,x2,id,label\n1,2,3,0\n", r"dataset.ignore=\[id\]"),
        (",x1,x2,label\n0,1,2,0\n", "not numbered as samples"),
        ("x1,x1,label\n1,2,0\n", "two columns 'x1'"),
        ("x1,x2,x3\n1,2,3\n", "dataset.labels="),
        ("x1,x2,label\n", "has no beats"),
    ],
)
def test_unusable_csv_file_is_one_line(tmp_path, text, match):
    path = tmp_path / "beats.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=rf"^dataset\.path: beats.csv .*{match}") as caught:
        ArraysDataset(path=path).load()
    assert "\n" not in str(caught.value)


def test_truncated_files_are_one_line(tmp_path, npz):
    whole = npz().path.read_bytes()
    for suffix, content in ((".npz", whole[:-40]), (".npy", whole[:50]), (".parquet", b"PAR1")):
        path = tmp_path / f"cut{suffix}"
        path.write_bytes(content)
        beside = {"labels": "y.npy"} if suffix == ".npy" else {}
        with pytest.raises(DataError, match=rf"^dataset\.path: cut{suffix} is damaged"):
            ArraysDataset(path=path, fs_hz=125, **beside).load()
