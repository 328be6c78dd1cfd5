"""The part of a multirun that the main process does: open the sweep, and summarize it at the end.

The jobs are in `job`.
Launchers of Hydra run jobs in this process one after another, in other processes at the same time,
or on a cluster. All jobs share only the folder of the invocation, which holds the opened sweep.
"""

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from ecgexp.config.compose import (
    build_experiment,
    explain,
    own_folder_of,
    plain,
    sweep_settings,
)
from ecgexp.config.untrusted_overrides import check_typed_once, container
from ecgexp.console import Console
from ecgexp.settings.build import build_node
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.settings.paths import counted_from
from ecgexp.settings.redaction import redact
from ecgexp.storage.atomic import remove_litter_below
from ecgexp.sweeps.closing import close, create_parent_run
from ecgexp.sweeps.cores import runs_here
from ecgexp.sweeps.display import SweepDisplay
from ecgexp.sweeps.identity import command, job_name
from ecgexp.sweeps.invocation import read_pointer
from ecgexp.sweeps.objectives import GRID, Objectives, check_direction
from ecgexp.sweeps.ray_jobs import ray_settings
from ecgexp.sweeps.search_settings import search_settings
from ecgexp.sweeps.summary import Closed
from ecgexp.sweeps.sweep import Sweep
from ecgexp.tracking.base import Tracker
from ecgexp.tracking.local.hydra_files import clean_multirun
from ecgexp.tracking.local.lock import check_free, discard, hold
from ecgexp.tracking.settings import Tracking

if TYPE_CHECKING:
    from ecgexp.experiment.experiment import Experiment

# The multirun of this process; jobs in other processes read it from the invocation's folder.
_opened: tuple[Sweep, Tracker, ExitStack] | None = None
_display: SweepDisplay | None = None


class Opening(Callback):
    """Hydra callback, configured in `hydra.callbacks`, that opens the sweep."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Validates all jobs of a grid before the first one runs, then creates the parent run.

        Hydra turns an exception of a callback into a warning and continues, so an error is printed
        here and raised as `SystemExit`.

        Raises:
          SystemExit: a job is invalid, or the folder or store of the sweep cannot be used.
        """
        global _opened, _display
        HydraConfig.instance().set_config(config)
        try:
            _opened = _open(config)
            _display = SweepDisplay(_opened[0], Console())
            _display.start()
        except (HydraException, OmegaConfBaseException) as error:
            _refuse(explain(error, config.hydra.overrides.task, own=own_folder_of(config.hydra)))
        except (ConfigError, DataError) as error:
            _refuse(error)


def _refuse(error: Exception) -> NoReturn:
    print(redact(f"ecgexp: {error}"), file=sys.stderr)
    sys.exit(2 if isinstance(error, ConfigError) else 1)


def _open(config: DictConfig) -> tuple[Sweep, Tracker, ExitStack]:
    overrides = list(config.hydra.overrides.task)
    check_typed_once([*config.hydra.overrides.hydra, *overrides])
    parsed = OverridesParser.create(
        config_loader=GlobalHydra.instance().config_loader()
    ).parse_overrides(overrides)
    # In a multirun Hydra composes without task overrides; those that all jobs share are added here.
    shared = _compose(
        config,
        [text for text, one in zip(overrides, parsed, strict=True) if not one.is_sweep_override()],
    )
    settings = sweep_settings(shared)
    if shared.resume is not None:
        raise ConfigError(
            f"resume={shared.resume} resumes one run, and -m starts a sweep; leave -m out, or, to "
            "resume a sweep, use its own command again"
        )
    sweeper = container(config.hydra.sweeper, resolve=True)
    search = search_settings(sweeper)
    ray_settings(container(config.hydra.launcher, resolve=True))
    _check_slurm(str(config.hydra.launcher._target_))
    check_direction(sweeper, settings.objectives, shared.selection)
    objectives = Objectives(settings.objectives, sweeper, shared.selection.metric)
    if search is not None:
        from ecgexp.sweeps.search import check_search

        check_search(search, overrides)
        if search.pruner != "none":
            objectives.of_each_epoch()
    jobs = _grid(config, overrides)
    planned = None
    if jobs is not None:
        _check_all(config, jobs)
        planned = [job_name(job, overrides) for job in jobs]
    elif runs_here(config.hydra.launcher):
        _check_search(shared, overrides)
    sweep = Sweep.open(Path(config.hydra.sweep.dir), overrides, planned, settings)
    with counted_from(Path.cwd()):
        tracking = build_node(plain(shared)["tracking"], "tracking", Tracking)
    typed = command(overrides, multirun=True, config_dir=own_folder_of(config.hydra))
    with ExitStack() as stack:
        stack.enter_context(_held(sweep))
        parent = create_parent_run(sweep, tracking, typed)
        opened = sweep.with_parent(parent.run_id, private_dir=tracking.private_dir())
        held = stack.pop_all()
    return opened, parent, held


