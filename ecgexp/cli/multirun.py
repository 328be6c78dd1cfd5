"""Hydra's side of a sweep: it is opened before the first job, each job asks it in its own process, and the end sums it up.

Hydra's launchers run the jobs where they will: in this process one after another, in others at once, on a cluster. All they
share is the folder of the invocation, in which the opened sweep is written down.
"""

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn

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
from ecgexp.tracking.withheld import publishing_of
from ecgexp.training.checkpointing.manager import has_training_state

_log = logging.getLogger(__name__)
_GRID = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"

# Of this process's multirun; jobs in other processes read it from the invocation's folder.
_opened: tuple[Sweep, Tracker, ExitStack] | None = None


class Opening(Callback):
    """Opens the sweep: named in `hydra.callbacks`, built by Hydra."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Checks every job of a grid before any runs, then makes the parent run.

        Hydra turns a callback's exceptions into warnings and goes on, so a refusal leaves by `SystemExit`.
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
    typed = list(config.hydra.overrides.task)
    check_typed_once([*config.hydra.overrides.hydra, *typed])
    parsed = OverridesParser.create(
        config_loader=GlobalHydra.instance().config_loader()
    ).parse_overrides(typed)
    # In a multirun Hydra composes without the overrides of the jobs; what all jobs share is composed here.
    shared = _compose(
        config,
        [text for text, one in zip(typed, parsed, strict=True) if not one.is_sweep_override()],
    )
    settings = sweep_settings(shared)
    if shared.resume is not None:
        raise ConfigError(
            f"resume={shared.resume} goes on with one run; leave -m out. A sweep goes on when it is typed again"
        )
    _check_direction(config.hydra.sweeper, settings.objectives, shared.selection)
    jobs = _grid(config, typed)
    planned = None
    if jobs is not None:
        _check_all(config, jobs)
        planned = [job_name(overrides, typed) for overrides in jobs]
    sweep = Sweep.open(Path(config.hydra.sweep.dir), typed, planned, settings)
    with counted_from(Path.cwd()):
        tracking = build_node(plain(shared)["tracking"], "tracking")
    with ExitStack() as stack:
        stack.enter_context(_held(sweep))
        parent = create_parent_run(sweep, tracking, command(typed, multirun=True))
        opened = sweep.with_parent(parent.run_id, private_dir=tracking.private_dir())
        held = stack.pop_all()
    return opened, parent, held


@contextmanager
def _held(sweep: Sweep) -> Iterator[None]:
    """The folder of the invocation: new, or that of an earlier invocation of the same sweep, which has ended.

    Raises:
      ConfigError: it holds a run or another sweep, or another process is at work in it.
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
            discard(folder)  # which holds nothing yet if the store refused the sweep


def _home_of(invocation: Path) -> str | None:
    """The folder of the sweep that an earlier invocation belongs to; None where there is none, or nobody can tell."""
    try:
        return read_pointer(invocation)["home"]
    except DataError:
        return None


def _grid(config: DictConfig, typed: list[str]) -> list[list[str]] | None:
    """The overrides of every job of Hydra's own sweeper; None for sweepers that make jobs up as they go.

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
        for batch in BasicSweeper.split_arguments(parser.parse_overrides([*params, *typed]), None)
        for job in batch
    ]


def _check_direction(sweeper: Any, objectives: tuple[str, ...] | None, selection: Any) -> None:
    """Refuses to look for the worst model, as Optuna's own settings would, or the usual ones by a loss.

    Raises:
      ConfigError: the sweeper minimizes what is better the larger it is, or the other way round.
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
            told = right[0] if len(listed) == 1 else f"[{','.join(right)}]"
            raise ConfigError(
                f"hydra.sweeper.direction={one} would look for the worst {name}; use hydra.sweeper.direction={told}"
            )


def _compose(config: DictConfig, overrides: list[str]) -> DictConfig:
    """What a job with these overrides would be given."""
    task = GlobalHydra.instance().config_loader().load_sweep_config(config, overrides)
    OmegaConf.set_readonly(task, False)
    with open_dict(task):
        del task["hydra"]
    return task


def _check_all(config: DictConfig, jobs: list[list[str]]) -> None:
    """Refuses a job that could not run, in the words that its own run would end with, and a job that is there twice.

    Raises:
      ConfigError: as said; of two equal jobs both are named.
    """
    seen: list[Any] = []
    for number, overrides in enumerate(jobs):
        try:
            seen.append(build_experiment(_compose(config, overrides), base_dir=Path.cwd()))
        except ConfigError as error:
            raise ConfigError(f"{' '.join(overrides)}: {error}") from error
        if (earlier := seen.index(seen[-1])) != number:
            raise ConfigError(
                f"{' '.join(jobs[earlier])} (job {earlier}) and {' '.join(overrides)} (job {number}) are the same run, which "
                "would count twice; list each value once"
            )


def run_job(config: DictConfig, run_dir: Path) -> float | tuple[float, ...] | None:
    """One job, in whatever process; returns what the sweeper optimizes.

    Raises:
      JobFailed: it did not finish; the reason is in its attempt, its run and its log.
    """
    use_own_scratch()  # in a process of a launcher
    soften()  # a launcher's process has streams of its own
    hydra = HydraConfig.get()
    run_dir = free_beside(
        run_dir
    )  # the folder of a sweep that goes on has the runs of its earlier jobs
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
            _log.info("job %d: %s is done already, in %s", number, name, kept.run_dir)
            return objectives.of(kept.metrics, {})
        sweep.note(number, name, digest, "ran")
        result = _train(experiment, config, run_dir, sweep, name=name, digest=digest, values=values)
        return objectives.of(result.metrics, result.undefined)
    except Exception as error:  # noqa: BLE001 - whatever it was must reach the table, and the other jobs must run
        if not isinstance(error, ConfigError | DataError):
            _log.exception("job %d: %s failed", number, name)
        why = redact(f"{name}: {error}")
        print(redact(f"ecgexp: job {number} ({name}): {error}"), file=sys.stderr)
        raise JobFailed(why) from None


