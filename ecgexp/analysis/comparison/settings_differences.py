"""Differences in settings and provenance of two runs that can affect their results."""

import re
from dataclasses import dataclass

from ecgexp.analysis.find_runs import StoredRun
from ecgexp.tracking.params import has_effect

# Settings of values that are computed in addition to the result.
_ADDITIONAL = re.compile(r"federated_baselines\..*|num_resamples|evaluate_on")
_ORIGIN = re.compile(r"git\.(commit|dirty)|version\..*|dataset\.(name|digest|test_sha256)")


@dataclass(frozen=True, kw_only=True)
class Differing:
    """One value that is not the same in both runs.

    Attributes:
      name: of the setting or tag.
      a: A's value; None where A has none.
      b: B's.
    """

    name: str
    a: str | None
    b: str | None


@dataclass(frozen=True, kw_only=True)
class Differences:
    """Everything that differs between two runs and can affect the result.

    Attributes:
      settings: of the configuration, by name.
      origin: code, versions and data, by name.
    """

    settings: tuple[Differing, ...]
    origin: tuple[Differing, ...]

    @property
    def only_seed(self) -> bool:
        """Whether the runs are two seeds of one configuration."""
        return [row.name for row in self.settings] == ["seed"] and not self.origin

    @property
    def none(self) -> bool:
        """Whether neither a setting nor code, versions or data differ."""
        return not self.settings and not self.origin


def differences(a: StoredRun, b: StoredRun) -> Differences:
    """Compare the settings and the provenance of two runs."""
    settings = [
        Differing(name=name, a=a.params.get(name), b=b.params.get(name))
        for name in sorted({*a.params, *b.params})
        if has_effect(name)
        and not _ADDITIONAL.fullmatch(name)
        and a.params.get(name) != b.params.get(name)
    ]
    origin = [
        Differing(name=name, a=a.tags.get(name), b=b.tags.get(name))
        for name in sorted({*a.tags, *b.tags})
        if _ORIGIN.fullmatch(name) and a.tags.get(name) != b.tags.get(name)
    ]
    return Differences(settings=tuple(settings), origin=tuple(origin))