def _check_slurm(launcher: str) -> None:
    """Checks that a launcher that submits to SLURM can do so.

    Raises:
      ConfigError: a command of SLURM is missing.
    """
    if not launcher.endswith(".SlurmLauncher"):
        return
    if missing := [name for name in ("srun", "sbatch") if shutil.which(name) is None]:
        raise ConfigError(
            f"hydra/launcher=slurm: {' and '.join(missing)} cannot be found, so this machine does "
            "not submit to SLURM; use the command on a login node, or hydra/launcher=slurm_here."
        )


@contextmanager
def _held(sweep: Sweep) -> Iterator[None]:
    """Locks the folder of the invocation for the duration of the block.

    The folder is new, or that of an earlier invocation of the same sweep that has ended.

    Raises:
      ConfigError: the folder holds a run or another sweep, or another process is using it.
    """
    folder = sweep.invocation
    is_same = _home_of(folder) == str(sweep.home)
    if not is_same:
        check_free(folder, setting="hydra.sweep.dir")
    folder.mkdir(parents=True, exist_ok=True)
    with hold(folder, new=not is_same, setting="hydra.sweep.dir"):
        remove_litter_below(sweep.home)
        try:
            yield
        finally:
            clean_multirun(folder)
            discard(folder)  # does nothing unless the folder is empty, after an error of the store


def _home_of(invocation: Path) -> str | None:
    """Returns the folder of the sweep of an earlier invocation; None if it cannot be read."""
    try:
        return read_pointer(invocation)["home"]
    except DataError:
        return None


def _grid(config: DictConfig, overrides: list[str]) -> list[list[str]] | None:
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


def _compose(config: DictConfig, overrides: list[str]) -> DictConfig:
    """Composes the configuration of a job with these overrides."""
    task = GlobalHydra.instance().config_loader().load_sweep_config(config, overrides)
    OmegaConf.set_readonly(task, False)
    with open_dict(task):
        del task["hydra"]
    return task


def _check_all(config: DictConfig, jobs: list[list[str]]) -> None:
    """Validates all jobs of a grid.

    Raises:
      ConfigError: a job is invalid (the message is that of its own run), two jobs are equal (the
        message names both), or this machine lacks what a job needs.
      DataError: the database of a job is missing.
    """
    seen: list[Experiment] = []
    for number, overrides in enumerate(jobs):
        try:
            seen.append(build_experiment(_compose(config, overrides), base_dir=Path.cwd()))
            seen[-1].trainer.check_installed()
        except ConfigError as error:
            raise ConfigError(f"{' '.join(overrides)}: {error}") from error
        if (earlier := seen.index(seen[-1])) != number:
            raise ConfigError(
                f"{' '.join(jobs[earlier])} (job {earlier}) and {' '.join(overrides)} "
                f"(job {number}) are the same run, which would count twice; use each value once"
            )
    if runs_here(config.hydra.launcher):
        _check_can_start(seen, jobs)


def _check_search(shared: DictConfig, overrides: list[str]) -> None:
    """Checks that this machine has what all jobs of a search need; see `_check_can_start`."""
    try:
        experiment = build_experiment(shared, base_dir=Path.cwd())
    except ConfigError:  # a setting that the search chooses is missing
        return
    _check_can_start([experiment], [overrides])


def _check_can_start(experiments: "Sequence[Experiment]", jobs: list[list[str]]) -> None:
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


def finish(error: BaseException | None) -> Closed | None:
    """Ends the multirun of this process: summarizes the jobs and closes the parent run.

    Args:
      error: the exception that ended the multirun early; None: it ran to its end.

    Returns:
      The summary; None if no multirun was opened in this process.
    """
    global _opened, _display
    if _display is not None:
        display, _display = _display, None
        display.stop()
    if _opened is None:
        return None
    (sweep, parent, held), _opened = _opened, None
    with held:
        return close(sweep, parent, interrupted=isinstance(error, KeyboardInterrupt | SystemExit))
