"""Published results.

The schema, which lines hold, and that every generated text and figure agrees with them.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from ecgexp.analysis.find_runs import StoredRun
from ecgexp.analysis.results_page import rows
from ecgexp.analysis.results_page.blocks import MARKDOWN, header, replace_block
from ecgexp.analysis.results_page.ensemble import published_ensemble
from ecgexp.analysis.results_page.from_run import published_result, settings_of
from ecgexp.analysis.results_page.groups import PublishedResults
from ecgexp.analysis.results_page.pages import summary
from ecgexp.analysis.results_page.record import read_results, write_results
from ecgexp.analysis.results_page.tables import (
    ResultRow,
    evaluation_log,
    hypothetical_table,
    privacy_table,
    results_table,
)
from ecgexp.settings.declaration import DataError
from ecgexp.tracking.kept_files import FolderFiles

ROOT = Path(__file__).parents[4]
NAME = "mitdb_inter_patient_resnet1d_centralized"
ROW = ResultRow(experiment=NAME)
COMMIT, SHA256 = "0123abc", "ab" * 32
CARRIED = {
    "kind": "mean",
    "experiment": NAME,
    "seeds": [0, 1],
    "training": "centralized",
    "evaluated": {"split": "DS2"},
    "metrics": {"test/accuracy": {"value": 0.5, "range": [0.4, 0.6]}},
    "provenance": {"source": "carried over", "date": "2026-11-27", "commit": COMMIT},
}


@cache
def script():
    spec = importlib.util.spec_from_file_location("results_page", ROOT / "scripts/results_page.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["results_page"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def write(tmp_path):
    """(*lines as dicts) -> the path of a file of them."""

    def lines(*values):
        path = tmp_path / "runs.jsonl"
        path.write_text("".join(f"{json.dumps(value)}\n" for value in values), encoding="utf-8")
        return path

    return lines


@cache
def settings():
    return settings_of(NAME, ())


@pytest.fixture
def make_run(tmp_path):
    """(seed, accuracy, ...) -> a run as the store gives it."""

    def make(
        seed, accuracy, *, words="", params=(), tags=(), metrics=(), privacy=None, started=1e9
    ):
        folder = tmp_path / f"run-{seed}-{started:.0f}-{accuracy}"
        (folder / "predictions").mkdir(parents=True)
        data = {
            "database": "mitdb 1.0.0",
            "test_sha256": SHA256,
            "patients": {"test": 22},
            "beats": {"train": {"N": 9, "V": 1}, "test": {"N": 8, "V": 2}},
        }
        result = {"status": "FINISHED", "seconds": 60.0, "data": data, "privacy": privacy}
        (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
        predictions(accuracy).to_parquet(folder / "predictions/test.parquet")
        scores = {
            "test/accuracy": accuracy,
            "test/accuracy_ci_low": accuracy - 0.1,
            "test/accuracy_ci_high": accuracy + 0.01,
            "test/f1/V": 0.9,
            "test/majority/accuracy": 0.89,
            "validation/accuracy": 0.3,
            "privacy/epsilon": 3.0,
        }
        tags_of_run = {
            "command": f"ecgexp experiment={NAME} seed={seed} tracking.uri=sqlite:///a.db {words}",
            "git.commit": COMMIT,
            "git.dirty": "false",
            "version.numpy": "1.26.4",
        }
        return StoredRun(
            run_id=folder.name,
            name=f"seed {seed}",
            status="FINISHED",
            started=started,
            params=settings() | {"seed": str(seed)} | dict(params),
            metrics=scores | dict(metrics),
            tags=tags_of_run | dict(tags),
            _files=FolderFiles(folder),
        )

    return make


def predictions(certainty):
    """Two beats of two patients; the probability of the true class is `certainty`."""
    return pd.DataFrame(
        {
            "record": ["100", "103"],
            "patient": ["100", "103"],
            "sample": [1, 2],
            "class": ["N", "V"],
            "predicted": ["N", "V"],
            "probability/N": [certainty, 1 - certainty],
            "probability/V": [1 - certainty, certainty],
        }
    )


# The file


def test_results_written_and_read_are_equal(write, make_run, tmp_path):
    lines = [*read_results(write(CARRIED)), published_result(make_run(0, 0.9))]
    write_results(tmp_path / "again.jsonl", lines)
    assert read_results(tmp_path / "again.jsonl") == lines


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"color": 1}, "line 2: color is not a setting"),
        ({"kind": "run"}, "kind=run: 2 seeds"),
        ({"seeds": [1, 0]}, r"seeds=\[1, 0\]: .* order"),
        ({"overrides": ["b=1", "a=1"]}, "overrides=.*sorted"),
        ({"metrics": {"test/accuracy": {"value": "x"}}}, "metrics.test/accuracy.value"),
        ({"metrics": {"test/accuracy": {"value": 0.9, "range": [0.1, 0.2]}}}, "range=.*outside"),
        ({"metrics": {"test/accuracy": {"value": 0.9, "interval": [2, 1]}}}, "interval="),
        ({"evaluated": {"split": "DS2", "sha256": "x"}}, "sha256=x"),
        ({"provenance": CARRIED["provenance"] | {"date": "today"}}, "date=today"),
        ({"provenance": CARRIED["provenance"] | {"commit": "-"}}, "commit=-"),
        ({"provenance": CARRIED["provenance"] | {"source": "run"}}, "source=run"),
        ({"privacy": {"unit": "beat", "epsilon": 1.0}}, "privacy.delta is missing"),
    ],
)
def test_line_that_breaks_the_schema_is_refused(write, change, match):
    with pytest.raises(DataError, match=match) as refused:
        read_results(write(CARRIED, CARRIED | change))
    assert "\n" not in str(refused.value)
    assert "--add" in str(refused.value)


def test_line_without_its_ending_is_refused(write):
    path = write(CARRIED)
    path.write_text(path.read_text(encoding="utf-8").rstrip("\n"), encoding="utf-8")
    with pytest.raises(DataError, match="ends within a line"):
        read_results(path)


# A run becomes a line


def test_line_of_a_run_has_its_experiment_and_overrides(make_run):
    line = published_result(make_run(3, 0.9))
    assert (line.experiment, line.overrides, line.seeds) == (NAME, (), (3,))
    assert (line.evaluated.split, line.evaluated.sha256) == ("DS2", SHA256)
    assert (line.evaluated.beats, line.evaluated.patients) == (10, 22)
    assert line.metrics["test/accuracy"].interval == (pytest.approx(0.8), pytest.approx(0.91))
    assert not any(name.startswith(("validation/", "privacy/")) for name in line.metrics)
    assert line.settings == settings()
    assert line.versions == {"numpy": "1.26.4"}
    assert (line.provenance.date, line.provenance.commit) == ("2001-09-09 01:46", COMMIT)


def test_overrides_without_effect_are_left_out(make_run):
    found = make_run(
        0,
        0.9,
        words="trainer.epochs=15 trainer.learning_rate=0.0020",
        params={"trainer.learning_rate": "0.002"},
    )
    assert published_result(found).overrides == ("trainer.learning_rate=0.002",)


SIMULATION = {"guarantee": False, "simulation": True, "unit": "beat"}


@pytest.mark.parametrize(
    ("run", "match"),
    [
        ({"tags": {"git.dirty": "true"}}, "was not committed.*commit the code and run it again"),
        ({"params": {"trainer.epochs": "3"}}, r"trainer.epochs=3, but experiment=.* has 15"),
        ({"tags": {"command": "ecgexp seed=0"}}, "experiment=…; put its settings into a file"),
        ({"params": {"seed": "None"}}, "seed=None"),
        ({"privacy": SIMULATION}, "simulation.*privacy.noise_seed=null"),
    ],
)
def test_run_that_cannot_be_repeated_is_refused(make_run, run, match):
    with pytest.raises(DataError, match=match):
        published_result(make_run(0, 0.9, **run))


def test_ensemble_is_the_mean_probability(make_run):
    """Alone, the second run takes each beat for the other class; the mean does not."""
    line = published_ensemble([make_run(1, 0.3), make_run(0, 0.9)])
    assert (line.kind, line.seeds) == ("ensemble", (0, 1))
    assert line.metrics["test/accuracy"].value == 1.0
    assert line.metrics["test/majority/accuracy"].value == 0.5


def test_ensemble_of_other_beats_or_settings_is_refused(make_run):
    first, other = make_run(0, 0.9), make_run(1, 0.9)
    lines = other.artifact("result.json")
    lines.write_text(lines.read_text(encoding="utf-8").replace(SHA256, "cd" * 32), encoding="utf-8")
    with pytest.raises(DataError, match="evaluated on other beats"):
        published_ensemble([first, other])
    with pytest.raises(DataError, match="two or more"):
        published_ensemble([first])


# Which lines hold


def test_newest_run_of_each_seed_is_used(make_run):
    lines = [
        published_result(make_run(seed, accuracy, started=started))
        for seed, accuracy, started in (
            (0, 0.1, 1e9),
            (0, 0.90, 2e9),
            (1, 0.96, 1e9),
        )
    ]
    failed = replace(lines[1], status="FAILED", provenance=replace(lines[1].provenance, run="x"))
    earlier = replace(lines[1], variant="another form")
    group = PublishedResults([*lines, failed, earlier]).group(NAME)
    found = group.score("test/accuracy")
    assert (found.mean, found.low, found.high, found.count) == (pytest.approx(0.93), 0.90, 0.96, 2)
    assert found.interval == (pytest.approx(0.83), pytest.approx(0.94))


def test_mean_carried_over_is_used_until_all_seeds_are_added(write, make_run):
    carried = read_results(write(CARRIED))
    first, second = (published_result(make_run(seed, 0.9)) for seed in (0, 1))
    assert PublishedResults([*carried, first]).group(NAME).first.kind == "mean"
    both = PublishedResults([*carried, first, second]).group(NAME)
    assert both.seeds == (0, 1)
    assert both.score("test/accuracy").mean == 0.9


def test_result_of_other_settings_is_stale(make_run):
    line = published_result(make_run(0, 0.9))
    assert PublishedResults([line]).group(NAME).stale == ""
    other = replace(line, settings={**line.settings, "trainer.epochs": "3"})
    stale = PublishedResults([other])
    assert "other settings" in stale.group(NAME).stale
    assert "other settings" in results_table([ROW], stale, ["test/accuracy"])
    assert "# Stale:" in header(NAME, stale)


def test_number_without_a_line_is_refused():
    with pytest.raises(DataError, match=rf"experiment={NAME}: no line .* --add"):
        results_table([ROW], PublishedResults([]), ["test/accuracy"])


# Tables


def private(line, **changes):
    values = {
        "unit": "patient",
        "epsilon": 14.1,
        "delta": 1e-3,
        "noise_multiplier": 1.0,
        "hypothetical_population": 10_000,
        "hypothetical_epsilon": 0.02,
    }
    from ecgexp.analysis.results_page.record import Privacy

    return replace(line, privacy=Privacy(**values | changes), training="federated")


def test_hypothetical_epsilon_is_apart_from_guarantees(make_run):
    results = PublishedResults([private(published_result(make_run(0, 0.9)))])
    table = privacy_table([ROW], results, ["test/accuracy"])
    assert "| patient-level DP, federated | 1 | 14.1 | 0.001 | 1 | 0.900 |" in table
    assert "0.02" not in table
    assert "| 14.1 | 10\N{NO-BREAK SPACE}000 patients | 0.0200 |" in hypothetical_table(
        [ROW], results
    )


def test_figure_draws_guarantees_and_no_hypothetical_epsilon(make_run):
    from ecgexp.analysis.results_page.figure import privacy_figure

    lines = [published_result(make_run(seed, 0.9)) for seed in (0, 1)]
    groups = [PublishedResults([line]).group(NAME) for line in (private(lines[0]), lines[1])]
    figure = privacy_figure(groups, ["", "signal"])
    labels = {text.get_text() for text in figure.legends[0].texts}
    assert labels == {
        "patient-level DP, federated (δ 0.001)",
        "no privacy, signal",
        "majority-class baseline",
    }
    for axes in figure.axes:
        drawn = [x for line in axes.lines for x in line.get_xdata() if line.get_marker() != "None"]
        assert 0.02 not in drawn
        assert axes.get_xlim()[0] > 0.02


def test_log_lists_every_evaluation(make_run, write):
    line = published_result(make_run(0, 0.95))
    failed = replace(line, status="FAILED", variant="a first form")
    other = replace(line, evaluated=replace(line.evaluated, split="fold of patients"))
    log = evaluation_log(PublishedResults([line, failed, other]), "DS2").splitlines()[2:]
    assert log == [
        f"| 2001-09-09 01:46 | `{NAME}` | seed=0 | 0.950 |  |",
        f"| 2001-09-09 01:46 | `{NAME}` | seed=0; a first form; the run failed | 0.950 |  |",
    ]
    mean = read_results(write(CARRIED))
    assert len(PublishedResults(mean).evaluations("DS2")) == 1
    assert len(PublishedResults([*mean, line]).evaluations("DS2")) == 1


def test_block_is_replaced_and_the_rest_is_not():
    page = "a\n<!-- results:begin -->\nold\n<!-- results:end -->\nb\n"
    once = replace_block(page, "new \\1\n", marks=MARKDOWN, name="page")
    assert once == page.replace("old", "new \\1")
    assert replace_block(once, "new \\1", marks=MARKDOWN, name="page") == once
    for broken in (page + page, "a\n", page.replace("begin", "end")):
        with pytest.raises(DataError, match="page: it needs the line"):
            replace_block(broken, "", marks=MARKDOWN, name="page")


# What is published


@pytest.mark.parametrize("place", range(0, len(rows.SUMMARY), 2))
def test_private_row_of_the_summary_follows_its_like(place):
    compared = [settings_of(row.experiment, row.overrides) for row in rows.SUMMARY[place:][:2]]
    for key in ("model._target_", "features._target_", "grouping.name"):
        assert len({settings[key] for settings in compared}) == 1
    targets = [settings["privacy._target_"].rpartition(".")[2] for settings in compared]
    assert targets == ["NotPrivate", "PrivacySpec"]


def test_summary_names_overrides_shared_patient_and_evaluations():
    results = PublishedResults(read_results(ROOT / "results/runs.jsonl"))
    text = summary(results, folder="docs/results/")
    assert all(word in text for row in rows.SUMMARY for word in (row.experiment, *row.overrides))
    merged = results.group(rows.SUMMARY_MERGED.experiment, rows.SUMMARY_MERGED.overrides)
    assert f"{merged.score('test/f1/S').mean:.3f}" in text
    assert "201" in text
    assert "](docs/results/evaluation_log.md)" in text


def test_means_carried_over_agree_with_their_runs():
    """Where both are known, the mean and range of the runs are those that were carried over."""
    lines = read_results(ROOT / "results/runs.jsonl")
    means = [line for line in lines if line.kind == "mean"]
    compared = 0
    for mean in means:
        newest = {}
        for line in lines:
            if line.kind == "run" and line.key == mean.key and not line.variant:
                newest[line.seeds[0]] = line
        if set(newest) != set(mean.seeds):
            continue
        for metric in ("test/accuracy", "test/jk_index"):
            values = [run.metrics[metric].value for run in newest.values() if metric in run.metrics]
            stored = mean.metrics.get(metric)
            if stored is None or stored.range is None or len(values) < len(mean.seeds):
                continue
            compared += 1
            found = (sum(values) / len(values), min(values), max(values))
            assert found == pytest.approx((stored.value, *stored.range), abs=0.0011), (
                mean.key,
                metric,
            )
    assert compared >= 10


@pytest.fixture
def copy(tmp_path):
    """A copy of everything that the script reads and writes."""
    for name in ("results", "docs/results", "conf/experiment"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "README.md", tmp_path / "README.md")
    return tmp_path


def run_script(monkeypatch, root, *options):
    monkeypatch.setattr("sys.argv", ["results_page.py", "--root", str(root), *options])
    return script().main()


def test_every_generated_text_and_figure_is_up_to_date(monkeypatch, capsys):
    assert run_script(monkeypatch, ROOT, "--check") == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    "path", ["README.md", "docs/results/privacy.md", f"conf/experiment/{NAME}.yaml"]
)
def test_check_fails_if_a_text_was_changed(monkeypatch, capsys, copy, path):
    text = (copy / path).read_text(encoding="utf-8")
    assert "0.9" in text
    (copy / path).write_text(text.replace("0.9", "0.8"), encoding="utf-8")
    before = (copy / path).read_bytes()
    assert run_script(monkeypatch, copy, "--check") == 1
    assert f"{path}: it differs from results/" in capsys.readouterr().out
    assert (copy / path).read_bytes() == before
    assert run_script(monkeypatch, copy) == 0
    assert run_script(monkeypatch, copy, "--check") == 0


def test_check_fails_if_a_figure_shows_other_results(monkeypatch, capsys, copy):
    path = copy / "results/runs.jsonl"
    lines = read_results(path)
    place = next(
        i
        for i, one in enumerate(lines)
        if one.key == (rows.EXAMPLE_LEVEL[0].experiment, ()) and one.kind == "mean"
    )
    lines[place] = replace(lines[place], stale="")
    write_results(path, lines)
    assert run_script(monkeypatch, copy, "--check") == 1
    out = capsys.readouterr().out
    assert "results/privacy_utility.svg" in out
    assert "replication_study" not in out


def test_add_writes_a_line_once_and_refuses_it_again(monkeypatch, capsys, copy, make_run):
    run = make_run(0, 0.123)
    monkeypatch.setattr(script(), "find_run", lambda name, uri: run)
    assert run_script(monkeypatch, copy, "--add", "run") == 0
    assert read_results(copy / "results/runs.jsonl")[-1] == published_result(run)
    assert "0.123" in (copy / "docs/results/evaluation_log.md").read_text(encoding="utf-8")
    assert run_script(monkeypatch, copy, "--add", "run") == 2
    assert "is published; leave it out" in capsys.readouterr().err


def test_script_needs_neither_tensorflow_nor_mlflow():
    code = (
        "import runpy, sys; sys.argv = ['results_page.py', '--check']\n"
        "try: runpy.run_path('scripts/results_page.py', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert not {'tensorflow', 'mlflow', 'matplotlib'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


def test_evaluations_that_were_not_published_are_named(tmp_path):
    from ecgexp.analysis.results_page.unpublished import note, unpublished
    from ecgexp.tracking.evaluation_log import EvaluatedRun, EvaluationLog

    for name, run_id in (("shown", "a"), ("left out", "b"), ("elsewhere", "c")):
        run = EvaluatedRun(
            id=name, configuration=name, name=name, run_dir=f"/{name}", run_id=run_id
        )
        test_set = "other" if name == "elsewhere" else "s"
        EvaluationLog(tmp_path).begin(run, test_set=test_set, test_sha256="d", database="b")
    found = unpublished(tmp_path, {"s"}, {"a"})
    assert found == ["left out (/left out)"]
    assert "add all of them" in note(found)
    assert note(unpublished(tmp_path, {"s"}, {"a", "left out"})) == ""
