"""What is refused for all jobs of a sweep is refused before the first."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from ecgexp.cli import multirun_checks
from ecgexp.cli.multirun_checks import check_can_start, check_grid, check_search_jobs
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.sweeps.cores import runs_here


@dataclass
class Job:
    """Stands for an experiment."""

    dataset: str
    device: str = "cpu"
    asked: list = field(default_factory=list)

    def check_can_start(self):
        self.asked.append(self.dataset)
        if self.dataset == "missing":
            raise DataError("dataset=missing: not found")


def test_refusal_of_all_jobs_names_none_and_asks_once():
    asked = []
    jobs = [Job("missing", asked=asked), Job("missing", asked=asked)]
    with pytest.raises(DataError, match="^dataset=missing: not found$"):
        check_can_start(jobs, [["seed=0"], ["seed=1"]])
    assert asked == ["missing"]


def test_refusal_of_one_job_names_it():
    with pytest.raises(DataError, match="^dataset=missing seed=1: dataset=missing: not found$"):
        check_can_start(
            [Job("there"), Job("missing")], [["dataset=there"], ["dataset=missing", "seed=1"]]
        )


@pytest.fixture
def refused(monkeypatch):
    """{overrides of a job: why it is refused}; other jobs are valid."""
    why = {}

    def built(config, overrides, objectives):
        reason = why.get(" ".join(overrides))
        return Job(" ".join(overrides)) if reason is None else ConfigError(reason)

    monkeypatch.setattr(multirun_checks, "_built", built)
    monkeypatch.setattr(multirun_checks, "runs_here", lambda launcher: True)
    return why


CONFIG: Any = SimpleNamespace(hydra=SimpleNamespace(launcher=None))
SPACE: Any = SimpleNamespace(ends=lambda: ["low", "high"], overrides=lambda end: (end,))


def test_refusal_of_all_jobs_of_a_grid_names_none(refused):
    refused.update({"seed=0": "a=b: wrong", "seed=1": "a=b: wrong"})
    with pytest.raises(ConfigError, match="^a=b: wrong$"):
        check_grid(CONFIG, [["seed=0"], ["seed=1"]], None)
    del refused["seed=1"]
    with pytest.raises(ConfigError, match="^seed=0: a=b: wrong$"):
        check_grid(CONFIG, [["seed=0"], ["seed=1"]], None)


def test_search_is_refused_for_settings_that_all_jobs_share(refused):
    refused.update({"low": "a=b: wrong", "high": "a=b: wrong"})
    with pytest.raises(ConfigError, match="^a=b: wrong$"):
        check_search_jobs(CONFIG, SPACE, None)


@pytest.mark.parametrize(
    "why", [{"low": "x=1: wrong"}, {"low": "x=1: wrong", "high": "x=9: wrong"}]
)
def test_search_is_not_refused_for_a_value_of_its_space(refused, why):
    refused.update(why)
    check_search_jobs(CONFIG, SPACE, None)


def test_search_without_its_data_is_refused_once(refused, monkeypatch):
    monkeypatch.setattr(multirun_checks, "_built", lambda *_: Job("missing"))
    with pytest.raises(DataError, match="^dataset=missing: not found$"):
        check_search_jobs(CONFIG, SPACE, None)


@pytest.mark.parametrize(
    ("launcher", "here"),
    [
        ({"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}, True),
        ({"_target_": "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"}, True),
        ({"_target_": "hydra_plugins.hydra_submitit_launcher.x.LocalLauncher"}, True),
        ({"_target_": "hydra_plugins.hydra_submitit_launcher.x.SlurmLauncher"}, False),
        ({"_target_": "hydra_plugins.ecgexp.RayLauncher", "address": None}, True),
        ({"_target_": "hydra_plugins.ecgexp.RayLauncher", "address": "auto"}, False),
    ],
)
def test_jobs_of_a_cluster_are_not_checked_here(launcher, here):
    assert runs_here(launcher) is here
