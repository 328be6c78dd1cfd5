"""Starts one run, or resumes it, from the composed configuration."""

import os
import sys
import time
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ecgexp.cli import ending
from ecgexp.config.untrusted_overrides import check_typed_once
from ecgexp.settings.declaration import ConfigError, DataError, MachineError


def start_or_resume(config: DictConfig, run_dir: Path) -> None:
    """Starts a run, or resumes the one of `resume=`; exits where its configuration is refused.

    Args:
      config: composed configuration.
      run_dir: folder of this command.
    """
    overrides = list(HydraConfig.get().overrides.task)
    try:
        _check_given_once(overrides, run_dir)
        if config.resume is not None:
            _resume(config, overrides, new_dir=run_dir)
        else:
            _start(config, run_dir)
    except (ConfigError, DataError, MachineError) as error:
        ending.fail(error)


def _check_given_once(overrides: list[str], run_dir: Path) -> None:
    """Checks that no setting is given twice; removes the run's folder if one is."""
    from ecgexp.tracking.local.lock import discard_unheld

    try:
        check_typed_once([*HydraConfig.get().overrides.hydra, *overrides])
    except ConfigError:
        discard_unheld(run_dir)
        raise


def _start(config: DictConfig, run_dir: Path) -> None:
    """Starts a new run; removes its folder if the run is refused before it begins."""
    from ecgexp.api.running import start_run
    from ecgexp.config.compose import command_settings
    from ecgexp.experiment.deadline import Deadline
    from ecgexp.tracking.local.lock import discard, hold

    with hold(run_dir, new=True):
        try:
            deadline = Deadline(minutes=command_settings(config).max_minutes, began=_began())
        except ConfigError:
            discard(run_dir)
            raise
        start_run(
            config,
            HydraConfig.get(),
            run_dir,
            deadline=deadline,
            on_accepted=lambda experiment: ending.remember(experiment, run_dir),
        )


def _resume(config: DictConfig, overrides: list[str], *, new_dir: Path) -> None:
    """Resumes a run, or completes it if it has finished; removes the folder of this command."""
    from ecgexp.cli.resume import how_killed, stored_config, working_folder
    from ecgexp.cli.run_argument import resumed_folder
    from ecgexp.config.compose import (
        build_experiment,
        command_settings,
        for_the_record,
        own_folder_of,
        to_yaml,
    )
    from ecgexp.experiment.deadline import Deadline
    from ecgexp.experiment.run import run
    from ecgexp.tracking.local.lock import discard_unheld, hold, move_log
    from ecgexp.tracking.local.run_json import has_finished

    discard_unheld(new_dir)
    name = _as_typed("resume", overrides) or str(config.resume)
    run_dir = resumed_folder(name)
    with hold(run_dir, new=False, setting="resume"):
        move_log(run_dir)
        ending.current.run_dir = run_dir
        if has_finished(run_dir):
            given = any(text.startswith("tracking.uri=") for text in overrides)
            _complete(run_dir, store=str(config.tracking.uri) if given else None)
            return
        stored = stored_config(run_dir, overrides, own=own_folder_of(HydraConfig.get()))
        os.chdir(working_folder(run_dir))
        values = for_the_record(stored)
        experiment = build_experiment(stored, base_dir=Path.cwd())
        ending.remember(experiment, run_dir)
        trainer = experiment.trainer
        if killed := how_killed(run_dir, trainer.step_name, trainer.num_steps):
            print(killed, file=sys.stderr)
        run(
            experiment,
            run_dir,
            config=values,
            resolved_yaml=to_yaml(values),
            deadline=Deadline(minutes=command_settings(stored).max_minutes, began=_began()),
            resume=True,
        )


def _began() -> float:
    """Returns when this process was started, by the clock of `time.monotonic`."""
    import psutil

    return time.monotonic() - max(0.0, time.time() - psutil.Process().create_time())


def _as_typed(key: str, overrides: list[str]) -> str | None:
    """Returns the text of an override if Hydra may have read it as a number: an id, `7294e12`."""
    typed = [text.partition("=")[2] for text in overrides if text.startswith(f"{key}=")]
    return typed[-1] if typed and typed[-1].isalnum() else None


def _complete(run_dir: Path, *, store: str | None) -> None:
    """Completes a finished run: sends pending entries and removes checkpoints.

    Args:
      run_dir: folder of the run, locked by this process.
      store: URI of its store, if that has moved.

    Raises:
      ConfigError: the run is complete.
      DataError: the store does not answer.
    """
    from ecgexp.tracking.base import TrackerUnavailable
    from ecgexp.tracking.credentials import with_credentials
    from ecgexp.tracking.ending import complete

    try:
        done = complete(run_dir, store=None if store is None else with_credentials(store))
    except TrackerUnavailable as error:
        raise DataError(
            f"resume={run_dir}: {error}; entries that were sent stay, use the same command again"
        ) from error
    if not done:
        raise ConfigError(
            f"resume={run_dir}: the run has finished; see its results in {run_dir}/result.json"
        )
    print(f"{run_dir}: the run had finished already, and was completed: {done}")
