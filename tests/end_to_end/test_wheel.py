"""The wheel, unpacked beside the dependencies and used from another folder.

What a user without a checkout has.
"""

import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Started with -S, Python reads no .pth file, so that the checkout of an editable installation is
# not imported.
COMMAND = """
import sys
from importlib.metadata import distribution
name = sys.argv[0] = sys.argv.pop(1)
sys.exit(distribution("ecgexp").entry_points.select(group="console_scripts")[name].load()())
"""
COMPOSE_ALL = """
import json
import sys
from importlib.util import find_spec
from ecgexp.config.compose import load_experiment
from ecgexp.config.location import config_dir
shipped = config_dir() / "experiment"
names = [str(file.relative_to(shipped).with_suffix("")) for file in shipped.rglob("*.yaml")]
for name in names:
    load_experiment([f"experiment={name}"])
places = [str(shipped), find_spec("ecgexp").origin]
print(json.dumps({"names": sorted(names), "conf": find_spec("conf") is not None, "places": places}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        ["uv", "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT)], check=True
    )
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def python(installed, tmp_path):
    """Runs code with the unpacked wheel and the dependencies, and without the checkout, in an empty
    folder.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ECGEXP_", "MLFLOW_"))
    }
    environment["PYTHONPATH"] = os.pathsep.join([str(installed), sysconfig.get_path("purelib")])

    def run(code, *words):
        command = [sys.executable, "-S", "-c", code, *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def console_scripts():
    return sorted(
        tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    )


def test_wheel_holds_one_package_with_its_configuration(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"ecgexp", "hydra_plugins"}
    # A namespace that all plugins of Hydra share: a file `__init__.py` would hide the others.
    assert [name for name in names if name.startswith("hydra_plugins")] == [
        "hydra_plugins/ecgexp.py"
    ]
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "conf").rglob("*.yaml")}
    assert ours == {
        name.removeprefix("ecgexp/") for name in names if name.startswith("ecgexp/conf/")
    }
    files = [
        path
        for path in (ROOT / "ecgexp").rglob("*.*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    present = {str(path.relative_to(ROOT)) for path in files}
    assert present == {
        name for name in names if name.startswith("ecgexp/") and not name.startswith("ecgexp/conf/")
    }


def test_installed_package_composes_every_experiment(python, installed):
    said = json.loads(python(COMPOSE_ALL))
    shipped = ROOT / "conf" / "experiment"
    assert said["names"] == sorted(
        str(file.relative_to(shipped).with_suffix("")) for file in shipped.rglob("*.yaml")
    )
    assert said["conf"] is False, "no module named conf"
    assert all(Path(place).is_relative_to(installed) for place in said["places"])


@pytest.mark.parametrize("name", console_scripts())
def test_installed_command_shows_its_help(python, name):
    assert name in python(COMMAND, name, "--help")


@pytest.mark.slow
def test_installed_command_trains(python, tmp_path):
    python(
        COMMAND,
        "ecgexp",
        "dataset.num_patients=12",
        "dataset.minutes=1",
        "trainer.epochs=1",
        "model=cnn1d_small",
        "tracking=none",
        "num_resamples=0",
        "hydra.run.dir=run",
    )
    assert json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))["metrics"]
