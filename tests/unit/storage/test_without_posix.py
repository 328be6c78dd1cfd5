"""Centralized and private training need nothing that Windows and macOS lack."""

import subprocess
import sys
from pathlib import Path

SUPPORT = Path(__file__).parents[2] / "support"

IMPORT_ALL = """
import importlib, pkgutil, subprocess, sys
import argcomplete, filelock, hydra, jinja2, numpy, psutil, pydantic, rich, safetensors
from sphinx.ext.autodoc.mock import _MockObject, mock
import without_posix
import ecgexp
without_posix.pretend()
names = [
    each.name
    for each in pkgutil.walk_packages(ecgexp.__path__, "ecgexp.")
    if not each.name.startswith(("ecgexp.conf", "ecgexp.training.federated."))
]
_MockObject.__or__ = lambda self, other: self  # in annotations
with mock(["tensorflow", "mlflow", "scipy", "sklearn", "wfdb", "matplotlib", "pandas"]):
    for name in names:
        importlib.import_module(name)
print(len(names))
"""

STORE = """
import os, sys
from pathlib import Path
import filelock, hydra, numpy as np, psutil
import without_posix
without_posix.pretend()
from ecgexp.privacy.journal import Journal
from ecgexp.privacy.keyed_digests import DigestKey
from ecgexp.storage import atomic, handles, scratch
from ecgexp.tracking.private_folder import PrivateFolder
from ecgexp.tracking.resources import PeakMemory
from ecgexp.training.checkpointing.store import Checkpoint, Checkpoints

assert not handles.HAS_LOCKS
root = Path(sys.argv[1])
scratch.use_own_scratch()
for text in ("one", "two"):
    with atomic.replacing(root / "file") as part:
        part.write_text(text, encoding="utf-8")
    with atomic.replacing_folder(root / "folder") as part:
        (part / "inner").write_text(text, encoding="utf-8")
assert (root / "file").read_text() == (root / "folder" / "inner").read_text() == "two"
(root / ".file.7.part").write_text("of a process that may be running", encoding="utf-8")
assert atomic.remove_litter(root) == []
store = Checkpoints(root / "checkpoints")
for step in (1, 2, 3):
    store.save(Checkpoint(step=step, arrays={"w": np.full(3, step)}, meta={}))
assert store.newest().arrays["w"].tolist() == [3, 3, 3]
key = DigestKey.of(root / "private")
assert key.digest("a") == DigestKey.of(root / "private").digest("a")
Journal.create(root / "journal.jsonl")
journal = Journal(root / "journal.jsonl", block=1)
journal.cover('{"kind": "gaussian"}', 2, most=5)
assert Journal(root / "journal.jsonl", block=1).count('{"kind": "gaussian"}') == 2
PrivateFolder(root).append("error.txt", "text")
PrivateFolder(root).add_values({"a": 1})
assert PeakMemory().megabytes() > 1
print(sorted(path.name for path in root.iterdir() if path.name.endswith(".part")))
"""


def run(code, *words):
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(SUPPORT)!r})\n{code}", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_core_modules_are_imported_without_posix():
    assert int(run(IMPORT_ALL)) > 200


def test_files_are_kept_whole_without_posix(tmp_path):
    assert run(STORE, str(tmp_path)) == "['.file.7.part']"
