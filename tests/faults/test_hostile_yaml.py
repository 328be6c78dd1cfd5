"""An untrusted experiment file cannot make Hydra execute or write anything."""

import subprocess
import sys

import cloudpickle
import pytest
from hydra._internal import hydra as hydra_internals
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.core.singleton import Singleton
from start_line import after_start

from ecgexp.config.untrusted_overrides import OURS, GuardedLoader
from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.location import config_dir

CONF = config_dir()
CALL = "{_target_: os.mkdir, _args_: ['SENTINEL']}"
LOGS = (
    "{version: 1, disable_existing_loggers: false, handlers: {x: {(): os.mkdir, path: 'SENTINEL'}}}"
)

# What each file says; the second part is another file that it draws in.
FILES = {
    "a callback": (f"# @package _global_\nhydra: {{callbacks: {{x: {CALL}}}}}\n", ""),
    "a job's logging": (f"# @package _global_\nhydra: {{job_logging: {LOGS}}}\n", ""),
    "hydra's logging": (f"# @package _global_\nhydra: {{hydra_logging: {LOGS}}}\n", ""),
    "a folder": (
        "# @package _global_\nhydra: {run: {dir: 'SENTINEL'}, sweep: {dir: 'SENTINEL'}}\n",
        "",
    ),
    "a package": (f"# @package hydra.callbacks.x\n{CALL}\n", ""),
    "another file": (
        "# @package _global_\ndefaults: [/sent@hydra.callbacks.x: payload]\n",
        f"{CALL}\n",
    ),
    "an interpolation": (
        f"# @package _global_\nhydra: ${{mine}}\nmine: {{callbacks: {{x: {CALL}}}}}\n",
        "",
    ),
    "a name": ("# @package _global_\nname: ../../../..SENTINEL\n", ""),
    "a name from elsewhere": ("# @package _global_\nname: ${seed}/../../../..SENTINEL\n", ""),
    "a sweeper": (f"# @package _global_\nhydra: {{sweeper: {CALL}}}\n", ""),
    "a launcher": (f"# @package _global_\nhydra: {{launcher: {CALL}}}\n", ""),
    "a choice": ("# @package _global_\ndefaults: [override /hydra/launcher: slurm]\n", ""),
    "a choice of its own": (
        "# @package _global_\ndefaults: [override /hydra/launcher: sent]\n",
        f"{CALL}\n",
    ),
}


