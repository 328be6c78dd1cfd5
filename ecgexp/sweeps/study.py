"""Optuna's study of one invocation of a search, in the main process and in those of the jobs.

Each use of a search's command begins a new study. Its first trials have the values of the trials of
the study before, in their order; what they score comes from the jobs, which return the result of a
finished run or train again if code or data have changed. So a study never mixes scores of different
code or data, and a search that was interrupted continues with the values it had chosen.
"""

import contextlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.redaction import redact
from ecgexp.sweeps.search_settings import SETTING, SearchSettings
from ecgexp.sweeps.search_space import SearchSpace
from ecgexp.tracking.local.tracker import read_metrics

JOURNAL = "search.journal"

_SAMPLERS: Mapping[str, type[BaseSampler]] = {
    "tpe": TPESampler,
    "random": RandomSampler,
    "nsgaii": NSGAIISampler,
    "grid": RandomSampler,  # every combination is enqueued, so it is never asked
}
_PRUNERS: Mapping[str, type[BasePruner]] = {"none": NopPruner, "median": MedianPruner}


def build_sampler(settings: SearchSettings, number: int) -> BaseSampler:
    """Build the sampler that chooses one trial.

    A sampler of its own for each trial, whose seed follows from the number of the trial, chooses
    the same values however often the search was interrupted before.

    Args:
      settings: settings of the search.
      number: number of the trial.

    Raises:
      ConfigError: an option does not exist or has an invalid value.
    """
    entropy = None if settings.seed is None else [settings.seed, number]
    seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    return _built("sampler", _SAMPLERS[settings.sampler], settings.sampler_options, seed=seed)


def build_pruner(settings: SearchSettings) -> BasePruner:
    """Build the pruner.

    Args:
      settings: settings of the search.

    Raises:
      ConfigError: an option does not exist or has an invalid value.
    """
    return _built("pruner", _PRUNERS[settings.pruner], settings.pruner_options)


def _built(kind: str, make: Any, options: Mapping[str, Any] | None, **own: Any) -> Any:
    try:
        return make(**(options or {}), **own)
    except (TypeError, ValueError) as error:
        given = ",".join(f"{name}: {value}" for name, value in (options or {}).items())
        raise ConfigError(
            f"{SETTING}.{kind}_options={{{given}}}: {error}; use arguments of optuna's "
            f"{make.__name__}"
        ) from error


def open_storage(settings: SearchSettings, home: Path) -> BaseStorage:
    """Open the storage of a search.

    Args:
      settings: settings of the search.
      home: folder of the sweep, which has the storage unless `storage` names another.

    Raises:
      ConfigError: the storage cannot be opened.
    """
    place = settings.storage or str(home / JOURNAL)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        if "://" in place:
            return RDBStorage(place)
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        _check_journal(Path(place))
        return JournalStorage(JournalFileBackend(place, JournalFileOpenLock(place)))
    except Exception as error:  # noqa: BLE001 - each driver of a database has errors of its own
        why = redact(" ".join(str(error).split()))
        raise ConfigError(
            f"{SETTING}.storage={redact(place)} cannot be opened: {why}; use a file in a folder "
            "that can be written, e.g. sqlite:///search.db, or remove a damaged one: finished jobs "
            "are found without it"
        ) from error


def _check_journal(path: Path) -> None:
    """Check the last line, which Optuna reads as if it were absent until another one follows it.

    The others are checked by Optuna when it opens the file.
    """
    if path.exists() and not path.is_file():
        raise ValueError("it is not a file")
    lock = JournalFileOpenLock(str(path))
    lock.acquire()  # another process may be writing a line
    try:
        content = path.read_bytes() if path.exists() else b""
    finally:
        lock.release()
    last = content.rstrip(b"\n").rpartition(b"\n")[2]
    if content and not content.endswith(b"\n"):
        raise ValueError("its last line is incomplete")
    if content and not isinstance(json.loads(last), dict):
        raise ValueError("its last line is not an entry")


