"""The wheel in an environment of its own, used from another folder, without any network.

What a user without a checkout has.
"""

import json
import re
import shlex
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
from ecgexp.settings.location import config_dir
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

# One process that imports TensorFlow trains both, a shipped model by the command and that of a
# plug-in by the private run of the guide, in Python, and predicts with the latter's stored model.
TRAIN = """
import sys
from ecgexp.cli.run import main
smallest = ["dataset.num_patients=12", "dataset.minutes=1", "num_resamples=0", "trainer.epochs=1"]
sys.argv = ["ecgexp", *smallest, "model=cnn1d_small", "hydra.run.dir=centralized"]
assert main() == 0
assert "my_ecg" not in sys.modules
import ecgexp
private = ["tracking=none", "evaluate_on=[test]", *sys.stdin.read().split()]
ecgexp.run([*smallest, *private], folder="private")
from pathlib import Path
from ecgexp.data.synthetic.database import write_database
write_database(Path("records"), num_patients=1, minutes=0.5, seed=3)
from ecgexp.cli.predict import main as predict
record = min(Path("records").glob("*.hea")).with_suffix("")
assert predict(["private", str(record), "--output", "predicted"]) == 0
"""
GUIDE = (ROOT / "docs/howto/own-model.md").read_text(encoding="utf-8")
TYPED = [
    shlex.split(line, comments=True)
    for line in re.search(r"```sh\n(.*?)```", GUIDE, re.DOTALL)[1].splitlines()
]


def run(away, *words, given=""):
    folder, environment = away
    done = subprocess.run(
        [str(word) for word in (*NO_NETWORK, *words)],
        input=given,
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
        doctor = wheel_environment / "ecgexp-doctor"  # not on the PATH
        assert f'pip install --no-deps -r "$({doctor} --federated-requirements)"' in text
    assert sorted(said["shown"]) == [name for name in SCRIPTS if name != "ecgexp"]
    assert all(name in text for name, text in said["shown"].items())
    assert all((wheel_environment / name).is_file() for name in SCRIPTS)


@pytest.fixture(scope="session")
def plugin(wheel_environment, away, tmp_path_factory):
    """The plug-in of the guide, written by the command and installed as a wheel."""
    folder = tmp_path_factory.mktemp("plugin")
    (words,) = (words for words in TYPED if words[0] == "ecgexp-new")
    run((folder, away[1]), wheel_environment / words[0], *words[1:])
    subprocess.run(
        ["uv", "build", "--quiet", "--wheel", "--out-dir", folder, folder / words[-1]], check=True
    )
    (wheel,) = folder.glob("*.whl")
    python = wheel_environment / "python"
    install = ["uv", "pip", "install", "--quiet", "--no-deps", "--offline", "--python", python]
    subprocess.run([*install, wheel], check=True, cwd=folder)
    return wheel


@pytest.mark.slow
def test_installed_command_trains_without_network(wheel_environment, away, plugin):
    (private,) = (words[1:] for words in TYPED if "trainer=dp" in words)
    run(away, wheel_environment / "python", "-c", TRAIN, given=" ".join(private))
    run_json = json.loads((away[0] / "private" / "run.json").read_text(encoding="utf-8"))
    assert run_json["params"]["model._target_"] == "my_ecg.MyEcg"
    assert run_json["tags"]["plugin.my_ecg"].startswith("my-ecg 0.1.0 sha256:")
    model = json.loads((away[0] / "private/model/model.json").read_text(encoding="utf-8"))
    assert model["plugins"] == {"my_ecg": run_json["tags"]["plugin.my_ecg"]}
    result = json.loads((away[0] / "private" / "result.json").read_text(encoding="utf-8"))
    assert result["notes"]["plug-ins"] == [
        "the guarantee also rests on code of the plug-in my_ecg (my-ecg 0.1.0): model; see "
        "privacy_statement.txt"
    ]
    assert list((away[0] / "predicted").glob("*.ecgexp"))
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
