import json

import numpy as np
import pytest

from ecgexp._validate import ConfigError, DataError
from ecgexp.beats import RR_FEATURES
from ecgexp.inputs import SignalInput, input_shapes
from ecgexp.models.cnn1d import Cnn1d
from ecgexp.serving import Classifier, load_classifier, save_classifier

pytestmark = pytest.mark.tf

BUILDER = Cnn1d(filters=(4, 4), kernel_sizes=(3, 3), dense_units=4)


@pytest.fixture(params=[False, True], ids=["signal", "signal and rr"])
def classifier(request):
    model_input = SignalInput(rr=request.param)
    features = model_input.transform(np.zeros((1, 20, 1), np.float32), np.ones((1, len(RR_FEATURES)), np.float32))
    return Classifier(
        builder=BUILDER, model_input=model_input, weights=BUILDER.build(input_shapes(features), 2).get_weights(),
        class_names=("N", "V"), window=20, lead_names=("MLII",), fs_hz=100.0, before_samples=10, database="synthetic",
    )  # fmt: skip


def test_a_saved_classifier_gives_the_same_probabilities(classifier, tmp_path):
    rng = np.random.default_rng(0)
    signals, rr = rng.standard_normal((5, 20, 1), np.float32), rng.random((5, len(RR_FEATURES)), np.float32)
    loaded = load_classifier(save_classifier(classifier, tmp_path / "model"))
    expected = classifier.predict_probabilities(signals, rr)
    np.testing.assert_array_equal(loaded.predict_probabilities(signals, rr), expected)
    np.testing.assert_allclose(expected.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(loaded.predict_probabilities(signals, rr, batch_size=2), expected, atol=1e-6)


def test_windows_of_another_shape_are_refused(classifier):
    with pytest.raises(ValueError, match=r"windows must be \(n, 20, 1\) at 100 Hz; these are \(5, 21, 1\)"):
        classifier.predict_probabilities(np.zeros((5, 21, 1)))


def test_damaged_weights_are_refused(classifier, tmp_path):
    folder = save_classifier(classifier, tmp_path)
    payload = bytearray((folder / "weights.npz").read_bytes())
    payload[len(payload) // 2] ^= 1
    (folder / "weights.npz").write_bytes(payload)
    with pytest.raises(DataError, match=r"weights\.npz is damaged"):
        load_classifier(folder)


def test_a_saved_model_cannot_name_other_code(classifier, tmp_path):
    folder = save_classifier(classifier, tmp_path)
    description = json.loads((folder / "model.json").read_text())
    description["model"]["_target_"] = "os.system"
    (folder / "model.json").write_text(json.dumps(description))
    with pytest.raises(ConfigError, match=r"model\._target_=os\.system is refused"):
        load_classifier(folder)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no saved model"):
        load_classifier(tmp_path)
