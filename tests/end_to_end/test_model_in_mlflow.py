"""A classifier logged to MLflow is loaded by `mlflow.pyfunc.load_model` in a process that knows
nothing of the run.
"""

import subprocess
import sys

import numpy as np
import pytest

from ecgexp.data.beats import RR_FEATURES

pytestmark = pytest.mark.slow

SCORE = """
import sys, time
import mlflow, numpy as np
mlflow.set_tracking_uri(sys.argv[1])
with np.load(sys.argv[3]) as given:
    windows = {name: given[name] for name in given.files}
model = mlflow.pyfunc.load_model(sys.argv[2])
np.save(sys.argv[4], model.predict(windows if len(windows) > 1 else windows["signals_mv"]))
"""


def classifier(*, beside):
    from ecgexp.features.inputs import SignalFeatures, feature_shapes
    from ecgexp.models.classifier import Classifier
    from ecgexp.models.cnn1d import Cnn1d

    builder = Cnn1d(filters=(4, 8), kernel_sizes=(5, 3), dense_units=8)
    settings = (
        SignalFeatures(normalize="record", difference=True, rr="rhythm")
        if beside
        else SignalFeatures()
    )
    window = np.zeros((1, 180, 2), np.float32)
    features = settings.transform(window, np.ones((1, len(RR_FEATURES)), np.float32), window)
    return Classifier(
        builder=builder,
        features=settings,
        weights=builder.build(feature_shapes(features), 3).get_weights(),
        class_names=("N", "V", "paced"),
        window=180,
        lead_names=("MLII", "V1"),
        fs_hz=360.0,
        before_samples=90,
        database="synthetic",
    )


@pytest.mark.parametrize(
    "beside", [False, True], ids=["windows alone", "with RR features and templates"]
)
def test_a_fresh_process_scores_raw_windows_with_equal_probabilities(
    mlflow_store, tmp_path, beside
):
    from ecgexp.models.classifier import save_classifier
    from ecgexp.tracking.mlflow.tracker import MlflowTracker

    rng = np.random.default_rng(0)
    windows = {"signals_mv": rng.normal(size=(7, 180, 2)).astype(np.float32)}
    if beside:
        windows["rr"] = rng.uniform(0.4, 1.2, size=(7, len(RR_FEATURES))).astype(np.float32)
        windows["templates_mv"] = rng.normal(size=(7, 180, 2)).astype(np.float32)
    ours = classifier(beside=beside)
    folder = save_classifier(ours, tmp_path / "model")
    tracker = MlflowTracker.create(mlflow_store, "model")
    tracker.log_model(folder, input_example=windows if beside else windows["signals_mv"])

    np.savez(tmp_path / "windows.npz", **windows)
    uri = f"runs:/{tracker.run_id}/model"
    paths = [str(tmp_path / name) for name in ("windows.npz", "scores.npy")]
    subprocess.run(
        [sys.executable, "-c", SCORE, mlflow_store.uri, uri, *paths], check=True, cwd=tmp_path
    )
    expected = ours.predict_probabilities(**windows)
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy"), expected, rtol=0, atol=1e-7)


def test_the_model_has_a_signature_an_example_and_no_pickle(mlflow_store, tmp_path, monkeypatch):
    import mlflow

    from ecgexp.models.classifier import save_classifier
    from ecgexp.tracking.mlflow.tracker import MlflowTracker

    tracker = MlflowTracker.create(mlflow_store, "model")
    example = np.zeros((2, 180, 2), np.float32)
    tracker.log_model(
        save_classifier(classifier(beside=False), tmp_path / "model"), input_example=example
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_store.uri)  # which MLflow sets and leaves set
    mlflow.set_tracking_uri(mlflow_store.uri)
    info = mlflow.models.get_model_info(f"runs:/{tracker.run_id}/model")
    assert info.signature.inputs.inputs[0].shape == (-1, 180, 2)
    assert info.signature.outputs.inputs[0].shape == (-1, 3)
    assert info.metadata == {"class_names": ["N", "V", "paced"]}
    folder = mlflow.artifacts.download_artifacts(
        f"runs:/{tracker.run_id}/model", dst_path=str(tmp_path / "copy")
    )
    names = {path.name for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    assert folder
    assert {
        "MLmodel",
        "requirements.txt",
        "input_example.json",
        "weights.safetensors",
        "model.json",
    } <= names
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".h5", ".keras"))]
