"""Composes the configuration from the command line and runs the experiment or the sweep."""

import logging
import os
import signal
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ecgexp.cli import ending
from ecgexp.config.location import config_dir
from ecgexp.config.untrusted_overrides import check_typed_once, guard
from ecgexp.settings.declaration import (
    ConfigError,
    DataError,
    JobFailed,
    MachineError,
    OutOfTime,
)
from ecgexp.settings.installation import to_type
from ecgexp.settings.redaction import redact, redact_tracebacks
from ecgexp.storage.scratch import use_own_scratch
from ecgexp.sweeps.cores import workers
from ecgexp.tracking.credentials import without_credentials

if TYPE_CHECKING:
    from ecgexp.experiment.experiment import Experiment
    from ecgexp.sweeps.summary import Closed

_BAD_CONFIG, _BAD_DATA = 2, 1


def run_command() -> None:
    """Runs the command line.

    It exits with 2 for an invalid configuration, 1 for unusable data, 75 where `max_minutes` ended
    a run, and 128 plus the number of the signal that ended it.
    """
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors are explained below
    # TensorFlow logs harmless messages as errors whenever it is imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Under `uv run`, Ray's workers would rebuild the environment in a copy of the working folder
    # and write the results there: https://docs.ray.io/en/latest/ray-core/handling-dependencies.html
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    redact_tracebacks()
    use_own_scratch()
    _handle_signals()
    with ending.ending(sys.argv[1:]):
        _compose_and_explain()


def _compose_and_explain() -> None:
    """Runs the command line; an error that a user can fix is one line."""
    try:
        sys.argv[1:] = without_credentials(sys.argv[1:])
        _compose_and_run_all()
    except (HydraException, OmegaConfBaseException) as error:
        from ecgexp.config.compose import explain

        _fail(explain(error, sys.argv[1:]))
    except (ConfigError, DataError, MachineError) as error:
        _fail(error)
    except OSError as error:  # a full disk, a read-only folder
        advice = "use a writable folder with hydra.run.dir=… and tracking.uri=…, or free some space"
        _fail(OSError(f"{error}; {advice}"))
    except KeyboardInterrupt:
        sys.exit(130)


def _handle_signals() -> None:
    """Makes SIGTERM, which queues send, and Ctrl-C end a run in order, with status KILLED.

    A second signal ends the process at once.
    """

    def stop(number: int, _frame: object) -> None:
        for each in handled:
            signal.signal(each, signal.SIG_DFL)
        ending.current.signal = signal.Signals(number).name
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)

    # A shell starts background commands with Ctrl-C ignored; that is kept.
    handled = [
        each for each in (signal.SIGTERM, signal.SIGINT) if signal.getsignal(each) != signal.SIG_IGN
    ]
    for each in handled:
        signal.signal(each, stop)


def _compose_and_run_all() -> None:
    """Runs one run, or all jobs of a multirun, and prints the summary of a multirun."""
    if {"--help", "-h"} & set(sys.argv):
        _list_options_without_copies()
    _check_shown_once()
    guard()
    OmegaConf.register_new_resolver("ecgexp.workers", workers, replace=True)
    error: BaseException | None = None
    closed: Closed | None = None
    try:
        _compose_and_run()
    except JobFailed as failed:  # shown in the summary
        error = failed
    except BrokenProcessPool as broken:  # joblib's
        error = MachineError(
            "hydra/launcher=joblib: the process of a job was killed, perhaps for lack of memory, "
            "and joblib ended the others; use the same command again, with fewer jobs at a time"
        )
        raise error from broken
    except BaseException as ended:
        error = ended
        raise
    finally:
        if "ecgexp.cli.multirun" in sys.modules:  # not imported for --help, which must be fast
            from ecgexp.cli.multirun import finish

            closed = finish(error)
            if closed is not None:
                _show(closed)
    if closed is not None and closed.unfinished:
        sys.exit(OutOfTime.CODE if closed.is_out_of_time else 1)


def _check_shown_once() -> None:
    """Checks that a command that shows something does not also start a sweep.

    Raises:
      ConfigError: it does both.
    """
    words = [word.partition("=")[0] for word in sys.argv[1:]]
    shows = [word for word in words if word in ("--cfg", "-c", "--info", "-i")]
    if shows and {"-m", "--multirun"} & set(words):
        raise ConfigError(
            f"-m {shows[0]}: shows the configuration of one run, and -m starts a sweep; use "
            f"{shows[0]} without -m, with one value for each setting."
        )


def _list_options_without_copies() -> None:
    """Makes Hydra's help fast.

    For each config group Hydra 1.3 copies all registered settings before it lists the options,
    which takes half a second in total. To list options no copy is needed.
    """
    from hydra._internal.config_loader_impl import ConfigLoaderImpl

    ConfigLoaderImpl.get_group_options = (  # pyright: ignore[reportAttributeAccessIssue]  # it takes less than Hydra's own
        lambda self, group_name, results_filter=None, **_: self.repository.get_group_options(
            group_name, results_filter
        )
    )


def _show(closed: "Closed") -> None:
    from ecgexp.console import Console

    ending.current.values = closed.headline()
    console = Console()
    console.print_result(closed.table())
    for note in closed.notes():
        console.print_result(f"note: {note}")
    for row in closed.rows:
        if row.reason:
            console.print_result(f"job {row.number}: {row.reason}")
    if closed.privacy:
        console.print_result(closed.privacy)
    if closed.unfinished:
        console.print(
            f"{closed.unfinished} of {len(closed.rows)} jobs have no result; use the same command "
            f"again to run only these:\n{redact(to_type(['ecgexp', *sys.argv[1:]]))}"
        )
    console.print_result(closed.url_hint)
    console.print_result(f"report: {closed.report}")


