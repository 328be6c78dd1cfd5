"""The results page says what the runs say: the right runs, their mean and range, and nothing without a run behind it."""

import importlib.util
import json
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from ecgexp.analysis.find_runs import StoredRun
from ecgexp.analysis.results_page.asked import RunIndex
from ecgexp.analysis.results_page.blocks import replace_blocks
from ecgexp.analysis.results_page.ensemble import evaluate_together
from ecgexp.analysis.results_page.measured import evaluations_of_test_set, measure
from ecgexp.analysis.results_page.rows import INTER_PATIENT, PRIVACY, ResultRow
from ecgexp.analysis.results_page.tables import (
    evaluation_log,
    inter_patient_table,
    privacy_table,
)
from ecgexp.config.compose import for_the_record, load_config
from ecgexp.settings.declaration import DataError
from ecgexp.tracking.kept_files import FolderFiles
from ecgexp.tracking.params import flatten, loggable

ROOT = Path(__file__).resolve().parents[2]
NAME = "mitdb_inter_patient_resnet1d_centralized"
CLAIM = ResultRow(label="ours", experiment=NAME, seeds=(0, 1))
ALONE = ResultRow(label="ours", experiment=NAME, seeds=(0,))


@cache
def params_of(*overrides):
    return loggable(flatten(for_the_record(load_config([f"experiment={NAME}", *overrides]))))


@pytest.fixture
def store(monkeypatch):
    """A list of the runs that the store holds, oldest first."""
    runs = []
    monkeypatch.setattr(
        "ecgexp.analysis.results_page.asked.search_runs",
        lambda *, experiment, uri: runs if experiment == NAME else [],
    )
    return runs


def predictions(certainty, *, first_record="100"):
    """Three beats of two records: N and V are seen with `certainty`, S is taken for N with 1 - certainty to spare."""
    of_n, of_s, of_v = (
        [certainty, 1 - certainty / 2, 0.0],
        [0.0, certainty / 2, 0.0],
        [1 - certainty, 0.0, 1.0],
    )
    return pd.DataFrame({
        "record": [first_record, "100", "103"], "patient": ["100", "100", "103"], "sample": [1, 2, 3], "class": ["N", "S", "V"],
        "predicted": ["N", "N", "V"], "probability/N": of_n, "probability/S": of_s, "probability/V": of_v,
    })  # fmt: skip


def test_the_runs_together_are_judged_by_their_mean_probability(make_run, store, tmp_path):
    """S has .45 and .65 (summing to N's), so that one run reads it as N, the other as S, and the mean as S."""
    store += [make_run(0, 0.9), make_run(1, 0.95)]
    for run, of_s in zip(store, (0.45, 0.65), strict=True):
        table = predictions(0.9)
        table.loc[1, ["probability/N", "probability/S"]] = [1 - of_s, of_s]
        table.to_parquet(tmp_path / run.run_id / "predictions/test.parquet")
    (measured,) = measure([CLAIM], RunIndex())
    evaluation = evaluate_together(measured)
    assert evaluation.confusion.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert evaluation.majority_class == "N"
    predictions(0.9, first_record="101").to_parquet(
        tmp_path / store[1].run_id / "predictions/test.parquet"
    )
    with pytest.raises(DataError, match="were tested on different beats"):
        evaluate_together(measured)


