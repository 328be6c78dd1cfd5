"""How often a page's test sets were evaluated, beside its scores."""

import pytest
from finished_runs import CENTRALIZED, finished

from ecgexp.analysis.find_runs import find_run
from ecgexp.analysis.report.evaluation_counts import COLUMN, EvaluationCounts
from ecgexp.analysis.report.gather import choose, gather
from ecgexp.analysis.report.groups import configurations
from ecgexp.analysis.report.score_tables import note_table, score_table
from ecgexp.analysis.run_rows import read_row
from ecgexp.evaluation.patient_bound import hoeffding_margin
from ecgexp.experiment.logged_evaluation import sentence
from ecgexp.tracking.evaluation_log import EvaluatedRun, EvaluationLog


def evaluation(number, *, evaluations=None, test_set="t", patients=22, bounded=True, **more):
    known = evaluations or number
    return {
        "number": number,
        "evaluations": known,
        "is_repeat": False,
        "test_set": test_set,
        "configuration": "c",
        "accuracy_by_patient": 0.9,
        "patients": patients,
        "margin": hoeffding_margin(patients, known) if bounded else None,
        "confidence": 0.95 if bounded else None,
        **more,
    }


@pytest.fixture
def made(tmp_path):
    """Runs with these evaluations -> their configurations; a configuration has two seeds."""

    def make(*evaluations):
        folders = [
            finished(
                tmp_path / str(place),
                params={**CENTRALIZED, "trainer.epochs": place // 2},
                seed=place % 2,
                evaluation=values,
                notes={"test": [sentence(values), "few beats"]},
            )
            for place, values in enumerate(evaluations)
        ]
        return configurations([read_row(find_run(str(folder))) for folder in folders])

    return make


def test_evaluation_and_bound_stand_beside_the_scores(made):
    every = made(evaluation(6), evaluation(7), evaluation(7, is_repeat=True))
    table = score_table(every, "test", evaluations=EvaluationCounts(counted={"t": 9}))
    place = table.columns.index(COLUMN)
    margin = f"{hoeffding_margin(22, 9):.3f}"
    assert [row[place] for (row,) in table.groups] == [
        f"0.900 ± {margin} (6, 7)",
        f"0.900 ± {margin} (evaluation 7, again)",
    ]
    assert table.notes[0].startswith("This test set was evaluated 9 times so far.")
    assert "9 evaluations together, by Hoeffding's bound over 22 patients" in table.notes[0]
    assert "F1 and the jk index have no such bound" in table.notes[0]


def test_the_larger_of_log_and_runs_counts(made):
    every = made(evaluation(3), evaluation(12))
    rows = every[0].rows
    assert EvaluationCounts(counted={}).total(rows) == {"t": 12}
    assert EvaluationCounts(counted={"t": 5}).total(rows) == {"t": 12}
    assert EvaluationCounts(counted={"t": 15, "other": 99}).total(rows) == {"t": 15}


@pytest.mark.parametrize(
    "second", [evaluation(1, test_set="u"), evaluation(2, bounded=False)], ids=["other", "beats"]
)
def test_no_bound_is_stated_where_none_holds(made, second):
    every = made(evaluation(1), second)
    counts = EvaluationCounts(counted={})
    assert counts.cell(every[0], counts.total(every[0].rows)).startswith("0.900 (no bound)")


def test_unknown_patients_have_no_accuracy_by_patient(made):
    values = evaluation(1, bounded=False, accuracy_by_patient=None) | {"patients": None}
    every = made(values, values)
    counts = EvaluationCounts(counted={})
    assert counts.cell(every[0], counts.total(every[0].rows)) == "– (1, 1)"
    assert counts.notes(every[0].rows) == ["This test set was evaluated once so far."]


def test_the_note_of_the_run_is_not_repeated(made):
    found = note_table(made(evaluation(1)), public=False)
    assert found is not None
    assert [row[1] for group in found.groups for row in group] == ["few beats"]


def test_runs_without_test_beats_have_no_such_columns(made):
    every = made(evaluation(1))
    counts = EvaluationCounts(counted={})
    assert COLUMN not in score_table(every, "validation", evaluations=counts).columns
    every = configurations([])
    assert COLUMN not in score_table(every, "test", evaluations=counts).columns


def test_evaluations_are_counted_by_the_log_of_the_store(tmp_path, monkeypatch):
    monkeypatch.setenv("ECGEXP_PRIVATE", str(tmp_path / "private"))
    finished(tmp_path / "run", params=CENTRALIZED, evaluation=evaluation(1))
    log = EvaluationLog(tmp_path / "private")
    for number in "123":
        run = EvaluatedRun(id=number, configuration=number, name="", run_dir="", run_id=None)
        log.begin(run, test_set="t", test_sha256="", database="d")
    gathered = gather(choose(parent=str(tmp_path / "run")))
    assert gathered.evaluations.total(gathered.rows) == {"t": 3}
    log.file.write_text("{\n")  # the runs know their own
    gathered = gather(choose(parent=str(tmp_path / "run")))
    assert gathered.evaluations.total(gathered.rows) == {"t": 1}
