"""What a search optimizes: the metrics that its jobs return, and their directions."""

from collections.abc import Mapping, Sequence
from typing import Any

from ecgexp.evaluation.names import better_by
from ecgexp.settings.declaration import ConfigError

GRID = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


class Objectives:
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
        directions = None if given is None or isinstance(given, str) else list(given)
        searches = sweeper["_target_"] != GRID
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
                    + (" test=open" if split == "test" else "")
                )

    def of_each_epoch(self) -> str:
        """Return the objective by which trials are pruned.

        Raises:
          ConfigError: it is not a score on validation beats, which every epoch has.
        """
        (name,) = self._names
        if not name.startswith("validation/"):
            raise ConfigError(
                f"sweep.objectives=[{name}] is measured once, at the end of a run, so "
                "hydra.sweeper.pruner cannot compare epochs; use a validation metric, e.g. "
                "sweep.objectives=[validation/macro_f1], or hydra.sweeper.pruner=none"
            )
        return name

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


def check_direction(sweeper: Any, objectives: tuple[str, ...] | None, selection: Any) -> None:
    """Checks that the sweeper optimizes each objective in the right direction.

    Optuna minimizes by default, so it would search for the lowest accuracy.

    Raises:
      ConfigError: the sweeper minimizes a metric that should be large, or maximizes a loss.
    """
    direction = sweeper.get("direction")
    if direction is None:
        return
    listed = [str(one) for one in ([direction] if isinstance(direction, str) else direction)]
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