@pytest.fixture
def make_run(tmp_path):
    """(seed, accuracy, *overrides, started=0, status=, metrics=, result=, name=, command=) -> a run as the store gives it."""

    def make(
        seed,
        accuracy,
        *overrides,
        started=0.0,
        status="FINISHED",
        metrics=(),
        result=None,
        name="",
        command="",
    ):
        folder = tmp_path / f"{seed}-{started}-{accuracy}"
        folder.mkdir()
        (folder / "result.json").write_text(
            json.dumps(
                result
                or {"status": "FINISHED", "seconds": 60, "data": {"beats": {"train": {"N": 9}}}}
            )
        )
        (folder / "predictions").mkdir()
        predictions(accuracy).to_parquet(folder / "predictions/test.parquet")
        scores = {
            "test/accuracy": accuracy, "test/accuracy_ci_low": accuracy - 0.1, "test/accuracy_ci_high": accuracy + 0.01,
            "test/jk_index": 0.8, "test/majority/accuracy": 0.89, "test/macro_f1": 0.5, "test/f1/V": 0.9,
        }  # fmt: skip
        settings = {
            name: str(value) for name, value in params_of(f"seed={seed}", *overrides).items()
        }
        return StoredRun(
            run_id=folder.name, name=name or f"seed {seed}", status=status, started=started, params=settings,
            metrics=scores | dict(metrics), tags={"command": command}, _files=FolderFiles(folder),
        )  # fmt: skip

    return make


def test_the_newest_finished_run_of_each_seed_counts_and_no_other_configuration(make_run, store):
    store += [
        make_run(0, 0.1, started=1),
        make_run(0, 0.90, started=2),
        make_run(1, 0.96, started=3),
        make_run(1, 0.2, started=4, status="FAILED"),
        make_run(1, 0.3, "split.merge_same_patient=true", started=5),
        make_run(0, 0.4, "trainer.epochs=2", started=6),
    ]
    (measured,) = measure([CLAIM], RunIndex())
    found = measured.score("accuracy")
    assert (found.mean, found.low, found.high, found.count) == (pytest.approx(0.93), 0.90, 0.96, 2)
    assert measured.interval("accuracy") == (pytest.approx(0.83), pytest.approx(0.94))


def test_a_number_without_a_run_is_not_written(make_run, store):
    store += [make_run(0, 0.9), make_run(1, 0.9, status="FAILED")]
    with pytest.raises(
        DataError,
        match=rf"no finished run with seed 1 is .*uv run ecgexp -m experiment={NAME} seed=0,1",
    ):
        measure([CLAIM], RunIndex())


def test_the_table_gives_mean_range_interval_and_the_command(make_run, store):
    store += [make_run(0, 0.90), make_run(1, 0.96)]
    (measured,) = measure([CLAIM], RunIndex())
    table = inter_patient_table([measured], [evaluate_together(measured)])
    assert "| ours | 2 | 0.930 (0.900–0.960)<br>[0.830, 0.940] | 0.800 (0.800–0.800)" in table
    assert "| undefined<br>[nan, nan] |" in table  # F1 of S, which no run has
    assert f"ecgexp -m experiment={NAME} seed=0,1  # 60 to 60 s a run" in table
    assert "| Mondéjar-Guerra 2019, SVM ensemble | | 0.945 | 0.773 |" in table


def test_a_projection_is_never_shown_as_the_promise(make_run, store):
    privacy = {
        "guarantee": True, "epsilon": 14.1, "delta": 1e-3, "unit": "patient",
        "hypothetical_population": {"population": 10000, "same_noise_on_mean": {"projected_epsilon_pld": 0.02}},
    }  # fmt: skip
    store.append(
        make_run(
            0,
            0.9,
            result={"status": "FINISHED", "seconds": 9, "privacy": privacy},
            metrics={"privacy/noise_multiplier": 1.0},
        )
    )
    (measured,) = measure([ALONE], RunIndex())
    assert "| ours | 1 | 14.1 (0.001) | 0.0200 of 10 000 | 0.900 |" in privacy_table([measured])
    store.append(make_run(0, 0.91))
    (open_one,) = measure([ALONE], RunIndex())
    assert "| ours | 0 | ∞ |  | 0.910 |" in privacy_table([open_one])


