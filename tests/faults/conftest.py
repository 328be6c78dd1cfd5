"""Faults that are really injected: full disks, read-only folders, dead processes."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for the scripts that are killed; tests are not a package
NOBODY = 65534


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("needs the right to mount a disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def open_folder():
    """A folder that any user can reach and, until a test says otherwise, write to."""
    folder = Path(tempfile.mkdtemp(prefix="ecgexp-"))
    folder.chmod(0o777)
    yield folder
    folder.chmod(0o777)
    shutil.rmtree(folder)


@pytest.fixture
def not_root():
    """No superuser, for whom no folder is read-only."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    yield
    os.seteuid(0)
