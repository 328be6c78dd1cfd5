"""One experiment from records to a tracked and evaluated classifier.

And what a failed run leaves.
"""

import json

import numpy as np
import pandas as pd
import pytest
from placeholder_figures import drawn_figures

from ecgexp.config.compose import load_experiment
from ecgexp.data.beats import RR_FEATURES
from ecgexp.experiment.run import run
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.tracking.mlflow.headline import HEADLINE

pytestmark = pytest.mark.slow

SMALL = [
    "dataset.num_patients=12",
    "dataset.minutes=0.8",
    "trainer.epochs=2",
    "model.filters=[8,8]",
    "model.kernel_sizes=[5,3]",
    "model.dense_units=8",
    "num_resamples=50",
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return f"data.cache_dir={tmp_path_factory.mktemp('cache')}"


def start(folder, cache, *overrides):
    folder.mkdir(parents=True, exist_ok=True)
    store = [
        f"tracking.uri=sqlite:///{folder}/mlflow.db",
        f"tracking.artifact_root={folder}/artifacts",
    ]
    store = [] if "tracking=none" in overrides else store
    return run(load_experiment([*SMALL, cache, *store, *overrides]), folder)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, cache):
    folder = tmp_path_factory.mktemp("run")
    with drawn_figures():
        return start(folder, cache, "features=signal_rr"), folder


@pytest.fixture(scope="module")
def client(finished):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{finished[1]}/mlflow.db")


def test_the_run_directory_tells_the_whole_story(finished):
    result, folder = finished
    stored = json.loads((folder / "result.json").read_text())
    assert stored["status"] == "FINISHED"
    assert stored["run_id"] == result.run_id
    assert stored["privacy"] is None
    assert 0 <= stored["metrics"]["test/accuracy"] <= 1
    assert stored["metrics"]["test/majority/accuracy"] > 0.5
    assert stored["data"]["database"].startswith("synthetic")
    assert set(stored["data"]["beats"]) == {"train", "validation", "test"}
    assert stored["test_evaluation"]["number"] == 1
    assert "evaluation 1 of this test set" in " ".join(stored["notes"]["test"])
    steps = [
        json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()
    ]
    assert steps == [1, 2, None, None]  # the scores, and what it all took


def test_mlflow_has_the_run_with_its_parameters_metrics_tags_and_dataset(finished, client):
    result, _ = finished
    kept = client.get_run(result.run_id)
    assert kept.info.status == "FINISHED"
    assert kept.data.params["trainer.epochs"] == "2"
    assert kept.data.params["model._target_"] == "ecgexp.models.Cnn1d"
    assert kept.data.metrics["test/macro_f1"] == pytest.approx(result.metrics["test/macro_f1"])
    assert set(kept.data.metrics) <= set(HEADLINE)
    assert (kept.data.tags["model"], kept.data.tags["trainer"]) == ("cnn1d", "centralized")
    assert kept.data.tags["dataset.digest"] == result.data["digest"]
    assert kept.data.tags["dataset.test_sha256"] == result.data["test_sha256"]
    assert "macro F1" in kept.data.tags["mlflow.note.content"]
    assert [
        point.step
        for point in client.get_metric_history(result.run_id, "curve/validation/macro_f1")
    ] == [1, 2]
    assert kept.inputs.dataset_inputs[0].dataset.name == result.data["database"]


def test_beats_are_published_under_a_keyed_digest_only(finished, cache):
    """Neither the plain digest nor the key stands in any file of the run, in its artifacts or in
    its store.
    """
    from ecgexp.privacy.keyed_digests import NAME, DigestKey

    result, folder = finished
    plain = load_experiment([*SMALL, cache]).dataset.load().digest
    key = (folder / "mlflow.db.private" / NAME).read_bytes()
    assert result.data["digest"] == DigestKey(key).digest(plain)
    for path in folder.rglob("*"):
        if path.is_file() and path.name != NAME:
            written = path.read_bytes()
            assert plain[:12].encode() not in written, path
            assert key not in written, path
            assert key.hex().encode() not in written, path


@pytest.mark.parametrize(
    "path",
    [
        "figures/test_confusion_matrix.png",
        "figures/test_roc.png",
        "figures/test_precision_recall.png",
        "figures/test_reliability.png",
        "figures/test_worst_mistakes.png",
        "figures/learning_curves.png",
        "tables/test_per_record.csv",
        "tables/test_summary.md",
        "predictions/test.parquet",
        "data.json",
        "result.json",
    ],
)
def test_every_artifact_is_in_the_folder_and_in_mlflow(finished, client, path):
    result, folder = finished
    assert (folder / path).stat().st_size > 0
    parent = path.rpartition("/")[0]
    assert path in [item.path for item in client.list_artifacts(result.run_id, parent or None)]


