"""The settings of the launcher for Ray; its jobs run in `tests/end_to_end/test_multirun.py`."""

import os
import sys

import pytest

from ecgexp.settings.declaration import ConfigError
from ecgexp.sweeps.cores import share_cores
from ecgexp.sweeps.ray_jobs import RaySettings, ray_settings

TARGET = "hydra_plugins.ecgexp.RayLauncher"


def test_settings_of_ray_are_read_from_its_launcher_only():
    found = ray_settings({"_target_": TARGET, "address": "auto", "n_jobs": 3, "num_gpus": 0.5})
    assert found == RaySettings(address="auto", n_jobs=3, num_gpus=0.5)
    assert ray_settings({"_target_": "hydra_plugins.other.Launcher", "n_jobs": -1}) is None


@pytest.mark.parametrize("values", [{"num_cpus": 0}, {"num_gpus": -1}, {"n_jobs": "many"}])
def test_invalid_setting_of_ray_is_rejected(values):
    (name,) = values
    with pytest.raises(ConfigError, match=rf"hydra\.launcher\.{name}="):
        ray_settings({"_target_": TARGET, **values})


def test_ray_that_is_missing_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr("ecgexp.sweeps.ray_jobs.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"hydra/launcher=ray_jobs .*uv sync --extra ray"):
        ray_settings({"_target_": TARGET})


def test_cluster_assigns_the_cores_of_its_machines(monkeypatch):
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    share_cores({"n_jobs": 1, "address": "auto"})
    assert "TF_NUM_INTRAOP_THREADS" not in os.environ
