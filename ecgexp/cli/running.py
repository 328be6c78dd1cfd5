"""Composes the configuration from the command line and runs the experiment or the sweep."""

import logging
import os
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ecgexp.cli import ending
from ecgexp.cli.single_run import start_or_resume
from ecgexp.config.location import overrides_in, own_folder, typed_folder
from ecgexp.config.untrusted_overrides import guard
from ecgexp.interruption import handle_signals
from ecgexp.settings.declaration import (
    ConfigError,
    DataError,
    JobFailed,
    MachineError,
    OutOfTime,
)
from ecgexp.settings.installation import to_type
from ecgexp.settings.location import config_dir
from ecgexp.settings.redaction import redact, redact_tracebacks
from ecgexp.storage.scratch import use_own_scratch
from ecgexp.sweeps.cores import workers
from ecgexp.tracking.credentials import without_credentials

if TYPE_CHECKING:
    from ecgexp.sweeps.summary import Closed

_OF_PRESETS = "debug_"  # debug=smoke chooses debug_trainer=smoke_centralized


def run_command() -> None:
    """Runs the command line.

    It exits with 2 if nothing was started, because settings or data cannot be used; with 1 if a run
    has begun and failed; with 75 where `max_minutes` ended a run, and with 128 plus the number of
    the signal that ended it.
    """
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors are explained below
    # TensorFlow logs harmless messages as errors whenever it is imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Under `uv run`, Ray's workers would rebuild the environment in a copy of the working folder
    # and write the results there: https://docs.ray.io/en/latest/ray-core/handling-dependencies.html
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    redact_tracebacks()
    use_own_scratch()
    handle_signals(ending.current.note_signal)
    with ending.ending(sys.argv[1:]):
        _compose_and_explain()


def _compose_and_explain() -> None:
    """Runs the command line; an error that a user can fix is one line."""
    try:
        sys.argv[1:] = without_credentials(sys.argv[1:])
        _compose_and_run_all()
    except (HydraException, OmegaConfBaseException) as error:
        from ecgexp.config.compose import explain

        words = sys.argv[1:]
        ending.fail(explain(error, overrides_in(words), own=typed_folder(words)))
    except (ConfigError, DataError, MachineError) as error:
        ending.fail(error)
    except OSError as error:  # a full disk, a read-only folder
        advice = "use a writable folder with hydra.run.dir=… and tracking.uri=…, or free some space"
        ending.fail(OSError(f"{error}; {advice}"))
    except KeyboardInterrupt:
        sys.exit(130)


def _compose_and_run_all() -> None:
    """Runs one run, or all jobs of a multirun, and prints the summary of a multirun."""
    if {"--help", "-h", "--shell-completion", "-sc"} & set(sys.argv):
        _list_options_for_users()
    _check_shown_once()
    if (folder := typed_folder(sys.argv[1:])) is not None:
        own_folder(folder)
    guard()
    _show_failed_jobs_once()
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


def _list_options_for_users() -> None:
    """Makes Hydra's help and completion fast, and leaves out groups that only presets choose.

    For each config group Hydra 1.3 copies all registered settings before it lists the options,
    which takes half a second in total. To list options no copy is needed.
    """
    from hydra._internal.config_loader_impl import ConfigLoaderImpl

    def options(
        self: ConfigLoaderImpl, group_name: str, results_filter: Any = ObjectType.CONFIG, **_: Any
    ) -> list[str]:
        found = self.repository.get_group_options(group_name, results_filter)
        return [name for name in found if group_name or not name.startswith(_OF_PRESETS)]

    ConfigLoaderImpl.get_group_options = options  # pyright: ignore[reportAttributeAccessIssue]  # it takes less than Hydra's own


def _show_failed_jobs_once() -> None:
    """Makes Hydra write nothing about a job that failed, which the summary of the sweep shows."""
    from hydra.core.utils import JobReturn

    loud: Any = JobReturn.return_value

    def value(result: JobReturn) -> object:
        if isinstance(result._return_value, JobFailed):
            raise result._return_value
        return loud.fget(result)

    JobReturn.return_value = loud.getter(value)


def _show(closed: "Closed") -> None:
    from ecgexp.console import Console

    ending.current.values = closed.headline()
    console = Console()
    console.print_result(closed.table())
    for note in closed.notes():
        console.print_result(f"note: {note}")
    for row in closed.rows:
        if row.reason:
            console.print_result(f"{row.name}: {row.reason}")
    for line in closed.privacy_lines():
        console.print_result(line)
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
    return start_or_resume(config, run_dir)
