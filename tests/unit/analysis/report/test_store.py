"""The whole way with a real MLflow store.

A parent, its children, and the page kept with the parent.
"""

from pathlib import Path

import pytest

from ecgexp.analysis.find_runs import PARENT_TAG
from ecgexp.cli.report import main


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """(URI, parent's id) of a store with a parent, two children that finished, one that failed, and
    an unrelated run.
    """
    from ecgexp.tracking.mlflow.quiet import quieten

    quieten()
    from ecgexp.tracking.mlflow.store import open_store
    from ecgexp.tracking.mlflow.tracker import MlflowTracker

    base = tmp_path_factory.mktemp("store")
    store = open_store(
        "sqlite:///mlflow.db", artifact_root=base / "files", experiment_name="tests", base_dir=base
    )
    parent = MlflowTracker.create(store, "seed=1,2,3")
    parent.set_tags(
        {"sweep.role": "parent", "sweep.overrides": "seed=1,2,3", "command": "ecgexp -m seed=1,2,3"}
    )
    parent.log_text("Privacy loss of releasing all of them: ε = 9.87.\n", "sweep_privacy.txt")
    for seed in (1, 2, 3, 4):
        child = MlflowTracker.create(store, f"seed={seed}")
        child.set_tags(
            {
                "dataset.name": "synthetic (seed 0)",
                "dataset.digest": "d",
                "command": f"ecgexp seed={seed}",
            }
        )
        if seed < 4:
            child.set_tags({PARENT_TAG: parent.run_id})
        child.log_params({"seed": seed, "trainer._target_": "T"})
        if seed == 3:
            child.finish("FAILED", "DataError: it diverged")
            continue
        child.log_metrics({"test/accuracy": 0.25 * seed, "test/macro_f1": 0.125 * seed})
        child.finish("FINISHED")
    parent.finish("FINISHED")
    return store.uri, parent.run_id


def test_report_of_a_parent_has_its_children_and_is_stored(sweep, tmp_path, capsys):
    from mlflow import MlflowClient

    uri, parent = sweep
    target = tmp_path / "page.html"
    assert main([parent, "--store", uri, "--output", str(target)]) == 0
    assert f"stored as report.html of run {parent}" in " ".join(capsys.readouterr().out.split())
    page = target.read_text(encoding="utf-8")
    assert "<h1>seed=1,2,3</h1>" in page
    assert (
        "0.375 <small>(0.250–0.500)</small>" in page
    )  # accuracy of seeds 1 and 2, without the unrelated run's 1.0
    assert "DataError: it diverged" in page
    assert "of releasing all of them: ε = 9.87" in page
    assert "ecgexp -m seed=1,2,3" in page
    client = MlflowClient(tracking_uri=uri)
    kept = client.download_artifacts(parent, "report.html", str(tmp_path))
    assert Path(kept).read_text(encoding="utf-8") == page
    assert client.get_run(parent).info.status == "FINISHED"


def test_report_of_an_experiment_leaves_the_parent_out(sweep, tmp_path, capsys):
    uri, _ = sweep
    target = tmp_path / "page.html"
    for which in (["--experiment", "tests"], []):
        assert main([*which, "--store", uri, "--output", str(target), "--overwrite"]) == 0
        assert (
            "experiment tests, 3 runs in 1 configuration, 1 that failed" in capsys.readouterr().out
        )
    assert (
        main(
            [
                "--filter",
                "metrics.`test/accuracy` > 0.4",
                "--store",
                uri,
                "--output",
                str(target),
                "--overwrite",
            ]
        )
        == 0
    )
    assert "2 runs in 1 configuration" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("which", "words"),
    [
        (["0" * 32], "neither the folder of a run nor a run"),
        (["--experiment", "nobody's"], "there is no experiment nobody's"),
        (["--filter", "nonsense"], "cannot parse it"),
        (["--filter", "metrics.`test/accuracy` > 7"], "there is no run to report"),
    ],
)
def test_missing_run_is_reported_in_one_line(sweep, tmp_path, capsys, which, words):
    assert main([*which, "--store", sweep[0], "--output", str(tmp_path / "page.html")]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "page.html").exists()


def test_single_run_of_a_store_has_a_page(sweep, tmp_path, capsys):
    from ecgexp.analysis.find_runs import search_runs

    child = search_runs(experiment="tests", uri=sweep[0])[1]
    target = tmp_path / "page.html"
    assert main([child.run_id, "--store", sweep[0], "--output", str(target)]) == 0
    assert ": seed=1, 1 run in 1 configuration" in capsys.readouterr().out
    assert "<h1>seed=1</h1>" in target.read_text(encoding="utf-8")
