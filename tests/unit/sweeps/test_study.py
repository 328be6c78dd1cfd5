"""Trials of a search: their values, their storage, and pruning in the processes of the jobs."""

import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.trial import TrialState

from ecgexp.settings.declaration import ConfigError
from ecgexp.sweeps.search_settings import SETTING, SearchSettings, search_settings
from ecgexp.sweeps.search_space import search_space
from ecgexp.sweeps.study import TrialOfJob, begin_study, build_pruner, build_sampler, open_storage

PRUNES = {"pruner": "median", "pruner_options": {"n_startup_trials": 1}}


def space(*overrides):
    return search_space(overrides, OverridesParser.create(config_loader=None))


SPACE = space("x=interval(0.0, 1.0)", "k=choice(a,b)")


def begin(folder, found=SPACE, *, name="s", **settings):
    settings = SearchSettings(**settings)
    return settings, begin_study(settings, open_storage(settings, folder), name, found)


def ask(study, settings, number, found=SPACE):
    study.sampler = build_sampler(settings, number)
    return study.ask(dict(found.distributions))


def tried(folder, count, *, found=SPACE, score=lambda params: params["x"], **settings):
    """The values of a search that ends after some trials; a later one continues it."""
    settings, study = begin(folder, found, **settings)
    values = []
    for number in range(count):
        trial = ask(study, settings, number, found)
        values.append(dict(trial.params))
        study.tell(trial, score(trial.params))
    return values


@pytest.mark.parametrize("sampler", ["tpe", "random", "nsgaii"])
def test_interrupted_search_tries_the_same_values(tmp_path, sampler):
    whole = tried(tmp_path / "whole", 14, sampler=sampler)
    assert len({one["x"] for one in whole}) == 14
    for count in (0, 5, 12):
        tried(tmp_path / "parts", count, sampler=sampler)
    assert tried(tmp_path / "parts", 14, sampler=sampler) == whole


def test_search_without_seed_continues_with_its_values(tmp_path):
    first = tried(tmp_path, 3, seed=None)
    second = tried(tmp_path, 4, seed=None)
    assert second[:3] == first
    assert tried(tmp_path, 1, seed=None, name="other") != first[:1]


def test_trial_of_a_killed_process_is_tried_again(tmp_path):
    settings, study = begin(tmp_path)
    first = ask(study, settings, 0)  # and then the process ends
    _, study = begin(tmp_path)
    assert ask(study, settings, 0).params == first.params


def test_scores_of_an_earlier_study_are_not_copied(tmp_path):
    """They come from the jobs, whose code or data may have changed."""
    tried(tmp_path, 3)
    _, study = begin(tmp_path)
    assert [trial.state for trial in study.trials] == [TrialState.WAITING] * 3
    assert study.study_name == "s-2"


def test_fewer_trials_than_before_start_with_the_first(tmp_path):
    first = tried(tmp_path, 5)
    assert tried(tmp_path, 2, n_trials=2) == first[:2]
    _, study = begin(tmp_path, n_trials=2)
    assert len(study.trials) == 2


def test_values_outside_the_space_are_left_out(tmp_path):
    tried(tmp_path, 3, found=space("x=interval(0.0, 1.0)", "k=choice(a,c)"))
    _, study = begin(tmp_path)
    assert all(trial.system_attrs["fixed_params"]["k"] == "a" for trial in study.trials)


def test_grid_tries_each_combination_once(tmp_path):
    found = space("x=range(0,3)", "k=choice(a,b)")
    values = tried(tmp_path, 6, found=found, sampler="grid")
    assert sorted((one["x"], one["k"]) for one in values) == [
        (x, k) for x in range(3) for k in "ab"
    ]
    _, study = begin(tmp_path, found, sampler="grid")
    again = [trial.system_attrs["fixed_params"] for trial in study.trials]
    assert again == values
    _, study = begin(tmp_path / "few", found, sampler="grid", n_trials=4)
    assert len(study.trials) == 4


def reported(settings, folder, number, scores):
    """What a job does in its process: opens the storage and reports its epochs."""
    trial = TrialOfJob(settings, folder, "s", number, "validation/macro_f1")
    return [trial.continues(step, {"macro_f1": score}) for step, score in enumerate(scores, 1)]


@pytest.mark.parametrize("storage", [None, "sqlite:///{folder}/search.db"])
def test_job_in_another_process_is_pruned(tmp_path, storage):
    """The first trial is reported by one process, the second is compared with it in another."""
    storage = storage and storage.format(folder=tmp_path)
    settings, study = begin(tmp_path, storage=storage, **PRUNES)
    trials = [ask(study, settings, number) for number in range(2)]
    for trial, scores, answers in [
        (trials[0], [0.1, 0.5, 0.9], [True, True, True]),
        (trials[1], [0.2, 0.4, 0.3], [True, False, False]),
    ]:
        with ProcessPoolExecutor(1, mp_context=get_context("fork")) as process:
            did = process.submit(reported, settings, tmp_path, trial.number, scores)
            assert did.result() == answers
        study.tell(trial, scores[-1])
    assert study.trials[1].intermediate_values == {1: 0.2, 2: 0.4, 3: 0.3}


def job(folder, study, number, **settings):
    settings = SearchSettings(**(PRUNES | settings))
    return TrialOfJob(settings, folder, study.study_name, number, "validation/macro_f1")


