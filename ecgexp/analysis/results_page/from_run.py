"""Makes a published result from a run that has ended, in its folder or in MLflow."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from ecgexp.analysis.find_runs import StoredRun
from ecgexp.analysis.results_page.record import (
    EvaluatedBeats,
    Privacy,
    Provenance,
    PublishedResult,
    Score,
    Training,
)
from ecgexp.config.compose import for_the_record, load_config
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.tracking.local.result import PrivacyValues
from ecgexp.tracking.params import has_effect, loggable, parameters

# Final metrics that are published. `validation/…` selected the model; `privacy/…` is in `Privacy`.
_PUBLISHED = ("test/", "federated_baseline/", "replication/")
_PUBLISHED_DIVISION = {"InterPatient": "DS2", "InterPatientTwoLead": "DS2, two-lead records"}
_SPLITS = {
    "InterPatient": "inter-patient",
    "InterPatientTwoLead": "inter-patient",
    "IntraPatient": "intra-patient",
    "PatientKFold": "fold of patients",
    "WithinRecord": "within record",
    "CrossDatabase": "another database",
}
_ENDS = ("_ci_low", "_ci_high")


def published_result(run: StoredRun) -> PublishedResult:
    """Return the published result of a run.

    Args:
      run: a run that has ended and was evaluated on test beats.

    Raises:
      DataError: the run cannot be published: it was not evaluated, its code was not committed, its
        settings are not those of an experiment in `conf/experiment`, its noise was seeded, or a
        file of it is damaged.
    """
    result = run.result
    if not result or not any(name.startswith("test/") for name in run.metrics):
        raise DataError(
            f"run {run.name}: it was not evaluated on test beats; use a run that has ended with "
            "evaluate_on=[test] or evaluate_on=[validation,test]"
        )
    data = result.get("data") or {}
    seconds = result.get("seconds")
    experiment, overrides = _experiment_of(run)
    return PublishedResult(
        kind="run",
        experiment=experiment,
        overrides=overrides,
        seeds=(_seed(run),),
        training=_training(run.params),
        evaluated=EvaluatedBeats(
            split=_split(run.params, data.get("database", "")),
            database=data.get("database", ""),
            beats=sum(data.get("beats", {}).get("test", {}).values()) or None,
            patients=data.get("patients", {}).get("test") or None,
            sha256=data.get("test_sha256", ""),
        ),
        metrics=scores_of(run.metrics),
        provenance=Provenance(
            source="run", date=_started(run), commit=_commit(run), run=run.run_id.split("/")[-1]
        ),
        status="FINISHED" if run.status == "FINISHED" else "FAILED",
        privacy=_privacy(run, result.get("privacy")),
        seconds=None if seconds is None else (seconds, seconds),
        settings=_affecting_result(run.params),
        versions={
            name.removeprefix("version."): text
            for name, text in run.tags.items()
            if name.startswith("version.")
        },
    )


def _experiment_of(run: StoredRun) -> tuple[str, tuple[str, ...]]:
    """Return the experiment of a run and its effective overrides, checked against its settings."""
    words = dict(
        word.lstrip("+~").split("=", 1)
        for word in shlex.split(run.tags.get("command", ""))[1:]
        if "=" in word
    )
    experiment = words.pop("experiment", "")
    if not experiment:
        raise DataError(
            f"run {run.name}: it was not started with experiment=…; put its settings into a file "
            "of conf/experiment and run that"
        )
    given = {name: value for name, value in words.items() if has_effect(name) and name != "seed"}
    of_run = _affecting_result(run.params)
    found = without_idle(experiment, given)
    now = settings_of(experiment, found)
    different = sorted(name for name in {*of_run, *now} if of_run.get(name) != now.get(name))
    if different:
        name = different[0]
        raise DataError(
            f"run {run.name}: {name}={of_run.get(name)}, but experiment={experiment} has "
            f"{now.get(name)} now; run it again with the settings that are published"
        )
    return experiment, found


def without_idle(experiment: str, given: Mapping[str, str]) -> tuple[str, ...]:
    """Return the sorted overrides that change the settings of an experiment.

    Overrides that repeat a setting of the experiment are left out.

    Args:
      experiment: an option of `experiment=`.
      given: name -> value of all overrides, as in a command.
    """
    words = sorted(f"{name}={_plain(value)}" for name, value in given.items())
    wanted = settings_of(experiment, words)
    for word in list(words):
        fewer = [other for other in words if other != word]
        with suppress(ConfigError):  # without split=patient_kfold there is no split.fold
            if settings_of(experiment, fewer) == wanted:
                words = fewer
    return tuple(words)


def settings_of(experiment: str, overrides: Iterable[str]) -> dict[str, str]:
    """Return dotted name -> value of an experiment's settings that affect a result.

    The seed is left out.
    """
    config = load_config([f"experiment={experiment}", *overrides])
    return _affecting_result(loggable(parameters(for_the_record(config))))


def _affecting_result(params: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: _plain(str(value))
        for name, value in params.items()
        if has_effect(name) and name != "seed"
    }


def _plain(value: str) -> str:
    """Return one form of equal values, such as `True` and `true`, or `2` and `2.0`."""
    if value in ("True", "False", "None"):
        return {"True": "true", "False": "false", "None": "null"}[value]
    try:
        return f"{float(value):g}"
    except ValueError:
        return value


def _seed(run: StoredRun) -> int:
    text = run.params.get("seed", "")
    if not text.isdecimal():
        raise DataError(f"run {run.name}: seed={text or 'null'}; use a run with a seed")
    return int(text)


def _training(params: Mapping[str, str]) -> Training:
    return (
        "federated" if params.get("trainer._target_", "").endswith("Federated") else "centralized"
    )


def _split(params: Mapping[str, str], database: str) -> str:
    """Return the name of the test set: `DS2`, or how the test beats were split off."""
    name = params.get("split._target_", "").rpartition(".")[2]
    if params.get("protocol_errors.split_by_beat", "").lower() == "true":
        return "split by beat"
    is_published = params.get("split.division", "auto") != "random" and database.startswith("mitdb")
    if is_published and name in _PUBLISHED_DIVISION:
        return _PUBLISHED_DIVISION[name]
    return _SPLITS.get(name, name)


def scores_of(metrics: Mapping[str, float]) -> dict[str, Score]:
    """Return the final metrics that are published, with their intervals if they have any."""
    found = {}
    for name, value in metrics.items():
        if not name.startswith(_PUBLISHED) or any(end in name for end in _ENDS):
            continue
        split, _, rest = name.partition("/")
        metric, slash, of_class = rest.partition("/")
        low, high = (metrics.get(f"{split}/{metric}{end}{slash}{of_class}") for end in _ENDS)
        found[name] = Score(
            value=value, interval=None if low is None or high is None else (low, high)
        )
    return dict(sorted(found.items()))


def _started(run: StoredRun) -> str:
    seconds = run.started or float(run.tags.get("process.started", 0))
    if not seconds:
        raise DataError(f"run {run.name}: its start is unknown; use its id in MLflow")
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def _commit(run: StoredRun) -> str:
    commit = run.tags.get("git.commit", "")
    if not commit or run.tags.get("git.dirty") != "false":
        raise DataError(
            f"run {run.name}: its code was not committed, so the run cannot be repeated; commit "
            "the code and run it again"
        )
    return commit


def _privacy(run: StoredRun, values: PrivacyValues | None) -> Privacy | None:
    if values is None or not (values.get("guarantee") or values.get("simulation")):
        return None
    if not values.get("guarantee"):
        raise DataError(
            f"run {run.name}: its noise follows from privacy.noise_seed, so it is a simulation "
            "without a privacy guarantee; run it with privacy.noise_seed=null"
        )
    known: dict[str, Any] = dict(values)
    hypothetical = known.get("hypothetical_population") or {}
    return Privacy(
        unit=known["unit"],
        epsilon=known["epsilon"],
        delta=known["delta"],
        noise_multiplier=known["noise_multiplier"],
        accountant=known["accountant"],
        neighboring_relation=known["neighboring_relation"],
        epsilon_rdp=known.get("epsilon_rdp"),
        epsilon_overlap=known.get("epsilon_overlap"),
        hypothetical_population=hypothetical.get("population"),
        hypothetical_epsilon=hypothetical.get("same_noise_on_mean", {}).get(
            "projected_epsilon_pld"
        ),
    )


def check_alike(runs: Sequence[PublishedResult]) -> None:
    """Check that runs can be one ensemble.

    Raises:
      DataError: they differ in configuration, or were evaluated on different beats.
    """
    first, *others = runs
    for other in others:
        if other.key != first.key:
            raise DataError(
                f"run {other.provenance.run}: its configuration is not that of run "
                f"{first.provenance.run}; use runs that differ in the seed alone"
            )
        if other.evaluated.sha256 != first.evaluated.sha256:
            raise DataError(
                f"run {other.provenance.run}: it was evaluated on other beats than run "
                f"{first.provenance.run}; run both on the same data"
            )
