"""Runs, found by all that was asked of them: an experiment's name, or a few of its values, would let others in."""

from collections.abc import Mapping, Sequence
from typing import Any

from ecgexp.analysis.find_runs import StoredRun, UnknownExperimentError, search_runs
from ecgexp.config.compose import for_the_record, load_config
from ecgexp.tracking.params import has_effect, loggable, parameters


class RunIndex:
    """A store, asked for each experiment once.

    Args:
      uri: the store; None: the usual one.
    """

    def __init__(self, uri: str | None = None):
        self._uri = uri
        self._runs: dict[str, Sequence[StoredRun]] = {}

    def all_runs(self, overrides: Sequence[str]) -> Sequence[StoredRun]:
        """All runs of the MLflow experiment that these overrides name, oldest first; none where nothing was run yet.

        Raises:
          DataError: there is no such store.
        """
        return self._of(_experiment(load_config(overrides)))

    def newest(self, overrides: Sequence[str], seeds: Sequence[int]) -> list[StoredRun | None]:
        """For each seed the newest finished run that had the configuration which these overrides make; None where there is none.

        Raises:
          DataError: there is no such store.
        """
        config = load_config(overrides)
        finished = [
            (run, _deciding(run.params))
            for run in reversed(self._of(_experiment(config)))
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


def _experiment(config: Any) -> str:
    return str(config.tracking.experiment_name)


def _deciding(params: Mapping[str, Any]) -> dict[str, str]:
    deciding = {name: str(value) for name, value in params.items() if has_effect(name)}
    # δ decides nothing that ran where the noise was typed and no budget ends it: ε at another δ follows from the events.
    if all(
        deciding.get(f"privacy.{name}", "None") in ("None", "null", "")
        for name in ("target_epsilon", "max_epsilon")
    ):
        deciding.pop("privacy.delta", None)
    return deciding
