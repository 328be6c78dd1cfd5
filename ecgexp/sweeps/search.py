"""A search with Optuna: chooses trials, runs them as jobs, and reports the best."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig
from optuna.trial import Trial, TrialState

from ecgexp.config.untrusted_overrides import container
from ecgexp.console import Console
from ecgexp.formatting import score_text
from ecgexp.settings.declaration import ConfigError
from ecgexp.storage.atomic import replacing
from ecgexp.sweeps.identity import job_name
from ecgexp.sweeps.invocation import write_study
from ecgexp.sweeps.search_settings import PRUNED, SearchSettings, search_settings
from ecgexp.sweeps.search_space import SearchSpace, search_space
from ecgexp.sweeps.study import begin_study, build_pruner, build_sampler, open_storage
from ecgexp.sweeps.sweep import Sweep

RESULTS = "optimization_results.yaml"


def check_search(settings: SearchSettings, overrides: Sequence[str]) -> SearchSpace:
    """Check what Optuna checks, before anything else is written.

    Args:
      settings: settings of the search.
      overrides: overrides as typed.

    Returns:
      The search space.

    Raises:
      ConfigError: an option or the search space is invalid, or the storage cannot be opened.
    """
    build_sampler(settings, 0)
    build_pruner(settings)
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    params = [f"{name}={value}" for name, value in (settings.params or {}).items()]
    space = search_space([*params, *overrides], parser)
    if settings.sampler == "grid":
        space.combinations()
    if settings.storage is not None:
        open_storage(settings, Path())
    return space


def search(config: DictConfig, launcher: Launcher, overrides: Sequence[str]) -> None:
    """Run all trials of a search, and write `optimization_results.yaml`.

    A trial that fails does not end the search.

    Args:
      config: composed configuration with the node `hydra`.
      launcher: runs the jobs.
      overrides: overrides as typed.
    """
    settings = search_settings(container(config.hydra.sweeper, resolve=True))
    if settings is None:
        raise ConfigError("hydra/sweeper: the sweeper is not a search; use hydra/sweeper=search")
    space = check_search(settings, overrides)
    sweep = Sweep.join(Path(config.hydra.sweep.dir))
    storage = open_storage(settings, sweep.home)
    study = begin_study(settings, storage, settings.study_name or sweep.home.name, space)
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    end = len(waiting) if settings.sampler == "grid" else settings.n_trials
    write_study(sweep.invocation, study.study_name, end)
    for first in range(0, end, settings.n_jobs):
        trials = [
            _ask(study, settings, space, number)
            for number in range(first, min(first + settings.n_jobs, end))
        ]
        jobs = [space.overrides(trial.params) for trial in trials]
        results = launcher.launch(jobs, initial_job_idx=first)
        for trial, result in zip(trials, results, strict=True):
            _tell(study, trial, result)
    _report(study, space, Path(config.hydra.sweep.dir), overrides)


def _ask(study: optuna.Study, settings: SearchSettings, space: SearchSpace, number: int) -> Trial:
    study.sampler = build_sampler(settings, number)
    return study.ask(dict(space.distributions))


def _tell(study: optuna.Study, trial: Trial, result: JobReturn) -> None:
    if result.status != JobStatus.COMPLETED:  # the table of the sweep states the reason
        study.tell(trial, state=TrialState.FAIL)
    elif result.return_value == PRUNED:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        value: Any = result.return_value
        values = [float(one) for one in (value if isinstance(value, Sequence) else [value])]
        if any(map(math.isnan, values)):
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, values)


def _report(
    study: optuna.Study, space: SearchSpace, folder: Path, overrides: Sequence[str]
) -> None:
    """Print the best trials and write them to the folder of the invocation."""
    console = Console()
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    is_single = len(study.directions) == 1
    best = ([study.best_trial] if is_single else study.best_trials) if complete else []
    if is_single and best:
        found = {"best_params": dict(best[0].params), "best_value": best[0].value}
    else:
        found = {"solutions": [{"params": dict(t.params), "values": t.values} for t in best]}
    with replacing(folder / RESULTS) as part:
        part.write_text(
            yaml.safe_dump({"name": "optuna", **found}, sort_keys=False, allow_unicode=True),
            encoding="utf-8",
        )
    pruned = len(study.get_trials(deepcopy=False, states=(TrialState.PRUNED,)))
    counted = f"{len(complete)} of {len(study.trials)} trials have a score"
    counted += f", {pruned} pruned" if pruned else ""
    title = "best trial" if is_single else f"Pareto solutions ({len(best)})"
    console.print_result(f"search: {counted}; {title}:" if best else f"search: {counted}")
    for trial in best:
        name = job_name(space.overrides(trial.params), overrides)
        values = ", ".join(score_text(value) for value in trial.values)
        console.print_result(f"  job {trial.number}: {name}: {values}")
