"""The part of a sweep that Hydra calls: open it, run each job, and summarize it at the end.

Launchers of Hydra run jobs in this process one after another, in other processes at the same time,
or on a cluster. All jobs share only the folder of the invocation, which holds the opened sweep.
"""

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from ecgexp.cli.streams import soften
from ecgexp.config.compose import (
    build_experiment,
    explain,
    for_the_record,
    notes,
    plain,
    sweep_settings,
    to_yaml,
)
from ecgexp.config.untrusted_overrides import check_typed_once
from ecgexp.evaluation.names import better_by
from ecgexp.privacy.keyed_digests import DigestKey
from ecgexp.settings.build import build_node
from ecgexp.settings.declaration import ConfigError, DataError, JobFailed
from ecgexp.settings.paths import counted_from
from ecgexp.settings.redaction import redact
from ecgexp.storage.atomic import remove_litter_below
from ecgexp.storage.scratch import use_own_scratch
from ecgexp.sweeps.attempts import Attempt
from ecgexp.sweeps.closing import Closed, close, create_parent_run
from ecgexp.sweeps.cores import share_cores
from ecgexp.sweeps.identity import command, job_name
from ecgexp.sweeps.sweep import Sweep, read_pointer
from ecgexp.tracking.base import Tracker, TrackerUnavailable
from ecgexp.tracking.ending import complete
from ecgexp.tracking.local.checkpoint_folder import remove_checkpoints
from ecgexp.tracking.local.hydra_files import clean_multirun, write_notes
from ecgexp.tracking.local.lock import (
    check_free,
    discard,
    discard_unheld,
    free_beside,
    hold,
    move_log,
)
from ecgexp.tracking.local.result import Result, read_result
from ecgexp.tracking.local.run_json import NAME
from ecgexp.tracking.publishing import publishing_of
from ecgexp.tracking.settings import Tracking
from ecgexp.training.checkpointing.manager import has_training_state

if TYPE_CHECKING:
    from ecgexp.experiment.experiment import Experiment

_log = logging.getLogger(__name__)
_GRID = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"

# The multirun of this process; jobs in other processes read it from the invocation's folder.
_opened: tuple[Sweep, Tracker, ExitStack] | None = None


class Opening(Callback):
    """Hydra callback, configured in `hydra.callbacks`, that opens the sweep."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Validates all jobs of a grid before the first one runs, then creates the parent run.

        Hydra turns an exception of a callback into a warning and continues, so an error is printed
        here and raised as `SystemExit`.

        Raises:
          SystemExit: a job is invalid, or the folder or store of the sweep cannot be used.
        """
        global _opened
        HydraConfig.instance().set_config(config)
        try:
            _opened = _open(config)
        except (HydraException, OmegaConfBaseException) as error:
            _refuse(explain(error, config.hydra.overrides.task))
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
    _check_direction(config.hydra.sweeper, settings.objectives, shared.selection)
    jobs = _grid(config, overrides)
    planned = None
    if jobs is not None:
        _check_all(config, jobs)
        planned = [job_name(job, overrides) for job in jobs]
    sweep = Sweep.open(Path(config.hydra.sweep.dir), overrides, planned, settings)
    with counted_from(Path.cwd()):
        tracking = build_node(plain(shared)["tracking"], "tracking", Tracking)
    with ExitStack() as stack:
        stack.enter_context(_held(sweep))
        parent = create_parent_run(sweep, tracking, command(overrides, multirun=True))
        opened = sweep.with_parent(parent.run_id, private_dir=tracking.private_dir())
        held = stack.pop_all()
    return opened, parent, held


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
    if config.hydra.sweeper._target_ != _GRID:
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


