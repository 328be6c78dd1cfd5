"""The sweeper, the launcher and the search path of ecgexp, where Hydra looks for plugins.

Hydra creates plugins only from the namespace package `hydra_plugins`, which all installed plugins
share, and imports this file at the start of every command. The work is done in `ecgexp.sweeps`,
which is imported when a sweep begins.
"""

from collections.abc import Sequence
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class PluginOptions(SearchPathPlugin):
    """Adds the YAML files of installed plug-ins; see `ecgexp.settings.plugins`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the folders of plug-ins, so that no file of theirs replaces one of ecgexp.

        Args:
          search_path: that of any application; only that of ecgexp is changed.
        """
        from ecgexp.settings.location import config_dir
        from ecgexp.settings.plugins import installed

        places = {str(one.path).removeprefix("file://") for one in search_path.get_path()}
        if str(config_dir()) not in places:
            return
        for plugin in installed().values():
            if plugin.conf is not None:
                search_path.append(f"plug-in {plugin.name}", f"file://{plugin.conf}")


class OptunaSweeper(Sweeper):
    """Searches with Optuna; see `ecgexp.sweeps.search`.

    Args:
      **settings: fields of `ecgexp.sweeps.search_settings.SearchSettings`, which reads them from
        the configuration.
    """

    def __init__(self, **settings: Any):
        del settings

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Create the launcher; Hydra calls this once."""
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            config=config, hydra_context=hydra_context, task_function=task_function
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run all trials.

        Args:
          arguments: overrides as typed.
        """
        from ecgexp.sweeps.search import search

        assert self.config is not None  # noqa: S101 - Hydra calls setup first
        assert self.launcher is not None  # noqa: S101
        search(self.config, self.launcher, arguments)


class RayLauncher(Launcher):
    """Runs each job as a task of Ray; see `ecgexp.sweeps.ray_jobs`.

    Args:
      **settings: fields of `ecgexp.sweeps.ray_jobs.RaySettings`, which reads them from the
        configuration.
    """

    def __init__(self, **settings: Any):
        del settings

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what the jobs need; Hydra calls this once."""
        self.config, self.hydra_context, self.task_function = config, hydra_context, task_function

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run jobs in processes of Ray.

        Args:
          job_overrides: overrides of each job.
          initial_job_idx: number of the first.

        Returns:
          The result of each job, in order.
        """
        from ecgexp.sweeps.ray_jobs import launch

        return launch(
            self.config, self.hydra_context, self.task_function, job_overrides, initial_job_idx
        )
