"""Whole runs; figures are drawn only inside `drawn_figures`. The wheel and its environment."""

import os
import subprocess
from pathlib import Path

import matplotlib.figure
import placeholder_figures
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def _placeholders():
    before = matplotlib.figure.Figure.savefig
    placeholder_figures.install()
    yield
    matplotlib.figure.Figure.savefig = before


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        ["uv", "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT)], check=True
    )
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="session")
def wheel_environment(wheel, tmp_path_factory):
    """Folder of the programs of an environment that has the wheel and its dependencies only.

    Made by the script that the Dockerfile runs.
    """
    folder = tmp_path_factory.mktemp("environment") / "env"
    words = [ROOT / "docker" / "install.sh", wheel, ROOT / "requirements-core.lock", folder]
    done = subprocess.run(["sh", *words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No broken requirements found" in done.stdout
    return folder / "bin"


@pytest.fixture(scope="session")
def away(tmp_path_factory):
    """An empty working folder outside the checkout, and an environment with an empty home."""
    folder = tmp_path_factory.mktemp("away")
    names = ("PATH", "TMPDIR", "PYTHONDONTWRITEBYTECODE")
    variables = {name: os.environ[name] for name in names if name in os.environ}
    (folder / "home").mkdir()
    return folder, variables | {"HOME": str(folder / "home")}