def test_finished_run_is_compared_by_its_own_epochs(tmp_path):
    """What is not trained again still decides whether later trials are pruned."""
    run = tmp_path / "run"
    run.mkdir()
    lines = [
        {"step": step, "metrics": {"curve/validation/macro_f1": score}, "time": 0.0}
        for step, score in [(1, 0.5), (2, None), (3, 0.7)]
    ]
    lines.append({"step": None, "metrics": {"validation/macro_f1": 0.7}, "time": 0.0})
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings, study = begin(tmp_path, **PRUNES)
    trials = [ask(study, settings, number) for number in range(2)]
    job(tmp_path, study, 0).report_run(run)
    study.tell(trials[0], 0.7)
    assert study.trials[0].intermediate_values == {1: 0.5, 3: 0.7}
    second = job(tmp_path, study, 1)
    assert not second.continues(1, {"macro_f1": 0.4})
    assert second.continues(2, {"macro_f1": 0.1}), "no trial was measured there"


def test_resumed_run_does_not_report_an_epoch_twice(tmp_path):
    settings, study = begin(tmp_path, **PRUNES)
    ask(study, settings, 0)
    first = job(tmp_path, study, 0)
    first.continues(1, {"macro_f1": 0.4})
    second = job(tmp_path, study, 0)
    second.continues(1, {"macro_f1": 0.3})
    second.continues(2, {"macro_f1": 0.5})
    assert study.trials[0].intermediate_values == {1: 0.4, 2: 0.5}


def test_epoch_without_score_prunes_nothing(tmp_path):
    settings, study = begin(tmp_path, **PRUNES)
    trials = [ask(study, settings, number) for number in range(2)]
    job(tmp_path, study, 0).continues(1, {"macro_f1": 0.5})
    study.tell(trials[0], 0.5)
    second = job(tmp_path, study, 1)
    assert second.continues(1, {"macro_f1": float("nan")})
    assert second.continues(2, {})


def test_objective_that_no_epoch_has_is_rejected(tmp_path):
    settings, study = begin(tmp_path, **PRUNES)
    ask(study, settings, 0)
    with pytest.raises(ConfigError, match=r"validation/macro_f1 .*use one of accuracy, loss"):
        job(tmp_path, study, 0).continues(1, {"loss": 0.1, "accuracy": 0.9})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampler": "tep"}, rf"{SETTING}\.sampler='tep' .*use e\.g\. {SETTING}\.sampler=tpe"),
        ({"n_trials": 0}, rf"{SETTING}\.n_trials=0"),
        ({"direction": ["maximize", "up"]}, rf"{SETTING}\.direction"),
        (
            {"direction": ["maximize", "minimize"], "pruner": "median"},
            rf"{SETTING}\.pruner=median .*use {SETTING}\.pruner=none",
        ),
        ({"pruner_options": {"n_warmup_steps": 1}}, rf"use {SETTING}\.pruner=median"),
        ({"sampler": "grid", "sampler_options": {"a": 1}}, r"use .*sampler_options=null"),
    ],
)
def test_invalid_setting_of_a_search_is_rejected(settings, message):
    with pytest.raises(ConfigError, match=message):
        search_settings({"_target_": "hydra_plugins.ecgexp.OptunaSweeper", **settings})


def test_other_sweepers_have_no_settings_of_a_search():
    assert search_settings({"_target_": "hydra_plugins.other.Sweeper", "n_trials": 0}) is None


def test_unknown_option_of_optuna_is_rejected():
    with pytest.raises(ConfigError, match=r"sampler_options={speed: 3}: .*use .*TPESampler"):
        build_sampler(SearchSettings(sampler_options={"speed": 3}), 0)
    with pytest.raises(ConfigError, match=r"pruner_options={n_startup_trials: -1}"):
        build_pruner(SearchSettings(pruner="median", pruner_options={"n_startup_trials": -1}))


@pytest.mark.parametrize(
    "storage",
    ["sqlite:////proc/none/search.db", "/proc/none/search.journal", "nodb://host/x", "mysql://h/x"],
)
def test_storage_that_cannot_be_opened_is_rejected(tmp_path, storage):
    with pytest.raises(ConfigError, match=rf"{SETTING}\.storage={storage} .*use a file"):
        open_storage(SearchSettings(storage=storage), tmp_path)


def test_damaged_storage_is_rejected(tmp_path):
    begin(tmp_path)
    journal = tmp_path / "search.journal"
    journal.write_text("{half\n" + journal.read_text())
    with pytest.raises(ConfigError, match=r"search\.journal cannot be opened: .*remove a damaged"):
        begin(tmp_path)


@pytest.mark.parametrize(
    "end", ['{"op_code": 0', '{"op_code": 0\n', "\x00\x01", "garbage\n", "3\n"]
)
def test_storage_with_a_damaged_end_is_rejected(tmp_path, end):
    begin(tmp_path)
    with (tmp_path / "search.journal").open("a") as journal:
        journal.write(end)
    with pytest.raises(ConfigError, match=r"search\.journal cannot be opened: .*remove a damaged"):
        begin(tmp_path)


def test_storage_that_is_no_file_is_rejected(tmp_path):
    for storage in (str(tmp_path), "/dev/null"):
        with pytest.raises(ConfigError, match=rf"{SETTING}\.storage={storage} .*not a file.*use a"):
            open_storage(SearchSettings(storage=storage), tmp_path)


def test_search_that_another_process_begins_is_refused(tmp_path, monkeypatch):
    begin(tmp_path)
    monkeypatch.setattr("optuna.get_all_study_names", lambda _: [])
    with pytest.raises(ConfigError, match=rf"{SETTING}\.study_name=s: .*use the same command"):
        begin(tmp_path)


def test_optuna_that_is_missing_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr("ecgexp.sweeps.search_settings.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"Optuna.*uv sync --extra optuna"):
        search_settings({"_target_": "hydra_plugins.ecgexp.OptunaSweeper"})
