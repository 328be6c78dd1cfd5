"""The table and the notes of a sweep, and the objectives of a search."""

import pytest

from ecgexp.privacy.search_accounting import SearchPrivacyLoss
from ecgexp.settings.declaration import ConfigError
from ecgexp.sweeps.objectives import Objectives
from ecgexp.sweeps.rows import Row
from ecgexp.sweeps.summary import Closed

GRID = {"_target_": "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"}
SEARCH = {
    "_target_": "hydra_plugins.ecgexp.OptunaSweeper",
    "direction": "maximize",
}


PLACES = {"url_hint": "", "report": "", "folder": "", "parent": "sweeps/1/parent"}


def loss(runs, epsilon, name):
    text = f"All of {name}: ε = {epsilon}.\n\nScores are not covered.\n"
    return SearchPrivacyLoss(
        runs=runs,
        epsilon_all=epsilon,
        epsilon_best=None,
        delta=1e-5,
        accountant="pld",
        text=text,
        short=f"all {runs} private runs of {name}: ε = {epsilon}",
    )


def test_privacy_losses_are_shown_in_short_and_stored_whole():
    own, store = loss(2, 6.77, "this sweep"), loss(5, 9.1, "this store")
    sweep = Closed(rows=(), search_loss=own, store=store, **PLACES)
    first, *both, last = sweep.privacy_lines()
    assert "one job" in first
    assert both == [own.short, store.short]
    assert "sweeps/1/parent/sweep_privacy.txt" in last
    assert sweep.privacy.count("Scores are not covered.") == 1
    assert {"All of this sweep: ε = 6.77.", "All of this store: ε = 9.1."} <= set(
        sweep.privacy.split("\n\n")
    )
    assert "All of this sweep: ε = 6.77." in sweep.markdown()


def test_store_without_other_runs_is_not_repeated():
    own, store = loss(2, 6.77, "this sweep"), loss(2, 6.77, "this store")
    lines = Closed(rows=(), search_loss=own, store=store, **PLACES).privacy_lines()
    assert len(lines) == 3
    assert lines[1].endswith("; the store has no other run on the same people")
    assert Closed(rows=(), search_loss=None, store=None, **PLACES).privacy_lines() == []


def closed(*present):
    rows = [
        Row(
            number=number,
            name=f"job {number}",
            status="finished",
            metrics={"test/accuracy": 0.9, "test/macro_f1": 0.8}
            | {f"test/support/{name}": float(name in names) for name in "NSV"},
        )
        for number, names in enumerate(present)
    ]
    return Closed(rows=tuple(rows), search_loss=None, store=None, **PLACES)


def test_notes_with_equal_classes_are_empty():
    assert closed("NSV", "NSV").notes() == []


def test_notes_with_different_classes_list_the_jobs():
    sweep = closed("NSV", "NS", "NSV")
    (note,) = sweep.notes()
    assert "N, S, V: folder 0, 2" in note
    assert "N, S: folder 1" in note
    assert note in sweep.markdown()


def test_search_objective_without_value_fails_the_trial():
    objectives = Objectives(None, SEARCH, "macro_f1")
    assert objectives.of({"validation/macro_f1": 0.5}, {}) == 0.5
    with pytest.raises(
        ConfigError,
        match=r"validation/macro_f1 has no value in this run \(every beat is of class N",
    ):
        objectives.of({"test/accuracy": 1.0}, {"validation/macro_f1": "every beat is of class N"})


def test_search_objective_of_unscored_split_is_rejected():
    with pytest.raises(
        ConfigError,
        match=r"sweep\.objectives: validation/macro_f1 .*evaluate_on=\[test,validation\]",
    ):
        Objectives(None, SEARCH, "macro_f1").check(("test",))
    Objectives(None, SEARCH, "macro_f1").check(("validation",))


def test_grid_without_objective_is_accepted():
    objectives = Objectives(None, GRID, "macro_f1")
    objectives.check(("test",))
    assert objectives.of({}, {}) is None
