"""The metrics that MLflow gets of a run: few, whatever the run logs, and validation first."""

import numpy as np
import pytest

from ecgexp.analysis.run_metrics import RunMetrics
from ecgexp.evaluation.clients import spread
from ecgexp.evaluation.evaluator import evaluate
from ecgexp.settings.declaration import DataError
from ecgexp.tracking import JsonlTracker, MirroredTracker
from ecgexp.tracking.mlflow.headline import HEADLINE, MOST, headline


def test_headline_has_at_most_thirty_metrics():
    assert len(set(HEADLINE)) == len(HEADLINE) <= MOST == 30


def test_headline_begins_with_validation_and_has_no_training():
    assert HEADLINE[0] == "validation/macro_f1"
    assert not [name for name in HEADLINE if "train" in name.split("/")]


def test_headline_scores_are_those_of_an_evaluation():
    labels = np.arange(40) % 4
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), 40)
    evaluation = evaluate(
        labels=labels,
        probabilities=(probabilities + np.eye(4)[labels]) / 2,
        class_names=["N", "S", "V", "F"],
        record_ids=np.repeat(["100", "101"], 20),
        patient_ids=None,
        majority_class=0,
        rng=np.random.default_rng(0),
        num_resamples=2,
    )
    known = set(evaluation.metrics("test")) | {
        f"test/clients/accuracy_{name}" for name in spread(np.ones(3))
    }
    assert {name for name in HEADLINE if name.startswith("test/")} <= known


def test_headline_of_left_out_patients_has_scores_and_intervals():
    sent = ["left_out/jk_index", "left_out/f1/S", "left_out/f1_ci_low/S"]
    kept = ["left_out/support/S", "left_out/majority/accuracy"]
    assert list(headline(dict.fromkeys([*kept, *sent], 0.5))) == sent


def test_mlflow_gets_the_headline_and_the_folder_everything(mlflow_store, tmp_path):
    from ecgexp.tracking.mlflow.tracker import MlflowTracker

    remote = MlflowTracker.create(mlflow_store, "headline", has_folder=True)
    tracker = MirroredTracker(JsonlTracker(tmp_path), [remote])
    for step in (1, 2):
        tracker.log_metrics(
            {"curve/train/loss": 1 / step, "new/one": 1.0}
            | {f"curve/validation/f1/{number}": 0.5 for number in range(50)}
            | {"curve/validation/loss": 2 / step, "curve/validation/macro_f1": 0.5},
            step=step,
        )
    tracker.log_metrics({name: 0.5 for name in HEADLINE if "curve" not in name} | {"test/f1/V": 1})
    tracker.finish("FINISHED")
    kept = mlflow_store.client.get_run(remote.run_id).data.metrics
    assert set(kept) <= set(HEADLINE)
    assert next(iter(kept)) == "curve/validation/macro_f1"  # selected by the comparison page
    assert "curve/train/loss" in (tmp_path / "metrics.jsonl").read_text()


def test_headline_of_a_sweep_keeps_its_own_metrics():
    assert headline({"sweep/jobs": 3, "sweep/epsilon_all": 2.0, "jobs": 1}) == {
        "sweep/jobs": 3,
        "sweep/epsilon_all": 2.0,
    }


def test_metrics_beyond_the_store_are_read_from_the_result():
    metrics = {"test/macro_f1": 0.5, "test/f1/V": 0.25, "test/jk_index": None}
    found = RunMetrics({"test/macro_f1": 0.5, "curve/x": 1.0}, lambda: {"metrics": metrics})
    assert found["test/f1/V"] == 0.25
    assert np.isnan(found["test/jk_index"])
    assert set(found) == {*metrics, "curve/x"}
    assert "test/f1/S" not in found


def test_metrics_of_the_store_are_read_without_the_result():
    def damaged():
        raise DataError("restore it")

    found = RunMetrics({"test/macro_f1": 0.5}, damaged)
    assert found["test/macro_f1"] == 0.5
    with pytest.raises(DataError, match="restore it"):
        found.get("test/f1/V")