@hydra.main(config_path=str(config_dir()), config_name="config", version_base="1.3")
def _compose_and_run(config: DictConfig) -> float | tuple[float, ...] | str | None:
    from ecgexp.cli.job import run_job

    run_dir = Path(HydraConfig.get().runtime.output_dir)
    # Relative paths are relative to the folder in which the command was started.
    if HydraConfig.get().job.chdir:
        os.chdir(HydraConfig.get().runtime.cwd)
    logging.captureWarnings(True)
    if OmegaConf.select(config, "console.json") is True:  # set in a file
        ending.current.use_json()
    if not OmegaConf.is_missing(HydraConfig.get().job, "num"):  # a job of a multirun
        return run_job(config, run_dir)
    return _run_one(config, run_dir)


def _run_one(config: DictConfig, run_dir: Path) -> None:
    overrides = list(HydraConfig.get().overrides.task)
    try:
        _check_given_once(overrides, run_dir)
        if config.resume is not None:
            _resume(config, overrides, new_dir=run_dir)
        else:
            _start(config, overrides, run_dir)
    except (ConfigError, DataError, MachineError) as error:
        _fail(error)


def _check_given_once(overrides: list[str], run_dir: Path) -> None:
    """Checks that no setting is given twice; removes the run's folder if one is."""
    from ecgexp.tracking.local.lock import discard_unheld

    try:
        check_typed_once([*HydraConfig.get().overrides.hydra, *overrides])
    except ConfigError:
        discard_unheld(run_dir)
        raise


def _start(config: DictConfig, overrides: list[str], run_dir: Path) -> None:
    """Starts a new run; removes its folder if the run is refused before it begins."""
    from ecgexp.config.compose import (
        build_experiment,
        chosen_options,
        command_settings,
        for_the_record,
        notes,
        sweep_settings,
        to_yaml,
    )
    from ecgexp.experiment.deadline import Deadline
    from ecgexp.experiment.run import run
    from ecgexp.sweeps.identity import command
    from ecgexp.tracking.local.hydra_files import write_notes
    from ecgexp.tracking.local.lock import discard, hold

    with hold(run_dir, new=True):
        try:
            sweep_settings(config).check_single_run()
            deadline = Deadline(minutes=command_settings(config).max_minutes, began=_began())
            experiment, values = (
                build_experiment(config, base_dir=Path.cwd()),
                for_the_record(config),
            )
            experiment.check_can_start()  # before the import of what a run needs
            write_notes(run_dir, notes(config, HydraConfig.get()))
            _remember(experiment, run_dir)
            chosen = chosen_options(HydraConfig.get())
            run(
                experiment,
                run_dir,
                config=values,
                resolved_yaml=to_yaml(values),
                name=" ".join([*chosen.values(), f"seed {experiment.seed}"]),
                tags={"command": command(overrides), **chosen},
                deadline=deadline,
            )
        except (ConfigError, DataError, KeyboardInterrupt, SystemExit):
            discard(run_dir)  # does nothing where the run has begun
            raise


def _resume(config: DictConfig, overrides: list[str], *, new_dir: Path) -> None:
    """Resumes a run, or completes it if it has finished; removes the folder of this command."""
    from ecgexp.cli.resume import stored_config, working_folder
    from ecgexp.cli.run_argument import named_folder
    from ecgexp.config.compose import build_experiment, command_settings, for_the_record, to_yaml
    from ecgexp.experiment.deadline import Deadline
    from ecgexp.experiment.run import run
    from ecgexp.tracking.local.lock import discard_unheld, hold, move_log
    from ecgexp.tracking.local.run_json import has_finished

    discard_unheld(new_dir)
    name = _as_typed("resume", overrides) or str(config.resume)
    run_dir = named_folder(name, "resume=", latest="resumable").absolute()
    with hold(run_dir, new=False, setting="resume"):
        move_log(run_dir)
        ending.current.run_dir = run_dir
        if has_finished(run_dir):
            given = any(text.startswith("tracking.uri=") for text in overrides)
            _complete(run_dir, store=str(config.tracking.uri) if given else None)
            return
        stored = stored_config(run_dir, overrides)
        os.chdir(working_folder(run_dir))
        values = for_the_record(stored)
        experiment = build_experiment(stored, base_dir=Path.cwd())
        _remember(experiment, run_dir)
        run(
            experiment,
            run_dir,
            config=values,
            resolved_yaml=to_yaml(values),
            deadline=Deadline(minutes=command_settings(stored).max_minutes, began=_began()),
            resume=True,
        )


def _remember(experiment: "Experiment", run_dir: Path) -> None:
    """Notes the run of this command, for its end."""
    known = ending.current
    known.run_dir = run_dir.absolute()
    known.step_name, known.num_steps = experiment.trainer.step_name, experiment.trainer.num_steps


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


def _fail(error: Exception) -> NoReturn:
    ending.current.error = redact(str(error))
    print(redact(f"ecgexp: {error}"), file=sys.stderr)
    sys.exit(_BAD_CONFIG if isinstance(error, ConfigError) else _BAD_DATA)
