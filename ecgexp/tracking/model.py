"""Logging a classifier to MLflow as a model with a signature, an input example and its requirements."""

import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import mlflow
import numpy as np
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec

from ecgexp.tracking.base import ModelInput

NAME = "model"

# Named, because MLflow would otherwise load the model in a fresh process and watch its imports: 15 s instead of 1 s.
_REQUIREMENTS = ("mlflow", "numpy", "pydantic", "scipy", "tensorflow")


def log_pyfunc(folder: Path, *, input_example: ModelInput, run_id: str, uri: str) -> None:
    """Logs the classifier in `folder` as the model named `model` of a run.

    Args:
      folder: as `ecgexp.serving.save_classifier` wrote it.
      input_example: (n, window, leads) float32 millivolts, or a mapping of `signals_mv` and `rr` (n, 4).
      run_id: the MLflow run.
      uri: the store it is in.
    """
    description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    class_names = list(description["class_names"])
    mlflow.set_tracking_uri(uri)  # a model, unlike all else, can only be logged through MLflow's global store
    Model.log(
        artifact_path=None,
        name=NAME,
        flavor=mlflow.pyfunc,
        run_id=run_id,
        python_model=str(Path(__file__).with_name("pyfunc_model.py")),
        artifacts={"classifier": str(folder)},
        signature=signature(input_example, num_classes=len(class_names)),
        input_example=dict(input_example) if isinstance(input_example, Mapping) else input_example,
        pip_requirements=[f"{name}=={metadata.version(name)}" for name in _REQUIREMENTS],
        metadata={"class_names": class_names},
    )


def signature(input_example: ModelInput, *, num_classes: int) -> ModelSignature:
    """What goes in and comes out, with a free number of windows."""
    if isinstance(input_example, Mapping):
        inputs = Schema([_spec(array, name) for name, array in input_example.items()])
    else:
        inputs = Schema([_spec(input_example)])
    return ModelSignature(inputs=inputs, outputs=Schema([TensorSpec(np.dtype(np.float64), (-1, num_classes))]))


def _spec(array: np.ndarray, name: str | None = None) -> TensorSpec:
    return TensorSpec(array.dtype, (-1, *array.shape[1:]), name)
