"""A run is resumed only with the configuration that it began with."""

import os
import platform
from datetime import datetime

import pytest
from plugin_packages import MODEL, forget, install, on_path

from ecgexp.cli.resume import how_killed, stored_config
from ecgexp.config.compose import (
    for_the_record,
    load_config,
    load_whole,
    notes,
    split_off_hydra,
)
from ecgexp.settings.declaration import ConfigError
from ecgexp.tracking import JsonlTracker
from ecgexp.tracking.params import parameters
from ecgexp.tracking.provenance import plugin_tags

TYPED = ["seed=3", "dataset=synthetic"]


def run_folder(folder, **changed):
    tracker = JsonlTracker(folder)
    tracker.log_params(parameters(for_the_record(load_config(TYPED))) | changed)
    (folder / ".hydra").mkdir(exist_ok=True)
    (folder / ".hydra" / "overrides.yaml").write_text(str(TYPED), encoding="utf-8")
    return folder


def test_resume_composes_the_overrides_of_the_run(tmp_path):
    assert stored_config(run_folder(tmp_path), []).seed == 3


def test_resume_of_an_earlier_version_is_refused(tmp_path):
    folder = run_folder(tmp_path, **{"model._target_": "ecgexp.models.cnn1d.Cnn1d"})
    with pytest.raises(
        ConfigError, match=r"resume=.*model\._target_=ecgexp\.models\.cnn1d.*use that version"
    ):
        stored_config(folder, [])


OWN = "# @package _global_\ntrainer: {epochs: 3}\n"


def run_with_own_file(tmp_path):
    """A run of `ecgexp --config-dir my_conf experiment=mine`, and its folder of YAML files."""
    own = tmp_path / "my_conf"
    (own / "experiment").mkdir(parents=True)
    (own / "experiment" / "mine.yaml").write_text(OWN, encoding="utf-8")
    folder, typed = tmp_path / "run", [*TYPED, "experiment=mine"]
    folder.mkdir()
    whole = load_whole(typed, own=own)
    stored = notes(*split_off_hydra(whole))
    tracker = JsonlTracker(folder)
    tracker.log_params(parameters(for_the_record(load_config(typed, own=own))))
    (folder / ".hydra").mkdir()
    for name, text in stored.items():
        (folder / ".hydra" / name).write_text(text, encoding="utf-8")
    return folder, own


def test_resume_finds_the_own_folder_of_the_run(tmp_path, monkeypatch):
    folder, own = run_with_own_file(tmp_path)
    monkeypatch.chdir("/")
    assert stored_config(folder, []).trainer.epochs == 3
    own.rename(tmp_path / "moved")
    with pytest.raises(ConfigError, match=r"--config-dir .*my_conf, .*; use ecgexp --config-dir"):
        stored_config(folder, [])
    assert stored_config(folder, [], own=tmp_path / "moved").trainer.epochs == 3


def test_resume_with_a_changed_own_file_is_refused(tmp_path):
    folder, own = run_with_own_file(tmp_path)
    (own / "experiment" / "mine.yaml").write_text(OWN.replace("3", "4"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"trainer\.epochs is 4 and was 3"):
        stored_config(folder, [])


def test_resume_with_other_code_of_a_plugin_is_a_warning(tmp_path, caplog):
    with on_path(tmp_path / "path") as place:
        yaml = {"conf/model/mine.yaml": "_target_: mine.Net\n"}
        install(place, "mine", {"__init__.py": MODEL, **yaml})
        forget()
        values = for_the_record(load_config([*TYPED, "model=mine"]))
        folder = tmp_path / "run"
        tracker = JsonlTracker(folder)
        tracker.log_params(parameters(values))
        tracker.set_tags(plugin_tags(values))
        (folder / ".hydra").mkdir()
        (folder / ".hydra/overrides.yaml").write_text(str([*TYPED, "model=mine"]), "utf-8")
        stored_config(folder, [])
        assert not caplog.records
        (place / "mine/more.py").write_text("", encoding="utf-8")
        stored_config(folder, [])
        assert "plugin.mine mine 1.0 sha256:" in caplog.text
    forget()
    with pytest.raises(ConfigError, match=r"the plug-in mine, .*; use `pip install mine==1\.0`"):
        stored_config(folder, [])


DEAD = {"process.pid": "1", "process.started": "5.0", "process.host": platform.node()}


def killed(folder, *steps, tags=DEAD, wrote=None):
    """What `resume=` says of a run of 8 epochs with checkpoints of these steps."""
    tracker = JsonlTracker(run_folder(folder))
    tracker.set_tags(tags)
    (folder / "checkpoints").mkdir()
    for step in steps:
        (folder / "checkpoints" / f"step-{step:06d}-{'0' * 32}.safetensors").touch()
    if wrote is not None:
        for path in [folder / "run.json", *(folder / "checkpoints").iterdir()]:
            os.utime(path, (wrote, wrote))
    return how_killed(folder, "epoch", 8)


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ((1, 2), ("in epoch 3 of 8", "2 epochs kept")),
        ((0,), ("in epoch 1 of 8", "a part of epoch 1 is kept")),
        ((), ("before epoch 1 of 8", "nothing is kept")),
        ((8,), ("in epoch 8 of 8", "8 epochs kept")),
    ],
)
def test_killed_run_says_where_it_was(tmp_path, steps, says):
    line = killed(tmp_path, *steps)
    assert all(text in line for text in (*says, "out-of-memory killer, or kill -9"))
    assert "\n" not in line


def test_killed_run_says_when_it_last_wrote(tmp_path):
    at = datetime(2024, 5, 6, 14, 5).timestamp()
    line = killed(tmp_path, 1, wrote=at)
    assert "last wrote at 2024-05-06 14:05" in line
    assert "the machine was started again at" in line


def test_run_of_another_machine_is_not_said_to_be_killed_here(tmp_path):
    line = killed(tmp_path, 1, tags=DEAD | {"process.host": "elsewhere"})
    assert "on elsewhere, which reported no end" in line


def test_run_that_reported_its_end_was_not_killed(tmp_path):
    JsonlTracker(run_folder(tmp_path)).finish("KILLED", "SIGTERM")
    assert how_killed(tmp_path, "epoch", 8) is None
