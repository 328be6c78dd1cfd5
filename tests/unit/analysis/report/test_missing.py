"""What a report says of scores that rest on less than they seem to."""

import pytest
from finished_runs import CENTRALIZED, finished

from ecgexp.analysis.report.gather import choose, gather
from ecgexp.analysis.report.score_tables import note_table, score_table

CLASSES = ("N", "S", "V")
TRAINING, TEST = (
    "no training beat is of class S: the model cannot have learned them",
    "no beat is of class V",
)


def scores(*absent):
    support = {f"test/support/{name}": 0.0 if name in absent else 9.0 for name in CLASSES}
    return {"test/accuracy": 0.9, "test/balanced_accuracy": 0.6, "test/macro_f1": 0.7, **support}


@pytest.fixture
def configurations(tmp_path):
    """(several runs, each a dict of what `finished` takes) -> configurations."""

    def make(*runs):
        for number, run in enumerate(runs):
            finished(tmp_path / f"{number}", **{"params": CENTRALIZED, "classes": CLASSES, **run})
        return gather(choose(parent=str(tmp_path))).configurations

    return make


def rate(value):
    return {"params": {**CENTRALIZED, "trainer.learning_rate": value}}


def test_average_over_all_classes_has_no_label(configurations):
    table = score_table(configurations({"metrics": scores()}), "test")
    assert "0.700" in table.groups[0][0]
    assert not [note for note in table.notes if "macro F1" in note]


def test_average_over_fewer_classes_names_the_classes(configurations):
    table = score_table(configurations({"metrics": scores("V")}), "test")
    cells = table.groups[0][0]
    assert "0.700 over N, S" in cells
    assert "0.600 over N, S" in cells
    assert "0.900" in cells  # accuracy is no average over classes
    assert any("[1] macro F1 and balanced accuracy are over N, S" in note for note in table.notes)


def test_averages_over_other_classes_are_not_ranked(configurations):
    runs = {"metrics": scores("V"), **rate(0.1)}, {"metrics": scores(), **rate(0.2)}
    (note,) = [
        note
        for note in score_table(configurations(*runs), "test").notes
        if "cannot be ranked" in note
    ]
    assert "N, S: [1]" in note
    assert "N, S, V: [2]" in note


def test_seeds_with_other_classes_in_averages_are_noted(configurations):
    one = configurations({"metrics": scores("V"), "seed": 1}, {"metrics": scores(), "seed": 2})
    cells = score_table(one, "test").groups[0][0]
    assert "0.700 over classes that differ between seeds" in cells


def test_notes_of_runs_are_in_a_table(configurations):
    notes = {"training": [TRAINING], "test": [TEST]}
    made = configurations({"notes": notes, "seed": 1}, {"notes": {"test": [TEST]}, "seed": 2})
    table = note_table(made, public=False)
    assert [row[-3:] for group in table.groups for row in group] == [
        ["training", TRAINING, "[1] (seed 1)"],
        ["test", TEST, "[1]"],
    ]
    public = note_table(made, public=True)
    assert [row[-3:] for group in public.groups for row in group] == [["test", TEST, "[1]"]]


def test_note_of_several_runs_stands_once_and_is_folded(configurations, tmp_path, make_page):
    runs = [{"notes": {"test": [TEST]}, **rate(value)} for value in (0.1, 0.2, 0.3)]
    runs[2]["notes"] = {"test": [TEST, "few beats"]}
    table = note_table(configurations(*runs), public=False)
    assert table.groups == [[["test", TEST, "all"], ["few beats", "[3]"]]]
    page = make_page(tmp_path).source
    assert page.count(TEST) == 1
    assert "<details><summary>Limits of the scores" in page


def test_runs_without_notes_have_no_table(configurations):
    assert note_table(configurations({}), public=False) is None


def test_notes_are_on_the_page(tmp_path, make_page):
    finished(
        tmp_path / "0",
        params=CENTRALIZED,
        classes=CLASSES,
        metrics=scores("V"),
        notes={"test": [TEST]},
    )
    source = make_page(tmp_path).source
    assert TEST in source
    assert "0.700 <small>over N, S</small>" in source


def test_runs_with_equal_seeds_are_noted_as_no_repetitions(configurations):
    table = note_table(configurations({"seed": 1}, {"seed": 1}, {"seed": 2}), public=True)
    (row,) = table.groups[0]
    assert row == [
        "seeds",
        "2 runs have the same seed and are not independent repetitions: means and "
        "ranges count each",
        "[1] (seed 1)",
    ]


def test_runs_with_different_seeds_have_no_note(configurations):
    assert note_table(configurations({"seed": 1}, {"seed": 2}, {"seed": 3}), public=True) is None