def test_every_look_is_listed_whatever_came_of_it(make_run, store):
    store += [
        make_run(0, 0.95, started=86400.0),
        make_run(1, 0.5, "trainer.epochs=1", started=0.0, status="FAILED"),
        make_run(2, 0.7, "split=patient_kfold", started=1.0),
    ]
    found = evaluations_of_test_set([CLAIM, ALONE], RunIndex())
    assert [evaluation.accuracy for evaluation in found] == [0.5, 0.95]
    assert f"| 1970-01-02 00:00 | `{NAME}` | seed 0 | 0.950 | 0.800 |" in evaluation_log(found)


def test_a_look_says_what_its_name_leaves_out(make_run, store):
    """A job is called after what it differs in from the others of its sweep."""
    words = "seed=0 loss.gamma=1 split.merge_same_patient=True 'tracking.uri=sqlite\\:///a.db' data.cache_dir=b"
    store.append(
        make_run(0, 0.95, name="seed=0, gamma=1", command=f"ecgexp experiment={NAME} {words}")
    )
    (found,) = evaluations_of_test_set([ALONE], RunIndex())
    assert found.run == "seed=0, gamma=1 split.merge_same_patient=True"


def test_a_block_is_replaced_and_the_rest_of_the_page_is_not():
    page = (
        "a\n<!-- results x: written by scripts/results.py -->\nold\n<!-- end of results x -->\nb\n"
    )
    once = replace_blocks(page, {"x": "new \\1\n"})
    assert once == page.replace("old", "new \\1")
    assert replace_blocks(once, {"x": "new \\1"}) == once
    with pytest.raises(DataError, match="0 blocks y"):
        replace_blocks(page, {"y": ""})
    with pytest.raises(DataError, match="2 blocks x"):
        replace_blocks(page + page, {"x": ""})


def test_the_readme_has_every_block_and_each_claims_experiment_exists():
    page = (ROOT / "docs/results/index.md").read_text(encoding="utf-8")
    assert (
        replace_blocks(
            page, {"inter_patient": "", "privacy": "", "evaluations_of_test_set": "", "parity": ""}
        )
        != page
    )
    for claim in (*INTER_PATIENT, *PRIVACY):
        assert (ROOT / "conf/experiment" / f"{claim.experiment}.yaml").is_file()
        assert claim.command in page, f"the page does not say how {claim.label} was made"


def test_the_script_says_what_is_missing(tmp_path, capsys, monkeypatch):
    path = ROOT / "scripts/results.py"
    spec = importlib.util.spec_from_file_location("results_script", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr("sys.argv", ["results.py", "--store", f"sqlite:///{tmp_path}/none.db"])
    assert script.main() == 1
    assert "none.db does not exist" in capsys.readouterr().err


def test_the_figure_marks_projections_as_no_promise(make_run, store):
    from ecgexp.analysis.results_page.figure import privacy_figure

    def result(epsilon):
        hypothetical_population = {
            "population": 10000,
            "same_noise_on_mean": {"projected_epsilon_pld": epsilon / 100},
        }
        return {
            "status": "FINISHED",
            "privacy": {
                "guarantee": True,
                "epsilon": epsilon,
                "delta": 1e-3,
                "unit": "patient",
                "hypothetical_population": hypothetical_population,
            },
        }

    store += [
        make_run(0, 0.9, result=result(1.0)),
        make_run(1, 0.9, result=result(8.0)),
        make_run(2, 0.95),
    ]
    claims = [ResultRow(label="p", experiment=NAME, seeds=(seed,)) for seed in (0, 1, 2)]
    figure = privacy_figure(measure(claims, RunIndex()))
    projected = next(line for line in figure.axes[0].lines if "no promise" in str(line.get_label()))
    assert projected.get_xdata().tolist() == [0.01, 0.08]
    assert projected.get_markerfacecolor() == "white"
    assert [axes.get_ylabel() for axes in figure.axes] == ["test accuracy", "test F1 of V"]
    assert {str(text.get_text()) for text in figure.legends[0].texts} >= {
        "promised to p",
        "always N",
    }
