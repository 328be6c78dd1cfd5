"""A checkpoint comes back bit for bit, and a folder keeps the last ones."""

import io
import json
import math
import os

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import safe_open

from ecgexp.settings.declaration import ConfigError
from ecgexp.storage.archive import read_archive, write_archive
from ecgexp.training.checkpointing.store import Checkpoint, Checkpoints

DTYPES = ["<f2", "<f4", "<f8", "|b1", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8", "|S5"]


@st.composite
def arrays(draw):
    """Any bytes at all as an array of any kind.

    NaN with payloads, -0.0, subnormal numbers and empty arrays among them.
    """
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    size = math.prod(shape) * dtype.itemsize
    order = draw(st.sampled_from("CF"))
    return np.ndarray(
        shape, dtype, buffer=draw(st.binary(min_size=size, max_size=size)) + b"\0", order=order
    )


NAMES = st.from_regex(r"[a-z_.0-9]{1,4}[a-z](/[A-Z0-9 ]{1,3}[a-zé]){0,2}", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def same(one, other):
    """Equal in value, type and, for floats, sign; NaN equals NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and math.isnan(one):
        return math.isnan(other)
    return one == other and (
        not isinstance(one, float) or math.copysign(1, one) == math.copysign(1, other)
    )


def assert_same_bits(one, other):
    assert one.dtype == other.dtype
    assert one.dtype.byteorder == other.dtype.byteorder
    assert one.shape == other.shape
    assert one.tobytes() == other.tobytes()


def there_and_back(arrays, meta):
    file = io.BytesIO()
    write_archive(file, arrays, meta)
    return read_archive(io.BytesIO(file.getvalue()))


@given(drawn=st.dictionaries(NAMES, arrays(), max_size=4))
def test_every_array_comes_back_bit_for_bit(drawn):
    got, _ = there_and_back(drawn, {})
    assert got.keys() == drawn.keys()
    for name, array in drawn.items():
        assert_same_bits(got[name], array)
        assert got[name].flags.writeable
        assert got[name].flags.owndata


@given(meta=st.dictionaries(st.text(), JSON, max_size=4))
@example(
    meta={
        "nan": math.nan,
        "inf": -math.inf,
        "zero": -0.0,
        "tiny": 5e-324,
        "big": 2**200,
        "key": 0xFFFFFFFFFFFFFFFF,
    }
)
@example(
    meta={
        "lone surrogate": "\ud800",
        "empty": {},
        "none": None,
        "1/3": 1 / 3,
        "yes": True,
        "one": 1,
        "1.0": 1.0,
    }
)
def test_meta_comes_back_exactly(meta):
    assert same(there_and_back({}, meta)[1], meta)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_by_name(tmp_path, dtype):
    array = np.array([0, 1, 1], dtype)
    Checkpoints(tmp_path).save(
        Checkpoint(step=1, arrays={"a": array, "none": array[:0], "one": array[0]}, meta={})
    )
    got = Checkpoints(tmp_path).newest().arrays
    for name, expected in {"a": array, "none": array[:0], "one": np.asarray(array[0])}.items():
        np.testing.assert_array_equal(got[name], expected)
        assert_same_bits(got[name], expected)


def test_bits_that_comparison_does_not_see():
    bits = np.array([0x7FC00001, 0xFFA0BEEF, 0x80000000, 0x00000001], np.uint32)
    (got,) = there_and_back({"a": bits.view(np.float32)}, {})[0].values()
    assert got.view(np.uint32).tolist() == [0x7FC00001, 0xFFA0BEEF, 0x80000000, 0x00000001]


def test_views_and_other_orders_keep_their_values():
    grid = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    given_ = {
        "T": grid.T,
        "step": grid[:, ::2, ::-1],
        "F": np.asfortranarray(grid),
        "wide": np.broadcast_to(grid, (2, 2, 3, 4)),
    }
    for name, got in there_and_back(given_, {})[0].items():
        np.testing.assert_array_equal(got, given_[name])


def test_state_of_a_generator_is_restored(tmp_path):
    generator = np.random.default_rng(3)
    generator.random(5)
    Checkpoints(tmp_path).save(
        Checkpoint(step=1, arrays={}, meta={"state": generator.bit_generator.state})
    )
    expected = generator.random(4).tolist()
    other = np.random.default_rng(0)
    other.bit_generator.state = Checkpoints(tmp_path).newest().meta["state"]
    assert other.random(4).tolist() == expected


def test_safetensors_reads_the_file_too(tmp_path):
    path = Checkpoints(tmp_path).save(
        Checkpoint(step=7, arrays={"model/0": np.ones(3)}, meta={"epoch": 7})
    )
    with safe_open(path, "numpy") as file:
        assert file.get_tensor("model/0").tolist() == [1, 1, 1]
        about = json.loads(file.metadata()["ecgexp"])
    assert about == {"meta": {"format": 3, "step": 7, "meta": {"epoch": 7}}, "text": []}


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "../a", "a/./b", "a\0b", "a\nb", "a\\b"])
def test_name_that_is_no_path_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="not a valid array name"):
        Checkpoints(tmp_path).save(Checkpoint(step=1, arrays={name: np.zeros(1)}, meta={}))
    assert list(tmp_path.iterdir()) == []


def bfloat16():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    return np.zeros(2, ml_dtypes.bfloat16)


@pytest.mark.parametrize(
    "make",
    [
        bfloat16,
        lambda: np.array([{}]),
        lambda: np.array([None, 1]),
        lambda: np.zeros(2, [("a", "<f4")]),
        lambda: np.zeros(2, ">f4"),
        lambda: np.array(["text"]),
        lambda: np.zeros(2, "M8[s]"),
        lambda: np.zeros(2, "<c16"),
    ],
    ids=["bfloat16", "objects", "None", "fields", "big-endian", "unicode", "time", "complex"],
)
def test_array_that_would_need_code_or_lose_its_type_is_refused(tmp_path, make):
    with pytest.raises(ValueError, match=r"the array model/0 has dtype .*cast it"):
        Checkpoints(tmp_path).save(
            Checkpoint(step=1, arrays={"fine": np.zeros(1), "model/0": make()}, meta={})
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("meta", "error", "words"),
    [
        ({"of": {1: "one"}}, ValueError, "the key 1 is not a string"),
        ([{None: 1}], ValueError, "the key None is not a string"),
        ({"a": {1, 2}}, TypeError, "set is not JSON serializable"),
        ({"a": np.int64(1)}, TypeError, "int64 is not JSON serializable"),
        ({"a": b"bytes"}, TypeError, "bytes is not JSON serializable"),
    ],
)
def test_meta_that_json_would_change_is_refused(tmp_path, meta, error, words):
    with pytest.raises(error, match=words):
        Checkpoints(tmp_path).save(Checkpoint(step=1, arrays={}, meta=meta))
    assert list(tmp_path.iterdir()) == []


def tiny(step, value=0.0):
    return Checkpoint(step=step, arrays={"w": np.full(3, value)}, meta={"value": value})


def steps(folder):
    return sorted(int(path.name.split("-")[1]) for path in folder.iterdir())


@pytest.mark.parametrize("keep", [1, 2, 5])
def test_last_ones_are_kept(tmp_path, keep):
    store = Checkpoints(tmp_path / "deep" / "checkpoints", keep=keep)
    assert store.newest() is None
    for step in range(1, 8):
        path = store.save(tiny(step, value=step / 3))
        assert path.is_file()
        assert store.newest().step == step
        assert store.newest().meta == {"value": step / 3}
        assert steps(tmp_path / "deep" / "checkpoints") == list(
            range(max(1, step - keep + 1), step + 1)
        )


def test_steps_are_numbers_not_words(tmp_path):
    store = Checkpoints(tmp_path)
    for step in (999_999, 1_000_000, 10_000_000):
        store.save(tiny(step))
        assert store.newest().step == step
    assert steps(tmp_path) == [1_000_000, 10_000_000]


def test_resume_from_an_earlier_step_replaces_the_later_ones(tmp_path):
    store = Checkpoints(tmp_path, keep=3)
    for step in (1, 2, 3, 4):
        store.save(tiny(step))
    store.save(tiny(3, value=1.0))
    assert steps(tmp_path) == [1 + 1, 3]
    assert store.newest().meta == {"value": 1.0}


def test_same_content_is_the_same_file(tmp_path):
    first = Checkpoints(tmp_path).save(tiny(1))
    content = first.read_bytes()
    assert Checkpoints(tmp_path).save(tiny(1)) == first
    assert first.read_bytes() == content
    assert steps(tmp_path) == [1]


def test_folder_stays_the_same_when_the_run_goes_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Checkpoints("checkpoints")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert store.save(tiny(1)).parent == tmp_path / "checkpoints"
    assert store.newest().step == 1


def test_only_the_owner_may_read(tmp_path):
    assert Checkpoints(tmp_path).save(tiny(1)).stat().st_mode & 0o777 == 0o600


def test_hidden_files_are_nobodys(tmp_path):
    (tmp_path / ".nfs0001").touch()
    (tmp_path / ".step-abc.part").touch()
    assert Checkpoints(tmp_path).newest() is None


def test_useless_arguments_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="checkpoints.keep=0: "):
        Checkpoints(tmp_path, keep=0)
    with pytest.raises(ValueError, match="step=-1: not a number of finished"):
        Checkpoints(tmp_path).save(tiny(-1))


def test_content_is_on_the_disk_before_its_name_and_old_ones_go_last(tmp_path, monkeypatch):
    store = Checkpoints(tmp_path, keep=1)
    old = store.save(tiny(1))
    order = []
    real = {name: getattr(os, name) for name in ("fsync", "replace", "unlink")}

    def spy(name, describe):
        monkeypatch.setattr(
            os,
            name,
            lambda *args, **kw: (order.append(describe(*args)), real[name](*args, **kw))[1],
        )

    spy(
        "fsync",
        lambda handle: "sync folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "sync file",
    )
    spy("replace", lambda source, target: "rename")
    spy("unlink", lambda path: f"remove {os.path.basename(path)}")
    store.save(tiny(2))
    done = [what for what in order if not what.endswith(".part")]
    assert done == ["sync file", "rename", "sync folder", f"remove {old.name}"]