@pytest.fixture
def sentinel(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "sentinel"


@pytest.fixture
def clean(monkeypatch):
    """Hydra's global state as it was."""
    state = Singleton.get_state()
    GlobalHydra.instance().clear()
    yield
    Singleton.set_state(state)
    GlobalHydra.instance().clear()


def send(folder, said, other, sentinel):
    for path, text in {
        "experiment/sent": said,
        "sent/payload": other,
        "hydra/launcher/sent": other,
    }.items():
        (folder / f"{path}.yaml").parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{path}.yaml").write_text(text.replace("SENTINEL", str(sentinel)))
    return folder


def place_with(folder):
    """Where `ecgexp --config-dir FOLDER` looks for files."""
    place = create_config_search_path(str(CONF))
    place.prepend("command-line", f"file://{folder}", anchor="schema")
    return place


def run(folder, *, multirun, overrides=("experiment=sent",)):
    """What `ecgexp --config-dir FOLDER` does, with a task that does nothing."""
    hydra = hydra_internals.Hydra.create_main_hydra2("ecgexp", place_with(folder))
    start = hydra.multirun if multirun else hydra.run
    start("config", lambda config: None, list(overrides), with_log_configuration=True)


@pytest.mark.parametrize("multirun", [False, True])
@pytest.mark.parametrize("kind", FILES)
def test_hostile_experiment_is_refused_before_hydra_acts(
    tmp_path, sentinel, clean, monkeypatch, kind, multirun
):
    monkeypatch.setattr(hydra_internals, "ConfigLoaderImpl", GuardedLoader)
    folder = send(tmp_path / "sent", *FILES[kind], sentinel)
    with pytest.raises(ConfigError, match="is refused"):
        run(folder, multirun=multirun)
    assert [path.name for path in tmp_path.iterdir()] == ["sent"]


@pytest.mark.parametrize(
    "kind",
    ["a callback", "a job's logging", "hydra's logging", "a folder", "a package", "another file"],
)
@pytest.mark.filterwarnings("ignore:Callback NoneType")  # what os.mkdir returns is no callback
def test_hostile_experiment_without_the_guard_would_run(tmp_path, sentinel, clean, kind):
    folder = send(tmp_path / "sent", *FILES[kind], sentinel)
    try:
        run(folder, multirun=False)
    except Exception as error:  # noqa: BLE001 - a logger that is none, after the harm was done
        print(error)
    assert sentinel.exists()


def test_hostile_primary_file_is_refused_before_imports(tmp_path, sentinel, clean, monkeypatch):
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "__init__.py").write_text(f"import os; os.mkdir({str(sentinel)!r})")
    (tmp_path / "config.yaml").write_text("hydra: {searchpath: ['pkg://evil']}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(hydra_internals, "ConfigLoaderImpl", GuardedLoader)
    hydra = hydra_internals.Hydra.create_main_hydra2(
        "ecgexp", create_config_search_path(str(tmp_path))
    )
    with pytest.raises(ConfigError, match="config.yaml in file://.* is refused"):
        hydra.run("config", lambda config: None, [])
    assert not sentinel.exists()
    GlobalHydra.instance().clear()
    monkeypatch.undo()


def test_launcher_on_the_command_line_allows_no_other_target(
    tmp_path, sentinel, clean, monkeypatch
):
    monkeypatch.setattr(hydra_internals, "ConfigLoaderImpl", GuardedLoader)
    mine = "defaults: [joblib]\nn_jobs: 1\n"
    folder = send(tmp_path / "sent", "# @package _global_\nseed: 1\n", mine, sentinel)
    run(
        folder,
        multirun=False,
        overrides=["experiment=sent", "hydra/launcher=sent", f"hydra.run.dir={tmp_path}/run"],
    )
    send(folder, "# @package _global_\nseed: 1\n", "defaults: [joblib, other]\n", sentinel)
    (folder / "hydra" / "launcher" / "other.yaml").write_text("n_jobs: 2\n")
    GlobalHydra.instance().clear()
    with pytest.raises(ConfigError, match="hydra/launcher/other.yaml in file://.* is refused"):
        run(folder, multirun=False, overrides=["hydra/launcher=sent"])


def test_hostile_experiment_in_another_process_is_refused(tmp_path, sentinel, clean, monkeypatch):
    monkeypatch.setattr(hydra_internals, "ConfigLoaderImpl", GuardedLoader)
    folder = send(tmp_path / "sent", *FILES["a callback"], sentinel)
    hydra = hydra_internals.Hydra.create_main_hydra2("ecgexp", place_with(folder))
    (tmp_path / "loader").write_bytes(cloudpickle.dumps(hydra.config_loader))
    compose = (
        "import pickle; from hydra.types import RunMode; loader = "
        "pickle.load(open('loader', 'rb'));"
        "print(loader.load_configuration('config', ['experiment=%s'], RunMode.RUN).name)"
    )
    for experiment, said in {
        "mitdb_inter_patient_cnn1d_dp_beat": "mitdb_inter_patient_cnn1d_dp_beat",
        "sent": "ConfigError: experiment/sent.yaml in file://",
    }.items():
        ended = subprocess.run(
            [sys.executable, "-c", compose % experiment],
            capture_output=True,
            text=True,
            check=False,
        )
        assert said in ended.stdout + ended.stderr


def test_guard_accepts_the_shipped_files():
    in_hydra = {
        str(path.relative_to(CONF).with_suffix("")) for path in CONF.glob("hydra/**/*.yaml")
    }
    assert in_hydra | {"config"} == OURS


@pytest.mark.parametrize(("flags", "overrides"), [([], []), (["-m"], ["seed=1,2"])])
def test_command_refuses_hostile_experiment_in_one_line(tmp_path, sentinel, flags, overrides):
    folder = send(tmp_path / "sent", *FILES["a callback"], sentinel)
    command = [
        sys.executable,
        "-m",
        "ecgexp.cli.run",
        "--config-dir",
        str(folder),
        *flags,
        "experiment=sent",
        *overrides,
    ]
    ended = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False
    )
    assert ended.returncode == 2, ended.stderr
    error = after_start(ended.stderr)
    assert error.startswith("ecgexp: experiment/sent.yaml in file://")
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["sent"]
