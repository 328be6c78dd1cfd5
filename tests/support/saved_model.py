"""A saved model that no TensorFlow wrote, as far as logging looks into it."""

import json
from pathlib import Path

from ecgexp.data.preprocessing.settings import Preprocessing
from ecgexp.features.inputs import SignalFeatures
from ecgexp.models import saved_classifier
from ecgexp.models.preprocessing import ModelPreprocessing
from ecgexp.models.saved_preprocessing import preprocessing_json


def save_model(folder: Path, features=None, leads=("MLII",)) -> Path:
    """Writes the folder of a classifier whose weights cannot be read."""
    folder.mkdir(parents=True)
    description = {
        "format": saved_classifier._FORMAT,
        "model": {},
        "class_names": ["N", "V"],
        "database": "synthetic",
        "classes_without_training_beats": None,
        "preprocessing_sha256": "",
        "weights_sha256": "",
    }
    (folder / "model.json").write_text(
        json.dumps(description | {"sha256": saved_classifier._digest(description)})
    )
    preprocessing = ModelPreprocessing(
        records=Preprocessing(leads=leads), features=features or SignalFeatures()
    )
    (folder / "preprocessing.json").write_text(json.dumps(preprocessing_json(preprocessing)))
    (folder / "weights.safetensors").write_bytes(b"weights")
    return folder
