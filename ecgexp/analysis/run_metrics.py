"""All metrics of a run in a store, of which the store itself has those of `headline` only."""

import math
from collections.abc import Iterator, Mapping
from functools import cached_property

from ecgexp.storage.reading import read_json
from ecgexp.tracking.kept_files import KeptFiles
from ecgexp.tracking.local.result import ResultValues


class RunMetrics(Mapping[str, float]):
    """The last values of a run's metrics: those in the store, and the others in `result.json`.

    The file is read, or downloaded, when a metric is asked for that the store does not have.

    Args:
      logged: name -> last value, in the store.
      files: the files of the run.
      fix: the remedy for a damaged file, for messages.

    Raises:
      DataError: `result.json` is damaged; raised by the first access that needs it.
    """

    def __init__(self, logged: Mapping[str, float], files: KeptFiles, *, fix: str):
        self._logged, self._files, self._fix = logged, files, fix

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
        file = self._files.find("result.json")
        values = {} if file is None else read_json(file, ResultValues, fix=self._fix)
        found = {
            name: math.nan if value is None else value
            for name, value in values.get("metrics", {}).items()
        }
        return {**found, **self._logged}
