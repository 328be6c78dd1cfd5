"""The settings under `sweep.`, which control a multirun and do not affect the result of any run."""

from pydantic import Field

from ecgexp.settings.declaration import ConfigError, Positive, check_named_once, settings
from ecgexp.settings.installation import to_type


@settings
class SweepSettings:
    """Settings of a multirun.

    Attributes:
      rerun: whether to run jobs again that an earlier sweep finished.
      budget_epsilon: largest ε of releasing the results of all jobs of the sweep together. A job
        that would exceed it is rejected before its first step. None: no limit.
      objectives: final metrics that a sweeper such as Optuna optimizes, in the order of its
        directions. None: the validation metric that selects an epoch and, as a second, ε.

    Example:
      >>> SweepSettings(budget_epsilon=8).rerun
      False
    """

    rerun: bool = False
    budget_epsilon: Positive | None = None
    objectives: tuple[str, ...] | None = Field(default=None, min_length=1)

    def __post_init__(self):
        check_named_once("sweep.objectives", self.objectives or ())

    def check_single_run(self) -> None:
        """Reject settings that only a multirun uses.

        Raises:
          ConfigError: a setting would be ignored.
        """
        if self.budget_epsilon is not None:
            raise ConfigError(
                f"sweep.budget_epsilon={self.budget_epsilon:g} is the budget of a multirun, but -m "
                f"is missing; use {to_type('ecgexp -m')}, or for a single run "
                f"privacy.max_epsilon={self.budget_epsilon:g}."
            )
