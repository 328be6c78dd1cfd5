"""All metrics of a run in a store, of which the store itself has those of `headline` only."""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any


class RunMetrics(Mapping[str, float]):
    """The last values of a run's metrics: those in the store, and the others in `result.json`.

    The file is read, or downloaded, when a metric is asked for that the store does not have.

    Args:
      logged: name -> last value, in the store.
      result: returns the content of `result.json`; empty where the run has none.

    Raises:
      DataError: `result.json` is damaged; raised by the first access that needs it.
    """

    def __init__(self, logged: Mapping[str, float], result: Callable[[], Mapping[str, Any]]):
        self._logged, self._result = logged, result

    def __getitem__(self, name: str) -> float:
        """Return the last value; NaN where it is undefined."""
        return self._logged[name] if name in self._logged else self._all[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of all metrics."""
        return iter(self._all)

    def __len__(self) -> int:
        """Return the number of all metrics."""
        return len(self._all)

    @cached_property
    def _all(self) -> dict[str, float]:
        found = {
            name: math.nan if value is None else value
            for name, value in self._result().get("metrics", {}).items()
        }
        return {**found, **self._logged}
