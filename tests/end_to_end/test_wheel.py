"""The wheel in an environment of its own, used from another folder, without any network.

What a user without a checkout has.
"""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from release import check_wheel

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(
    tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
)
# No interface but the loopback one, which is down.
NO_NETWORK = ("unshare", "--map-root-user", "--net")
if not shutil.which("unshare") or subprocess.run([*NO_NETWORK, "true"], check=False).returncode:
    NO_NETWORK = ()  # the system does not allow it

COMPOSE_ALL = """
import contextlib
import io
import json
import sys
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from ecgexp.config.compose import load_experiment
from ecgexp.config.location import config_dir
from ecgexp.settings.declaration import ConfigError

shipped = config_dir() / "experiment"
names = sorted(str(file.relative_to(shipped).with_suffix("")) for file in shipped.rglob("*.yaml"))
refused = {}
for name in names:
    trainer = load_experiment([f"experiment={name}"]).trainer
    try:
        trainer.check_installed()
    except ConfigError as error:
        refused[name] = str(error)
shown = {}
for entry in distribution("ecgexp").entry_points.select(group="console_scripts"):
    if entry.name != "ecgexp":
        with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
            entry.load()(["--help"])
        shown[entry.name] = text.getvalue()
print(json.dumps({
    "names": names,
    "refused": refused,
    "shown": shown,
    # Hydra has searched its namespace for plugins.
    "places": [
        str(shipped), find_spec("ecgexp").origin, sys.modules["hydra_plugins.ecgexp"].__file__
    ],
    "foreign": [name for name in ("conf", "tensorflow_federated", "pytest") if find_spec(name)],
    "imported": [name for name in ("tensorflow", "mlflow") if name in sys.modules],
}))
"""

# One process that imports TensorFlow trains both: the command, then a private run by the API.
TRAIN = """
import sys
from pathlib import Path
from ecgexp.cli.run import main
smallest = [
    "dataset.num_patients=12", "dataset.minutes=1", "trainer.epochs=1", "model=cnn1d_small",
    "num_resamples=0",
]
sys.argv = ["ecgexp", *smallest, "hydra.run.dir=centralized"]
assert main() == 0
from ecgexp.config.compose import load_experiment
from ecgexp.experiment.run import run
private = ["trainer=dp", "privacy.noise_multiplier=1.1", "tracking=none", "evaluate_on=[test]"]
Path("private").mkdir()
run(load_experiment([*smallest, *private]), Path("private"))
"""


def run(away, *words):
    folder, environment = away
    done = subprocess.run(
        [str(word) for word in (*NO_NETWORK, *words)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_wheel_holds_the_package_and_complete_metadata(wheel):
    assert list(check_wheel(wheel)) == []


def test_installed_package_works_as_the_checkout_does(wheel_environment, away):
    said = json.loads(run(away, wheel_environment / "python", "-c", COMPOSE_ALL))
    shipped = ROOT / "conf" / "experiment"
    assert said["names"] == sorted(
        str(file.relative_to(shipped).with_suffix("")) for file in shipped.rglob("*.yaml")
    )
    environment = wheel_environment.parent
    assert all(Path(place).is_relative_to(environment) for place in said["places"])
    assert said["foreign"] == said["imported"] == []
    assert set(said["refused"]) == {name for name in said["names"] if "federated" in name}
    for text in said["refused"].values():
        assert 'pip install --no-deps -r "$(ecgexp-doctor --federated-requirements)"' in text
    assert sorted(said["shown"]) == [name for name in SCRIPTS if name != "ecgexp"]
    assert all(name in text for name, text in said["shown"].items())
    assert all((wheel_environment / name).is_file() for name in SCRIPTS)


@pytest.mark.slow
def test_installed_command_trains_without_network(wheel_environment, away):
    run(away, wheel_environment / "python", "-c", TRAIN)
    for name in ("centralized", "private"):
        result = json.loads((away[0] / name / "result.json").read_text(encoding="utf-8"))
        assert result["metrics"]
        assert (result["privacy"] is not None) == (name == "private")
    assert (away[0] / "mlruns" / "mlflow.db").is_file()


def test_dockerfile_installs_with_the_tested_script():
    steps = re.findall(r"^RUN (.*)$", (ROOT / "docker/Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert [step.split()[0] for step in steps] == ["uv", "sh", "useradd"]
    assert steps[1].startswith("sh /tmp/ecgexp/install.sh /tmp/ecgexp/*.whl ")


def test_development_container_is_built_by_the_dockerfile():
    folder = ROOT / ".devcontainer"
    about = json.loads((folder / "devcontainer.json").read_text(encoding="utf-8"))
    assert (folder / about["build"]["dockerfile"]).resolve() == ROOT / "docker" / "Dockerfile"
