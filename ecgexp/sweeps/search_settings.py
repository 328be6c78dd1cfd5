"""The settings of a search with Optuna: `hydra/sweeper=search` and `hydra/sweeper=pareto`."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Literal

from pydantic import Field

from ecgexp.settings.declaration import ConfigError, Count, Seed, build, settings
from ecgexp.settings.installation import install_extra

Direction = Literal["maximize", "minimize"]

TARGET = "hydra_plugins.ecgexp.OptunaSweeper"
SETTING = "hydra.sweeper"
PRUNED = "pruned"
"""What a job returns whose trial was pruned."""


@settings
class SearchSettings:
    """Settings of a search with Optuna.

    Attributes:
      direction: direction in which the objective is optimized; a list has one per objective.
      n_trials: number of trials, including those that an earlier use of the command finished.
      n_jobs: number of trials that are chosen and started together; the next ones are chosen when
        all of them have ended. The launcher decides how many run at the same time.
      sampler: how values are chosen: `tpe`, `random`, `nsgaii`, or `grid`, every combination of
        lists and ranges in random order.
      sampler_options: further arguments of Optuna's sampler.
      seed: seed of the sampler; the same command then tries the same values. None: other values
        each time.
      pruner: which trials end early: `median` ends a trial whose validation score is below the
        median of the earlier trials at the same epoch.
      pruner_options: further arguments of Optuna's pruner.
      storage: file (`*.journal`) or address (`sqlite:///…`, `postgresql://…`) in which Optuna keeps
        the trials. None: `search.journal` in the folder of the sweep.
      study_name: name of the study in the storage. None: that of the sweep's folder.
      params: overrides of a configuration file, e.g. `{seed: "choice(1,2)"}`, beside those typed.
    """

    direction: Direction | tuple[Direction, ...] = "maximize"
    n_trials: Count = 20
    n_jobs: Count = 1
    sampler: Literal["tpe", "random", "nsgaii", "grid"] = "tpe"
    sampler_options: dict[str, Any] | None = None
    seed: Seed | None = 0
    pruner: Literal["none", "median"] = "none"
    pruner_options: dict[str, Any] | None = None
    storage: str | None = Field(default=None, min_length=1)
    study_name: str | None = Field(default=None, min_length=1)
    params: dict[str, Any] | None = None

    def __post_init__(self):
        if len(self.directions) > 1 and self.pruner != "none":
            raise ConfigError(
                f"{SETTING}.pruner={self.pruner} compares trials by one objective, but "
                f"{SETTING}.direction has {len(self.directions)}; use {SETTING}.pruner=none"
            )
        if self.pruner == "none" and self.pruner_options:
            raise ConfigError(
                f"{SETTING}.pruner_options have no effect with {SETTING}.pruner=none; use "
                f"{SETTING}.pruner=median"
            )
        if self.sampler == "grid" and self.sampler_options:
            raise ConfigError(
                f"{SETTING}.sampler_options have no effect with {SETTING}.sampler=grid; use "
                f"{SETTING}.sampler_options=null"
            )

    @property
    def directions(self) -> tuple[Direction, ...]:
        """One direction per objective."""
        return (self.direction,) if isinstance(self.direction, str) else tuple(self.direction)


def search_settings(sweeper: Mapping[str, Any]) -> SearchSettings | None:
    """Read the settings of a search.

    Args:
      sweeper: node `hydra.sweeper`, as a plain mapping.

    Returns:
      The settings; None if another sweeper is selected.

    Raises:
      ConfigError: a value is invalid, or Optuna is not installed.
    """
    values = dict(sweeper)
    if values.pop("_target_", None) != TARGET:
        return None
    found = build(SearchSettings, values, path=SETTING)
    if find_spec("optuna") is None:
        raise ConfigError(
            "hydra/sweeper: a search needs Optuna, which is not installed; "
            f"{install_extra('optuna')}"
        )
    return found
