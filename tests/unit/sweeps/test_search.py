"""The loop of a search, with a launcher that only scores the overrides of its jobs."""

from contextlib import contextmanager

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from ecgexp.config.sweep_settings import SweepSettings
from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.location import config_dir
from ecgexp.sweeps.invocation import read_study
from ecgexp.sweeps.search import check_search, search
from ecgexp.sweeps.search_settings import PRUNED, SearchSettings
from ecgexp.sweeps.sweep import Sweep

OVERRIDES = ("trainer.learning_rate=choice(1,2,3,4)", "seed=7")


class Scoring:
    """A launcher whose jobs return `score(learning rate)`; an exception fails them."""

    def __init__(self, score):
        self._score, self.batches = score, []

    def launch(self, jobs, *, initial_job_idx):
        self.batches.append((initial_job_idx, list(jobs)))
        return [self._run(job) for job in jobs]

    def _run(self, job):
        try:
            value = self._score(float(job[0].partition("=")[2]))
        except ArithmeticError as error:
            return JobReturn(status=JobStatus.FAILED, _return_value=error)
        return JobReturn(status=JobStatus.COMPLETED, _return_value=value)


@contextmanager
def composed(*words):
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        yield compose("config", overrides=list(words), return_hydra_config=True)


def searched(folder, score, *words, name="monday", option="search"):
    """The launcher after the search, and what it wrote to `optimization_results.yaml`."""
    GlobalHydra.instance().clear()
    words = [f"hydra/sweeper={option}", f"hydra.sweep.dir={folder}/{name}", *words]
    launcher = Scoring(score)
    with composed(*words) as config:
        Sweep.open(folder / name, OVERRIDES, None, SweepSettings()).with_parent(None)
        search(config, launcher, OVERRIDES)
    return launcher, yaml.safe_load((folder / name / "optimization_results.yaml").read_text())


def test_search_reports_the_best_trial(tmp_path, capsys):
    launcher, results = searched(tmp_path, lambda rate: -rate, "hydra.sweeper.sampler=grid")
    assert [first for first, _ in launcher.batches] == [0, 1, 2, 3]
    jobs = [job for _, (job,) in launcher.batches]
    assert sorted(jobs) == [(f"trainer.learning_rate={rate}", "seed=7") for rate in range(1, 5)]
    assert results == {
        "name": "optuna",
        "best_params": {"trainer.learning_rate": 1},
        "best_value": -1.0,
    }
    assert "4 of 4 trials have a score; best trial" in " ".join(capsys.readouterr().out.split())


def test_search_minimizes_where_it_should(tmp_path):
    words = ("hydra.sweeper.sampler=grid", "hydra.sweeper.direction=minimize")
    _, results = searched(tmp_path, lambda rate: -rate, *words)
    assert results["best_params"] == {"trainer.learning_rate": 4}


def test_search_with_two_objectives_reports_the_front(tmp_path):
    words = ("hydra.sweeper.sampler=grid",)
    score = {1: (0.1, 1.0), 2: (0.5, 2.0), 3: (0.4, 3.0), 4: (0.9, 4.0)}
    _, results = searched(tmp_path, lambda rate: score[rate], *words, option="pareto")
    found = {one["params"]["trainer.learning_rate"]: one["values"] for one in results["solutions"]}
    assert found == {1: [0.1, 1.0], 2: [0.5, 2.0], 4: [0.9, 4.0]}


def test_search_chooses_batches_of_n_jobs(tmp_path):
    words = ("hydra.sweeper.n_trials=5", "hydra.sweeper.n_jobs=2")
    launcher, _ = searched(tmp_path, float, *words)
    assert [(first, len(jobs)) for first, jobs in launcher.batches] == [(0, 2), (2, 2), (4, 1)]


@pytest.mark.parametrize(
    ("ended", "counted"),
    [
        (PRUNED, "3 of 4 trials have a score, 1 pruned;"),
        (float("nan"), "3 of 4 trials have a score; best"),
        (None, "3 of 4 trials have a score; best"),
    ],
)
def test_trial_without_score_does_not_end_the_search(tmp_path, capsys, ended, counted):
    def score(rate):
        if rate == 4 and ended is None:
            raise ArithmeticError("diverged")
        return ended if rate == 4 else rate

    _, results = searched(tmp_path, score, "hydra.sweeper.sampler=grid")
    assert results["best_params"] == {"trainer.learning_rate": 3}
    assert counted in " ".join(capsys.readouterr().out.split())


def test_search_without_any_score_ends_in_order(tmp_path):
    _, results = searched(tmp_path, lambda _: PRUNED, "hydra.sweeper.n_trials=2")
    assert results == {"name": "optuna", "solutions": []}


def test_search_that_is_interrupted_continues_with_its_trials(tmp_path):
    def interrupted(rate):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(rate)
        return rate

    seen = []
    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path, interrupted, "hydra.sweeper.n_trials=6", "hydra.sweeper.seed=null")
    launcher, _ = searched(
        tmp_path, float, "hydra.sweeper.n_trials=4", "hydra.sweeper.seed=null", name="tuesday"
    )
    rates = [float(job[0].partition("=")[2]) for _, (job,) in launcher.batches]
    assert rates[:2] == seen
    assert len(rates) == 4
    assert read_study(tmp_path / "tuesday") == f"{read_study(tmp_path / 'monday')}-2"


def test_search_takes_settings_from_a_file(tmp_path):
    words = ("hydra.sweeper.sampler=grid", "hydra.sweeper.params={split.fold: 'choice(0,1)'}")
    launcher, _ = searched(tmp_path, float, *words)
    jobs = [job for _, (job,) in launcher.batches]
    assert len(jobs) == 8
    assert {text for job in jobs for text in job if "fold" in text} == {
        "split.fold=0",
        "split.fold=1",
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["hydra.sweeper.storage=sqlite:////proc/none/a.db"], r"storage=.* cannot be opened.*use"),
        (["hydra.sweeper.sampler=grid"], r"sampler=grid cannot list .*interval.*use choice"),
    ],
)
def test_search_that_cannot_work_is_rejected_before_it_begins(words, message):
    GlobalHydra.instance().clear()
    with composed("hydra/sweeper=search", *words) as config:
        values = OmegaConf.to_container(config.hydra.sweeper)
        values.pop("_target_")
        with pytest.raises(ConfigError, match=message):
            check_search(SearchSettings(**values), ["seed=interval(0, 1)"])
