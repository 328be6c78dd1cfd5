"""Temporary files of a process are removed when it ends, or by the next process."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

USE = """
import os, signal, sys, tempfile
from ecgexp.storage.scratch import use_own_scratch
use_own_scratch()
use_own_scratch()
folder = tempfile.mkdtemp(prefix="matplotlib-")
prefix = "__autograph_generated_file"
with tempfile.NamedTemporaryFile(prefix=prefix, suffix=".py", delete=False) as file:
    file.write(b"x = 1")
print(folder, flush=True)
if sys.argv[1] == "wait":
    sys.stdin.readline()
if sys.argv[1] == "die":
    os.kill(os.getpid(), signal.SIGKILL)
"""


def start(place, how):
    environment = {**os.environ, "TMPDIR": str(place)}
    return subprocess.Popen(
        [sys.executable, "-c", USE, how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def run(place, how):
    with start(place, how) as process:
        folder = Path(process.communicate()[0].strip())
    return folder, process.returncode


def everything(place):
    return sorted(path.relative_to(place).as_posix() for path in place.rglob("*"))


def test_scratch_of_an_ended_process_is_removed(tmp_path):
    folder, code = run(tmp_path, "end")
    assert code == 0
    assert folder.parent.parent == tmp_path / f"ecgexp-{os.getuid()}"
    assert everything(tmp_path) == []


def test_scratch_of_a_killed_process_is_removed_by_the_next(tmp_path):
    _, code = run(tmp_path, "die")
    assert code == -signal.SIGKILL
    assert len(everything(tmp_path)) == 4
    run(tmp_path, "end")
    assert everything(tmp_path) == []


def test_scratch_of_an_active_process_is_kept(tmp_path):
    with start(tmp_path, "wait") as living:
        folder = Path(living.stdout.readline().strip())
        run(tmp_path, "die")
        run(tmp_path, "end")
        assert [path.name for path in folder.parent.parent.iterdir()] == [folder.parent.name]
        assert len(list(folder.parent.iterdir())) == 2
        living.communicate("on\n")
    assert everything(tmp_path) == []


def test_scratch_where_others_may_write_is_not_used(tmp_path):
    root = tmp_path / f"ecgexp-{os.getuid()}"
    root.mkdir()
    root.chmod(0o777)
    folder, code = run(tmp_path, "end")
    assert (folder.parent, code) == (tmp_path, 0)


def test_scratch_is_not_followed_through_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").mkdir()
    (tmp_path / f"ecgexp-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    folder, code = run(tmp_path, "end")
    assert (folder.parent, code) == (tmp_path, 0)
    assert (tmp_path / "elsewhere" / "kept").is_dir()


def test_scratch_on_a_full_disk_changes_nothing(tmp_path):
    place = tempfile.mkdtemp(dir=tmp_path)
    (Path(place) / f"ecgexp-{os.getuid()}").write_text("in the way")
    folder, code = run(Path(place), "end")
    assert (folder.parent, code) == (Path(place), 0)