def test_the_predictions_are_one_row_a_beat_with_its_identity(finished):
    import pandas as pd

    result, folder = finished
    table = pd.read_parquet(folder / "predictions/test.parquet")
    assert len(table) == sum(result.data["beats"]["test"].values())
    assert not table.duplicated(["record", "sample"]).any()
    assert (table["class"] == table["predicted"]).mean() == pytest.approx(
        result.metrics["test/accuracy"]
    )


def test_logged_model_of_a_run_scores_raw_windows(finished, monkeypatch):
    """In this process; `test_predict.py` has one that knows nothing of the run."""
    import mlflow

    from ecgexp.models.saved_classifier import load_classifier

    result, folder = finished
    uri = f"sqlite:///{folder}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)  # which MLflow sets and leaves set
    mlflow.set_tracking_uri(uri)
    rng = np.random.default_rng(0)
    signals = rng.standard_normal((3, 180, 1), np.float32)
    rr = np.full((3, len(RR_FEATURES)), 0.8, np.float32)
    model = mlflow.pyfunc.load_model(f"runs:/{result.run_id}/model")
    scored = model.predict(pd.DataFrame({"window_mv": list(signals), "rr": list(rr)}))
    np.testing.assert_allclose(
        scored.filter(like="probability/").to_numpy(),
        load_classifier(folder / "model").predict_probabilities(signals, rr),
        atol=1e-6,
    )
    assert set(scored["class"]) <= set(model.metadata.metadata["class_names"])


def test_the_same_seed_gives_the_same_result(tmp_path, cache, finished):
    again = start(tmp_path, cache, "features=signal_rr", "tracking=none")
    assert again.metrics == finished[0].metrics


def test_sealed_test_beats_are_scored_once_as_if_open(tmp_path, cache, finished, monkeypatch):
    from ecgexp.console import Console
    from ecgexp.experiment.opening import open_sealed

    monkeypatch.setenv("ECGEXP_PRIVATE", str(tmp_path / "private"))
    words = ["features=signal_rr", "tracking=none", "test=sealed"]
    sealed = start(tmp_path / "run", cache, *words)
    assert not [name for name in sealed.metrics if name.startswith("test/")]
    assert not list((tmp_path / "run").rglob("*test_*"))
    assert "ecgexp-open" in " ".join(sealed.notes["test"])
    assert not (tmp_path / "private" / "evaluations.jsonl").exists()
    experiment = load_experiment([*SMALL, cache, *words])
    opened = open_sealed(experiment, tmp_path / "run", study="s", console=Console())
    assert opened.metrics == finished[0].metrics
    assert opened.test_evaluation["number"] == 1
    stored = json.loads((tmp_path / "run" / "result.json").read_text())
    assert stored["metrics"]["test/accuracy"] == opened.metrics["test/accuracy"]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "FINISHED"
    with pytest.raises(DataError, match="was opened before"):
        open_sealed(experiment, tmp_path / "run", study="s", console=Console())


def test_selection_stops_early_and_leaves_test_beats_alone(tmp_path, cache):
    result = start(
        tmp_path,
        cache,
        "tracking=none",
        "evaluate_on=[validation]",
        "trainer.epochs=9",
        "selection.patience=1",
        "selection.min_delta=0.9",
    )
    assert result.selection["step"] == 1
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 4
    assert not [name for name in result.metrics if name.startswith("test/")]
    assert not list(tmp_path.glob("figures/test_*"))


def test_a_failed_run_is_marked_with_its_reason_here_and_in_mlflow(tmp_path, cache):
    from mlflow import MlflowClient

    with pytest.raises(DataError, match="no beat of class X"):
        start(tmp_path, cache, "+grouping.classes.X=[e]", "grouping.classes.N=[N,L,R]")
    stored = json.loads((tmp_path / "result.json").read_text())
    assert stored["status"] == "FAILED"
    assert "no beat of class X" in stored["reason"]
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    kept = client.search_runs(
        [experiment.experiment_id for experiment in client.search_experiments()]
    )
    assert [entry.info.status for entry in kept] == ["FAILED"]


def test_a_split_without_validation_beats_says_what_to_type(tmp_path, cache):
    with pytest.raises(
        ConfigError, match=r"use split\.validation_fraction=0\.2, or selection\.weights=last"
    ):
        start(tmp_path, cache, "tracking=none", "split.validation_fraction=0")
    assert not (tmp_path / "run.json").exists(), "a refused configuration begins no run"


def test_a_selection_metric_that_does_not_exist_is_refused_before_training(tmp_path, cache):
    with pytest.raises(
        ConfigError,
        match=r"selection\.metric=macro_f2: not a validation score; use one of: .*macro_f1",
    ):
        start(tmp_path, cache, "tracking=none", "selection.metric=macro_f2")
    assert not (tmp_path / "metrics.jsonl").exists()
