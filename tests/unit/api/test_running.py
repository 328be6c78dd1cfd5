"""`ecgexp.run` refuses in one line, leaves no folder, and leaves the process as it was."""

import logging
import os
import signal
import subprocess
import sys

import pytest

import ecgexp
from ecgexp.api.process_state import quiet_and_restored
from ecgexp.console import NOTE
from ecgexp.settings.declaration import ConfigError


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=cnn1dd"], r"model=cnn1dd does not exist; did you mean model=cnn1d\?"),
        (["seed=x"], "seed='x' is not usable"),
        (["seed=1", "seed=2"], "seed=2 is set twice"),
        (["seed=1,2"], "seed=1,2"),
        ("seed=1", r"overrides='seed=1': not a list of settings; use \['seed=1'\]"),
        ([1], "overrides: 1 is not the text of a setting"),
        (["-m", "seed=1"], "overrides: -m is an option of the command; use"),
        (["resume=latest"], "resume=latest: .*; use `ecgexp resume=latest`"),
        (["trainer=dp", "privacy=none"], "trainer=dp: needs a privacy setting"),
        (["sweep.budget_epsilon=1"], "sweep.budget_epsilon=1 is the budget of a multirun"),
        (["name=../x"], "name='../x' is refused"),
    ],
)
def test_unusable_overrides_are_refused_without_a_folder(tmp_path, monkeypatch, overrides, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message) as error:
        ecgexp.run(overrides)
    assert "\n" not in str(error.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


PARTS = ("model", "features", "loss", "augmentation", "dataset", "split", "partition", "trainer")


@pytest.mark.parametrize("part", PARTS)
def test_part_of_the_notebook_is_refused_without_a_folder(tmp_path, monkeypatch, part):
    """Nothing could load it again; parts of a plug-in run in `test_plugin_parts.py`."""
    monkeypatch.chdir(tmp_path)
    words = (
        rf"^{part}\._target_=__main__\.Own: .*; use a class of a plug-in.*ecgexp-new plugin NAME"
    )
    with pytest.raises(ConfigError, match=words) as error:
        ecgexp.run([f"{part}._target_=__main__.Own"])
    assert "\n" not in str(error.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_missing_folder_of_yaml_files_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"--config-dir mine: there is no folder .*/mine; use"):
        ecgexp.run([], config_dir="mine")


def test_hostile_file_of_an_own_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine/experiment").mkdir(parents=True)
    (tmp_path / "mine/experiment/bad.yaml").write_text(
        "# @package _global_\nhydra: {run: {dir: elsewhere}}\n", encoding="utf-8"
    )
    with pytest.raises(ConfigError, match=r"bad\.yaml .* is refused"):
        ecgexp.run(["experiment=bad"], config_dir="mine")


def test_state_of_the_process_is_restored_after_an_error(monkeypatch):
    monkeypatch.setenv("ECGEXP_KEPT", "1")
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    root = logging.getLogger()

    def state():
        signals = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        return dict(os.environ), os.getcwd(), signals, list(root.handlers), root.level

    def work():
        with quiet_and_restored():
            assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3"
            os.environ["ECGEXP_KEPT"] = "2"
            os.environ["ECGEXP_ADDED"] = "2"
            root.addHandler(logging.NullHandler())
            root.setLevel(logging.DEBUG)
            raise ZeroDivisionError

    before = state()
    with pytest.raises(ZeroDivisionError):
        work()
    assert state() == before


def test_notes_and_warnings_are_shown_as_by_the_command(monkeypatch, capsys):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with quiet_and_restored():
        logging.getLogger("ecgexp.x").warning("a layer")
        logging.getLogger("ecgexp.x").log(NOTE, "it is slow")
    assert capsys.readouterr().err == "warning: a layer\nnote: it is slow\n"
    assert logging.getLogger().handlers == []


def test_import_of_ecgexp_loads_nothing_heavy():
    code = (
        "import sys, ecgexp; assert {'run', 'runs', 'load_run'} <= set(dir(ecgexp)); "
        "assert not {'hydra', 'numpy', 'pandas', 'mlflow', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'rum'"):
        ecgexp.rum  # noqa: B018  (the access is what is tested)
