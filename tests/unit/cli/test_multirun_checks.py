"""What is refused for all jobs of a sweep is refused before the first."""

from dataclasses import dataclass, field

import pytest

from ecgexp.cli.multirun import _check_can_start
from ecgexp.settings.declaration import DataError
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
        _check_can_start(jobs, [["seed=0"], ["seed=1"]])
    assert asked == ["missing"]


def test_refusal_of_one_job_names_it():
    with pytest.raises(DataError, match="^dataset=missing seed=1: dataset=missing: not found$"):
        _check_can_start(
            [Job("there"), Job("missing")], [["dataset=there"], ["dataset=missing", "seed=1"]]
        )


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
