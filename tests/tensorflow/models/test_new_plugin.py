"""The model and the test that `ecgexp-new` writes; models of plug-ins saved and loaded again."""

import importlib.util
import json
import logging
import shutil
import sys
import zipfile

import numpy as np
import pytest
from plugin_packages import MODEL, forget, install, on_path

from ecgexp.cli.new import write_plugin
from ecgexp.clipping.build import build_clipper
from ecgexp.clipping.losses import RowWiseLoss
from ecgexp.data.preprocessing.settings import Preprocessing
from ecgexp.features.inputs import SignalFeatures
from ecgexp.models.classifier import Classifier
from ecgexp.models.preprocessing import ModelPreprocessing
from ecgexp.models.saved_classifier import load_classifier, save_classifier
from ecgexp.settings import plugins
from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.registry import settings_class
from ecgexp.tracking.mlflow.environment import exact_requirements, write_wheel


@pytest.fixture
def place(tmp_path):
    with on_path(tmp_path):
        yield tmp_path


def test_test_of_a_new_plugin_passes(place, monkeypatch):
    folder = write_plugin("my-ecg", place / "made")
    files = [path for path in (folder / "my_ecg").rglob("*") if path.is_file()]
    texts = {
        path.relative_to(folder / "my_ecg").as_posix(): path.read_text("utf-8") for path in files
    }
    install(place, "my_ecg", texts)
    forget()
    spec = importlib.util.spec_from_file_location("new_tests", folder / "tests/test_models.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    ran = [getattr(module, name)() for name in dir(module) if name.startswith("test_")]
    assert len(ran) == 2
    model = sys.modules["my_ecg"].MyEcg().build({"signal": (180, 1)}, 5)
    loss = RowWiseLoss(lambda labels, logits: logits[:, 0] * 0)
    assert build_clipper(model, loss, l2_norm_clip=1.0)  # without the slower fallback


@pytest.fixture
def saved(place):
    """A classifier whose architecture is that of a plug-in, and its folder."""
    install(place, "mine", {"__init__.py": MODEL})
    forget()
    builder = settings_class("mine.Net")()
    classifier = Classifier(
        builder=builder,
        preprocessing=ModelPreprocessing(
            records=Preprocessing(fs_hz=100.0, window_ms=(100.0, 100.0)), features=SignalFeatures()
        ),
        weights=builder.build({"signal": (20, 1)}, 2).get_weights(),
        class_names=("N", "V"),
        database="synthetic",
    )
    return classifier, save_classifier(classifier, place / "model")


def test_model_of_a_plugin_is_loaded_again(saved, caplog):
    classifier, folder = saved
    signals = np.random.default_rng(0).standard_normal((3, 20, 1)).astype(np.float32)
    loaded = load_classifier(folder)
    expected = classifier.predict_probabilities(signals)
    np.testing.assert_array_equal(loaded.predict_probabilities(signals), expected)
    assert not caplog.records
    stored = json.loads((folder / "model.json").read_text(encoding="utf-8"))["plugins"]
    assert stored == {"mine": plugins.installed()["mine"].code}


def test_model_of_a_missing_plugin_is_refused(saved, place):
    _, folder = saved
    shutil.rmtree(place / "mine-1.0.dist-info")
    forget()
    with pytest.raises(ConfigError, match=r"needs the plug-in mine, .*; use `pip install mine==1"):
        load_classifier(folder)


def test_model_of_another_version_of_a_plugin_is_a_warning(saved, place, caplog):
    _, folder = saved
    (place / "mine" / "more.py").write_text("", encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        load_classifier(folder)
    (record,) = caplog.records
    assert "other code of the plug-in mine (mine 1.0 sha256:" in record.getMessage()


def test_wheel_of_a_plugin_can_be_imported_alone(saved, place, tmp_path):
    (tmp_path / "out").mkdir()
    wheel = write_wheel(tmp_path / "out", plugins.installed()["mine"])
    assert wheel.name.startswith("mine-1.0-0")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    info = "mine-1.0.dist-info"
    expected = ["METADATA", "RECORD", "WHEEL", "entry_points.txt"]
    assert sorted(names) == sorted(["mine/__init__.py", *(f"{info}/{name}" for name in expected)])
    assert exact_requirements([plugins.installed()["mine"]]) == exact_requirements()
