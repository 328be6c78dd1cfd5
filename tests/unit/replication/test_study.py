"""The study: which stages it has, how it finds their runs again, and what it tells of them."""

import csv
import io
import math
from pathlib import Path

import pytest
from rich.console import Console

from ecgexp.analysis.find_runs import StoredRun
from ecgexp.analysis.results_page.groups import PublishedResults
from ecgexp.analysis.results_page.record import read_results
from ecgexp.config.compose import for_the_record, load_config, load_experiment
from ecgexp.replication.figure import study_figure
from ecgexp.replication.gather import RunIndex, StageResult, StageRun, gather, published
from ecgexp.replication.protocol_errors import switches
from ecgexp.replication.reported_epsilon import Ladder, ladders, read_ladders, write_ladders
from ecgexp.replication.stages import AS_IT_WAS, PROTOCOLS, stages
from ecgexp.replication.tables import study_csv, study_markdown, study_tables
from ecgexp.settings.declaration import DataError
from ecgexp.tracking.params import flatten, loggable

ROOT = Path(__file__).parents[3]


def stored(overrides, number=0, status="FINISHED", **metrics):
    """A run of these overrides, as MLflow gives it back: parameters are text."""
    params = {
        name: str(value)
        for name, value in loggable(flatten(for_the_record(load_config(overrides)))).items()
    }
    return StoredRun(
        run_id=str(number),
        name="",
        status=status,
        started=float(number),
        params=params,
        metrics=metrics,
        tags={"dataset.name": "mitdb 1.0.0"},
        _files=None,
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_fault_goes_once_and_none_is_left_at_the_end(protocol):
    found = stages([protocol])
    assert found[0].label == AS_IT_WAS
    gone = [name for stage in found for name in stage.corrected]
    assert sorted(gone) == sorted(switches(protocol))
    assert found[-1].left == ()
    assert [len(stage.left) for stage in found] == sorted(
        (len(stage.left) for stage in found), reverse=True
    )


@pytest.mark.parametrize(
    "stage", stages(PROTOCOLS), ids=lambda stage: f"{stage.protocol} {stage.label}"
)
def test_what_is_typed_for_a_stage_leaves_its_faults(stage):
    assert load_experiment(stage.overrides).protocol_errors.names == stage.left


def test_the_latest_finished_run_of_the_same_settings_is_taken(monkeypatch):
    first, second, *_ = stages(["central"])
    there = [
        stored([*first.overrides, "seed=0"], 1),
        stored([*first.overrides, "seed=0"], 2),
        stored([*first.overrides, "seed=0"], 3, status="FAILED"),
        stored([*first.overrides, "seed=0", "trainer.epochs=9"], 4),
        stored(
            [*first.overrides, "seed=1", "data.root=elsewhere", "tracking.uri=sqlite:///x.db"], 5
        ),
    ]
    monkeypatch.setattr("ecgexp.replication.gather.search_runs", lambda **_: there)
    found = gather([first, second], [0, 1], RunIndex())
    assert [[run.run_id for run in one.runs] for one in found] == [["2", "5"], []]


@pytest.fixture
def measured():
    all_stages = stages(PROTOCOLS)
    scores = {"test/macro_f1": 0.5, "test/majority/accuracy": 0.7}
    found = []
    for i, stage in enumerate(all_stages):
        metrics = scores | {"test/accuracy": 0.99 - 0.02 * i}
        if stage.protocol == "dp":
            epsilon = {
                "replication/epsilon_as_printed": 0.61,
                "replication/epsilon_had_it_run": 651.9,
            }
            metrics |= epsilon if stage.left else {"privacy/epsilon": 0.77}
        run = StageRun(
            run_id=str(i), seed="0", noise_multiplier="", database="mitdb 1.0.0", metrics=metrics
        )
        found.append(StageResult(stage=stage, runs=(run,) if i != 2 else ()))
    return found


LADDERS = [
    Ladder(
        noise_multiplier=z,
        as_printed=0.6 / z,
        right_count=0.7 / z,
        tight=0.6 / z,
        ten_copies=8 / z,
        no_amplification=18 / z,
    )
    for z in (1.0, 2.0)
]


def test_the_table_says_what_each_was_worth(measured):
    console = Console(width=80, record=True, file=io.StringIO())
    for table in study_tables(measured):
        console.print(table)
    lines = console.export_text(clear=False).splitlines()
    row = next(line for line in lines if "default_to_normal" in line)
    assert "0.970" in row
    assert "-0.020" in row
    assert "not run" in next(line for line in lines if "− last_checkpoint" in line)
    assert "652 (∞)" in next(line for line in lines if "0.61" in line)
    assert all(name in console.export_text(clear=False) for name in ("majority", "ε noised"))


def test_the_page_says_what_is_left_and_what_the_same_noise_costs(measured):
    text = study_markdown([one for one in measured if one.runs], LADDERS)
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert {len(row) for row in rows[: len(measured)]} == {7}
    assert "| `replication/central` | all protocol errors | 0.990 | 0.500 | 0.700 |  |  |" in text
    assert "|  | `default_to_normal` | 0.970 | 0.500 | 0.700 |  |  |" in text
    assert "| 0.61 | 652 (∞) |" in text
    assert "| 0.77 | 0.77 |" in text
    assert "| shuffled batches | 18.0 | 9.00 |" in text
    assert "| executed steps | ∞ | ∞ |" in text


def test_stage_without_a_published_result_is_refused():
    results = PublishedResults(read_results(ROOT / "results/runs.jsonl"))
    assert all(len(one.runs) == 1 for one in published(stages(PROTOCOLS), results))
    fewer = PublishedResults(
        line
        for line in results.lines
        if line.key != ("replication/federated", ("protocol_errors.shifted_images=false",))
    )
    with pytest.raises(
        DataError,
        match=r"replication/federated protocol_errors.shifted_images=false: no line .* --add",
    ):
        published(stages(PROTOCOLS), fewer)


def test_stored_epsilon_is_what_accounting_gives(tmp_path):
    (computed,) = ladders([2.4])
    found = read_ladders(ROOT / "results/replication_epsilon.jsonl")
    assert len(found) == 9
    assert vars(found[-1]) == pytest.approx(vars(computed), rel=1e-6)
    write_ladders(tmp_path / "a.jsonl", found)
    assert read_ladders(tmp_path / "a.jsonl") == found


def test_the_csv_has_a_row_a_run_and_a_row_a_noise(measured):
    rows = list(csv.DictReader(io.StringIO(study_csv(measured, LADDERS))))
    assert len(rows) == len(measured) - 1 + len(LADDERS)
    assert float(rows[0]["accuracy"]) == 0.99
    assert rows[0]["errors_left"].split() == list(switches("central"))
    assert [float(row["epsilon_no_amplification"]) for row in rows[-2:]] == [18.0, 9.0]
    assert rows[-1]["epsilon_that_ran"] == "inf"
    assert math.isclose(float(rows[-1]["epsilon_as_printed"]), 0.3)


def test_the_figure_names_every_stage_and_the_infinite(measured):
    figure = study_figure(measured, LADDERS)
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == [
        one.stage.label for one in measured
    ]
    assert "∞" in [label.get_text() for label in right.get_yticklabels()]
    assert "not run" in [text.get_text() for text in left.texts]