def _check_direction(sweeper: Any, objectives: tuple[str, ...] | None, selection: Any) -> None:
    """Checks that the sweeper optimizes each objective in the right direction.

    Optuna minimizes by default, so it would search for the lowest accuracy.

    Raises:
      ConfigError: the sweeper minimizes a metric that should be large, or maximizes a loss.
    """
    direction = sweeper.get("direction")
    if direction is None:
        return
    listed = [
        str(getattr(one, "name", one))
        for one in ([direction] if isinstance(direction, str | Enum) else direction)
    ]
    names = objectives or (f"validation/{selection.metric}", "privacy/epsilon")
    modes = [better_by(name) for name in names]
    if objectives is None:
        modes[0] = selection.mode
    right = [
        {"max": "maximize", "min": "minimize", None: one}[mode]
        for mode, one in zip(modes, listed, strict=False)
    ]
    for name, one, wanted in zip(names, listed, right, strict=False):
        if one != wanted:
            remedy = right[0] if len(listed) == 1 else f"[{','.join(right)}]"
            raise ConfigError(
                f"hydra.sweeper.direction={one} would search for the worst {name}; use "
                f"hydra.sweeper.direction={remedy}"
            )


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
      ConfigError: a job is invalid (the message is that of its own run), or two jobs are equal (the
        message names both).
    """
    seen: list[Any] = []
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


def run_job(config: DictConfig, run_dir: Path) -> float | tuple[float, ...] | None:
    """Runs one job, in this process or in that of a launcher.

    Args:
      config: the composed configuration.
      run_dir: folder that Hydra made for the job.

    Returns:
      The values of the objectives; None if the sweeper needs none.

    Raises:
      JobFailed: the job did not finish; its attempt, run and log state the reason.
    """
    use_own_scratch()  # in a process of a launcher
    soften()  # a launcher's process has streams of its own
    hydra = HydraConfig.get()
    # If a sweep is resumed in its folder, the runs of earlier jobs are there.
    run_dir = free_beside(run_dir)
    move_log(run_dir)
    share_cores(hydra.launcher)
    number, overrides = int(hydra.job.num), list(hydra.overrides.task)
    name = " ".join(overrides)
    try:
        sweep = Sweep.join(Path(hydra.sweep.dir))
        name, values = job_name(overrides, sweep.typed), for_the_record(config)
        digest = sweep.digest_of(values)
        experiment = build_experiment(config, base_dir=Path.cwd())
        objectives = _Objectives(
            sweep.settings.objectives, hydra.sweeper, experiment.selection.metric
        )
        objectives.check(experiment.evaluate_on)
        _complete_ended(sweep, digest)
        kept = sweep.kept(digest, lambda: _data_digest(experiment, run_dir))
        if kept is not None:
            sweep.note(number, name, digest, "kept")
            discard_unheld(run_dir)
            move_log(None)
            _log.info("job %d: %s has finished already, in %s", number, name, kept.run_dir)
            return objectives.of(kept.metrics, {})
        sweep.note(number, name, digest, "ran")
        result = _train(experiment, config, run_dir, sweep, name=name, digest=digest, values=values)
        return objectives.of(result.metrics, result.undefined)
    except Exception as error:  # noqa: BLE001 - any error is recorded, and other jobs run
        if not isinstance(error, ConfigError | DataError):
            _log.exception("job %d: %s failed", number, name)
        why = redact(f"{name}: {error}")
        print(redact(f"ecgexp: job {number} ({name}): {error}"), file=sys.stderr)
        raise JobFailed(why) from None


def _complete_ended(sweep: Sweep, digest: str) -> None:
    """Completes earlier runs of that job that finished but were killed before they were complete.

    Their results are then used. A run that is locked or damaged, or whose store does not answer, is
    left to `ecgexp-sync`.
    """
    for attempt in sweep.ended(digest):
        folder = Path(attempt.run_dir)
        try:
            with hold(folder, new=False, setting="hydra.sweep.dir"):
                sweep.adopt(attempt, read_result(folder))
                complete(folder)
        except (ConfigError, DataError, TrackerUnavailable, OSError) as error:
            _log.warning(
                "%s could not be completed (%s); use ecgexp-sync %s",
                folder,
                redact(str(error)),
                folder,
            )


def _close_replaced(sweep: Sweep, digest: str, *, by: Path) -> None:
    """Closes earlier runs of that job that were killed before any training; `by` replaces them."""
    for attempt in sweep.replaced(digest):
        folder = Path(attempt.run_dir)
        if folder == by or not (folder / NAME).is_file():
            continue
        try:
            with hold(folder, new=False, setting="hydra.sweep.dir"):
                complete(folder)
                if not has_training_state(folder):
                    # A process that was killed while it wrote its first checkpoint leaves a part.
                    remove_checkpoints(folder)
        except (ConfigError, DataError, TrackerUnavailable, OSError) as error:
            _log.warning(
                "the run in %s, which %s replaces, could not be closed (%s); use ecgexp-sync %s",
                folder,
                by,
                redact(str(error)),
                folder,
            )


def _data_digest(experiment: "Experiment", run_dir: Path) -> str:
    """Returns the keyed digest of a job's beats, which identifies them among jobs of a sweep.

    Log lines and errors that may quote beats are withheld where the experiment withholds values.
    """
    publishing = publishing_of(run_dir, withholds=experiment.withholds)
    try:
        with publishing.logging():
            return DigestKey.of(experiment.tracking.private_dir()).digest(
                experiment.dataset.load().digest
            )
    except Exception as error:  # noqa: BLE001 - the message of any error may quote beats
        raise publishing.error(error) from None


def _train(
    experiment: "Experiment",
    config: DictConfig,
    run_dir: Path,
    sweep: Sweep,
    *,
    name: str,
    digest: str,
    values: Mapping[str, Any],
) -> Result:
    from ecgexp.experiment.run import run

    command_line = command(list(HydraConfig.get().overrides.task))
    earlier = sweep.unfinished(digest)
    if earlier is not None:
        discard_unheld(run_dir)
        run_dir = Path(earlier.run_dir)
    _close_replaced(sweep, digest, by=run_dir.absolute())
    attempt = Attempt(
        digest=digest, name=name, command=command_line, run_dir=str(run_dir.absolute())
    )
    tags = {"command": command_line, "job.digest": digest, "sweep": sweep.home.name}
    if sweep.parent_id is not None:
        tags["mlflow.parentRunId"] = sweep.parent_id
    with (
        sweep.attempt(attempt) as running,
        hold(run_dir, new=earlier is None, setting="hydra.sweep.dir"),
    ):
        move_log(run_dir)
        if earlier is None:
            write_notes(run_dir, notes(config, HydraConfig.get()))
        result = run(
            experiment,
            run_dir,
            config=values,
            resolved_yaml=to_yaml(dict(values)),
            name=name,
            tags=tags,
            admit=running.admit,
            resume=earlier is not None,
        )
        running.finish(result)
    return result


class _Objectives:
    """The metrics of a finished job that the sweeper optimizes.

    Args:
      names: metric keys from `sweep.objectives`; None: the selection metric on validation beats
        and, for a second direction, ε.
      sweeper: Hydra's configuration of the sweeper.
      selection_metric: metric by which the model of a run is selected.

    Raises:
      ConfigError: the numbers of directions and objectives differ.
    """

    def __init__(
        self, names: tuple[str, ...] | None, sweeper: Mapping[str, Any], selection_metric: str
    ):
        given = sweeper.get("direction")
        directions = None if given is None or isinstance(given, str | Enum) else list(given)
        searches = sweeper["_target_"] != _GRID
        by_default = (f"validation/{selection_metric}", "privacy/epsilon")[
            : 1 if directions is None else len(directions)
        ]
        self._names = names or by_default
        self._needed = names is not None or searches
        if directions is not None and len(directions) != len(self._names):
            raise ConfigError(
                f"hydra.sweeper.direction={directions} has {len(directions)} directions for "
                f"{len(self._names)} objectives; use sweep.objectives=[…] with as many metrics"
            )

    def check(self, evaluate_on: Sequence[str]) -> None:
        """Checks, before training, that the split of each objective is evaluated at the end.

        Args:
          evaluate_on: splits that are evaluated.

        Raises:
          ConfigError: one is not; the message names the objective.
        """
        for name in self._names if self._needed else ():
            split = name.partition("/")[0]
            if split in ("validation", "test") and split not in evaluate_on:
                raise ConfigError(
                    f"sweep.objectives: {name} is an objective, but evaluate_on="
                    f"[{','.join(evaluate_on)}] does not evaluate {split} beats; use "
                    f"evaluate_on=[{','.join([*evaluate_on, split])}]"
                )

    def of(
        self, metrics: Mapping[str, float], undefined: Mapping[str, str]
    ) -> float | tuple[float, ...] | None:
        """Returns the values of the objectives.

        Args:
          metrics: final metrics of the run.
          undefined: metric key -> reason, of metrics without a value.

        Returns:
          One value per objective; a number if there is one objective; None if there is no value and
          the sweeper needs none.

        Raises:
          ConfigError: an objective that the sweeper needs has no value.
        """
        missing = [name for name in self._names if name not in metrics]
        if missing and self._needed:
            why = f" ({undefined[missing[0]]})" if missing[0] in undefined else ""
            raise ConfigError(
                f"sweep.objectives: {missing[0]} has no value in this run{why}, so the search "
                f"cannot rank it; use metrics that the run has: {', '.join(sorted(metrics))}"
            )
        if missing:
            return None
        values = tuple(metrics[name] for name in self._names)
        return values[0] if len(values) == 1 else values


def finish(error: BaseException | None) -> Closed | None:
    """Ends the multirun of this process: summarizes the jobs and closes the parent run.

    Args:
      error: the exception that ended the multirun early; None: it ran to its end.

    Returns:
      The summary; None if no multirun was opened in this process.
    """
    global _opened
    if _opened is None:
        return None
    (sweep, parent, held), _opened = _opened, None
    with held:
        return close(sweep, parent, interrupted=isinstance(error, KeyboardInterrupt | SystemExit))
