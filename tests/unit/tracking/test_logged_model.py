"""What the MLflow model of a classifier holds; `test_predict.py` serves one."""

import subprocess
import sys
import sysconfig
import zipfile
from importlib import metadata
from pathlib import Path

import mlflow
import pytest
import yaml
from saved_model import save_model

from ecgexp.features.inputs import SignalFeatures
from ecgexp.tracking.mlflow.environment import exact_requirements, write_wheel
from ecgexp.tracking.mlflow.model import save_pyfunc
from ecgexp.tracking.mlflow.quiet import quieten

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """The MLflow model of a classifier, written in the folder of a uv project."""
    place = tmp_path_factory.mktemp("project")
    for name in ("uv.lock", "pyproject.toml", ".python-version"):
        (place / name).write_text("")
    features = SignalFeatures(normalize="record", rr="rhythm")
    folder = save_model(place / "classifier", features)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.delenv("MLFLOW_UV_AUTO_DETECT", raising=False)
        quieten()
        save_pyfunc(folder, place / "model")
    return place / "model"


def test_model_has_no_pickle_and_no_file_of_the_project(logged):
    files = {str(path.relative_to(logged)) for path in logged.rglob("*") if path.is_file()}
    (wheel,) = (name for name in files if name.endswith(".whl"))
    assert files == {
        "MLmodel",
        "conda.yaml",
        "python_env.yaml",
        "requirements.txt",
        "pyfunc_model.py",
        "input_example.json",
        "serving_input_example.json",
        "artifacts/classifier/model.json",
        "artifacts/classifier/preprocessing.json",
        "artifacts/classifier/weights.safetensors",
        wheel,
    }
    assert sum(path.stat().st_size for path in logged.rglob("*") if path.is_file()) < 1_500_000


def test_signature_names_signals_windows_and_classes(logged):
    info = mlflow.models.get_model_info(str(logged))
    assert info.metadata == {"class_names": ["N", "V"]}
    assert info.signature.inputs.input_names() == [
        "signal_mv",
        "fs_hz",
        "lead",
        "r_peaks",
        "window_mv",
        "rr",
        "template_mv",
    ]
    assert info.signature.outputs.input_names()[-3:] == ["symbol", "probability/N", "probability/V"]


def test_input_example_is_a_signal_with_beats(logged):
    example = mlflow.models.Model.load(logged).load_input_example(str(logged)).iloc[0]
    signal = example["signal_mv"]
    assert (example["fs_hz"], example["lead"], len(signal)) == (360.0, "MLII", 1440)
    assert len(example["r_peaks"]) >= 3
    assert all(signal[peak] > 0.4 for peak in example["r_peaks"])


def test_example_of_several_leads_has_a_list_for_each(tmp_path):
    save_pyfunc(save_model(tmp_path / "classifier", leads=("V1", "II")), tmp_path / "model")
    model = mlflow.models.Model.load(tmp_path / "model")
    example = model.load_input_example(str(tmp_path / "model")).iloc[0]
    assert example["lead"] == ["V1", "II"]
    assert [len(signal) for signal in example["signal_mv"]] == [1440, 1440]


def test_requirements_are_the_wheel_and_exact_versions(logged):
    wheel, *pins = (logged / "requirements.txt").read_text().splitlines()
    assert (logged / wheel).is_file()
    assert pins == exact_requirements()
    versions = dict(pin.split("==") for pin in pins)
    assert versions["tensorflow"] == metadata.version("tensorflow")
    assert {"mlflow", "wfdb", "keras", "protobuf"} <= set(versions)
    federated_or_for_tests = {"tensorflow-federated", "tensorflow-privacy", "jax", "pytest", "ray"}
    assert not federated_or_for_tests & set(versions)
    assert yaml.safe_load((logged / "conda.yaml").read_text())["dependencies"][-1]["pip"] == [
        wheel,
        *pins,
    ]


def test_wheel_of_a_model_holds_the_package_and_nothing_else(tmp_path):
    wheel = write_wheel(tmp_path)
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "ecgexp", "conf"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    ours = {name if name.startswith("ecgexp/") else f"ecgexp/{name}" for name in listed}
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if ".dist-info/" not in name} == ours
        assert archive.testzip() is None


def test_wheel_of_equal_code_has_equal_bytes_and_name(tmp_path):
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    first, second = (write_wheel(folder) for folder in folders)
    assert (first.name, first.read_bytes()) == (second.name, second.read_bytes())


def test_installed_wheel_writes_the_same_wheel_again(tmp_path):
    """As a model does that is logged where the package is not a checkout."""
    wheel = write_wheel(tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    again = tmp_path / "again"
    again.mkdir()
    code = (
        "import ecgexp; from pathlib import Path; from importlib.metadata import distribution; "
        "from ecgexp.tracking.mlflow.environment import write_wheel; "
        "write_wheel(Path('again')); "
        "print(ecgexp.__file__, 'ecgexp-predict' in distribution('ecgexp').entry_points.names)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}/installed:{sysconfig.get_path('purelib')}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"{tmp_path}/installed/ecgexp/__init__.py True\n", done.stderr
    assert (again / wheel.name).read_bytes() == wheel.read_bytes()
