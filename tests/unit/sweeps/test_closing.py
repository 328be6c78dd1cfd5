"""The table and the notes of a sweep, and the objectives of a search."""

import pytest

from ecgexp.settings.declaration import ConfigError
from ecgexp.sweeps.objectives import Objectives
from ecgexp.sweeps.rows import Row
from ecgexp.sweeps.summary import Closed

GRID = {"_target_": "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"}
SEARCH = {
    "_target_": "hydra_plugins.ecgexp.OptunaSweeper",
    "direction": "maximize",
}


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
    return Closed(rows=tuple(rows), search_loss=None, store=None, url_hint="", report="", folder="")


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
