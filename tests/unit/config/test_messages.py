"""The lines that refuse what a user typed: each names what to use instead."""

import pytest

from ecgexp.cli import multirun, running
from ecgexp.config.compose import load_experiment
from ecgexp.settings.declaration import ConfigError


@pytest.mark.parametrize(
    ("words", "setting", "advice"),
    [
        (["features=image"], "model=cnn1d", "use model=cnn2d, or features=signal"),
        (["features=handcrafted"], "model=cnn1d", "use model=mlp, or features=signal"),
        (["experiment=mitdb_dp"], "experiment=mitdb_dp", "experiment=mitdb_inter_patient_cnn1d_dp"),
        (["experiment=resnet"], "experiment=resnet", "use one of mitdb_inter_patient_cnn1d"),
        (["model=cnn1"], "model=cnn1", "did you mean model=cnn1d?"),
        (["model.filters=64"], "model.filters=64", r"use model.filters=\[64\]"),
        (["tracking.tags={a: b}"], "tracking.tags={a: b}", r"use '\+tracking.tags.a=b'"),
        (["tracking.tags.a=b"], "tracking.tags.a=b", r"use '\+tracking.tags.a=b'"),
        (["grouping.classes.Z=[A]"], "grouping.classes.Z", r"use '\+grouping.classes.Z=\[A\]'"),
    ],
)
def test_refusal_names_what_to_use(words, setting, advice):
    with pytest.raises(ConfigError, match=advice) as refused:
        load_experiment(words)
    assert str(refused.value).startswith(setting)
    assert "\n" not in str(refused.value)


def test_slurm_without_its_commands_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"hydra/launcher=slurm: .*use .*slurm_here"):
        multirun._check_slurm("hydra_plugins.hydra_submitit_launcher.SlurmLauncher")
    multirun._check_slurm("hydra_plugins.hydra_submitit_launcher.LocalLauncher")


def test_sweep_whose_configuration_is_to_be_shown_is_refused(monkeypatch):
    monkeypatch.setattr("sys.argv", ["ecgexp", "-m", "--cfg", "job", "seed=1,2"])
    with pytest.raises(ConfigError, match="-m --cfg: .*use --cfg without -m"):
        running._check_shown_once()
