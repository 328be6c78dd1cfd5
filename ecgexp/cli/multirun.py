"""The part of a multirun that the main process does: open the sweep, and summarize it at the end.

The jobs are in `job`.
Launchers of Hydra run jobs in this process one after another, in other processes at the same time,
or on a cluster. All jobs share only the folder of the invocation, which holds the opened sweep.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ecgexp.cli.multirun_checks import check_grid, check_search_jobs, compose_job, jobs_of_grid
from ecgexp.config.compose import (
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
from ecgexp.sweeps.display import SweepDisplay
from ecgexp.sweeps.identity import command, job_name
from ecgexp.sweeps.invocation import read_pointer
from ecgexp.sweeps.objectives import Objectives, check_direction
from ecgexp.sweeps.ray_jobs import ray_settings
from ecgexp.sweeps.search_settings import search_settings
from ecgexp.sweeps.summary import Closed
from ecgexp.sweeps.sweep import Sweep
from ecgexp.tracking.base import Tracker
from ecgexp.tracking.local.hydra_files import clean_multirun
from ecgexp.tracking.local.lock import check_free, discard, hold
from ecgexp.tracking.settings import Tracking

if TYPE_CHECKING:
    pass

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
    sys.exit(2)


def _open(config: DictConfig) -> tuple[Sweep, Tracker, ExitStack]:
    overrides = list(config.hydra.overrides.task)
    check_typed_once([*config.hydra.overrides.hydra, *overrides])
    parsed = OverridesParser.create(
        config_loader=GlobalHydra.instance().config_loader()
    ).parse_overrides(overrides)
    # In a multirun Hydra composes without task overrides; those that all jobs share are added here.
    shared = compose_job(
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
    space = None
    if search is not None:
        from ecgexp.sweeps.search import check_search

        space = check_search(search, overrides)
        if search.pruner != "none":
            objectives.of_each_epoch()
    jobs = jobs_of_grid(config, overrides)
    planned = None
    if jobs is not None:
        check_grid(config, jobs, objectives)
        planned = [job_name(job, overrides) for job in jobs]
    elif space is not None:
        check_search_jobs(config, space, objectives)
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
