"""The settings under `sweep.`, which steer a multirun and decide nothing about any single run's result."""

from pydantic import Field

from ecgexp.settings.declaration import ConfigError, Positive, check_named_once, settings


@settings
class SweepSettings:
    """How a multirun behaves.

    Attributes:
      rerun: also run the jobs that an earlier sweep finished.
      budget_epsilon: no job may begin that would take the ε of releasing all jobs of the sweep above this; None: no limit.
      objectives: final metrics that a sweeper such as Optuna is given, in the order of its directions; None: the validation
        score that selects an epoch and, with two directions, ε.
    """

    rerun: bool = False
    budget_epsilon: Positive | None = None
    objectives: tuple[str, ...] | None = Field(default=None, min_length=1)

    def __post_init__(self):
        check_named_once("sweep.objectives", self.objectives or ())

    def check_single_run(self) -> None:
        """Refuses what only a multirun can do.

        Raises:
          ConfigError: a setting that would be ignored was typed.
        """
        if self.budget_epsilon is not None:
            raise ConfigError(
                f"sweep.budget_epsilon={self.budget_epsilon:g} is the budget of a multirun; type -m before the overrides, or "
                "for one run privacy.max_epsilon="
            )
