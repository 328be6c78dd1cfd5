"""Injected faults: full disks, read-only folders, killed processes."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

NOBODY = 65534


@pytest.fixture
def mount():
    """Mounts a disk of its own of that size, such as `"1m"`, at an existing folder.

    It is gone after the test.
    """
    mounted = []

    def mount(folder, size):
        done = shutil.which("mount") and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
            capture_output=True,
            check=False,
        )
        if not done or done.returncode:
            pytest.skip("needs the right to mount a disk")
        mounted.append(Path(folder).absolute())

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path, mount):
    """A folder on a disk of its own of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount(folder, "1m")
    return folder


@pytest.fixture
def open_folder():
    """A folder that any user can reach and, until a test says otherwise, write to."""
    # Not in `tempfile.tempdir`: a command that ran in this process has made it private.
    folder = Path(tempfile.mkdtemp(prefix="ecgexp-", dir=os.environ.get("TMPDIR", "/tmp")))
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
