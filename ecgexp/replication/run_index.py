"""Find runs in a store by their whole configuration; the name of an experiment does not suffice."""

from collections.abc import Mapping, Sequence
from typing import Any

from ecgexp.analysis.find_runs import StoredRun, UnknownExperimentError, search_runs
from ecgexp.config.compose import for_the_record, load_config
from ecgexp.tracking.params import has_effect, loggable, parameters


class RunIndex:
    """The runs of a store, which is searched once for each experiment.

    Args:
      uri: the store; None: the default one.
    """

    def __init__(self, uri: str | None = None):
        self._uri = uri
        self._runs: dict[str, Sequence[StoredRun]] = {}

    def newest(self, overrides: Sequence[str], seeds: Sequence[int]) -> list[StoredRun | None]:
        """Return the newest finished run of a configuration for each seed.

        Args:
          overrides: the configuration, without the seed.
          seeds: the seeds.

        Returns:
          One run per seed; None if there is none.

        Raises:
          DataError: there is no such store.
        """
        config = load_config(overrides)
        finished = [
            (run, _deciding(run.params))
            for run in reversed(self._of(str(config.tracking.experiment_name)))
            if run.status == "FINISHED"
        ]
        found = []
        for seed in seeds:
            config.seed = seed
            wanted = _deciding(loggable(parameters(for_the_record(config))))
            found.append(next((run for run, had in finished if had == wanted), None))
        return found

    def _of(self, experiment: str) -> Sequence[StoredRun]:
        if experiment not in self._runs:
            try:
                self._runs[experiment] = search_runs(experiment=experiment, uri=self._uri)
            except UnknownExperimentError:
                self._runs[experiment] = ()
        return self._runs[experiment]


def _deciding(params: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in params.items() if has_effect(name)}
