import json
from dataclasses import replace

import numpy as np
import pytest

from ecgexp.data.beats import RR_FEATURES
from ecgexp.data.preprocessing.settings import Preprocessing
from ecgexp.features.inputs import SignalFeatures, feature_shapes
from ecgexp.models import saved_classifier as module
from ecgexp.models.classifier import Classifier
from ecgexp.models.cnn1d import Cnn1d
from ecgexp.models.preprocessing import ModelPreprocessing
from ecgexp.models.saved_classifier import load_classifier, save_classifier
from ecgexp.settings.declaration import ConfigError, DataError

BUILDER = Cnn1d(filters=(4, 4), kernel_sizes=(3, 3), dense_units=4)


@pytest.fixture(params=[False, True], ids=["signal", "signal and rr"])
def classifier(request):
    settings = SignalFeatures(rr=request.param)
    features = settings.transform(
        np.zeros((1, 20, 1), np.float32), np.ones((1, len(RR_FEATURES)), np.float32)
    )
    return Classifier(
        builder=BUILDER,
        preprocessing=ModelPreprocessing(
            records=Preprocessing(fs_hz=100.0, window_ms=(100.0, 100.0)), features=settings
        ),
        weights=BUILDER.build(feature_shapes(features), 2).get_weights(),
        class_names=("N", "V"),
        database="synthetic",
    )


def test_a_saved_classifier_gives_the_same_probabilities(classifier, tmp_path):
    rng = np.random.default_rng(0)
    signals, rr = (
        rng.standard_normal((5, 20, 1), np.float32),
        rng.random((5, len(RR_FEATURES)), np.float32),
    )
    loaded = load_classifier(save_classifier(classifier, tmp_path / "model"))
    expected = classifier.predict_probabilities(signals, rr)
    np.testing.assert_array_equal(loaded.predict_probabilities(signals, rr), expected)
    np.testing.assert_allclose(expected.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(
        loaded.predict_probabilities(signals, rr, batch_size=2), expected, atol=1e-6
    )


def test_windows_of_another_shape_are_refused(classifier):
    with pytest.raises(
        ValueError, match=r"windows must be \(n, 20, 1\) at 100 Hz; these are \(5, 21, 1\)"
    ):
        classifier.predict_probabilities(np.zeros((5, 21, 1)))


def test_damaged_weights_are_refused(classifier, tmp_path):
    folder = save_classifier(classifier, tmp_path)
    payload = bytearray((folder / "weights.safetensors").read_bytes())
    payload[len(payload) // 2] ^= 1
    (folder / "weights.safetensors").write_bytes(payload)
    with pytest.raises(DataError, match=r"weights\.safetensors is damaged"):
        load_classifier(folder)


def described(folder, **changes):
    """Changes the description of a saved model, and not its digest."""
    description = json.loads((folder / "model.json").read_text()) | changes
    (folder / "model.json").write_text(json.dumps(description))


@pytest.mark.parametrize(
    "changes",
    [
        {"class_names": ["V", "N"]},
        {"preprocessing_sha256": "0" * 64},
        {"weights_sha256": "0" * 64},
    ],
)
def test_a_description_that_was_changed_is_refused(classifier, tmp_path, changes):
    folder = save_classifier(classifier, tmp_path)
    described(folder, **changes)
    with pytest.raises(
        DataError, match=r"model\.json is damaged: its SHA-256 is not .*; copy the folder again"
    ):
        load_classifier(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_not_saved(classifier, tmp_path, value):
    weights = [weight.copy() for weight in classifier.weights]
    weights[2].flat[0] = value
    with pytest.raises(
        DataError, match="1 of the .* weights norm0/gamma are NaN or infinite; train it again"
    ):
        save_classifier(replace(classifier, weights=weights), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_weights_that_are_not_finite_are_not_loaded(classifier, tmp_path, monkeypatch):
    weights = [np.full_like(weight, np.nan) for weight in classifier.weights]
    with monkeypatch.context() as patch:
        patch.setattr(module, "_not_finite", lambda weights: "")
        save_classifier(replace(classifier, weights=weights), tmp_path / "model")
    with pytest.raises(
        DataError,
        match=r"weights\.safetensors cannot be used, because .* weights conv0/kernel are "
        r"NaN or infinite",
    ):
        load_classifier(tmp_path / "model")


def test_a_model_of_an_earlier_version_is_named(classifier, tmp_path):
    folder = save_classifier(classifier, tmp_path)
    (folder / "weights.safetensors").rename(folder / "weights.npz")
    with pytest.raises(
        DataError, match=r"has weights\.npz, of an earlier version of ecgexp; train the model again"
    ):
        load_classifier(folder)
    described(folder, format=5)
    with pytest.raises(
        DataError,
        match=r"model\.json has format 5, and this version reads format 9; train the model again",
    ):
        load_classifier(folder)


def test_a_saved_model_cannot_name_other_code(classifier, tmp_path):
    folder = save_classifier(classifier, tmp_path)
    description = json.loads((folder / "model.json").read_text())
    description["model"]["_target_"] = "os.system"
    (folder / "model.json").write_text(
        json.dumps(description | {"sha256": module._digest(description)})
    )
    with pytest.raises(ConfigError, match=r"model\._target_=os\.system: .*; use a public name"):
        load_classifier(folder)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"model\.json is missing"):
        load_classifier(tmp_path)
