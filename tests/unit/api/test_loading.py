"""`ecgexp.load_run` and `ecgexp.runs` on stored runs."""

import warnings

import numpy as np
import pytest
from finished_runs import CENTRALIZED, finished, guarantee, private

import ecgexp
from ecgexp.settings.declaration import DataError


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    confusion = np.diag([9, 1, 2, 1, 1])
    finished(tmp_path / "outputs/one", params=CENTRALIZED, seed=1, confusion=confusion)
    finished(tmp_path / "outputs/two", params=private(1.1), seed=2, privacy=guarantee(0.61))
    return tmp_path


def test_run_is_loaded_by_its_folder(place):
    run = ecgexp.load_run(place / "outputs/one")
    assert run.status == "FINISHED"
    assert run.settings["trainer"]["learning_rate"] == 0.001
    assert 0 <= run.metrics["test/accuracy"] <= 1
    columns = ["split", "record", "patient", "sample", "class", "predicted"]
    assert list(run.predictions.columns[:6]) == columns
    assert run.predictions["probability/N"].between(0, 1).all()
    assert run.privacy is None
    assert "&lt;" not in run._repr_html_()
    assert "test/accuracy" in run._repr_html_()


def test_notebook_shows_the_statement_and_escapes_text(place):
    run = ecgexp.load_run(place / "outputs/two")
    assert "ε = 0.61" in run._repr_html_()
    object.__setattr__(run._stored, "name", "<script>")
    assert "<script>" not in run._repr_html_()


def test_run_without_a_model_says_so(place):
    run = ecgexp.load_run(place / "outputs/one")
    with pytest.raises(DataError, match="has no model; use a run"):
        run.model  # noqa: B018  (the access is what is tested)


def test_missing_run_is_refused(place):
    with pytest.raises(DataError, match="no folder outputs/three; use"):
        ecgexp.load_run("outputs/three")


def test_runs_are_a_table_with_a_row_for_each(place):
    table = ecgexp.runs()
    assert sorted(table["seed"]) == [1, 2]
    assert table["test/accuracy"].notna().all()
    private_run = table[table["guarantee"] == "private"].iloc[0]
    assert private_run["epsilon"] == 0.61


def test_damaged_run_is_a_warning_of_the_table(place):
    (place / "outputs/one/run.json").write_text("{", encoding="utf-8")
    with pytest.warns(UserWarning, match=r"run\.json"):
        assert len(ecgexp.runs()) == 1


def test_table_without_runs_is_empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(ecgexp.runs()) == 0
