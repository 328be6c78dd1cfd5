"""Jobs on Ray: `hydra/launcher=ray_jobs`, one task of Ray for each job, in a new process."""

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from ecgexp.config.untrusted_overrides import container
from ecgexp.settings.declaration import ConfigError, Count, JobFailed, NonNegative, build, settings
from ecgexp.settings.installation import install_extra
from ecgexp.settings.redaction import redact

TARGET = "hydra_plugins.ecgexp.RayLauncher"
_SETTING = "hydra.launcher"
# Jobs exchange files, not objects; Ray refuses less than 75 MiB.
_OBJECT_STORE_BYTES = 100 * 2**20


@settings
class RaySettings:
    """Settings of the launcher for Ray.

    Attributes:
      address: address of a running cluster, `auto` for the one of this machine; None starts Ray
        here, for the duration of the sweep.
      n_jobs: largest number of jobs at a time without a cluster.
      num_cpus: processor cores that a job reserves.
      num_gpus: GPUs that a job reserves; a fraction lets jobs share one.
    """

    address: str | None = None
    n_jobs: Count = 1
    num_cpus: Count = 1
    num_gpus: NonNegative = 0.0


def ray_settings(launcher: Mapping[str, Any]) -> RaySettings | None:
    """Read the settings of the launcher for Ray.

    Args:
      launcher: node `hydra.launcher`, as a plain mapping.

    Returns:
      The settings; None if another launcher is selected.

    Raises:
      ConfigError: a value is invalid, or Ray is not installed.
    """
    values = dict(launcher)
    if values.pop("_target_", None) != TARGET:
        return None
    found = build(RaySettings, values, path=_SETTING)
    if find_spec("ray") is None:
        raise ConfigError(
            f"hydra/launcher=ray_jobs needs Ray, which is not installed; {install_extra('ray')}"
        )
    return found


def launch(
    config: DictConfig,
    hydra_context: HydraContext,
    task_function: TaskFunction,
    job_overrides: Sequence[Sequence[str]],
    first: int,
) -> list[JobReturn]:
    """Run jobs in processes of Ray, and wait for all of them.

    Args:
      config: composed configuration with the node `hydra`.
      hydra_context: loader and callbacks of Hydra.
      task_function: runs a job.
      job_overrides: overrides of each job.
      first: number of the first job.

    Returns:
      The result of each job, in order. The job of a process that was killed has failed; the others
      run to their end.

    Raises:
      ConfigError: the cluster cannot be reached.
    """
    import ray

    found = ray_settings(container(config.hydra.launcher, resolve=True))
    if found is None:
        raise ConfigError(f"{_SETTING} is not the launcher for Ray; use hydra/launcher=ray_jobs")
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    Path(config.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
    _start(found)
    task = ray.remote(
        num_cpus=found.num_cpus,
        num_gpus=found.num_gpus,
        max_calls=1,  # a new process for each job, which releases its memory
        max_retries=0,  # the same command again resumes a job whose process was killed
    )(_run)
    state = Singleton.get_state()
    running = []
    for number, overrides in enumerate(job_overrides, first):
        job = hydra_context.config_loader.load_sweep_config(config, list(overrides))
        with open_dict(job):
            job.hydra.job.id = f"{job.hydra.job.name}_{number}"
            job.hydra.job.num = number
        running.append(task.remote(hydra_context, job, task_function, state, os.getcwd()))
    return [_result(one) for one in running]


def _start(found: RaySettings) -> None:
    import ray

    if ray.is_initialized():  # by an earlier batch of a search
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {"include_dashboard": False}
    if found.address is None:
        options |= {
            "num_cpus": found.n_jobs * found.num_cpus,
            "object_store_memory": _OBJECT_STORE_BYTES,
        }
    else:
        options = {"address": found.address}
    try:
        ray.init(**options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        why = redact(" ".join(str(error).split()))
        raise ConfigError(
            f"{_SETTING}.address={found.address}: {why}; use the address of a running cluster "
            "(ray start --head prints it), or null"
        ) from error


def _run(
    hydra_context: HydraContext,
    config: DictConfig,
    task_function: TaskFunction,
    state: Any,
    folder: str,
) -> JobReturn:
    """Run one job, in a process of Ray."""
    os.chdir(folder)
    setup_globals()
    Singleton.set_state(state)
    HydraConfig.instance().set_config(config)
    return run_job(
        hydra_context=hydra_context,
        task_function=task_function,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )


def _result(running: Any) -> JobReturn:
    import ray
    from ray.exceptions import RayError

    try:
        return ray.get(running)
    except RayError as error:
        why = f"hydra/launcher=ray_jobs: the process of the job ended: {error}"
        return JobReturn(status=JobStatus.FAILED, _return_value=JobFailed(redact(why)))