def _complete_ended(sweep: Sweep, digest: str) -> None:
    """Completes the end of runs of that job whose process was killed after they had finished; they are kept then.

    The end of a run that is in use, damaged, or whose store does not answer is left to `ecgexp-sync`.
    """
    for attempt in sweep.ended(digest):
        folder = Path(attempt.run_dir)
        try:
            with hold(folder, new=False, setting="hydra.sweep.dir"):
                sweep.adopt(attempt, read_result(folder))
                complete(folder)
        except (ConfigError, DataError, TrackerUnavailable, OSError) as error:
            _log.warning(
                "the end of %s could not be completed (%s); use ecgexp-sync %s",
                folder,
                redact(str(error)),
                folder,
            )


def _close_replaced(sweep: Sweep, digest: str, *, by: Path) -> None:
    """Closes the runs of that job which were killed before they had trained anything, and which the run in `by` replaces."""
    for attempt in sweep.replaced(digest):
        folder = Path(attempt.run_dir)
        if folder == by or not (folder / NAME).is_file():
            continue
        try:
            with hold(folder, new=False, setting="hydra.sweep.dir"):
                complete(folder)
                if not has_training_state(folder):
                    remove_checkpoints(
                        folder
                    )  # what a process left that was killed while it wrote the first
        except (ConfigError, DataError, TrackerUnavailable, OSError) as error:
            _log.warning("the run in %s, which %s replaces, could not be closed (%s); use ecgexp-sync %s",
                         folder, by, redact(str(error)), folder)  # fmt: skip


def _data_digest(experiment: Any, run_dir: Path) -> str:
    """The keyed digest by which the beats of an earlier job are recognized; what is said of the beats is withheld."""
    publishing = publishing_of(run_dir, withholds=experiment.withholds)
    try:
        with publishing.logging():
            return DigestKey.of(experiment.tracking.private_dir()).digest(
                experiment.dataset.load().digest
            )
    except Exception as error:  # noqa: BLE001 - whatever it was, its message may quote beats
        raise publishing.error(error) from None


def _train(
    experiment: Any,
    config: DictConfig,
    run_dir: Path,
    sweep: Sweep,
    *,
    name: str,
    digest: str,
    values: Mapping[str, Any],
) -> Result:
    from ecgexp.experiment.run import run

    typed = command(list(HydraConfig.get().overrides.task))
    earlier = sweep.unfinished(digest)
    if earlier is not None:
        discard_unheld(run_dir)
        run_dir = Path(earlier.run_dir)
    _close_replaced(sweep, digest, by=run_dir.absolute())
    attempt = Attempt(digest=digest, name=name, command=typed, run_dir=str(run_dir.absolute()))
    tags = {"command": typed, "job.digest": digest, "sweep": sweep.home.name}
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
    """What a sweeper is given of a finished job."""

    def __init__(
        self, names: tuple[str, ...] | None, sweeper: Mapping[str, Any], selection_metric: str
    ):
        directions = sweeper.get("direction")
        several = directions is not None and not isinstance(directions, str | Enum)
        searches = sweeper["_target_"] != _GRID
        usual = (f"validation/{selection_metric}", "privacy/epsilon")[
            : len(directions) if several else 1
        ]
        self._names = names or usual
        self._needed = names is not None or searches
        if several and len(directions) != len(self._names):
            raise ConfigError(
                f"hydra.sweeper.direction={list(directions)} has {len(directions)} directions for {len(self._names)} objectives; "
                f"type sweep.objectives=[…] with as many metrics"
            )

    def check(self, evaluate_on: Sequence[str]) -> None:
        """Refuses, before training, an objective of a split that is not scored at the end.

        Raises:
          ConfigError: names the objective.
        """
        for name in self._names if self._needed else ():
            split = name.partition("/")[0]
            if split in ("validation", "test") and split not in evaluate_on:
                raise ConfigError(
                    f"sweep.objectives: {name} is asked for, and evaluate_on=[{','.join(evaluate_on)}] does not score {split} "
                    f"beats; type evaluate_on=[{','.join([*evaluate_on, split])}]"
                )

    def of(
        self, metrics: Mapping[str, float], undefined: Mapping[str, str]
    ) -> float | tuple[float, ...] | None:
        missing = [name for name in self._names if name not in metrics]
        if missing and self._needed:
            why = f" ({undefined[missing[0]]})" if missing[0] in undefined else ""
            raise ConfigError(
                f"sweep.objectives: {missing[0]} has no value in this run{why}, so that the search cannot rank it; the run has "
                f"{', '.join(sorted(metrics))}"
            )
        if missing:
            return None
        values = tuple(metrics[name] for name in self._names)
        return values[0] if len(values) == 1 else values


def finish(error: BaseException | None) -> Closed | None:
    """Ends the multirun of this process: sums up, closes the parent run; None if none was opened.

    Args:
      error: what ended it before its time.
    """
    global _opened
    if _opened is None:
        return None
    (sweep, parent, held), _opened = _opened, None
    with held:
        return close(sweep, parent, interrupted=isinstance(error, KeyboardInterrupt | SystemExit))
