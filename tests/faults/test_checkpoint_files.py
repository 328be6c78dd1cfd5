"""Damaged checkpoints, full disks, killed processes and malicious files.

Saved checkpoints stay, and no file is executed.
"""

import errno
import hashlib
import io
import json
import os
import pickle
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path

import checkpoint_writer
import numpy as np
import pytest
from checkpoint_writer import assert_whole, checkpoint_of
from hypothesis import example, given
from hypothesis import strategies as st

from ecgexp.settings.declaration import DataError
from ecgexp.storage.archive import read_archive, write_archive
from ecgexp.training.checkpointing.store import Checkpoint, Checkpoints


def tiny(step):
    return Checkpoint(
        step=step,
        arrays={"w": np.arange(5.0) + step, "b": np.array(7, np.int8)},
        meta={"epoch": step},
    )


def big(step):
    return Checkpoint(step=step, arrays={"w": np.random.default_rng(step).random(300_000)}, meta={})


def files(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


# Damage.


def flip(content, at, mask=1):
    at %= len(content)
    return content[:at] + bytes([content[at] ^ mask]) + content[at + 1 :]


def random_place(content):
    return flip(content, random.Random(0).randrange(len(content)))


DAMAGES = {
    "empty": lambda content: b"",
    "cut in half": lambda content: content[: len(content) // 2],
    "last byte missing": lambda content: content[:-1],
    "a byte more": lambda content: content + b"\0",
    "first bit": lambda content: flip(content, 0),
    "last bit": lambda content: flip(content, -1, 128),
    "some bit": random_place,
    "zeros": lambda content: bytes(len(content)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_newest_checkpoint_is_skipped_and_named(tmp_path, caplog, damage):
    store = Checkpoints(tmp_path)
    store.save(tiny(1))
    path = store.save(tiny(2))
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    got = store.newest()
    assert (got.step, got.meta) == (1, {"epoch": 1})
    np.testing.assert_array_equal(got.arrays["w"], np.arange(5.0) + 1)
    assert str(path) in caplog.text
    assert "SHA-256 is not the one in its name" in caplog.text
    assert "Resuming from the earlier checkpoint" in caplog.text


def test_any_bit_of_the_file_matters(tmp_path):
    store = Checkpoints(tmp_path)
    path = store.save(tiny(2))
    content = path.read_bytes()
    for at in range(len(content)):
        path.write_bytes(flip(content, at, 1 << at % 8))
        with pytest.raises(DataError, match="SHA-256"):
            store.newest()
    path.write_bytes(content)
    assert store.newest().step == 2


def test_intact_newest_checkpoint_causes_no_warning(tmp_path, caplog):
    store = Checkpoints(tmp_path)
    old, _ = store.save(tiny(1)), store.save(tiny(2))
    old.write_bytes(b"")
    assert store.newest().step == 2
    assert caplog.text == ""


def test_without_an_intact_checkpoint_the_error_has_a_remedy(tmp_path):
    store = Checkpoints(tmp_path)
    for step in (1, 2):
        path = store.save(tiny(step))
        path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(
        DataError, match="no intact checkpoint .*start a new run, without resume="
    ) as raised:
        store.newest()
    assert str(tmp_path) in str(raised.value)
    assert "step-000001-" in str(raised.value)
    assert "step-000002-" in str(raised.value)


def test_damaged_checkpoint_is_replaced_and_the_last_kept(tmp_path):
    store = Checkpoints(tmp_path)
    store.save(tiny(1))
    damaged = store.save(tiny(2))
    damaged.write_bytes(b"")
    store.save(Checkpoint(step=2, arrays={}, meta={"again": True}))
    assert store.newest().meta == {"again": True}
    assert not damaged.exists()
    assert sorted(name[:11] for name in files(tmp_path)) == ["step-000001", "step-000002"]


def test_file_that_was_renamed_to_another_step_is_refused(tmp_path):
    path = Checkpoints(tmp_path).save(tiny(2))
    path.rename(tmp_path / path.name.replace("000002", "000009"))
    with pytest.raises(DataError, match="not a checkpoint of format 3 and step 9"):
        Checkpoints(tmp_path).newest()


def test_unreadable_checkpoint_is_skipped(open_folder, not_root, caplog):
    store = Checkpoints(open_folder)
    store.save(tiny(1))
    store.save(tiny(2)).chmod(0)
    assert store.newest().step == 1
    assert "cannot be read" in caplog.text
    assert "Permission denied" in caplog.text


# What is offered as a checkpoint and is none.


def offer(folder, content, step=5):
    """Puts `content` where a checkpoint would be, with the right digest in its name."""
    path = folder / f"step-{step:06d}-{hashlib.sha256(content).hexdigest()[:32]}.safetensors"
    path.write_bytes(content)
    return path


class Evil:
    """Runs when it is unpickled."""

    def __init__(self, sentinel):
        self.sentinel = sentinel

    def __reduce__(self):
        return (Path.touch, (self.sentinel,))


def npy_of(array, **how):
    file = io.BytesIO()
    np.save(file, array, **how)
    return file.getvalue()


def zip_of(members, compression=zipfile.ZIP_STORED, about=None):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
        if about is not None:
            archive.writestr("meta.json", json.dumps(about))
    return file.getvalue()


ABOUT = {"format": 3, "step": 5, "meta": {}}


def evil_files(sentinel):
    evil = np.array([Evil(sentinel)], dtype=object)
    npz = io.BytesIO()
    np.savez(npz, evil=evil, allow_pickle=True)
    config = {
        "class_name": "Sequential",
        "config": {"layers": [{"class_name": "Lambda", "config": {}}]},
    }
    return {
        "pickle": pickle.dumps(Evil(sentinel)),
        "object npy": npy_of(evil, allow_pickle=True),
        "object npz": npz.getvalue(),
        "object array among ours": zip_of(
            [("arrays/w.npy", npy_of(evil, allow_pickle=True))], about=ABOUT
        ),
        "keras": zip_of(
            [
                ("metadata.json", "{}"),
                ("config.json", json.dumps(config)),
                ("model.weights.h5", b"\x89HDF\r\n"),
            ]
        ),
        "h5": b"\x89HDF\r\n\x1a\n" + pickle.dumps(Evil(sentinel)),
    }


def test_pickle_would_be_executed_if_it_were_loaded(tmp_path):
    pickle.loads(evil_files(tmp_path / "sentinel")["pickle"])
    assert (tmp_path / "sentinel").exists()
    (tmp_path / "sentinel").unlink()
    content = io.BytesIO(evil_files(tmp_path / "sentinel")["object array among ours"])
    assert len(np.load(content, allow_pickle=True)["arrays/w"]) == 1
    assert (tmp_path / "sentinel").exists()


@pytest.mark.parametrize("kind", evil_files(Path("nowhere")))
def test_malicious_file_with_a_valid_name_is_not_executed(tmp_path, caplog, kind):
    sentinel, folder = tmp_path / "sentinel", tmp_path / "checkpoints"
    store = Checkpoints(folder)
    folder.mkdir()
    path = offer(folder, evil_files(sentinel)[kind])
    with pytest.raises(DataError, match="no intact checkpoint .*is not a safetensors file"):
        store.newest()
    path.rename(tmp_path / path.name)
    store.save(tiny(1))
    (tmp_path / path.name).rename(path)
    assert store.newest().step == 1
    assert path.name in caplog.text
    assert not sentinel.exists()


@pytest.mark.parametrize(
    "name",
    [
        "model.h5",
        "model.keras",
        "weights.npz",
        "state.pkl",
        "step-1.safetensors",
        "step-000001.safetensors",
    ],
)
def test_file_of_another_name_is_refused(tmp_path, name):
    sentinel, folder = tmp_path / "sentinel", tmp_path / "checkpoints"
    folder.mkdir()
    (folder / name).write_bytes(evil_files(sentinel)["pickle"])
    with pytest.raises(DataError, match=f"{re.escape(name)} is not named like a checkpoint"):
        Checkpoints(folder).newest()
    with pytest.raises(DataError, match="is not a folder of checkpoints"):
        Checkpoints(folder / name).newest()
    assert not sentinel.exists()


def test_saved_model_is_refused_as_the_folder_and_in_it(tmp_path):
    model = tmp_path / "model"
    (model / "variables").mkdir(parents=True)
    (model / "saved_model.pb").write_bytes(b"\x08\x01")
    with pytest.raises(DataError, match="saved_model.pb is not named like a checkpoint"):
        Checkpoints(model).newest()
    store = Checkpoints(tmp_path / "checkpoints")
    store.save(tiny(1))
    shutil.copytree(model, tmp_path / "checkpoints" / f"step-000002-{'0' * 32}.safetensors")
    assert store.newest().step == 1
    store.save(tiny(3))
    assert store.newest().step == 3


def test_link_out_of_the_folder_is_refused(tmp_path):
    elsewhere = Checkpoints(tmp_path / "elsewhere").save(tiny(5))
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / elsewhere.name).symlink_to(elsewhere)
    with pytest.raises(DataError, match="is a symbolic link"):
        Checkpoints(folder).newest()
    Checkpoints(folder).save(tiny(6))
    Checkpoints(folder).save(tiny(7))
    assert elsewhere.exists()


def test_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / f"step-000001-{'0' * 32}.safetensors")
    with pytest.raises(DataError, match="is not a regular file"):
        Checkpoints(tmp_path).newest()


@pytest.mark.parametrize("others", [True, False], ids=["beside another", "alone"])
def test_checkpoint_of_an_earlier_version_is_named(tmp_path, others):
    (tmp_path / f"step-000001-{'0' * 32}.npz").write_bytes(b"PK")
    if others:
        (tmp_path / "notes.txt").touch()
    with pytest.raises(
        DataError,
        match=r"\.npz is of an earlier version of ecgexp.*start a new run, without resume=",
    ):
        Checkpoints(tmp_path).newest()


def tensors_of(arrays, about=ABOUT, text=(), data=b"", metadata=None):
    """A safetensors file of entries as they are given, which the library itself would not write."""
    metadata = (
        metadata
        if metadata is not None
        else {"ecgexp": json.dumps({"meta": about, "text": list(text)})}
    )
    header = json.dumps({"__metadata__": metadata, **arrays}).encode()
    return len(header).to_bytes(8, "little") + header + data


def entry(dtype="F64", shape=(2,), offsets=(0, 16)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def bombs():
    deep = '{"format": 3, "step": 5, "meta": ' + "[" * 100_000
    return {
        "header of 2 EB": (1 << 61).to_bytes(8, "little") + b"{}",
        "claims 800 GB": tensors_of({"w": entry(shape=(10**11,), offsets=(0, 8 * 10**11))}),
        "claims more than it has": tensors_of({"w": entry(shape=(10**11,))}, data=bytes(16)),
        "10^11 empty rows": tensors_of({"w": entry(shape=(10**11, 0), offsets=(0, 0))}, text=["w"]),
        "deeply nested header": tensors_of({})[:8] + deep.encode(),
        "deeply nested": tensors_of({}, metadata={"ecgexp": deep}),
        "a number of a million digits": tensors_of(
            {}, metadata={"ecgexp": '{"meta": ' + "9" * 1_000_000 + "}"}
        ),
    }


@pytest.mark.parametrize("kind", bombs())
def test_zip_bomb_is_refused_with_little_memory(tmp_path, kind):
    offer(tmp_path, bombs()[kind])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match="no intact checkpoint .*is not a safetensors file"):
        Checkpoints(tmp_path).newest()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


@pytest.mark.parametrize(
    "content",
    [
        tensors_of({"../../w": entry()}, data=bytes(16)),
        tensors_of({"w": entry()}, data=bytes(15)),
        tensors_of({"w": entry()}, data=bytes(17)),
        tensors_of({"w": entry(dtype="BF16", offsets=(0, 4))}, data=bytes(4)),
        tensors_of({"w": entry(shape=(-1,))}, data=bytes(16)),
        tensors_of({"w": entry()}, data=bytes(16), text=["w"]),
        tensors_of({"w": entry()}, data=bytes(16), text=["v"]),
        tensors_of({"w": entry()}, data=bytes(16), metadata={}),
        tensors_of({"w": entry(), "v": entry()}, data=bytes(16)),
        tensors_of({}).replace(b'"__metadata__"', b'"__metadata__": {}, "__metadata__"'),
    ],
    ids=[
        "name",
        "short",
        "long",
        "bfloat16",
        "negative",
        "text",
        "text of nothing",
        "no meta",
        "overlap",
        "twice",
    ],
)
def test_strange_member_is_refused(tmp_path, content):
    offer(tmp_path, content)
    with pytest.raises(DataError, match="is not a safetensors file"):
        Checkpoints(tmp_path).newest()


@pytest.mark.parametrize(
    "about",
    [
        [],
        None,
        {"format": 1, "step": 5, "meta": {}},
        {"format": 3, "step": 4, "meta": {}},
        {"format": 3, "step": 5},
    ],
)
def test_meta_of_another_format_is_refused(tmp_path, about):
    offer(tmp_path, tensors_of({}, about=about))
    with pytest.raises(DataError, match="not a checkpoint of format 3"):
        Checkpoints(tmp_path).newest()


def archive_of(checkpoint):
    file = io.BytesIO()
    write_archive(file, checkpoint.arrays, checkpoint.meta)
    return file.getvalue()


CONTENT = archive_of(tiny(1))
FLIPS = st.lists(
    st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(0, 255)), min_size=1, max_size=3
)


@given(places=FLIPS, cut=st.integers(0, 9))
@example(places=[(8, 1)], cut=0)
def test_reader_returns_or_refuses_for_any_bytes(places, cut):
    """Without the digest: the reader itself never raises anything else."""
    content = bytearray(CONTENT)
    for at, byte in places:
        content[at] = byte
    try:
        arrays, _ = read_archive(io.BytesIO(bytes(content[: len(content) - cut])))
    except DataError:
        return
    assert sum(array.nbytes for array in arrays.values()) <= len(content)


@pytest.mark.tf
@pytest.mark.slow
def test_keras_model_with_a_lambda_is_refused_and_does_not_run(tmp_path):
    import keras

    sentinel, model_file, folder = (
        tmp_path / "sentinel",
        tmp_path / "model.keras",
        tmp_path / "checkpoints",
    )
    code = eval(f"lambda x: (__import__('pathlib').Path({str(sentinel)!r}).touch(), x)[1]")
    keras.Sequential([keras.layers.Input((2,)), keras.layers.Lambda(code)]).save(model_file)
    sentinel.unlink()
    keras.models.load_model(model_file, safe_mode=False)
    assert sentinel.exists(), "Keras runs it"
    sentinel.unlink()
    folder.mkdir()
    offer(folder, model_file.read_bytes())
    shutil.copy(model_file, folder)
    with pytest.raises(DataError, match="model.keras is not named like a checkpoint"):
        Checkpoints(folder).newest()
    assert not sentinel.exists()


# Disks that are full, and folders that cannot be written.


@contextmanager
def unchanged(folder):
    """Nothing in `folder` is another afterwards, and nothing is there that was not."""
    before = files(folder)
    assert before
    yield
    assert files(folder) == before


def test_full_disk(small_disk):
    folder = small_disk / "checkpoints"
    store = Checkpoints(folder)
    store.save(tiny(1))
    with unchanged(folder), pytest.raises(OSError, match="No space left on device") as raised:
        store.save(big(2))
    assert raised.value.errno == errno.ENOSPC
    assert store.newest().step == 1
    store.save(tiny(3))
    assert store.newest().step == 3


def test_disk_filled_by_a_dead_writer_has_room_again(small_disk):
    (small_disk / ".step-dead.part").write_bytes(bytes(900_000))
    Checkpoints(small_disk).save(Checkpoint(step=1, arrays={"w": np.zeros(50_000)}, meta={}))
    assert Checkpoints(small_disk).newest().step == 1


def test_file_size_limit(tmp_path):
    """The same without the right to mount: the 40th kilobyte cannot be written."""
    store = Checkpoints(tmp_path)
    store.save(tiny(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
    try:
        with unchanged(tmp_path), pytest.raises(OSError, match="File too large"):
            store.save(big(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert store.newest().step == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_disk_that_fails_late(tmp_path, monkeypatch, call, number):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    store = Checkpoints(tmp_path)
    store.save(tiny(1))
    with unchanged(tmp_path), monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(OSError, match=os.strerror(number)):
            store.save(tiny(2))
    assert store.newest().step == 1


def test_interrupted_save_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    store = Checkpoints(tmp_path)
    store.save(tiny(1))
    with unchanged(tmp_path), monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            store.save(tiny(2))


def test_read_only_folder(open_folder, not_root):
    folder = open_folder / "checkpoints"
    store = Checkpoints(folder)
    store.save(tiny(1))
    folder.chmod(0o555)
    with unchanged(folder), pytest.raises(PermissionError):
        store.save(tiny(2))
    assert store.newest().step == 1
    folder.chmod(0o755)


def test_folder_that_cannot_be_made(open_folder, not_root):
    locked = open_folder / "locked"
    locked.mkdir(mode=0o555)
    with pytest.raises(PermissionError):
        Checkpoints(locked / "checkpoints").save(tiny(1))
    assert list(locked.iterdir()) == []


def test_old_checkpoint_that_cannot_be_removed_is_no_error(tmp_path, caplog):
    store = Checkpoints(tmp_path, keep=1)
    stubborn = tmp_path / f"step-000001-{'0' * 32}.safetensors"
    stubborn.mkdir()
    store.save(tiny(2))
    assert store.newest().step == 2
    assert f"{stubborn} could not be removed" in caplog.text


# Sudden death.


def write_until(folder, first, *death):
    command = [
        sys.executable,
        checkpoint_writer.__file__,
        str(folder),
        str(first),
        *map(str, death),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def last(output, what):
    return max(
        (int(line.split()[1]) for line in output.splitlines() if line.startswith(what)), default=0
    )


def parts(folder):
    return list(folder.glob(".*"))


@pytest.mark.slow
def test_save_killed_at_twenty_times_keeps_a_checkpoint(tmp_path):
    store = Checkpoints(tmp_path)
    draw = random.Random(20)
    step, half_written = 0, 0
    for _ in range(20):
        with write_until(tmp_path, step + 1) as writer:
            output = writer.stdout.readline()
            time.sleep(draw.uniform(0, 0.1))
            writer.send_signal(signal.SIGKILL)
            output += writer.stdout.read()
        assert writer.returncode == -signal.SIGKILL
        begun, saved = last(output, "begin"), last(output, "saved")
        half_written += len(parts(tmp_path))
        newest = store.newest()
        if newest is None:
            assert saved == step == 0
            continue
        assert max(step, saved) <= newest.step <= begun
        assert_whole(newest)
        step = newest.step
    assert step > 0
    assert half_written > 0, "no death came while a file was being written: this test tests nothing"
    store.save(checkpoint_of(step + 1))
    assert parts(tmp_path) == []
    assert len(files(tmp_path)) <= 2


# In a save that replaces an older checkpoint: sync of the file, rename, sync of the folder, removal
# of the old one.
DEATHS = [
    ("fsync", 1),
    ("fsync", 2),
    ("replace", 1),
    ("fsync", 5),
    ("replace", 3),
    ("fsync", 6),
    ("unlink", 1),
    ("unlink", 4),
]


@pytest.mark.parametrize(("call", "number"), DEATHS)
def test_save_killed_before_a_system_call_keeps_a_checkpoint(tmp_path, call, number):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    with write_until(folder, 1, call, number) as writer:
        output = writer.stdout.read()
    assert writer.returncode == -signal.SIGKILL
    begun, saved = last(output, "begin"), last(output, "saved")
    newest = Checkpoints(folder).newest()
    if newest is not None:
        assert_whole(newest)
    assert saved <= (newest.step if newest else 0) <= begun
    Checkpoints(folder).save(checkpoint_of(begun))
    assert parts(folder) == []
    assert len(files(folder)) == min(begun, 2)


def test_file_of_a_living_writer_is_left_alone(tmp_path, monkeypatch):
    """A second save while the first is not yet done."""
    store = Checkpoints(tmp_path)
    real, nested = os.replace, []

    def replace(source, target):
        monkeypatch.setattr(os, "replace", real)
        nested.append(Checkpoints(tmp_path).save(tiny(1)))
        assert os.path.exists(source)
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    store.save(tiny(2))
    assert nested
    assert store.newest().step == 2
    assert parts(tmp_path) == []
