"""Checks of all jobs of a multirun before the first one runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict

from ecgexp.config.compose import build_experiment
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.sweeps.cores import runs_here
from ecgexp.sweeps.objectives import GRID, Objectives

if TYPE_CHECKING:
    from ecgexp.experiment.experiment import Experiment
    from ecgexp.sweeps.search_space import SearchSpace


def jobs_of_grid(config: DictConfig, overrides: list[str]) -> list[list[str]] | None:
    """Returns the overrides of each job of a grid; None for sweepers that choose jobs as they run.

    Raises:
      HydraException: an override that cannot be parsed or composed.
    """
    if config.hydra.sweeper._target_ != GRID:
        return None
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    return [
        job
        for batch in BasicSweeper.split_arguments(
            parser.parse_overrides([*params, *overrides]), None
        )
        for job in batch
    ]


def compose_job(config: DictConfig, overrides: list[str]) -> DictConfig:
    """Composes the configuration of a job with these overrides."""
    task = GlobalHydra.instance().config_loader().load_sweep_config(config, overrides)
    OmegaConf.set_readonly(task, False)
    with open_dict(task):
        del task["hydra"]
    return task


def check_grid(config: DictConfig, jobs: list[list[str]], objectives: Objectives) -> None:
    """Validates all jobs of a grid.

    Raises:
      ConfigError: a job is invalid (the message is that of its own run, and names the job unless
        the last one is invalid for the same reason), two jobs are equal (the message names both),
        or this machine lacks what a job needs.
      DataError: the database of a job is missing.
    """
    seen: list[Experiment] = []
    for number, overrides in enumerate(jobs):
        found = _built(config, overrides, objectives)
        if isinstance(found, ConfigError):
            last = _built(config, jobs[-1], objectives)
            if number != len(jobs) - 1 and str(last) == str(found):
                raise found
            raise ConfigError(f"{' '.join(overrides)}: {found}") from found
        seen.append(found)
        if (earlier := seen.index(seen[-1])) != number:
            raise ConfigError(
                f"{' '.join(jobs[earlier])} (job {earlier}) and {' '.join(overrides)} "
                f"(job {number}) are the same run, which would count twice; use each value once"
            )
    if runs_here(config.hydra.launcher):
        check_can_start(seen, jobs)


def check_search_jobs(config: DictConfig, space: "SearchSpace", objectives: Objectives) -> None:
    """Checks what all jobs of a search share, by the jobs at both ends of its space.

    Only a reason that refuses both in the same words is one of the settings that they share.

    Raises:
      ConfigError: the shared settings are invalid, or this machine lacks what the jobs need.
      DataError: the database of the jobs is missing.
    """
    jobs = [list(space.overrides(values)) for values in space.ends()]
    found = [_built(config, overrides, objectives) for overrides in jobs]
    refusals = [one for one in found if isinstance(one, ConfigError)]
    if len(refusals) == len(found) and len({str(one) for one in refusals}) == 1:
        raise refusals[0]
    valid = [
        (one, job) for one, job in zip(found, jobs, strict=True) if not isinstance(one, ConfigError)
    ]
    if len(valid) == len(found) and runs_here(config.hydra.launcher):
        check_can_start(*(list(part) for part in zip(*valid, strict=True)))


def _built(
    config: DictConfig, overrides: list[str], objectives: Objectives
) -> "Experiment | ConfigError":
    """Returns the experiment of a job, or the error with which it would be refused."""
    try:
        experiment = build_experiment(compose_job(config, overrides), base_dir=Path.cwd())
        experiment.trainer.check_installed()
        objectives.check(experiment.evaluated)
    except ConfigError as error:
        return error
    return experiment


def check_can_start(experiments: "Sequence[Experiment]", jobs: list[list[str]]) -> None:
    """Checks that this machine has what all jobs need; equal needs are looked up once.

    Raises:
      ConfigError, DataError: it lacks something; the message names the job, unless it is the same
        for all.
    """
    looked_up: list[tuple[Any, ConfigError | DataError | None]] = []
    answers: list[ConfigError | DataError | None] = []
    for experiment in experiments:
        needs = (experiment.device, experiment.dataset)
        known = [answer for other, answer in looked_up if other == needs]
        if not known:
            known.append(_why_not(experiment))
            looked_up.append((needs, known[0]))
        answers.append(known[0])
    for answer, overrides in zip(answers, jobs, strict=True):
        if answer is not None:
            same = all(str(other) == str(answer) for other in answers)
            raise answer if same else type(answer)(f"{' '.join(overrides)}: {answer}")


def _why_not(experiment: "Experiment") -> ConfigError | DataError | None:
    """Returns the error with which the experiment would be refused; None: it can start."""
    try:
        experiment.check_can_start()
    except (ConfigError, DataError) as error:
        return error
    return None
