"""The search space of a search: overrides with several values -> Optuna's distributions."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    Glob,
    IntervalSweep,
    Override,
    RangeSweep,
    Transformer,
)
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from ecgexp.settings.declaration import ConfigError


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """What a search varies, and what all of its trials share.

    Attributes:
      distributions: setting -> its values, in the order of the overrides.
      fixed: overrides that all trials share.
    """

    distributions: Mapping[str, BaseDistribution]
    fixed: tuple[str, ...]

    def overrides(self, params: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the overrides of a trial.

        Args:
          params: setting -> value of the trial.
        """
        return (*(f"{name}={_typed(params[name])}" for name in self.distributions), *self.fixed)

    def contains(self, params: Mapping[str, Any]) -> bool:
        """Return whether the space has these values.

        Args:
          params: setting -> value.
        """
        if params.keys() != self.distributions.keys():
            return False
        try:
            return all(
                distribution._contains(distribution.to_internal_repr(params[name]))
                for name, distribution in self.distributions.items()
            )
        except ValueError:  # a choice that the space does not have
            return False

    def ends(self) -> list[dict[str, Any]]:
        """Return the first and the last values of all settings, as two sets of values."""
        ends = [_ends(one) for one in self.distributions.values()]
        return [
            dict(zip(self.distributions, values, strict=True)) for values in zip(*ends, strict=True)
        ]

    def combinations(self) -> list[dict[str, Any]]:
        """List every combination of values.

        Raises:
          ConfigError: a setting has an interval of floats, which cannot be listed.
        """
        values = [_listed(name, one) for name, one in self.distributions.items()]
        return [
            dict(zip(self.distributions, each, strict=True)) for each in itertools.product(*values)
        ]


def search_space(overrides: Sequence[str], parser: OverridesParser) -> SearchSpace:
    """Divide overrides into those that a search varies and those that its trials share.

    Args:
      overrides: as typed, e.g. `trainer.learning_rate=tag(log, interval(1e-4, 1e-1))`.
      parser: Hydra's parser.

    Raises:
      ConfigError: no override has several values, or an interval or range is empty.
    """
    distributions: dict[str, BaseDistribution] = {}
    fixed = []
    for text, override in zip(overrides, parser.parse_overrides(list(overrides)), strict=True):
        if override.is_sweep_override():
            distributions[override.get_key_element()] = _distribution(text, override)
        else:
            fixed.append(text)
    if not distributions:
        raise ConfigError(
            "hydra/sweeper: the search has no setting to vary; use e.g. "
            "'trainer.learning_rate=tag(log, interval(1e-4, 1e-1))' or model=choice(cnn1d,mlp)"
        )
    return SearchSpace(distributions=distributions, fixed=tuple(fixed))


def _distribution(text: str, override: Override) -> BaseDistribution:
    value: Any = override.value()
    try:
        if isinstance(value, IntervalSweep):
            return _interval(value)
        if isinstance(value, RangeSweep) and not value.shuffle:
            return _range(value)
        if isinstance(value, ChoiceSweep | RangeSweep | Glob):
            choices: Any = tuple(override.sweep_iterator(transformer=Transformer.encode))
            return CategoricalDistribution(choices)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{text}: {error}; use an interval or range that has values") from error
    raise ConfigError(f"{text} cannot be searched; use choice(…), range(…) or interval(…)")


def _interval(value: IntervalSweep) -> BaseDistribution:
    low, high, is_log = value.start, value.end, "log" in value.tags
    if low is None or high is None:
        raise ValueError("the interval has no end")
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=is_log)
    return FloatDistribution(low, high, log=is_log)


def _range(value: RangeSweep) -> BaseDistribution:
    """Return the values of Hydra's `range`, which excludes its end."""
    listed: list[Any] = list(value.range())
    if not listed:
        raise ValueError("the range is empty")
    low, high, step = min(listed), max(listed), abs(value.step)
    if all(isinstance(one, int) for one in listed):
        return IntDistribution(low, high, step=int(step))
    return FloatDistribution(float(low), float(high), step=float(step))


def _ends(distribution: BaseDistribution) -> tuple[Any, Any]:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0], distribution.choices[-1]
    if isinstance(distribution, IntDistribution | FloatDistribution):
        return distribution.low, distribution.high
    raise TypeError(distribution)


def _listed(name: str, distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution):
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    if isinstance(distribution, FloatDistribution) and distribution.step is not None:
        count = round((distribution.high - distribution.low) / distribution.step) + 1
        return [distribution.low + number * distribution.step for number in range(count)]
    raise ConfigError(
        f"hydra.sweeper.sampler=grid cannot list the values of {name}=interval(…); use "
        "choice(…) or range(…), or hydra.sweeper.sampler=random"
    )


def _typed(value: Any) -> str:
    return "null" if value is None else str(value)