def begin_study(
    settings: SearchSettings, storage: BaseStorage, name: str, space: SearchSpace
) -> optuna.Study:
    """Create the study of an invocation, with the values that are known already as first trials.

    Args:
      settings: settings of the search.
      storage: storage of the search.
      name: name of the sweep's studies; the second one has the name `NAME-2`.
      space: search space of the search.

    Returns:
      The study. With a grid its waiting trials are all combinations.

    Raises:
      ConfigError: a grid over an interval, or another process begins the same study.
    """
    names = set(optuna.get_all_study_names(storage))
    count = 1
    while _numbered(name, count) in names:
        count += 1
    try:
        study = optuna.create_study(
            storage=storage,
            study_name=_numbered(name, count),
            directions=list(settings.directions),
            sampler=build_sampler(settings, 0),
            pruner=build_pruner(settings),
        )
    except optuna.exceptions.DuplicatedStudyError as error:
        raise ConfigError(
            f"{SETTING}.study_name={name}: another process begins this search at the moment; wait "
            "until it has ended, and use the same command again"
        ) from error
    known = [] if count == 1 else _values(_numbered(name, count - 1), storage)
    first = [params for params in known if space.contains(params)]
    if settings.sampler == "grid":
        combinations = space.combinations()
        order = np.random.default_rng(settings.seed).permutation(len(combinations))
        first += [combinations[at] for at in order if combinations[at] not in first]
    for params in first[: settings.n_trials]:
        study.enqueue_trial(params)
    return study


def _numbered(name: str, count: int) -> str:
    return name if count == 1 else f"{name}-{count}"


def _values(name: str, storage: BaseStorage) -> list[dict[str, Any]]:
    """Return the values of the trials of a study; those that did not start have them too."""
    trials = optuna.load_study(study_name=name, storage=storage).get_trials(deepcopy=False)
    return [dict(one.system_attrs.get("fixed_params", {})) or dict(one.params) for one in trials]


class TrialOfJob:
    """The trial that a job is, in the process of the job.

    Args:
      settings: settings of the search.
      home: folder of the sweep.
      study_name: name of the study of this invocation.
      number: number of the job, which is that of its trial.
      objective: metric that the search optimizes, e.g. `validation/macro_f1`.
    """

    def __init__(
        self, settings: SearchSettings, home: Path, study_name: str, number: int, objective: str
    ):
        storage = open_storage(settings, home)
        study = optuna.load_study(
            study_name=study_name, storage=storage, pruner=build_pruner(settings)
        )
        frozen = study.get_trials(deepcopy=False)[number]
        self._trial = optuna.trial.Trial(study, frozen._trial_id)
        self._score = objective.removeprefix("validation/")
        self._known = set(frozen.intermediate_values)

    def continues(self, step: int, scores: Mapping[str, float]) -> bool:
        """Report the scores of an epoch.

        Args:
          step: number of the epoch, from 1.
          scores: its validation scores by name; empty if there are no validation beats.

        Returns:
          Whether the run should continue.

        Raises:
          ConfigError: the objective is not measured after an epoch.
        """
        if scores and self._score not in scores:
            raise ConfigError(
                f"sweep.objectives: validation/{self._score} is not measured after each epoch, so "
                f"{SETTING}.pruner has nothing to compare; use one of "
                f"{', '.join(sorted(scores))}, or {SETTING}.pruner=none"
            )
        value = scores.get(self._score, math.nan)
        if math.isnan(value):  # undefined in this epoch, which says nothing about the next
            return True
        self._report(step, value)
        return not self._trial.should_prune()

    def report_run(self, run_dir: Path) -> None:
        """Report the scores of a run that has trained before, or of which a part has.

        Args:
          run_dir: folder of the run.

        Raises:
          DataError: its `metrics.jsonl` is damaged.
        """
        for step, metrics in read_metrics(run_dir / "metrics.jsonl"):
            value = metrics.get(f"curve/validation/{self._score}")
            if step is not None and value is not None and not math.isnan(value):
                self._report(step, value)

    def _report(self, step: int, value: float) -> None:
        if step not in self._known:  # Optuna keeps the first value of a step
            self._known.add(step)
            with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
                self._trial.report(value, step)
